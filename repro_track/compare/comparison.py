"""Two records to verdict, first divergence and differences, all of it together.

Pure: nothing is read, nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from repro_track.compare.differences import Difference, list_differences
from repro_track.compare.divergence import Divergence, find_divergence
from repro_track.compare.outputs import Exact, OutputComparison, compare_latents, compare_outputs, has_decoder
from repro_track.compare.verdict import VERDICTS, Tolerance
from repro_track.record.names import name_call
from repro_track.record.schema import RunRecord


@dataclass(frozen=True)
class Comparison:
    """The verdict on a replay, and why. `differences` are ordered, most likely causes first; `latents` are those of
    each call that differ; `notes` say what two records mean together, a sentence each."""

    verdict: str
    outputs: tuple[OutputComparison, ...]
    divergence: Divergence | None
    differences: tuple[Difference, ...]
    latents: tuple[OutputComparison, ...] = ()
    notes: tuple[str, ...] = ()


def compare_runs(
    expected: RunRecord,
    actual: RunRecord,
    *,
    expected_exact: Exact,
    actual_exact: Exact,
    tolerance: Tolerance,
) -> Comparison:
    """Compare a run with what was recorded.

    Args:
        expected: the logged record.
        actual: the record of the replay.
        expected_exact: the exact tensors; needed only where digests differ.
        actual_exact: likewise.
        tolerance: the profile for `within-tolerance`.
    """
    latents = compare_latents(expected_exact, actual_exact, tolerance=tolerance)
    outputs = compare_outputs(
        expected.outputs,
        actual.outputs,
        expected_tensors=expected_exact.outputs,
        actual_tensors=actual_exact.outputs,
        tolerance=tolerance,
        # the name of a call whose pictures come out of a decoder: whether its latents are within the profile
        decoded={
            name: all(one.verdict == "within-tolerance" for one in latents if one.name == name)
            for name in (name_call(call.index) for call in expected.calls if has_decoder(call))
        },
    )
    worst = max((VERDICTS.index(output.verdict) for output in outputs), default=VERDICTS.index("not-comparable"))
    return Comparison(
        verdict=VERDICTS[worst],
        outputs=outputs,
        divergence=find_divergence(expected.calls, actual.calls),
        differences=list_differences(expected, actual),
        latents=latents,
        notes=tuple(_list_notes(expected, actual)),
    )


def _list_notes(expected: RunRecord, actual: RunRecord) -> Iterator[str]:
    """Say of every call whose noise was drawn in two precisions that it can be another noise."""
    for one in expected.calls:
        for other in actual.calls:
            drawn = {one.noise_drawn_in, other.noise_drawn_in}
            if one.index == other.index and None not in drawn and len(drawn) > 1:
                yield (
                    f"The noise of call {one.index} was drawn in {one.noise_drawn_in}, and in {other.noise_drawn_in}: "
                    "these can be other numbers, so that one seed is two pictures; with noise=float32 it is one."
                )
