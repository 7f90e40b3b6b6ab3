"""A Hydra callback that tracks any app: every diffusers pipeline that it calls is recorded, without a line of code.

    hydra:
      callbacks:
        repro_track:
          _target_: repro_track.integrations.hydra_callback.ReproTrack

It loads neither torch nor mlflow: a job that never loads torch is not tracked, and nothing is recorded of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import wrapt
from hydra.experimental.callback import Callback

from repro_track.config.given import freeze_config

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from omegaconf import DictConfig

    from repro_track.tracking.run import TrackedRun

_current: list[ReproTrack] = []  # the one whose job runs: hooks on modules stay for the life of the process
_hooked: set[str] = set()


class ReproTrack(Callback):
    """Tracks each job from the moment in which torch is there.

    Args:
        seed: the name of the config's key with the seed; without such a key, or where it is `None`, one is drawn.
        options: what `repro_track.track` takes besides: `experiment`, `determinism`, `trace`, `previews` and so on.
    """

    def __init__(self, *, seed: str = "seed", **options: Any) -> None:
        self._seed_key = seed
        self._options = options
        self._config: dict[str, Any] | None = None
        self._run: TrackedRun | None = None

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Begin as soon as torch is loaded: now, if it is already."""
        self._config = freeze_config(config, leave_out=("hydra",))
        _current[:] = [self]
        _when_loaded("torch", _begin)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Log the run, as failed where the job was."""
        run, self._run = self._run, None
        _current.clear()
        if run is None:
            return
        try:
            _ = job_return.return_value  # raises what the job raised
        except Exception as error:
            run.__exit__(type(error), error, error.__traceback__)
        else:
            run.__exit__(None, None, None)
        print(f"repro_track: run {run.run_id}", file=sys.stderr)

    def begin(self) -> None:
        """Open the run of this job; does nothing where it is open, or where the app tracks itself."""
        from repro_track.tracking.open_runs import get_current_run
        from repro_track.tracking.track import track

        if self._run is not None or self._config is None or get_current_run() is not None:
            return
        seed: Any = self._config
        for part in self._seed_key.split("."):
            seed = seed.get(part) if isinstance(seed, dict) else None
        is_seed = isinstance(seed, int) and not isinstance(seed, bool)
        self._run = track(seed=seed if is_seed else None, config=self._config, **self._options)
        self._run.__enter__()


def _when_loaded(name: str, hook: Callable[[Any], None]) -> None:
    """Call a hook with a module now if it is loaded, else once it is; once for the process."""
    if name in sys.modules:
        hook(sys.modules[name])
    elif name not in _hooked:
        _hooked.add(name)
        wrapt.register_post_import_hook(hook, name)


def _begin(module: Any) -> None:
    """Torch is there: seeds and numeric settings have to be in force before the app computes anything."""
    if _current:
        _current[0].begin()
