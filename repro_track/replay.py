"""Replay a logged run: find it, see that it may be run, plan, attempt, look into what came out, log, show.

It runs nothing itself: attempts do, in child processes. It never starts somebody else's command without consent.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repro_track import attempt, compare, explain, ledger, lookup, report
from repro_track.attempt import Attempt, Outcome
from repro_track.config import data_folder, make_changed
from repro_track.errors import RefusedError, ReplayError, UsageError
from repro_track.factors import DEFAULT, Choice
from repro_track.findings import Findings, compare_second_calls
from repro_track.handover import Settings
from repro_track.lookup import FoundRun
from repro_track.plan import render_command, render_plan
from repro_track.record import RunRecord, Unavailable
from repro_track.source import list_top_level
from repro_track.store import TAG, Store, StoredRun

if TYPE_CHECKING:
    from rich.console import Console

TRUSTED_PACKAGES = (
    "accelerate", "diffusers", "hydra", "numpy", "omegaconf", "peft", "PIL", "repro_track", "safetensors", "torch",
    "torchvision", "transformers",
)  # fmt: skip
"""What a `_target_` of somebody else's config may come from; `--allow` adds to it."""


@dataclass(frozen=True)
class Request:
    """What a person asked of `replay`.

    `choice` says what is left as it is now; `stage` and `image` what alone is looked at; `times`, `twice`, `localize` and `explain` look further into the result;
    `trials` bounds `explain`. `changes` (`KEY=VALUE`) make it a variation. `trusted` and `allowed` are consent to run what this machine did not log.
    """

    required: str = "bit-exact"
    choice: Choice = DEFAULT
    stage: str | None = None
    image: int | None = None
    tolerance: str | None = None
    dry_run: bool = False
    times: int = 1
    twice: bool = False
    localize: bool = False
    explain: bool = False
    trials: int = 16
    changes: tuple[str, ...] = ()
    trusted: bool = False
    allowed: tuple[str, ...] = ()
    as_json: bool = False


@dataclass(frozen=True)
class Replayed:
    """What came of a replay, or of a variation, which has no verdict. `worst` is the worst verdict of all runs that were
    asked for; `code` the exit code."""

    found: FoundRun
    run: StoredRun
    comparison: compare.Comparison
    findings: Findings
    cautions: tuple[str, ...]
    worst: str | None
    code: int

    def to_json(self) -> dict[str, Any]:
        """Give it as data."""
        data = {
            "run_id": self.found.run_id,
            "record_id": self.found.record.record_id,
            "replay_run_id" if self.worst else "variation_run_id": self.run.run_id,
            "cautions": self.cautions,
            **report.comparison_to_json(self.comparison, findings=self.findings),
        }
        return {**data, "verdict": self.worst} if self.worst else data


def replay_and_show(text: str, *, request: Request) -> int:
    """Replay one run and show what came of it.

    Returns:
        0 if it was reproduced at the required level, every time and without a leak where that was asked; else 1.

    Raises:
        ReplayError, RefusedError, and whatever finding a run can raise.
    """
    console = report.open_console()
    if request.dry_run:
        return _show_plan(text, request=request, console=console)
    replayed = replay_run(text, request=request, console=console)
    if request.as_json:
        print(json.dumps(replayed.to_json(), indent=1))
    else:
        print(replayed.worst or replayed.run.run_id)
    return replayed.code


def replay_run(text: str, *, request: Request, console: Console, quiet: bool = False) -> Replayed:
    """Replay one run, look into the outcome as asked, and log it.

    Args:
        text: any name of a run.
        request: what was asked.
        console: where it is shown as it goes.
        quiet: keep what the child process says to ourselves.

    Raises:
        ReplayError, RefusedError, and whatever finding a run can raise.
    """
    with _planned(text, request=request) as (planned, profile):
        _print_plan(planned, choice=planned.handover.choice, console=console)
        check_trust(planned, request=request)
        outcome = attempt.perform(planned, profile=profile, meanwhile=lambda: planned.found.opened, quiet=quiet)
        if request.changes:
            return _conclude_variation(outcome, console=console)
        return _conclude(outcome, request=request, profile=profile, console=console)


def _show_plan(text: str, *, request: Request, console: Console) -> int:
    with _planned(text, request=request) as (planned, _):
        if request.as_json:
            print(json.dumps(planned.plan.to_json(), indent=1))
        else:
            _print_plan(planned, choice=planned.handover.choice, console=console)
    return 0


@contextlib.contextmanager
def _planned(text: str, *, request: Request) -> Iterator[tuple[Attempt, compare.Tolerance]]:
    # one of our own, by its whole id, needs no store to begin with: MLflow is loaded while the child runs
    found = lookup.recall(text) or lookup.find(text)
    profile = lookup.make_tolerance(request.tolerance, recorded=found.record)
    focus = make_focus(found.record, stage=request.stage, image=request.image)
    choice = check_changes(found.record, request=request)
    settings = Settings(twice=request.twice, focus=focus, changes=request.changes)
    with attempt.planned(found, choice=choice, settings=settings) as planned:
        yield planned, profile


