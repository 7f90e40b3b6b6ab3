"""A record or a comparison as text: for the terminal, for MLflow's run page, as one self-contained HTML page.

It never runs or loads anything, and treats every value as hostile: HTML is escaped by jinja2, control characters are
shown and not sent to the terminal.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_track.compare import Comparison, Difference
from repro_track.record import RunRecord, Unavailable

if TYPE_CHECKING:
    import jinja2
    from rich.console import Console

REPORT_NAME = "report.html"
PREVIEW_NAME = "preview.png"
MEANING = {
    "bit-exact": "every output tensor has the same dtype, shape and bytes",
    "pixel-exact": "the 8-bit pixels agree, the tensors do not",
    "within-tolerance": "the tolerance profile holds, the pixels differ",
    "diverged": "an output is further away than the tolerance profile allows",
    "not-comparable": "an output is missing, extra, empty or of another shape",
}


def to_printable(value: Any, *, limit: int = 100) -> str:
    """Give a value as one short line without control characters.

    >>> to_printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    if isinstance(value, dict) and set(value) == {"unavailable"}:
        value = f"unavailable: {value['unavailable']}"
    if isinstance(value, Unavailable):
        value = f"unavailable: {value.unavailable}"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return text if len(text) <= limit else f"{text[: limit - 20]}…{text[-19:]}"


def shorten_digest(digest: str) -> str:
    """Give the first 12 digits of a digest, enough to tell a few apart."""
    return digest[:12]


# --- MLflow's run page --------------------------------------------------------------------------------------------


def render_description(record: RunRecord, *, run_id: str, comparison: Comparison | None = None) -> str:
    """Render the Markdown of MLflow's run page. It is folded after a few lines there: the verdict goes first."""
    lines = []
    if comparison is not None:
        lines += [
            f"**{comparison.verdict}**: {MEANING[comparison.verdict]}. A replay of record `{record.replay_of}`.",
            "",
        ]
        if comparison.divergence:
            lines += [f"First divergence: {comparison.divergence.text}.", ""]
    elif record.status != "finished":
        lines += [f"**{record.status}**: `{to_printable(record.error or '', limit=300)}`", ""]
    else:
        lines += [f"Replay: `repro-track replay {run_id}`", ""]
    if any(output.kind == "image" for output in record.outputs):
        lines += [f"![pictures](get-artifact?path={PREVIEW_NAME}&run_uuid={run_id})", ""]
    if record.outputs:
        lines += ["| output | tensor | pixels | file |", "|---|---|---|---|"]
        for output in record.outputs[:16]:
            digests = (output.sha256, output.pixels_sha256, output.file_sha256)
            lines.append(
                f"| {output.name} | " + " | ".join(f"`{shorten_digest(one)}`" if one else "-" for one in digests) + " |"
            )
        lines.append("")
    lines += [f"- {sentence}" for sentence in list_caveats(record)]
    return "\n".join(lines)


def list_caveats(record: RunRecord) -> list[str]:
    """Say in sentences what may keep this run from coming out again, and what is proven about its randomness."""
    caveats = []
    if record.seeds.closed:
        caveats.append("Seed-closed: every random draw came from a recorded generator.")
    else:
        moved = ", ".join(one.name for one in record.seeds.global_generators if one.moved)
        caveats.append(
            f"Not seed-closed: something drew from the global generator of {moved}. It was seeded and recorded."
        )
    caveats += [f"Not replayable: {to_printable(reason, limit=300)}." for reason in record.replayable.reasons]
    bound = {one.device for one in record.seeds.generators if not one.device.startswith("cpu")}
    if bound:
        caveats.append(f"The noise is bound to the device: a generator on {', '.join(sorted(bound))}.")
    if record.source.dirty:
        caveats.append("The source had changes that are not committed; they are under source/.")
    return caveats


# --- HTML ---------------------------------------------------------------------------------------------------------


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
) -> str:
    """Render a replay: the verdict, the pictures side by side, where the runs part, what differs."""
    return (
        _environment()
        .get_template("replay.html")
        .render(
            expected=expected,
            actual=actual,
            run_id=run_id,
            comparison=comparison,
            meaning=MEANING[comparison.verdict],
            caveats=list_caveats(actual),
            expected_pictures=_inline_pictures(expected, expected_folder) if expected_folder else {},
            actual_pictures=_inline_pictures(actual, actual_folder),
        )
    )


def _inline_pictures(record: RunRecord, folder: Path) -> dict[str, str]:
    """Give the pictures as data URLs by output name."""
    inlined = {}
    for output in record.outputs:
        if output.kind == "image" and output.file and (folder / output.file).is_file():
            content = base64.b64encode((folder / output.file).read_bytes()).decode("ascii")
            inlined[output.name] = f"data:image/png;base64,{content}"
    return inlined


