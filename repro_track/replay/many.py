"""Every run that a request names, replayed one after the other, and summed up: a table, a JUnit file for CI.

A run that cannot be replayed, or planned, never keeps the others from it.
"""

from __future__ import annotations

import json
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_track.compare.verdict import VERDICTS
from repro_track.errors import ExitCode, ReproTrackError, UsageError
from repro_track.lookup.find import NamedRun, expand_name, recall_run
from repro_track.lookup.found import open_store
from repro_track.replay.command import replay_and_show, replay_run, show_plan
from repro_track.replay.request import ReplayResult, Request
from repro_track.report.terminal import open_console, print_table, shown_progress
from repro_track.report.text import list_findings, to_printable

if TYPE_CHECKING:
    from rich.console import Console


VARIED = "varied"
"""Stands for the verdict of a variation, which has none."""


@dataclass(frozen=True)
class Row:
    """What came of one run. `verdict` `None`: it could not be replayed, `reason` says why; else where the runs part."""

    run_id: str
    name: str
    verdict: str | None
    reason: str
    code: int
    duration_s: float
    replay_run_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as data."""
        return asdict(self)


def replay_requested(request: Request) -> int:
    """Replay every run that a request names and show what came of it: of one run all, of several a table, and a line or
    data for each on stdout. With `dry_run` the plans are shown.

    Returns:
        the exit code, the worst of all runs.

    Raises:
        UsageError: no run is named by it, or the only one is not there.
        ReplayError: the only run could not be replayed; of several, the others go on.
        RefusedError: the only run is not trusted.
        StoreError: the store cannot be opened.
    """
    runs = _list_runs(request)
    if request.dry_run:
        return _show_plans(runs, request=request)
    if len(runs) == 1 and not request.wants_summary:
        return replay_and_show(runs[0], request=request)
    console = open_console()
    rows = replay_many(runs, request=request, console=console)
    print_rows(rows, console=console)
    if request.junit:
        text = render_junit(rows, suite=request.experiment or "repro_track", required=request.required)
        Path(request.junit).write_text(text, encoding="utf-8")
    if request.as_json:
        print(json.dumps([row.to_json() for row in rows], indent=1))
    else:
        for row in rows:
            print(f"{row.run_id} {row.verdict or 'not-run'}")
    return max(row.code for row in rows)


def _list_runs(request: Request) -> list[NamedRun]:
    if request.experiment:
        return list_experiment(request.experiment, request.filter_string)
    return [run for text in request.runs for run in expand_name(text)]


def _show_plans(runs: Sequence[NamedRun], *, request: Request) -> ExitCode:
    """Show the plan of each run. One of several that cannot be planned is an error among the plans of the others; the
    exit code is the worst."""
    codes = [ExitCode.SUCCESS]
    for run in runs:
        try:
            show_plan(run, request=request)
        except ReproTrackError as error:
            if len(runs) == 1:
                raise
            print(f"error: {error}", file=sys.stderr)
            codes.append(error.exit_code)
    return max(codes)


def list_experiment(experiment: str, filter_string: str | None) -> list[NamedRun]:
    """List the runs of an experiment that can be replayed, the oldest first.

    Raises:
        UsageError: there is no such experiment, MLflow does not understand the filter, or it finds nothing.
    """
    runs = open_store().find_runs(experiment, filter_string)
    if not runs:
        raise UsageError(
            f"no finished run of experiment {experiment!r}" + (f" fits {filter_string!r}" if filter_string else ""),
            expected="runs of repro_track that are no replays",
        )
    return [NamedRun(run.run_id, run) for run in runs]


def replay_many(runs: Sequence[NamedRun], *, request: Request, console: Console) -> list[Row]:
    """Replay runs with a progress bar, and return a row for each; each replay is logged under its run as always. One
    that cannot be replayed is a row with the reason."""
    from rich.console import Console as Quiet

    rows = []
    with shown_progress(console, "replaying", total=len(runs)) as advance:
        for run in runs:
            rows.append(_replay_one(run, request=request, console=Quiet(quiet=True)))
            advance()
    return rows


def _replay_one(run: NamedRun, *, request: Request, console: Console) -> Row:
    began = time.monotonic()
    try:
        replayed = replay_run(run, request=request, console=console, quiet=True)
    except ReproTrackError as error:
        name = _recall_title(run.text)
        return Row(run.text, name, None, str(error), error.exit_code, time.monotonic() - began)
    return Row(
        replayed.found.run_id or run.text,
        replayed.found.record.name,
        replayed.worst or VARIED,
        explain_shortfall(replayed),
        replayed.code,
        time.monotonic() - began,
        replayed.run.run_id,
    )


def _recall_title(run_id: str) -> str:
    """Return the name that the record gives a run; empty where this machine did not log it."""
    recalled = recall_run(run_id)
    return recalled.record.name if recalled else ""


def explain_shortfall(replayed: ReplayResult) -> str:
    """Describe in short lines why a replay is not bit-exact: what was found, where the runs part, the likeliest causes.
    Empty where it is."""
    comparison = replayed.comparison
    if comparison.verdict == "bit-exact" and not list_findings(replayed.findings):
        return ""
    lines = list(list_findings(replayed.findings))
    if comparison.divergence:
        lines.append(comparison.divergence.text)
    lines += [
        f"{one.place}: {to_printable(one.expected, limit=60)} -> {to_printable(one.actual, limit=60)}"
        for one in comparison.differences[:5]
    ]
    return "\n".join(to_printable(line, limit=300) for line in lines)


def print_rows(rows: Sequence[Row], *, console: Console) -> None:
    """Print what came of each run as a table, and how many there are of each verdict."""
    print_table(
        ["run", "name", "verdict", "s", ""],
        [
            [
                row.run_id[:12],
                row.name,
                row.verdict or "not run",
                f"{row.duration_s:.1f}",
                row.reason.partition("\n")[0],
            ]
            for row in rows
        ],
        console=console,
    )
    counted = [(verdict, sum(row.verdict == verdict for row in rows)) for verdict in [*VERDICTS, VARIED, None]]
    console.print(", ".join(f"{number} {verdict or 'not run'}" for verdict, number in counted if number))


def render_junit(rows: Sequence[Row], *, suite: str, required: str) -> str:
    """Render rows as JUnit XML: a failure is a run that fell short of what is required, an error one that was not
    run."""
    failed = [row for row in rows if row.verdict and row.code]
    errors = [row for row in rows if not row.verdict]
    root = ElementTree.Element("testsuites")
    counts = {"tests": len(rows), "failures": len(failed), "errors": len(errors)}
    total = {"time": f"{sum(row.duration_s for row in rows):.3f}"}
    element = ElementTree.SubElement(
        root, "testsuite", {"name": suite, **{name: str(number) for name, number in counts.items()}, **total}
    )
    for row in rows:
        case = ElementTree.SubElement(
            element,
            "testcase",
            {
                "classname": suite,
                "name": to_printable(f"{row.name} {row.run_id}", limit=200),
                "time": f"{row.duration_s:.3f}",
            },
        )
        if not row.code:
            continue
        message = f"{row.verdict}, required {required}" if row.verdict else to_printable(row.reason, limit=200)
        bad = ElementTree.SubElement(case, "failure" if row.verdict else "error", {"message": message})
        bad.text = "\n".join(_keep_xml(row.reason))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _keep_xml(text: str) -> Iterator[str]:
    """Return the lines of a text; XML has no control characters, not even escaped."""
    return (to_printable(line, limit=1000) for line in text.splitlines())
