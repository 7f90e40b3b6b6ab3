"""One replay, from a name to a logged verdict.

It runs nothing itself: attempts do, in child processes. It never starts somebody else's command without consent.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from repro_track.attempt.log import log_failure, log_replay, log_variation, start_run
from repro_track.attempt.perform import Outcome, perform
from repro_track.attempt.workspace import Attempt, prepared
from repro_track.compare.findings import Findings, compare_second_calls
from repro_track.compare.verdict import VERDICTS, Tolerance, is_good_enough
from repro_track.errors import ReplayError
from repro_track.lookup.diff import make_tolerance
from repro_track.lookup.find import find_run, recall_run
from repro_track.lookup.found import open_store
from repro_track.record.handover import Settings
from repro_track.replay.explain import TrialRunner, find_causes, localize, measure_stability
from repro_track.replay.request import ReplayResult, Request, check_changes, make_focus
from repro_track.replay.show import list_what_would_run, print_plan
from repro_track.replay.trust import check_trust
from repro_track.report.terminal import open_console, print_comparison, print_diff, print_findings
from repro_track.report.text import to_printable
from repro_track.store.client import Store, StoredRun
from repro_track.store.tags import make_replay_tags

if TYPE_CHECKING:
    from rich.console import Console


def replay_and_show(text: str, *, request: Request) -> int:
    """Replay one run and show what came of it.

    Returns:
        0 if it was reproduced at the required level, every time and without a leak where that was asked; else 1.

    Raises:
        ReplayError, RefusedError, and whatever finding a run can raise.
    """
    console = open_console()
    if request.dry_run:
        return _show_plan(text, request=request, console=console)
    replayed = replay_run(text, request=request, console=console)
    if request.as_json:
        print(json.dumps(replayed.to_json(), indent=1))
    else:
        print(replayed.worst or replayed.run.run_id)
    return replayed.code


def replay_run(text: str, *, request: Request, console: Console, quiet: bool = False) -> ReplayResult:
    """Replay one run, look into the outcome as asked, and log it.

    Args:
        text: any name of a run.
        request: what was asked.
        console: where it is shown as it goes.
        quiet: keep what the child process says to ourselves.

    Raises:
        ReplayError, RefusedError, and whatever finding a run can raise.
    """
    with _prepared(text, request=request) as (planned, profile):
        print_plan(planned, choice=planned.handover.choice, console=console)
        check_trust(planned, request=request, would_run=list_what_would_run(planned))
        outcome = perform(planned, profile=profile, meanwhile=lambda: planned.found.opened, quiet=quiet)
        if request.changes:
            return _conclude_variation(outcome, console=console)
        return _conclude(outcome, request=request, profile=profile, console=console)


def _show_plan(text: str, *, request: Request, console: Console) -> int:
    with _prepared(text, request=request) as (planned, _):
        if request.as_json:
            print(json.dumps(planned.plan.to_json(), indent=1))
        else:
            print_plan(planned, choice=planned.handover.choice, console=console)
    return 0


@contextlib.contextmanager
def _prepared(text: str, *, request: Request) -> Iterator[tuple[Attempt, Tolerance]]:
    # one of our own, by its whole id, needs no store to begin with: MLflow is loaded while the child runs
    found = recall_run(text) or find_run(text)
    profile = make_tolerance(request.tolerance, recorded=found.record)
    focus = make_focus(found.record, stage=request.stage, image=request.image)
    choice = check_changes(found.record, request=request)
    settings = Settings(twice=request.twice, focus=focus, changes=request.changes)
    with prepared(found, choice=choice, settings=settings) as planned:
        yield planned, profile


def _start_run(outcome: Outcome, *, store: Store, name: str) -> StoredRun:
    """Start the run under which an outcome is logged.

    Raises:
        ReplayError: the child failed; it is logged as failed.
    """
    run = start_run(outcome.attempt, store=store, name=name)
    if outcome.actual.status != "finished":
        log_failure(outcome.attempt, outcome.actual, store=store, run=run)
        raise ReplayError(
            f"the {'variation' if outcome.attempt.handover.settings.changes else 'replay'} failed: {outcome.actual.error}",
            expected="a run like the recorded one",
            advice=f"see run {run.run_id}",
        )
    return run


def _conclude_variation(outcome: Outcome, *, console: Console) -> ReplayResult:
    """Log a variation and show how far it is from the recorded run."""
    found, store = outcome.attempt.found, open_store()
    changes = " ".join(outcome.attempt.handover.settings.changes)
    run = _start_run(outcome, store=store, name=to_printable(f"{found.record.name}, {changes}", limit=200))
    log_variation(outcome, run, store=store)
    print_diff(outcome.comparison, console=console)
    console.print(f"  logged as run {run.run_id}: {run.link}", markup=False)
    return ReplayResult(found, run, outcome.comparison, Findings(), outcome.actual.replayable.reasons, None, 0)


def _conclude(outcome: Outcome, *, request: Request, profile: Tolerance, console: Console) -> ReplayResult:
    """Look into the outcome as asked, log it, show it.

    Raises:
        ReplayError: the child failed; it is logged as failed.
    """
    found, comparison, focus = outcome.attempt.found, outcome.comparison, outcome.attempt.handover.settings.focus
    store = open_store()
    alone = f", {focus} alone" if str(focus) else ""
    run = _start_run(outcome, store=store, name=f"replay of {found.record.name}{alone}")
    findings, verdicts = Findings(), [comparison.verdict]
    try:
        print_comparison(comparison, console=console)
        laboratory = TrialRunner(found, store, run, profile, request.required, console, focus)
        findings, verdicts = _look_into(outcome, request=request, laboratory=laboratory)
    finally:  # also when a trial fails or a person has seen enough: the replay itself is done
        tags = make_replay_tags(found.address, verdict=comparison.verdict, focus=str(focus))
        log_replay(outcome, run, store=store, findings=findings, tags=tags)
    print_findings(findings, console=console)
    for reason in outcome.actual.replayable.reasons:
        console.print(f"  caution: {to_printable(reason, limit=300)}", markup=False)
    console.print(f"  logged as run {run.run_id}: {run.link}", markup=False)
    worst = max(verdicts, key=VERDICTS.index)
    is_clean = findings.leak is None or findings.leak.is_clean
    code = 0 if is_clean and is_good_enough(worst, required=request.required) else 1
    return ReplayResult(found, run, comparison, findings, outcome.actual.replayable.reasons, worst, code)


def _look_into(outcome: Outcome, *, request: Request, laboratory: TrialRunner) -> tuple[Findings, list[str]]:
    """Do what was asked beyond the comparison; also return the verdict of every run that was asked for."""
    verdict = outcome.comparison.verdict
    verdicts, stability, leak, location, explanation = [verdict], None, None, None, None
    if request.twice:
        leak = compare_second_calls(outcome.actual, outcome.attempt.handover.read_second_calls())
    if request.times > 1:
        stability, verdicts = measure_stability(outcome, times=request.times, laboratory=laboratory)
    falls_short = not is_good_enough(verdict, required=request.required)
    if request.localize and falls_short:
        location = localize(outcome, laboratory=laboratory)
    if request.explain and falls_short:
        explanation = find_causes(outcome, budget=request.trials, laboratory=laboratory)
    return Findings(stability, leak, location, explanation), verdicts