def check_changes(record: RunRecord, *, request: Request) -> Choice:
    """See that a variation can be made, and say what of the record cannot be restored beside its changes.

    Raises:
        UsageError: the run is a script or notebook, or a change is not one of its config.
    """
    if not request.changes:
        return request.choice
    if record.command.kind not in ("config", "hydra"):
        raise UsageError(
            f"the run is a {record.command.kind}, and --set changes a config",
            expected="a run of repro-track run or of a Hydra app",
            advice="change the script",
        )
    if request.stage or request.image is not None or request.times > 1 or request.explain or request.localize:
        raise UsageError(
            "a variation is a run of its own: there is nothing that it could fall short of",
            expected="--set without --stage, --image, --times, --explain and --localize",
        )
    if record.command.kind == "config":
        make_changed(record.config.resolved, request.changes)
    changed = {change.lstrip("+~").partition("=")[0].partition(".")[0] for change in request.changes}
    labels = {"numerics"} if "determinism" in changed else set()
    labels |= {"weights"} if changed & {"pipeline", "adapters", "stages"} else set()
    return request.choice.leave(labels)


def make_focus(record: RunRecord, *, stage: str | None, image: int | None) -> compare.Focus:
    """Say what of a run is looked at: a stage by its name or the number of its call, an image by its number.

    Raises:
        UsageError: the run has no such stage or image.
    """
    names = {str(call.index): call.index for call in record.calls}
    names |= {call.stage: call.index for call in record.calls if call.stage}
    if stage is not None and stage not in names:
        raise UsageError(f"the run has no stage {stage!r}", expected="one of " + (", ".join(names) or "none"))
    focus = compare.Focus(names[stage] if stage is not None else None, image)
    if image is not None and not focus.narrow(record).outputs:
        images = sorted({number for one in record.outputs if (number := compare.find_image(one.name)) is not None})
        raise UsageError(f"the run has no image {image}", expected="one of " + (", ".join(map(str, images)) or "none"))
    return focus


def _print_plan(planned: Attempt, *, choice: Choice, console: Console) -> None:
    from rich.text import Text

    plan = planned.plan
    for line in render_plan(plan, planned.found.record, choice=choice):
        console.print(Text(line))
    if planned.found.how:
        console.print(Text(f"  found     {planned.found.how}"))
    if alone := str(planned.handover.settings.focus):
        console.print(f"  compared  {alone} alone")
    report.print_differences(plan.restored, console=console, title="Different here, and restored")
    report.print_differences(plan.differences, console=console, title="Different here, and it stays")


def _start_run(outcome: Outcome, *, store: Store, name: str) -> StoredRun:
    """Start the run under which an outcome is logged.

    Raises:
        ReplayError: the child failed; it is logged as failed.
    """
    run = attempt.start_run(outcome.attempt, store=store, name=name)
    if outcome.actual.status != "finished":
        attempt.log_failure(outcome.attempt, outcome.actual, store=store, run=run)
        raise ReplayError(
            f"the {'variation' if outcome.attempt.handover.settings.changes else 'replay'} failed: {outcome.actual.error}",
            expected="a run like the recorded one",
            advice=f"see run {run.run_id}",
        )
    return run


def _conclude_variation(outcome: Outcome, *, console: Console) -> Replayed:
    """Log a variation and show how far it is from the recorded run."""
    found, store = outcome.attempt.found, lookup.open_store()
    changes = " ".join(outcome.attempt.handover.settings.changes)
    run = _start_run(outcome, store=store, name=report.to_printable(f"{found.record.name}, {changes}", limit=200))
    attempt.log_variation(outcome, run, store=store)
    report.print_diff(outcome.comparison, console=console)
    console.print(f"  logged as run {run.run_id}: {run.link}", markup=False)
    return Replayed(found, run, outcome.comparison, Findings(), outcome.actual.replayable.reasons, None, 0)


def _conclude(outcome: Outcome, *, request: Request, profile: compare.Tolerance, console: Console) -> Replayed:
    """Look into the outcome as asked, log it, show it.

    Raises:
        ReplayError: the child failed; it is logged as failed.
    """
    found, comparison, focus = outcome.attempt.found, outcome.comparison, outcome.attempt.handover.settings.focus
    store = lookup.open_store()
    alone = f", {focus} alone" if str(focus) else ""
    run = _start_run(outcome, store=store, name=f"replay of {found.record.name}{alone}")
    findings, verdicts = Findings(), [comparison.verdict]
    try:
        report.print_comparison(comparison, console=console)
        laboratory = explain.Laboratory(found, store, run, profile, request.required, console, focus)
        findings, verdicts = _look_into(outcome, request=request, laboratory=laboratory)
    finally:  # also when a trial fails or a person has seen enough: the replay itself is done
        tags = {f"{TAG}replay_focus": str(focus)} if alone else {}
        attempt.log(outcome, run, store=store, findings=findings, tags=tags)
    report.print_findings(findings, console=console)
    for reason in outcome.actual.replayable.reasons:
        console.print(f"  caution: {report.to_printable(reason, limit=300)}", markup=False)
    console.print(f"  logged as run {run.run_id}: {run.link}", markup=False)
    worst = max(verdicts, key=compare.VERDICTS.index)
    is_clean = findings.leak is None or findings.leak.is_clean
    code = 0 if is_clean and compare.is_good_enough(worst, required=request.required) else 1
    return Replayed(found, run, comparison, findings, outcome.actual.replayable.reasons, worst, code)


