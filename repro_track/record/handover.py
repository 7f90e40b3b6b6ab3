"""The folder between a replay and its child process: what is expected goes in, the child's own run comes out.

The process border is the data border: nothing else passes. It never decides what is restored, the plan does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from repro_track.record.choice import DEFAULT, Choice, Focus
from repro_track.record.names import RECORD_NAME
from repro_track.record.reading import read_record, render_record
from repro_track.record.schema import PipelineCall, RunRecord, TraceLevel

_SETTINGS_NAME = "handover.json"
_SECOND_NAME = "second_calls.json"
_STATES = "generator_states.safetensors"


@dataclass(frozen=True)
class Settings:
    """What the child does beyond running again.

    `trace` goes before the run's own level; `inputs`: modules' inputs are digested too; `twice`: every pipeline is
    called a second time with the same generators; `foreign`: the clone, from which nothing should be imported. `focus`:
    the one call, the one image that is looked at. `changes`: this is no replay but a variation, the run with these
    `KEY=VALUE`.
    """

    trace: TraceLevel | None = None
    inputs: bool = False
    twice: bool = False
    foreign: str | None = None
    focus: Focus = field(default_factory=Focus)
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SecondCall:
    """A pipeline's second call in one process: its trace, and the digests of its outputs by name."""

    call: PipelineCall
    digests: dict[str, str]


@dataclass(frozen=True)
class Handover:
    """One hand-over folder."""

    folder: Path
    expected: RunRecord
    choice: Choice = DEFAULT
    settings: Settings = Settings()

    @property
    def result_folder(self) -> Path:
        """Where the child leaves its run, as it would be logged."""
        return self.folder / "result"

    @property
    def states_path(self) -> Path:
        """Where the recorded generator states are."""
        return self.folder / _STATES

    def write(self) -> None:
        """Write what the child needs."""
        (self.folder / RECORD_NAME).write_text(render_record(self.expected), encoding="utf-8")
        settings = {"current": sorted(self.choice.current), "settings": asdict(self.settings)}
        (self.folder / _SETTINGS_NAME).write_text(json.dumps(settings), encoding="utf-8")

    @classmethod
    def find(cls, folder: Path | None, *, ordinal: int) -> Self | None:
        """Find the hand-over in a replay's child, if this is the `track()` block that is replayed.

        Args:
            folder: the hand-over folder that the process was given; `None`: it is no replay's child.
            ordinal: which `track()` block of the process this is, from 0.
        """
        if folder is None:
            return None
        expected = read_record(folder / RECORD_NAME)
        if expected.command.ordinal != ordinal:
            return None
        given: dict[str, Any] = json.loads((folder / _SETTINGS_NAME).read_text(encoding="utf-8"))
        settings = {
            **given["settings"],
            "focus": Focus(**given["settings"]["focus"]),
            "changes": tuple(given["settings"]["changes"]),
        }
        return cls(folder, expected, Choice(frozenset(given["current"])), Settings(**settings))

    @property
    def replay_of(self) -> str | None:
        """The record that is replayed; `None` for a variation, which is a run of its own."""
        return None if self.settings.changes else self.expected.record_id

    def find_call(self, index: int) -> PipelineCall | None:
        """Find a recorded call; `None`: the recorded run had none of that number."""
        return next((one for one in self.expected.calls if one.index == index), None)

    def leave_second_calls(self, calls: Sequence[SecondCall]) -> None:
        """Leave what the second calls gave, for the replay to compare."""
        data = [{"call": one.call.model_dump(mode="json"), "digests": one.digests} for one in calls]
        (self.folder / _SECOND_NAME).write_text(json.dumps(data), encoding="utf-8")

    def read_second_calls(self) -> list[SecondCall]:
        """Read what `leave_second_calls` left."""
        path = self.folder / _SECOND_NAME
        data = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        return [SecondCall(PipelineCall.model_validate(one["call"]), one["digests"]) for one in data]
