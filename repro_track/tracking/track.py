"""`track()`: what a person gives, to a run that can be opened.

It never opens the run itself, and imports nothing that its parameters are named after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from repro_track.capture.hydra import digest_composed, find_job, read_hydra_overrides
from repro_track.record.schema import Batch, Embed, Noise, TraceLevel
from repro_track.tracking.options import Options, freeze_config, read_policy
from repro_track.tracking.run import TrackedRun


def track(
    *,
    experiment: str | None = None,
    seed: int | None = None,
    seeds: Sequence[int] | None = None,
    generator: str = "cpu",
    batch: Batch = "together",
    noise: Noise = "pipeline",
    stages: bool = False,
    determinism: str | Mapping[str, Any] = "strict",
    num_threads: int | None = None,
    trace: TraceLevel = "steps",
    store: str | None = None,
    name: str | None = None,
    config: Any = None,
    bundle: bool = False,
    picture_format: str = "png",
    embed: Embed = "id",
    previews: bool = False,
) -> TrackedRun:
    """Record everything that decides a run's output, and log it to MLflow.

    Use it as a context manager; call what it gives with a pipeline and the pipeline's own arguments:

        with rt.track(experiment="cats", seed=3) as run:
            images = run(pipe, prompt="a cat").images
        print(run.run_id)

    Args:
        experiment: the name of the MLflow experiment; `None`: `repro_track`.
        seed: the root seed, 0 to 2**32 - 1; `None` draws one from the system's entropy and records it.
        seeds: an explicit seed for each image of a call, instead of `seed + i` for image i.
        generator: where the generators are that are made for you: `cpu` (the same noise on every device), or `device`.
        batch: `together`, or `independent`: each image of a call is made alone, so that it does not depend on how many
            others there are.
        noise: `pipeline`: random numbers are drawn in the precision that the pipeline wants them in, which can be other
            numbers in half precision than in float32; `float32`: always in that, and rounded, so that a seed is one
            picture in every precision.
        stages: the calls are stages of one run: each goes on with the generators of the first, instead of beginning
            with the seeds again.
        determinism: `strict`, `portable`, `fast`, or a mapping as in `conf/determinism`.
        num_threads: torch's threads; `None` keeps what torch chose, and records it.
        trace: `off`, `steps` (every scheduler step and top-level block), `modules` (every module).
        store: an MLflow tracking URI; `MLFLOW_TRACKING_URI` goes first; `None`: the embedded store.
        name: the run's name in MLflow; `None`: what it is.
        config: your own config (a dict, Hydra's DictConfig or a part of it, a dataclass): recorded, resolved, with
            secrets withheld. What in it has no value that can be written down is named, and ends nothing. `None`: in a
            Hydra app what it composed.
        bundle: also keep the git commit and its history with the run, for a commit that may be lost.
        picture_format: what pictures are written as: `png`, `webp` (without loss) or `jpeg`.
        embed: what a picture's file says of its run: its `id` and the digest of its pixels, or its settings as well,
            prompts among them (`full`).
        previews: also log a picture of the latents after every step.

    Raises:
        UsageError: a seed beyond 32 bits, an unknown preset or trace level.
        DeterminismError: a numeric setting that was asked for is not in force.
        StoreError: the store cannot be used.
    """
    given = dict(locals())  # first of all, so that it holds the parameters and nothing else: each is an option
    given["experiment"] = experiment or "repro_track"
    given["seeds"] = None if seeds is None else list(seeds)  # an array's, too
    given["determinism"] = read_policy(determinism, num_threads=given.pop("num_threads"))
    job = find_job()
    composed = job.config if job else None
    given["config"] = freeze_config(composed if config is None else config)
    given["composed_sha256"] = digest_composed(composed) if composed is not None else None
    return TrackedRun(Options(**given, overrides=tuple(read_hydra_overrides() or ())))