def _look_into(outcome: Outcome, *, request: Request, laboratory: explain.Laboratory) -> tuple[Findings, list[str]]:
    """Do what was asked beyond the comparison; also give the verdict of every run that was asked for."""
    verdict = outcome.comparison.verdict
    verdicts, stability, leak, location, explanation = [verdict], None, None, None, None
    if request.twice:
        leak = compare_second_calls(outcome.actual, outcome.attempt.handover.read_second_calls())
    if request.times > 1:
        stability, verdicts = explain.measure_stability(outcome, times=request.times, laboratory=laboratory)
    falls_short = not compare.is_good_enough(verdict, required=request.required)
    if request.localize and falls_short:
        location = explain.localize(outcome, laboratory=laboratory)
    if request.explain and falls_short:
        explanation = explain.explain(outcome, budget=request.trials, laboratory=laboratory)
    return Findings(stability, leak, location, explanation), verdicts


# --- trust --------------------------------------------------------------------------------------------------------


def check_trust(planned: Attempt, *, request: Request) -> None:
    """Refuse to start somebody's code: only what this user's own process logged here runs without being asked for.

    The record in the ledger is this machine's own word for it; code, changes and notebook cells are compared with its
    digests before they are used. For all else a person has to say `--trust`, and even then a `_target_` may only come
    from known packages and the recorded source itself.

    Raises:
        RefusedError: with what would be started.
    """
    found, record = planned.found, planned.found.record
    is_kept_here = found.folder is not None and data_folder() in found.folder.parents
    known = ledger.recall(found.run_id) if found.run_id else None
    if is_kept_here or known == record:
        return
    if not request.trusted:
        what = "was changed after this machine logged it" if known else "was not logged by this user on this machine"
        raise RefusedError(
            f"the run {what}; replaying it would run:\n" + "\n".join(_list_what_would_run(planned)),
            expected="a run of this machine and user",
            advice="look at it with repro-track show, then give --trust if you know where it is from",
        )
    allowed = {*TRUSTED_PACKAGES, *request.allowed, *_list_own_packages(planned)}
    for target in list_targets(record.config.resolved, [*record.command.argv, *record.config.overrides]):
        if target.partition(".")[0] not in allowed:
            raise RefusedError(
                f"the run's config has _target_ {report.to_printable(target)}",
                expected="a target in one of " + ", ".join(sorted(allowed)),
                advice=f"if you know it, give --allow {report.to_printable(target.partition('.')[0])}",
            )


def _list_what_would_run(planned: Attempt) -> Iterable[str]:
    record, plan = planned.found.record, planned.plan
    machine = record.environment.machine
    lines = [
        f"command  {render_command(plan)}",
        f"logged   by {machine.user} on {machine.host}",
    ]
    if plan.code:
        lines.append(f"code     {plan.code.text}")
    elif not isinstance(record.source.commit, Unavailable):
        lines.append(f"code     the present one (recorded: commit {record.source.commit[:12]})")
    if plan.packages:
        lines.append(f"packages {len(plan.packages.requirements)} to be installed with uv")
    lines += [f"target   {target}" for target in list_targets(record.config.resolved, record.command.argv)]
    return (f"    {report.to_printable(line, limit=300)}" for line in lines)


def _list_own_packages(planned: Attempt) -> set[str]:
    """Name the top-level modules of the recorded source: its own config may name its own classes."""
    code = planned.plan.code
    if code is None or code.clone is None:
        return set()
    return {name.removesuffix(".py") for name in list_top_level(code)}


def list_targets(config: Any, words: Iterable[str] = ()) -> list[str]:
    """List every `_target_` of a config, however deep, and of overrides on a command line.

    >>> list_targets({"a": [{"_target_": "os.system"}]}, ["+b._target_=torch.nn.ReLU"])
    ['os.system', 'torch.nn.ReLU']
    """
    targets = []
    if isinstance(config, dict):
        for key, value in config.items():
            targets += [str(value)] if key == "_target_" else list_targets(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            targets += list_targets(value)
    for word in words:  # `+a._target_=x.y`, and nested: `a={_target_: x.y}`
        targets += re.findall(r"_target_\s*[:=]\s*['\"]?([^\s'\",}]+)", word)
    return targets