def list_facts(record: RunRecord) -> list[tuple[str, str]]:
    """List the few facts about a run that a person looks for first: (name, value)."""
    environment, torch_build = record.environment, record.environment.torch
    facts = [
        ("status", record.status),
        ("created", record.created_at),
        ("seed", f"{record.seeds.root} ({record.seeds.origin})"),
    ]
    for call in record.calls:
        facts.append(("pipeline", f"{call.class_name} from {call.name_or_path}"))
        schedulers = [part.class_name for part in call.components if part.class_name.endswith("Scheduler")]
        facts += [("scheduler", name) for name in schedulers]
        weights = {weight.sha256: weight for part in call.components for weight in part.weights}
        facts += [("weights", f"{weight.path} {digest}") for digest, weight in weights.items()]
        if isinstance(call.trace.noise, str):
            facts.append(("noise", call.trace.noise))
        facts.append(("steps", str(len(call.trace.steps))))
    facts += [
        (
            "determinism",
            f"{record.numerics.policy}, {record.numerics.state.get('num_threads')} threads, {record.numerics.state.get('cpu_capability')}",
        ),
        (
            "machine",
            f"{to_printable(environment.machine.cpu_model)}, {environment.machine.system} {environment.machine.architecture}",
        ),
        ("torch", torch_build.version if not isinstance(torch_build, Unavailable) else to_printable(torch_build)),
    ]
    if not isinstance(torch_build, Unavailable):
        facts += [("GPU", f"{gpu.name}, compute capability {gpu.compute_capability}") for gpu in torch_build.gpus]
    commit = record.source.commit
    facts.append(("commit", to_printable(commit) + (" with changes" if record.source.dirty else "")))
    return facts


# --- terminal -----------------------------------------------------------------------------------------------------


def open_console() -> Console:
    """Open the console for everything that is not data: stderr."""
    from rich.console import Console

    is_terminal = sys.stderr.isatty()
    return Console(stderr=True, highlight=False, soft_wrap=True, width=None if is_terminal else 160)


def print_record(record: RunRecord, *, console: Console, link: str | None = None) -> None:
    """Print one run on one screen."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in list_facts(record):
        table.add_row(name, Text(to_printable(value, limit=200)))
    for output in record.outputs:
        table.add_row(output.name, Text(f"{output.dtype}{list(output.shape)} sha256 {output.sha256}"))
    for caveat in list_caveats(record):
        table.add_row("", Text(caveat))
    console.print(table)
    if link:
        console.print(Text(f"in MLflow's UI (repro-track ui): {link}"))


def print_comparison(comparison: Comparison, *, console: Console) -> None:
    """Print a verdict: each output, where the runs part, and what differs, most likely causes first."""
    from rich.text import Text

    style = (
        "bold green"
        if comparison.verdict == "bit-exact"
        else "bold yellow"
        if comparison.verdict != "diverged"
        else "bold red"
    )
    console.print(Text.assemble((comparison.verdict, style), f": {MEANING[comparison.verdict]}"))
    for output in comparison.outputs:
        line = f"  {to_printable(output.name)}: {output.verdict}"
        if output.distance:
            line += f", max {output.distance.max_abs:.3g}, mean {output.distance.mean_abs:.3g}, {output.distance.share_different:.1%} of the values"
        console.print(Text(line))
        for note in output.notes:
            console.print(Text(f"    {to_printable(note, limit=200)}"))
    if not comparison.outputs:
        console.print(Text("  neither run has an output: nothing could be compared"))
    if comparison.divergence:
        console.print(Text(f"  {comparison.divergence.text}"))
    print_differences(comparison.differences, console=console)


def print_differences(
    differences: Sequence[Difference], *, console: Console, title: str = "What differs, most likely causes first"
) -> None:
    """Print differences, a line each; nothing if there is none."""
    from rich.text import Text

    if not differences:
        return
    console.print(f"{title}:")
    for difference in differences[:30]:
        expected, actual = (to_printable(value, limit=60) for value in (difference.expected, difference.actual))
        place = to_printable(difference.place, limit=120)
        console.print(Text.assemble(f"  {difference.kind:<10}", (place, "bold"), f": {expected} -> {actual}"))
    if len(differences) > 30:
        console.print(f"  and {len(differences) - 30} more (--json gives all)")


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """Give a comparison as JSON data; NaN and infinity as strings, as in records."""

    def clean(value: Any) -> Any:
        if isinstance(value, float) and value - value != 0:
            return str(value)
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [clean(item) for item in value]
        return value

    return clean(asdict(comparison))
