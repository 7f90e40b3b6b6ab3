"""The descriptions on MLflow's pages, as Markdown.

It never lets a name in a record become a link or a heading.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from repro_track.compare.comparison import Comparison
from repro_track.compare.findings import Findings
from repro_track.media.kinds import get_kind
from repro_track.record.names import PREVIEW_NAME, SHEET_NAME, SIDE_BY_SIDE_NAME
from repro_track.record.schema import RunRecord
from repro_track.record.seeds import list_image_seeds
from repro_track.report.text import MEANING, list_caveats, list_findings, shorten_digest, to_printable


def render_description(
    record: RunRecord, *, run_id: str, comparison: Comparison | None = None, findings: Findings | None = None
) -> str:
    """Render the Markdown of MLflow's run page. It is folded after a few lines there: the verdict goes first."""
    lines = []
    if comparison is not None:
        lines += [
            f"**{comparison.verdict}**: {MEANING[comparison.verdict]}. A replay of record `{record.replay_of}`.",
            "",
        ]
        lines += [f"- {_to_markdown(sentence)}" for sentence in list_findings(findings or Findings())]
        if comparison.divergence:
            lines.append(f"- first divergence: {_to_markdown(comparison.divergence.text)}")
        lines.append("")
    elif record.status != "finished":
        lines += [f"**{record.status}**: `{to_printable(record.error or '', limit=300)}`", ""]
    else:
        lines += [f"Replay: `repro-track replay {run_id}`", ""]
    if any(get_kind(output.kind).preview for output in record.outputs):
        lines += [f"![pictures](get-artifact?path={PREVIEW_NAME}&run_uuid={run_id})", ""]
    if record.outputs:
        lines += ["| output | seed | tensor | pixels or samples | file |", "|---|---|---|---|---|"]
        seeds = list_image_seeds(record)
        for output in record.outputs[:16]:
            digests = (output.sha256, output.decoded_sha256, output.file_sha256)
            cells = [f"`{shorten_digest(one)}`" if one else "-" for one in digests]
            lines.append(f"| {' | '.join([output.name, str(seeds.get(output.name, '-')), *cells])} |")
        lines.append("")
    lines += [f"- {sentence}" for sentence in list_caveats(record)]
    return "\n".join(lines)


def render_variation_description(record: RunRecord, *, run_id: str, of: str, changes: str) -> str:
    """Render the Markdown of a variation's page: both pictures, then what every run has."""
    lines = [f"A variation of run `{of}`: {_to_markdown(changes)}.", ""]
    if record.outputs:
        lines += [f"![recorded, and varied](get-artifact?path={SIDE_BY_SIDE_NAME}&run_uuid={run_id})", ""]
    return "\n".join(lines) + render_description(record, run_id=run_id)


def render_sweep_description(*, run_id: str, words: str, members: Sequence[tuple[str, str, str]]) -> str:
    """Render the Markdown of a sweep's page: the contact sheet, and its members: (run id, overrides, status)."""
    lines = [
        f"A sweep of {len(members)} runs. Replay them all: `repro-track replay {run_id}`; make those that are missing:"
        f" `repro-track run sweep.run={run_id}`",
        "",
        f"![pictures by overrides](get-artifact?path={SHEET_NAME}&run_uuid={run_id})",
        "",
        # a backtick would end the code
        "`repro-track run " + to_printable(words, limit=1000).replace("`", "'") + "`",
        "",
        "| run | overrides | status |",
        "|---|---|---|",
    ]
    # a description of more than 8000 characters would be cut
    shown = members[:50]
    lines += [f"| `{one}` | {_to_markdown(to_printable(label, limit=60))} | {status} |" for one, label, status in shown]
    if len(members) > len(shown):
        lines += ["", f"and {len(members) - len(shown)} more, under this run"]
    return "\n".join(lines)


def _to_markdown(text: str) -> str:
    """Return a text so that Markdown shows it as it is: a name in a record must not become a link or a remote picture.

    >>> _to_markdown("![x](http://host)")
    '\\\\!\\\\[x\\\\]\\\\(http://host\\\\)'
    """
    return re.sub(r"([\\`*_{}\[\]()#!|<>~])", r"\\\1", to_printable(text, limit=1000))
