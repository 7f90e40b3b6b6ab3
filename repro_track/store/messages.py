"""What a run's process and the one that logs it say to each other: messages with a name and a version, one a line.

`Open`, `Start` and `Log` go to the process that logs, in this order; `Started`, `Done` and `Failed` come back. The end
of the input is the other side's death. A line is never trusted: what is not exactly a message is a `StoreError`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import IO, Self

from pydantic import TypeAdapter, ValidationError

from repro_track.errors import ReproTrackError, StoreError, first_line
from repro_track.store.stored_run import StoredRun

VERSION = 2
"""Both sides speak this one; it is counted up with every change of a message."""

_CLASSES: list[type[ReproTrackError]] = [ReproTrackError, *ReproTrackError.__subclasses__()]
_ERRORS = {kind.__name__: kind for kind in _CLASSES}
_ADVICE = "run again; if it comes back, check that one version of repro_track alone is installed"


@dataclass(frozen=True)
class Address:
    """Where a run is to be logged and as what. `launch` is a key that the processes of a launcher share; `None`: there
    is one process."""

    uri: str
    experiment: str
    name: str
    user: str
    source: str
    folder: str
    parent_id: str | None = None
    launch: str | None = None


@dataclass(frozen=True)
class Open:
    """Open the store. Nothing is written there yet."""

    address: Address


@dataclass(frozen=True)
class Start:
    """Have the run shown as running; answered by `Started`."""


@dataclass(frozen=True)
class Log:
    """Log the folder as it is now, and end the run; answered by `Done`."""

    description: str


@dataclass(frozen=True)
class Started:
    """MLflow has the run."""

    run: StoredRun


@dataclass(frozen=True)
class Done:
    """All is logged."""


@dataclass(frozen=True)
class Failed:
    """The store could not be used, in the words of an error of ours; nothing comes after it."""

    kind: str
    found: str
    expected: str | None = None
    advice: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in _ERRORS:
            raise ValueError(f"{self.kind} is no error of ours")

    @classmethod
    def from_error(cls, error: ReproTrackError) -> Self:
        """Tell an error of ours."""
        kind = next(base.__name__ for base in type(error).__mro__ if base.__name__ in _ERRORS)
        return cls(kind, error.found, error.expected, error.advice)

    def to_error(self, *, advice: str | None = None) -> ReproTrackError:
        """Make the error that was told, with `advice` in place of its own where that is given."""
        return _ERRORS[self.kind](self.found, expected=self.expected, advice=advice or self.advice)


Message = Open | Start | Log | Started | Done | Failed
_MESSAGES: dict[str, type[Message]] = {kind.__name__: kind for kind in (Open, Start, Log, Started, Done, Failed)}


def write_message(stream: IO[str], message: Message) -> None:
    """Write one message, and let the other side have it at once."""
    stream.write(json.dumps({"message": type(message).__name__, "version": VERSION, **asdict(message)}) + "\n")
    stream.flush()


def read_message(stream: IO[str]) -> Message | None:
    """Wait for one message and read it; `None`: there is no other side any more.

    A last line without its end is no message: whoever wrote it died over it.

    Raises:
        StoreError: the line is none of our messages, or one of another version.
    """
    try:
        line = stream.readline()
    except UnicodeDecodeError as error:
        raise _make_damaged_error(repr(error.object[:80]), first_line(error)) from error
    return _parse(line) if line.endswith("\n") else None


def _parse(line: str) -> Message:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _make_damaged_error(repr(line[:80]), first_line(error)) from error
    if not isinstance(data, dict) or "message" not in data:
        raise _make_damaged_error(repr(line[:80]), "it has no name")
    name, version = data.pop("message"), data.pop("version", None)
    if version != VERSION or isinstance(version, bool):
        raise StoreError(
            f"the process that logs to MLflow and the run speak different versions: {str(version)[:80]!r}",
            expected=f"version {VERSION}",
            advice="was repro_track updated while the run went on? run again",
        )
    kind = _MESSAGES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise StoreError(
            f"there is no message {str(name)[:80]!r} between a run and the process that logs it",
            expected=", ".join(_MESSAGES),
            advice=_ADVICE,
        )
    wanted = "exactly its fields: " + (", ".join(field.name for field in fields(kind)) or "none")
    try:
        message = TypeAdapter(kind).validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise _make_damaged_error(name, error.errors()[0]["msg"], expected=wanted) from error
    if asdict(message) != data:  # a field that is missing, or is none of ours, at any depth
        raise _make_damaged_error(name, "other fields", expected=wanted)
    return message


def _make_damaged_error(
    shown: str, why: str, *, expected: str = "one JSON object a line, with a message's name and version"
) -> StoreError:
    return StoreError(
        f"a message between a run and the process that logs it is damaged: {shown}: {why}",
        expected=expected,
        advice=_ADVICE,
    )


def make_order_error(message: Message, *, expected: type[Message]) -> StoreError:
    """Make the error of a message that comes when another one is due."""
    return StoreError(
        f"{type(message).__name__} came from the other one of a run's two processes",
        expected=expected.__name__,
        advice=_ADVICE,
    )
