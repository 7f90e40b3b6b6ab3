"""Reports as one self-contained HTML page: pictures are inlined, there are no scripts.

It never runs anything, and treats every value as hostile: jinja2 escapes it.
"""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from repro_track.compare.comparison import Comparison
from repro_track.compare.findings import Findings
from repro_track.compare.outputs import Exact
from repro_track.media.kinds import get_kind
from repro_track.record.schema import RunRecord
from repro_track.record.seeds import list_image_seeds
from repro_track.report.plots import make_divergence_plot, make_heat_maps
from repro_track.report.text import (
    MEANING,
    list_caveats,
    list_effects,
    list_facts,
    list_findings,
    name_cause,
    shorten_digest,
    to_printable,
)

if TYPE_CHECKING:
    import jinja2


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("repro_track"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(printable=to_printable, short=shorten_digest)
    return environment


def render_run_page(record: RunRecord, *, run_id: str, folder: Path) -> str:
    """Render a run as one self-contained page: its pictures are inlined, it has no scripts.

    Args:
        record: the run.
        run_id: MLflow's.
        folder: where its artifacts are.
    """
    return (
        _environment()
        .get_template("run.html")
        .render(
            record=record,
            seeds=list_image_seeds(record),
            run_id=run_id,
            caveats=list_caveats(record),
            pictures=_inline_pictures(record, folder),
            facts=list_facts(record),
        )
    )


def render_replay_page(
    expected: RunRecord,
    actual: RunRecord,
    comparison: Comparison,
    *,
    run_id: str,
    expected_folder: Path | None,
    actual_folder: Path,
    findings: Findings | None = None,
    exact: tuple[Exact, Exact] | None = None,
    options: str = "",
) -> str:
    """Render a replay: the verdict, the pictures side by side and their difference, where the runs part, what differs.

    Args:
        expected: the recorded run.
        actual: the replay.
        comparison: of the two.
        run_id: the recorded run's in MLflow.
        expected_folder: where its pictures are.
        actual_folder: where the replay's are.
        findings: what was looked into besides.
        options: those that this replay was asked for with.
        exact: the exact tensors of both, where they differ: the difference is shown of them, not of 8-bit pixels.
    """
    findings = findings or Findings()
    return (
        _environment()
        .get_template("replay.html")
        .render(
            expected=expected,
            actual=actual,
            command=f"repro-track replay {run_id}{options}",
            comparison=comparison,
            meaning=MEANING[comparison.verdict],
            caveats=list_caveats(actual),
            findings=list_findings(findings),
            differences=[(one, name_cause(one, findings.explanation)) for one in comparison.differences],
            effects=list_effects(comparison),
            trials=findings.explanation.trials if findings.explanation else (),
            heat_maps=make_heat_maps(comparison, exact) if exact else {},
            plots=[
                plot
                for left, right in zip(expected.calls, actual.calls, strict=False)
                if (plot := make_divergence_plot(left, right))
            ],
            expected_pictures=_inline_pictures(expected, expected_folder) if expected_folder else {},
            actual_pictures=_inline_pictures(actual, actual_folder),
        )
    )


def _inline_pictures(record: RunRecord, folder: Path) -> dict[str, str]:
    """Return the pictures as data URLs by output name."""
    inlined = {}
    for output in record.outputs:
        if get_kind(output.kind).is_picture and output.file and (folder / output.file).is_file():
            content = base64.b64encode((folder / output.file).read_bytes()).decode("ascii")
            inlined[output.name] = f"data:image/{Path(output.file).suffix[1:]};base64,{content}"
    return inlined
