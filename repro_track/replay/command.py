"""One replay, from a name to a logged verdict.

It runs nothing itself: attempts do, in child processes. It never starts somebody else's command without consent.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from repro_track.attempt.log import log_failure, log_replay, log_variation, render_changes, start_run
from repro_track.attempt.perform import Outcome, perform_attempt
from repro_track.attempt.workspace import Attempt, prepared, sweep_workspaces
from repro_track.capture.hash_order import is_hash_random
from repro_track.compare.differences import list_cautions
from repro_track.compare.findings import Findings, compare_second_calls
from repro_track.compare.verdict import VERDICTS, Tolerance, is_good_enough
from repro_track.errors import ReplayError
from repro_track.lookup.diff import make_tolerance
from repro_track.lookup.find import NamedRun, recall_run
from repro_track.lookup.found import open_store
from repro_track.record.handover import Settings
from repro_track.record.withheld import check_withheld
from repro_track.replay.explain import HASH_ORDER_IS_POSSIBLE, TrialRunner, find_causes, localize, measure_stability
from repro_track.replay.request import ReplayResult, Request, check_changes, choose_image, make_focus
from repro_track.replay.show import list_what_would_run, print_plan
from repro_track.replay.trust import check_trust
from repro_track.report.terminal import open_console, print_comparison, print_diff, print_findings
from repro_track.report.text import list_draws, to_printable
from repro_track.store.client import Store
from repro_track.store.stored_run import StoredRun
from repro_track.store.tags import make_replay_tags

if TYPE_CHECKING:
    from rich.console import Console


def replay_and_show(run: NamedRun, *, request: Request) -> int:
    """Replay one run and show what came of it: the verdict on stdout, or data.

    Returns:
        the exit code of `ReplayResult`.

    Raises:
        UsageError: there is no such run, or it has not what was asked for.
        ReplayError: it could not be run, or failed.
        RefusedError: it is not trusted, or an artifact is not the recorded one.
    """
    replayed = replay_run(run, request=request, console=open_console())
    if request.as_json:
        print(json.dumps(replayed.to_json(), indent=1))
    else:
        print(replayed.worst or replayed.run.run_id)
    return replayed.code


def replay_run(run: NamedRun, *, request: Request, console: Console, quiet: bool = False) -> ReplayResult:
    """Replay one run, look into the outcome as asked, and log it.

    Args:
        run: one of those that the request names.
        request: what was asked.
        console: where it is shown as it goes.
        quiet: write what the child process prints to a file instead of stderr.

    Raises:
        UsageError: there is no such run, or it has not what was asked for.
        ReplayError: it could not be run, or failed.
        RefusedError: it is not trusted, or an artifact is not the recorded one.
    """
    with _planned(run, request=request) as (attempt, profile):
        print_plan(attempt, choice=attempt.handover.choice, console=console)
        check_withheld(attempt.found.record, changes=request.changes)
        check_trust(attempt, request=request, would_run=list_what_would_run(attempt))
        outcome = perform_attempt(attempt, profile=profile, meanwhile=attempt.found.open, quiet=quiet)
        if request.changes:
            return _conclude_variation(outcome, request=request, console=console)
        return _conclude(outcome, request=request, profile=profile, console=console)


def show_plan(run: NamedRun, *, request: Request) -> None:
    """Show what replaying a run would do: the plan as data on stdout, or as text on stderr. Nothing is run.

    Raises:
        UsageError: there is no such run, or it has not what was asked for.
        ReplayError: it cannot be replayed.
        RefusedError: a value in its record that git could take for something else.
    """
    with _planned(run, request=request) as (attempt, _):
        if request.as_json:
            print(json.dumps(attempt.plan.to_json(), indent=1))
        else:
            print_plan(attempt, choice=attempt.handover.choice, console=open_console())
        check_withheld(attempt.found.record, changes=request.changes)


@contextlib.contextmanager
def _planned(run: NamedRun, *, request: Request) -> Iterator[tuple[Attempt, Tolerance]]:
    """Find a run and plan its replay as asked, in a folder that is removed afterwards."""
    # one of our own, by its whole id, needs no store to begin with: MLflow is loaded while the child runs
    found = recall_run(run.text) or run.find()
    sweep_workspaces()
    profile = make_tolerance(request.tolerance, recorded=found.record)
    focus = make_focus(found.record, stage=request.stage, image=choose_image(found, request=request))
    choice = check_changes(found.record, request=request, image=focus.image)
    settings = Settings(twice=request.twice, focus=focus, changes=request.changes)
    with prepared(found, choice=choice, settings=settings) as attempt:
        yield attempt, profile


def _start_run(outcome: Outcome, *, store: Store, name: str) -> StoredRun:
    """Start the run under which an outcome is logged.

    Raises:
        ReplayError: the child failed; it is logged as failed.
    """
    run = start_run(outcome.attempt, store=store, name=name)
    if outcome.actual.status != "finished":
        log_failure(outcome.attempt, outcome.actual, store=store, run=run)
        what = "variation" if outcome.attempt.handover.settings.changes else "replay"
        raise ReplayError(
            f"the {what} failed: {outcome.actual.error}",
            expected="a run like the recorded one",
            advice=f"see run {run.run_id}",
        )
    return run


def _conclude_variation(outcome: Outcome, *, request: Request, console: Console) -> ReplayResult:
    """Log a variation and show how far it is from the recorded run."""
    found, store = outcome.attempt.found, open_store()
    changes = render_changes(outcome.attempt.handover.settings)
    run = _start_run(outcome, store=store, name=to_printable(f"{found.record.name}, {changes}", limit=200))
    log_variation(outcome, run, store=store)
    print_diff(outcome.comparison, console=console)
    console.print(f"  logged as run {run.run_id}: {run.link}", markup=False)
    cautions = outcome.actual.replayable.reasons
    return ReplayResult(found, run, outcome.comparison, Findings(), cautions, None, request.required)


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
        runner = TrialRunner(found, store, run, profile, request.required, console, focus)
        findings, verdicts = _look_into(outcome, request=request, runner=runner)
    finally:  # also when a trial fails or a person has seen enough: the replay itself is done
        tags = make_replay_tags(found.address, verdict=comparison.verdict, focus=str(focus))
        log_replay(outcome, run, store=store, findings=findings, tags=tags)
    print_findings(findings, console=console)
    for sentence in list_draws(outcome.actual):
        console.print(f"  {sentence}", markup=False)
    cautions = (*list_cautions(found.record, outcome.actual), *outcome.actual.replayable.reasons)
    is_good = is_good_enough(comparison.verdict, required=request.required)
    if not is_good and is_hash_random(found.record.command, found.record.environment.variables):
        cautions = (*cautions, HASH_ORDER_IS_POSSIBLE)
    for reason in cautions:
        console.print(f"  caution: {to_printable(reason, limit=300)}", markup=False)
    console.print(f"  logged as run {run.run_id}: {run.link}", markup=False)
    worst = max(verdicts, key=VERDICTS.index)
    return ReplayResult(found, run, comparison, findings, cautions, worst, request.required)


def _look_into(outcome: Outcome, *, request: Request, runner: TrialRunner) -> tuple[Findings, list[str]]:
    """Do what was asked beyond the comparison; also return the verdict of every run that was asked for."""
    verdict = outcome.comparison.verdict
    verdicts, stability, leak, location, explanation = [verdict], None, None, None, None
    if request.twice:
        leak = compare_second_calls(outcome.actual, outcome.attempt.handover.read_second_calls())
    if request.times > 1:
        stability, verdicts = measure_stability(outcome, times=request.times, runner=runner)
    falls_short = not is_good_enough(verdict, required=request.required)
    if request.localize and falls_short:
        location = localize(outcome, runner=runner)
    if request.explain and falls_short:
        explanation = find_causes(outcome, budget=request.trials, runner=runner)
    return Findings(stability, leak, location, explanation), verdicts
