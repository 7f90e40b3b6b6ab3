"""The options of a run: one frozen value, checked when it is made, whether `track()` or a config gives them.

They never change, and never look at the machine: what an option does is said where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from repro_track.config.given import freeze_config as freeze_config  # as an option is
from repro_track.config.plain import encode_config
from repro_track.config.presets import read_preset
from repro_track.config.schema import TRACE_LEVELS, check_experiment
from repro_track.errors import UsageError
from repro_track.media.picture import FORMATS
from repro_track.record.redaction import redact_tree
from repro_track.record.schema import Batch, Embed, Noise, PipelineCall, TraceLevel

# what an option may be, and what a message says of it; in the order in which they are checked
_WORDS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "trace": (TRACE_LEVELS, "one of " + ", ".join(TRACE_LEVELS)),
    "generator": (("cpu", "device"), "cpu (the same noise on every device) or device"),
    "batch": (("together", "independent"), "together, or independent (each image alone)"),
    "noise": (("pipeline", "float32"), "pipeline (in the precision that it wants), or float32 (and rounded to that)"),
    "picture_format": (FORMATS, "one of " + ", ".join(FORMATS)),
    "embed": (("id", "full"), "id, or full (settings, prompts and paths as well)"),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is told, by the names of `track()`'s parameters; their defaults are there.

    Seeds and store are checked where they are put to use, because a replay brings its own.

    Attributes:
        determinism: the numerics policy with all four keys of `DeterminismConfig`, as `read_policy` returns it.
        config: the resolved config, as `freeze_config` returns it.
        references: the environment variables that values of the config are, as `list_references` returns them.
        overrides: those of the command line that led to the config.
        composed_sha256: the digest of what a Hydra app of somebody's own composed; `None`: it is none.
        stem: what the run's name begins with; `None`: the name of the script.
        parent_id: the sweep that the run is a member of, by its id in MLflow.
        is_config: the run is one of `repro-track run`: its config is the whole command, it shows in MLflow only once a
            pipeline is called, and whatever its pipeline raises is one message.

    Raises:
        UsageError: an option is none of the words that it may be, there is no thread, or the experiment has no name.
    """

    experiment: str
    seed: int | None
    seeds: Sequence[int] | None
    generator: str
    batch: Batch
    noise: Noise
    stages: bool
    determinism: Mapping[str, Any]
    trace: TraceLevel
    store: str | None
    name: str | None
    config: Mapping[str, Any]
    bundle: bool
    picture_format: str
    embed: Embed
    previews: bool
    references: Mapping[str, str] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    composed_sha256: str | None = None
    stem: str | None = None
    parent_id: str | None = None
    is_config: bool = False

    def __post_init__(self) -> None:
        check_experiment(self.experiment)
        for name, (words, expected) in _WORDS.items():
            if (value := getattr(self, name)) not in words:
                raise UsageError(f"{name} is {value!r}", expected=expected)
        threads = self.determinism["num_threads"]
        if threads is not None and threads < 1:
            raise UsageError(
                f"determinism.num_threads is {threads}", expected="1 or more, or null for what torch chooses"
            )

    def make_embedded(self, *, seeds: Sequence[int], call: PipelineCall | None) -> dict[str, Any] | None:
        """Make what goes into a picture's file besides the id of its run: how to get it again without the record.

        Args:
            seeds: of the images of the call.
            call: the last one; `None`: there was none yet.

        Returns:
            the seeds, the config without its secrets, and the call; `None` unless `embed` is `full`.
        """
        if self.embed != "full":
            return None
        shown = ("class_name", "name_or_path", "arguments") if call else ()
        settings = {"config": encode_config(self.config), **{name: getattr(call, name) for name in shown}}
        return {"seeds": list(seeds), **redact_tree(settings)[0]}


def read_policy(chosen: str | Mapping[str, Any], *, num_threads: int | None) -> dict[str, Any]:
    """Return a numerics policy with all of its keys.

    Args:
        chosen: the name of a preset of `conf/determinism`, or a mapping with some of the keys.
        num_threads: goes before the policy's own; `None`: the policy decides.

    Raises:
        UsageError: there is no such preset.

    >>> read_policy({"flags": {"grad_enabled": False}}, num_threads=2)
    {'name': 'custom', 'num_threads': 2, 'flags': {'grad_enabled': False}, 'environment': {}}
    """
    preset = dict(read_preset("determinism", chosen) if isinstance(chosen, str) else chosen)
    if num_threads is not None:
        preset["num_threads"] = num_threads
    return {"name": "custom", "num_threads": None, "flags": {}, "environment": {}} | preset
