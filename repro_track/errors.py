"""Every exception and exit code of repro_track. An exception holds what went wrong as text; it never decides what to do
about it.

    ReproTrackError               exit 3: could not be run
    ├── UsageError                exit 2: the words of the command, a config key, a seed, a run that is not there
    ├── RecordError               exit 3: a record that cannot be read (damaged, newer schema)
    ├── StoreError                exit 3: MLflow's store cannot be reached, or the run there is not ours
    ├── DeterminismError          exit 3: a numeric setting that was asked for is not in force
    ├── PipelineError             exit 3: the pipeline could not be built, or failed while it ran
    ├── ReplayError               exit 3: the replay could not be started, or its child process ended without a record
    └── RefusedError              exit 4: refused for safety

A difference between two runs is a value (`repro_track.compare`), not an exception: an exception means that
we could not look.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """What a command says to the shell. Each is a promise to scripts and CI.

    >>> int(ExitCode.FELL_SHORT)
    1
    """

    SUCCESS = 0
    """Reproduced at the required level; any command but `replay`: done."""
    FELL_SHORT = 1
    """Ran and fell short: not reproduced at the required level, or an artifact is not as it was logged."""
    WRONG_USAGE = 2
    """The words of the command, a config key, or a run that is not there."""
    NOT_RUN = 3
    """Could not be run: damaged record, unreachable store, a pipeline that fails."""
    REFUSED = 4
    """Refused for safety."""
    INTERRUPTED = 130
    """Ctrl-C, as shells say it."""


class ReproTrackError(Exception):
    """An error of ours: what was found, what was expected and what to do.

    Args:
        found: what is the case, one sentence.
        expected: what would have been right, if that is not obvious from `found`.
        advice: what the person can do now.
    """

    exit_code = ExitCode.NOT_RUN

    def __init__(self, found: str, *, expected: str | None = None, advice: str | None = None) -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected
        self.advice = advice

    def __str__(self) -> str:
        lines = [self.found]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.advice:
            lines.append(f"  do: {self.advice}")
        return "\n".join(lines)


class UsageError(ReproTrackError):
    """The words of the command, a config key, a seed, or a run that is not there."""

    exit_code = ExitCode.WRONG_USAGE


class RecordError(ReproTrackError):
    """A record that cannot be read: damaged, or written by a newer schema."""


class StoreError(ReproTrackError):
    """MLflow's store cannot be reached, or the run found there was not logged by repro_track."""


class DeterminismError(ReproTrackError):
    """A numeric setting that was asked for is not in force."""


class PipelineError(ReproTrackError):
    """The pipeline could not be built, or failed while it ran."""


class ReplayError(ReproTrackError):
    """The replay could not be started, or its child process ended without a record."""


class RefusedError(ReproTrackError):
    """Refused for safety."""

    exit_code = ExitCode.REFUSED


def first_line(error: BaseException) -> str:
    """Return the first line of a foreign error's message; its class where it has none.

    >>> first_line(ValueError("one\\ntwo")), first_line(ValueError())
    ('one', 'ValueError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def name_some(names: Sequence[str], *, most: int) -> str:
    """Name the first of several things in one text, and say how many more there are.

    >>> name_some(["a", "b", "c"], most=2), name_some(["a", "b"], most=2)
    ('a, b and 1 more', 'a, b')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
