"""Records and comparisons on the terminal, on stderr: stdout is for data.

It never sends a control character to the terminal.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from repro_track.compare.comparison import Comparison
from repro_track.compare.differences import Difference
from repro_track.compare.findings import Findings, Trial
from repro_track.record.schema import RunRecord
from repro_track.record.seeds import list_image_seeds
from repro_track.report.text import (
    MEANING,
    fold_consequences,
    list_caveats,
    list_distances,
    list_effects,
    list_facts,
    list_findings,
    shorten,
    to_printable,
)

if TYPE_CHECKING:
    from rich.console import Console


_MOST_SHOWN = 8  # outputs of a run on one screen


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
    seeds = list_image_seeds(record)
    for output in record.outputs[:_MOST_SHOWN]:
        words = f"{output.dtype}{list(output.shape)} sha256 {output.sha256}"
        words += f" seed {seeds[output.name]}" if output.name in seeds else ""
        table.add_row(to_printable(output.name), Text(words))
    if len(record.outputs) > _MOST_SHOWN:
        table.add_row("", f"and {len(record.outputs) - _MOST_SHOWN} more outputs (--json gives all)")
    for caveat in list_caveats(record):
        table.add_row("", Text(caveat))
    console.print(table)
    if link:
        console.print(Text(f"in MLflow's UI (repro-track ui): {link}"))


def print_table(names: Sequence[str], rows: Sequence[Sequence[str]], *, console: Console, limit: int = 120) -> None:
    """Print rows of short texts, under their names if there are any."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(names))
    for name in names:
        table.add_column(name)
    for row in rows:
        table.add_row(*_escape([to_printable(cell, limit=limit) for cell in row]))
    console.print(table)


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
    if comparison.outputs:
        console.print(_make_outputs_table(comparison))
    else:
        console.print(Text("  neither run has an output: nothing could be compared"))
    for output in comparison.outputs:
        for note in output.notes:
            console.print(Text(f"  {to_printable(output.name)}: {to_printable(note, limit=200)}"))
    if comparison.divergence:
        console.print(Text(f"  {comparison.divergence.text}"))
    print_differences(comparison.differences, console=console)


def print_diff(comparison: Comparison, *, console: Console) -> None:
    """Print only what differs between two runs: causes, most likely ones first, then what came of it."""
    from rich.text import Text

    effects = list_effects(comparison)
    if not comparison.differences and not effects:
        console.print("The runs agree: every output is the same to the bit, and so is what could change it.")
        return
    print_differences(comparison.differences, console=console)
    for note in comparison.notes:
        console.print(to_printable(note, limit=300), markup=False)
    if not comparison.differences:
        console.print("Nothing differs that could change a result.")
    if not effects:
        console.print("All the same, every output is equal to the bit.")
        return
    console.print("What came of it:")
    for what, how in effects[:20]:
        console.print(Text.assemble("  ", (to_printable(what), "bold"), "  ", to_printable(how, limit=200)))
    if len(effects) > 20:
        console.print(f"  and {len(effects) - 20} more (--json gives all)")


def _make_outputs_table(comparison: Comparison) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2))
    rows = [*comparison.outputs, *comparison.latents]
    names = ["output", "verdict"]
    if any(row.distance for row in rows):
        names += ["max", "mean", "PSNR dB", "SSIM", "values", "pixels"]
    for name in names:
        table.add_column(name)
    for row in rows:
        name = to_printable(row.name) if row in comparison.outputs else f"{row.name} latents"
        table.add_row(*_escape([name, row.verdict, *list_distances(row)][: len(names)]))
    return table


def _escape(cells: Sequence[str]) -> list[Any]:
    from rich.text import Text

    return [Text(cell) for cell in cells]


_KIND_STYLES = {
    **dict.fromkeys(("seed", "weights", "call", "pipeline"), "bold red"),
    **dict.fromkeys(("numerics", "machine", "libraries"), "yellow"),
}
"""By how surely a difference changes bits."""


def print_differences(
    differences: Sequence[Difference], *, console: Console, title: str = "What differs, most likely causes first"
) -> None:
    """Print differences as a table, a row each; nothing if there is none."""
    from rich.table import Table

    if not differences:
        return
    console.print(f"{title}:")
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 2))
    shown = fold_consequences(differences)
    for difference in shown[:30]:
        expected, actual = (shorten(value) for value in (difference.expected, difference.actual))
        kind, place, change = _escape(
            [difference.kind, to_printable(difference.place, limit=120), f"{expected} -> {actual}"]
        )
        kind.stylize(_KIND_STYLES.get(difference.kind, "dim"))
        table.add_row(kind, place, change)
    console.print(table)
    if len(shown[:30]) < len(differences):
        console.print(f"  and {len(differences) - len(shown[:30])} more (--json gives all)")


def print_findings(findings: Findings, *, console: Console) -> None:
    """Print what was found beyond the comparison."""
    from rich.text import Text

    for sentence in list_findings(findings):
        console.print(Text(f"  {to_printable(sentence, limit=1000)}"))
    explanation = findings.explanation
    if explanation and explanation.possible:
        shown = ", ".join(to_printable(one) for one in explanation.possible[:12])
        console.print(Text(f"  possible, not shown to matter: {shown}"))


def print_trial(trial: Trial, *, console: Console) -> None:
    """Print one trial of `--explain` as it ends."""
    from rich.text import Text

    current = ", ".join(trial.current) or "nothing"
    outcome = trial.verdict or f"could not be run: {to_printable(trial.error or '', limit=200)}"
    console.print(Text(f"  as now: {to_printable(current, limit=160)}; the rest restored: {outcome}"))


@contextlib.contextmanager
def shown_progress(console: Console, what: str, *, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar while something is done step by step, on a terminal only; return what advances it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
