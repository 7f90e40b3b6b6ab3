"""Replay a logged run: find it, see that it may be run, plan, attempt, look into what came out, log, show.

It runs nothing itself: attempts do, in child processes. It never starts somebody else's command without consent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from repro_track import attempt, compare, explain, ledger, lookup, report
from repro_track.attempt import Attempt, Outcome
from repro_track.config import data_folder
from repro_track.errors import RefusedError, ReplayError, UsageError
from repro_track.factors import DEFAULT, Choice
from repro_track.findings import Findings, compare_second_calls
from repro_track.handover import Settings
from repro_track.plan import render_command, render_plan
from repro_track.record import RunRecord, Unavailable
from repro_track.source import list_top_level
from repro_track.store import TAG

TRUSTED_PACKAGES = (
    "accelerate", "diffusers", "hydra", "numpy", "omegaconf", "peft", "PIL", "repro_track", "safetensors", "torch",
    "torchvision", "transformers",
)  # fmt: skip
"""What a `_target_` of somebody else's config may come from; `--allow` adds to it."""


@dataclass(frozen=True)
class Request:
    """What a person asked of `replay`.

    `choice` says what is left as it is now; `stage` and `image` what alone is looked at; `times`, `twice`, `localize` and `explain` look further into the result;
    `trials` bounds `explain`. `trusted` and `allowed` are consent to run what this machine did not log.
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
    trusted: bool = False
    allowed: tuple[str, ...] = ()
    as_json: bool = False


def replay_and_show(text: str, *, request: Request) -> int:
    """Replay one run and show what came of it.

    Returns:
        0 if it was reproduced at the required level, every time and without a leak where that was asked; else 1.

    Raises:
        ReplayError, RefusedError, and whatever finding a run can raise.
    """
    console = report.open_console()
    # one of our own, by its whole id, needs no store to begin with: MLflow is loaded while the child runs
    found = lookup.recall(text) or lookup.find(text)
    profile = lookup.make_tolerance(request.tolerance, recorded=found.record)
    focus = make_focus(found.record, stage=request.stage, image=request.image)
    settings = Settings(twice=request.twice, focus=focus)
    with attempt.planned(found, choice=request.choice, settings=settings) as planned:
        if request.dry_run and request.as_json:
            print(json.dumps(planned.plan.to_json(), indent=1))
        else:
            _print_plan(planned, choice=request.choice, console=console)
        if request.dry_run:
            return 0
        check_trust(planned, request=request)
        outcome = attempt.perform(planned, profile=profile, meanwhile=lambda: found.opened)
        return _conclude(outcome, request=request, profile=profile, console=console)


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


def _print_plan(planned: Attempt, *, choice: Choice, console: Any) -> None:
    from rich.text import Text

    plan = planned.plan
    for line in render_plan(plan, planned.found.record, choice=choice):
        console.print(Text(line))
    if alone := str(planned.handover.settings.focus):
        console.print(f"  compared  {alone} alone")
    report.print_differences(plan.restored, console=console, title="Different here, and restored")
    report.print_differences(plan.differences, console=console, title="Different here, and it stays")


def _conclude(outcome: Outcome, *, request: Request, profile: compare.Tolerance, console: Any) -> int:
    """Look into the outcome as asked, log it, show it.

    Raises:
        ReplayError: the child failed; it is logged as failed.
    """
    found, comparison, focus = outcome.attempt.found, outcome.comparison, outcome.attempt.handover.settings.focus
    store = lookup.open_store()
    alone = f", {focus} alone" if str(focus) else ""
    run = attempt.start_run(outcome.attempt, store=store, name=f"replay of {found.record.name}{alone}")
    if outcome.actual.status != "finished":
        attempt.log_failure(outcome.attempt, outcome.actual, store=store, run=run)
        raise ReplayError(
            f"the replay failed: {outcome.actual.error}",
            expected="a run like the recorded one",
            advice=f"see run {run.run_id}",
        )
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
    console.print(f"  logged as run {run.run_id}: {run.link}")
    worst = max(verdicts, key=compare.VERDICTS.index)
    if request.as_json:
        data = {
            "run_id": found.run_id,
            "record_id": found.record.record_id,
            "replay_run_id": run.run_id,
            "cautions": outcome.actual.replayable.reasons,
            **report.comparison_to_json(comparison, findings=findings),
            "verdict": worst,
        }
        print(json.dumps(data, indent=1))
    else:
        print(worst)
    is_clean = findings.leak is None or findings.leak.is_clean
    return 0 if is_clean and compare.is_good_enough(worst, required=request.required) else 1


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
