"""One attempt in its order: restore, run, compare.

This process never loads torch, and never touches the user's working tree, environment or logged runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from repro_track.attempt.alone import rename_output
from repro_track.attempt.child import read_result, started_child
from repro_track.attempt.restore import restore_recorded
from repro_track.attempt.search_path import check_packages_ran
from repro_track.attempt.workspace import Attempt
from repro_track.compare.comparison import Comparison, compare_runs
from repro_track.compare.outputs import Exact
from repro_track.compare.verdict import Tolerance
from repro_track.record.choice import Focus
from repro_track.record.names import LATENTS_NAME, OUTPUT_TENSORS_NAME, find_image
from repro_track.record.schema import RunRecord
from repro_track.tensors.host import load_tensors


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt. `exact`: the recorded and the actual tensors, where any digest differs."""

    attempt: Attempt
    actual: RunRecord
    comparison: Comparison
    exact: tuple[Exact, Exact] | None = None


def judge(attempt: Attempt, actual: RunRecord, *, profile: Tolerance) -> Outcome:
    """Compare what the child left with what was recorded. The exact tensors are loaded only where a digest differs."""
    focus, folder = attempt.handover.settings.focus, attempt.handover.result_folder
    is_alone = bool(attempt.handover.settings.changes) and focus.image is not None
    expected = attempt.handover.expected if is_alone else focus.narrow(attempt.found.record)
    actual_part = Focus(image=0).narrow(actual) if is_alone else focus.narrow(actual)
    if is_alone and expected.seeds.closed and actual.seeds.closed:
        seeds = actual_part.seeds.model_copy(update={"global_generators": ()})
        actual_part = actual_part.model_copy(update={"seeds": seeds})
    attempt.recorded_folder.mkdir(exist_ok=True)
    equal = [output.sha256 for output in expected.outputs] == [output.sha256 for output in actual_part.outputs]
    exact = None if equal else (attempt.found.open().load_exact(attempt.recorded_folder), _read_exact(folder))
    expected_exact, actual_exact = exact or (Exact(), Exact())
    if focus.image is not None:  # the latents are those of the whole batch
        expected_exact, actual_exact = (Exact(one.outputs) for one in (expected_exact, actual_exact))
    if is_alone:
        wanted = {name: one for name, one in expected_exact.outputs.items() if find_image(name) == focus.image}
        expected_exact = Exact({rename_output(name): one for name, one in wanted.items()})
    comparison = compare_runs(
        expected, actual_part, expected_exact=expected_exact, actual_exact=actual_exact, tolerance=profile
    )
    return Outcome(attempt, actual, comparison, exact)


def _read_exact(folder: Path) -> Exact:
    latents = folder / LATENTS_NAME
    return Exact(load_tensors(folder / OUTPUT_TENSORS_NAME), load_tensors(latents) if latents.is_file() else {})


def perform_attempt(
    attempt: Attempt,
    *,
    profile: Tolerance,
    meanwhile: Callable[[], object] = lambda: None,
    quiet: bool = False,
) -> Outcome:
    """Restore what was recorded, run the child, and compare what it left.

    Args:
        attempt: from `prepared`.
        profile: for `within-tolerance`.
        meanwhile: called while the child runs.
        quiet: write what the child prints to a file instead of stderr.

    Raises:
        ReplayError: something cannot be restored, the child left no record, or it ran in other packages than planned.
        RefusedError: an artifact is not the recorded one.
    """
    restore_recorded(attempt)
    with started_child(attempt, quiet=quiet) as child:
        meanwhile()
        code = child.wait()
    actual = read_result(attempt, code=code)
    check_packages_ran(attempt.found.record, actual, staying=attempt.plan.differences)
    return judge(attempt, actual, profile=profile)
