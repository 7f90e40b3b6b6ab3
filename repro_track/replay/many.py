"""Replay many runs, one after the other, and sum up: a table, a JUnit file for CI.

A run that cannot be replayed does not keep the others from it.
"""

from __future__ import annotations

import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from repro_track.compare.verdict import VERDICTS
from repro_track.errors import ReproTrackError, UsageError
from repro_track.lookup.find import recall_run
from repro_track.lookup.found import open_store
from repro_track.replay.command import replay_run
from repro_track.replay.request import ReplayResult, Request
from repro_track.report.terminal import print_table, shown_progress
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


def list_experiment(experiment: str, filter_string: str | None) -> list[str]:
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
    return [run.run_id for run in runs]


def replay_many(run_ids: Sequence[str], *, request: Request, console: Console) -> list[Row]:
    """Replay runs with a progress bar; each replay is logged under its run as always."""
    from rich.console import Console as Quiet

    rows = []
    with shown_progress(console, "replaying", total=len(run_ids)) as advance:
        for run_id in run_ids:
            rows.append(_replay_one(run_id, request=request, console=Quiet(quiet=True)))
            advance()
    return rows


def _replay_one(run_id: str, *, request: Request, console: Console) -> Row:
    began = time.monotonic()
    try:
        replayed = replay_run(run_id, request=request, console=console, quiet=True)
    except ReproTrackError as error:
        return Row(run_id, _find_name(run_id), None, str(error), error.exit_code, time.monotonic() - began)
    return Row(
        replayed.found.run_id or run_id,
        replayed.found.record.name,
        replayed.worst or VARIED,
        explain_shortfall(replayed),
        replayed.code,
        time.monotonic() - began,
        replayed.run.run_id,
    )


def _find_name(run_id: str) -> str:
    recalled = recall_run(run_id)
    return recalled.record.name if recalled else ""


def explain_shortfall(replayed: ReplayResult) -> str:
    """Say in short lines why a replay is not bit-exact: what was found, where the runs part, the likeliest causes."""
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
