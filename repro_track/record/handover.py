"""The folder between a replay and its child process: what is expected goes in, the child's own run comes out.

The process border is the data border: nothing else passes. Both sides' files have a version and are checked when they
are read, because the child runs recorded code, which can write whatever it likes. It never decides what is restored,
the plan does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from repro_track.errors import RecordError, ReplayError
from repro_track.record.choice import DEFAULT, Choice, Focus
from repro_track.record.names import RECORD_NAME
from repro_track.record.reading import read_record, render_json, render_record
from repro_track.record.schema import PipelineCall, RunRecord, TraceLevel

VERSION = 2
"""Both sides write this one; it is counted up with every change of what they leave."""

_SETTINGS_NAME = "handover.json"
_SECOND_NAME = "second_calls.json"
_STATES = "generator_states.safetensors"
_EXACTLY = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Settings:
    """What the child does beyond running again.

    `trace` goes before the run's own level; `inputs`: modules' inputs are digested too; `twice`: every pipeline is
    called a second time with the same generators; `foreign`: the clone, from which nothing should be imported. `focus`:
    the one call, the one image that is looked at. `hash_seed`: sets have the order of this seed, to see whether an
    output depends on that. `changes`: this is no replay but a variation, the run with these
    `KEY=VALUE`.
    """

    __pydantic_config__ = _EXACTLY

    trace: TraceLevel | None = None
    inputs: bool = False
    twice: bool = False
    foreign: str | None = None
    focus: Focus = field(default_factory=Focus)
    hash_seed: int | None = None
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SecondCall:
    """A pipeline's second call in one process: its trace, and the digests of its outputs by name."""

    __pydantic_config__ = _EXACTLY

    call: PipelineCall
    digests: dict[str, str]


class _Left(BaseModel):
    """What one side leaves for the other."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    version: int = Field(strict=True, ge=VERSION, le=VERSION)


class _ForTheChild(_Left):
    """What the replay leaves: what is not to be restored, and what else is to be done."""

    current: tuple[str, ...]
    settings: Settings


class _OfTheChild(_Left):
    """What the child leaves beside its run."""

    calls: tuple[SecondCall, ...]


_Kind = TypeVar("_Kind", bound=_Left)


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
        left = _ForTheChild(version=VERSION, current=tuple(sorted(self.choice.current)), settings=self.settings)
        (self.folder / _SETTINGS_NAME).write_text(render_json(left), encoding="utf-8")

    @classmethod
    def find(cls, folder: Path | None, *, ordinal: int, process: str | None = None) -> Self | None:
        """Find the hand-over in a replay's child, if this is the `track()` block that is replayed.

        Args:
            folder: the hand-over folder that the process was given; `None`: it is no replay's child.
            ordinal: which `track()` block of the process this is, from 0.
            process: which of the processes of the command this is, as `Command.process` has it.

        Raises:
            ReplayError: the folder is not as this version of the program writes it.
        """
        if folder is None:
            return None
        try:
            expected = read_record(folder / RECORD_NAME)
        except RecordError as error:
            raise _make_error(folder / RECORD_NAME, error.found) from error
        if (expected.command.ordinal, expected.command.process) != (ordinal, process):
            return None
        left = _read(folder / _SETTINGS_NAME, _ForTheChild)
        return cls(folder, expected, Choice(frozenset(left.current)), left.settings)

    @property
    def replay_of(self) -> str | None:
        """The record that is replayed; `None` for a variation, which is a run of its own."""
        return None if self.settings.changes else self.expected.record_id

    def find_call(self, index: int) -> PipelineCall | None:
        """Find a recorded call; `None`: the recorded run had none of that number."""
        return next((one for one in self.expected.calls if one.index == index), None)

    def leave_second_calls(self, calls: Sequence[SecondCall]) -> None:
        """Leave what the second calls gave, for the replay to compare."""
        left = _OfTheChild(version=VERSION, calls=tuple(calls))
        (self.folder / _SECOND_NAME).write_text(render_json(left), encoding="utf-8")

    def read_second_calls(self) -> list[SecondCall]:
        """Read what `leave_second_calls` left; empty if that was nothing.

        Raises:
            ReplayError: it is not as this version of the program writes it.
        """
        path = self.folder / _SECOND_NAME
        return list(_read(path, _OfTheChild).calls) if path.is_file() else []


def read_choice(folder: Path) -> Choice:
    """Read what a replay leaves as it is now, in its child, before any block of it is opened.

    Raises:
        ReplayError: the folder is not as this version of the program writes it.
    """
    return Choice(frozenset(_read(folder / _SETTINGS_NAME, _ForTheChild).current))


def _read(path: Path, kind: type[_Kind]) -> _Kind:
    """Read what the other side left, and check it."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise _make_error(path, f"it cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise _make_error(path, _describe(error)) from error


def _describe(error: ValidationError) -> str:
    """Describe the first thing that is wrong; another version explains all others."""
    found = {".".join(map(str, one["loc"])): one for one in error.errors()}
    if version := found.get("version"):
        return "it has no version" if version["type"] == "missing" else f"it has version {str(version['input'])[:20]}"
    place, first = next(iter(found.items()))
    return f"{place}: {first['msg']}" if place else first["msg"]


def _make_error(path: Path, reason: str) -> ReplayError:
    return ReplayError(
        f"the hand-over between a replay and its child is damaged, or of another version: {path}: {reason}",
        expected=f"what repro_track writes there, version {VERSION}",
        advice="replay again; the environment of the replay must not have another version of repro_track",
    )
