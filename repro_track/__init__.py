"""Replay any logged diffusion run exactly, and prove why when it does not.

    import repro_track as rt

    with rt.track(experiment="cats", seed=3) as run:
        images = run(pipe, prompt="a cat").images
    print(run.run_id)

Importing this loads neither torch nor mlflow: the public names are loaded when they are first used. From here on it is
seen which files of weights are opened, so import it before models are loaded; in a notebook it is noted which cells
fail.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from repro_track.capture.executed import watch_execution
from repro_track.capture.standard_input import watch_input
from repro_track.config.locations import replay_folder
from repro_track.tensors.opened import watch_files
from repro_track.version import __version__

watch_files()
watch_input()
watch_execution()  # what was executed before can only be found where it is still loaded
if replay_folder() is not None:
    import_module("repro_track.tracking.pinned").pin_hub()

_PUBLIC = {
    "find_builtin": "repro_track.config.builtin",
    "track": "repro_track.tracking.track",
    "TrackedRun": "repro_track.tracking.run",
    "ReproTrackError": "repro_track.errors",
    "RunRecord": "repro_track.record.schema",
    "read_record": "repro_track.record.reading",
}

__all__ = ["ReproTrackError", "RunRecord", "TrackedRun", "__version__", "find_builtin", "read_record", "track"]

if TYPE_CHECKING:
    from repro_track.config.builtin import find_builtin
    from repro_track.errors import ReproTrackError
    from repro_track.record.reading import read_record
    from repro_track.record.schema import RunRecord
    from repro_track.tracking.run import TrackedRun
    from repro_track.tracking.track import track


if "IPython" in sys.modules:
    import_module("repro_track.capture.cells").watch_cells()


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'repro_track' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
