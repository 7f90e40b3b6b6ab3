"""A plan, and what would run, as text.

It never runs anything.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING

from repro_track.attempt.plan import ReplayPlan
from repro_track.attempt.workspace import Attempt
from repro_track.errors import name_some
from repro_track.record.choice import Choice
from repro_track.record.schema import RunRecord, Unavailable
from repro_track.replay.trust import list_targets
from repro_track.report.terminal import print_differences
from repro_track.report.text import to_printable

if TYPE_CHECKING:
    from rich.console import Console


def print_plan(attempt: Attempt, *, choice: Choice, console: Console) -> None:
    """Print the plan, what of the run is compared, and what differs here: restored, and as it is."""
    from rich.text import Text

    plan = attempt.plan
    for line in render_plan(plan, attempt.found.record, choice=choice):
        console.print(Text(line))
    if attempt.found.how:
        console.print(Text(f"  found     {attempt.found.how}"))
    if alone := str(attempt.handover.settings.focus):
        word = "varied  " if attempt.handover.settings.changes else "compared"
        console.print(f"  {word}  {alone} alone")
    print_differences(plan.restored, console=console, title="Different here, and restored")
    print_differences(plan.differences, console=console, title="Different here, and it stays")


def list_what_would_run(attempt: Attempt) -> Iterable[str]:
    """List what an attempt would start, as lines of printable text: command, who logged it, code, packages, targets."""
    record, plan = attempt.found.record, attempt.plan
    machine = record.environment.machine
    lines = [
        f"command  {render_command(plan)}",
        f"logged   by {machine.user} on {machine.host}",
    ]
    if plan.code:
        lines.append(f"code     {plan.code.text}")
    elif not isinstance(record.source.commit, Unavailable):
        lines.append(f"code     the present one (recorded: commit {record.source.commit[:12]})")
    lines += [f"code     {one.path}, as it was recorded" for one in plan.outside]
    if plan.packages:
        lines.append(f"packages {len(plan.packages.requirements)} to be installed with uv")
    lines += [f"shell    {command}" for command in record.command.runs]
    lines += [f"target   {target}" for target in list_targets(record.config.resolved, record.command.argv)]
    return (f"    {to_printable(line, limit=300)}" for line in lines)


def render_command(plan: ReplayPlan) -> str:
    """Render the child's command line as one would type it."""
    return shlex.join(plan.argv)


def render_plan(plan: ReplayPlan, record: RunRecord, *, choice: Choice) -> list[str]:
    """Render the plan as lines of text: what will run, what is restored, what is noted, what can be expected."""
    shown = to_printable
    if plan.code:
        code = f"restored: {shown(plan.code.text, limit=200)}"
    elif plan.script:
        code = f"restored: the script {shown(plan.script)} alone"
    else:
        code = "the present program; the config is the command" if record.command.is_config else "as it is here"
    if plan.packages:
        ready = "made before" if plan.packages.is_made() else "to be installed with uv"
        packages = f"restored: Python {plan.packages.python}, {len(plan.packages.requirements)} packages, {ready}"
    else:
        packages = "as they are here" + (", which is as recorded" if choice.restores("env") else "")
    threads = record.numerics.state.get("num_threads")
    numerics = (
        f"restored: {threads} threads, {record.numerics.policy}" if choice.restores("numerics") else "as they are here"
    )
    lines = [
        f"replaying {shown(record.name)}, recorded {record.created_at} on {shown(record.environment.machine.host)}",
        f"  command   {shown(render_command(plan), limit=200)}",
        f"  code      {code}",
        f"  packages  {packages}",
        f"  numerics  {shown(numerics)}",
    ]
    for weight in plan.weights:
        lines.append(f"  weights   {shown(weight.path)}: {shown(weight.source or 'not as recorded')}")
    lines += [f"  recorded as not replayable: {shown(reason, limit=200)}" for reason in record.replayable.reasons]
    lines += [f"  note      {shown(note, limit=200)}" for note in plan.notes]
    blamed = name_some([shown(place) for place in plan.because], most=3)
    link = ", if these do not matter: " if plan.expected_verdict == "bit-exact" else ", because of "
    return [*lines, f"  expected  {plan.expected_verdict} at best{link if blamed else ''}{blamed}"]
