"""What looking into a replay found: how stable it is, what one call leaves to the next, which module, which cause.

Pure: values, and the search for the smallest set of causes. Nothing is run here; whoever asks runs the trials.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from repro_track.compare.differences import Difference, to_data
from repro_track.compare.divergence import find_divergence
from repro_track.record.handover import SecondCall
from repro_track.record.names import INPUTS
from repro_track.record.schema import PipelineCall, RunRecord
from repro_track.tensors.digests import digest_many


@dataclass(frozen=True)
class OutcomeShare:
    """One of the outcomes of several runs: the digest over all output digests, how often it came, whether recorded."""

    sha256: str
    count: int
    share: float
    is_recorded: bool


@dataclass(frozen=True)
class Stability:
    """How many distinct outcomes a number of runs had."""

    times: int
    outcomes: tuple[OutcomeShare, ...]

    @property
    def text(self) -> str:
        """In one sentence."""
        if len(self.outcomes) == 1:
            return f"{self.times} runs, one outcome"
        shares = ", ".join(
            f"{one.sha256[:12]}{' (as recorded)' if one.is_recorded else ''} {one.count} times ({one.share:.0%})"
            for one in self.outcomes
        )
        return f"{self.times} runs, {len(self.outcomes)} distinct outcomes: {shares}"


def count_outcomes(expected: RunRecord, runs: Sequence[RunRecord]) -> Stability:
    """Count the distinct outcomes of runs, the most frequent first."""
    recorded = digest_outputs(expected)
    counted = Counter(digest_outputs(run) for run in runs).most_common()
    return Stability(
        len(runs),
        tuple(OutcomeShare(digest, count, count / len(runs), digest == recorded) for digest, count in counted),
    )


def digest_outputs(record: RunRecord) -> str:
    """Return one digest over all outputs of a run, in their order."""
    return digest_many(f"{output.name} {output.sha256}" for output in record.outputs)


@dataclass(frozen=True)
class Leak:
    """A pipeline's second call in one process against its first, and so against a fresh process."""

    is_clean: bool
    text: str


def compare_second_calls(actual: RunRecord, second: Sequence[SecondCall]) -> Leak:
    """Compare each pipeline's second call with its first: what differs was left behind by the first."""
    if not second:
        return Leak(False, "the pipeline was not called twice: the run calls none")
    first = {output.name: output.sha256 for output in actual.outputs}
    different = [name for one in second for name, digest in one.digests.items() if digest != first.get(name)]
    if not different:
        return Leak(True, "a second call in the same process gives the same bits: nothing leaks from call to call")
    parted = find_divergence(actual.calls, tuple(one.call for one in second))
    where = f"; {parted.text}" if parted else ""
    return Leak(False, f"a second call in the same process gives other bits ({', '.join(different)}){where}")


@dataclass(frozen=True)
class Location:
    """The first module in which two runs part. `is_exact`: its inputs agree and its output differs."""

    module: str | None
    step: int | None
    is_exact: bool
    text: str


def locate(expected: tuple[PipelineCall, ...], actual: tuple[PipelineCall, ...]) -> Location:
    """Find the first module whose output differs while its inputs agree, in traces that have both."""
    parted = find_divergence(expected, actual)
    if parted is None:
        return Location(None, None, False, "every module gave the same on both sides")
    if parted.module is None:
        return Location(None, parted.step, False, f"{parted.text}; every watched module agrees up to there")
    where = f"at step {parted.step}" if parted.step is not None else "before the first step"
    if INPUTS in parted.module:  # also that of a second call in a step, which ends in #2
        module = parted.module.replace(INPUTS, "")
        before = _find_column_before(expected, parted.call, parted.module)
        start = f"{before or 'the start of the call'}, which agrees,"
        text = f"between {start} and the inputs of {module}, {where}: outside any module"
        return Location(module, parted.step, False, text)
    return Location(parted.module, parted.step, True, f"{parted.module}, {where}: its inputs agree, its output differs")


def _find_column_before(calls: tuple[PipelineCall, ...], index: int, column: str) -> str | None:
    columns = next(call.trace.modules for call in calls if call.index == index)
    place = columns.index(column)
    return columns[place - 1] if place else None


@dataclass(frozen=True)
class Trial:
    """One run of the search: what was left as it is now, and what came of it (`None` verdict: it could not run)."""

    current: tuple[str, ...]
    verdict: str | None
    run_id: str | None
    error: str | None = None


@dataclass(frozen=True)
class Explanation:
    """`proven`: leaving these as they are now, and restoring all else, makes the run fall short; restoring any one of
    them too does not (if `is_minimal`). `possible`: they differ, and were not shown to matter."""

    proven: tuple[str, ...]
    is_minimal: bool
    possible: tuple[str, ...]
    differences: tuple[Difference, ...]
    trials: tuple[Trial, ...]
    text: str


def minimise(
    factors: Sequence[str], *, falls_short: Callable[[frozenset[str]], bool | None]
) -> tuple[tuple[str, ...], bool]:
    """Find a smallest set of factors that makes a run fall short, by delta debugging.

    Zeller, Hildebrandt: "Simplifying and Isolating Failure-Inducing Input", 2002 (ddmin). All the factors together are
    known to fall short.

    Args:
        factors: the likeliest first: halves are tried in this order.
        falls_short: whether leaving just these as they are now falls short; `None`: no more trials.

    Returns:
        the set, and whether it is proven that none of it can be left out.

    >>> minimise("abcdefgh", falls_short=lambda chosen: {"c", "f"} <= chosen)
    (('c', 'f'), True)
    """
    chosen, parts = list(factors), 2
    while len(chosen) > 1:
        size = -(-len(chosen) // parts)
        subsets = [chosen[start : start + size] for start in range(0, len(chosen), size)]
        complements = [[one for one in chosen if one not in subset] for subset in subsets] if parts > 2 else []
        for candidate in [*subsets, *complements]:
            outcome = falls_short(frozenset(candidate))
            if outcome is None:
                return tuple(chosen), False
            if outcome:
                parts = 2 if candidate in subsets else max(parts - 1, 2)
                chosen = candidate
                break
        else:
            if parts >= len(chosen):
                break
            parts = min(2 * parts, len(chosen))
    return tuple(chosen), True


@dataclass(frozen=True)
class Findings:
    """Everything that was looked into; `None`: it was not asked for."""

    stability: Stability | None = None
    leak: Leak | None = None
    location: Location | None = None
    explanation: Explanation | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what was found as data."""
        return {name: value for name, value in to_data(self).items() if value is not None}
