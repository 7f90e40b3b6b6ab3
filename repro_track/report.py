"""A record or a comparison as text: for the terminal, for MLflow's run page, as one self-contained HTML page.

It never runs or loads anything, and treats every value as hostile: HTML is escaped by jinja2, control characters are
shown and not sent to the terminal.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repro_track.compare import Comparison, Difference, Exact, has_channels_first
from repro_track.factors import find_factor
from repro_track.findings import Explanation, Findings, Trial
from repro_track.record import PipelineCall, RunRecord, Unavailable

if TYPE_CHECKING:
    import jinja2
    from rich.console import Console

REPORT_NAME = "report.html"
PREVIEW_NAME = "preview.png"
SIDE_BY_SIDE_NAME = "side_by_side.png"
SHEET_NAME = "contact_sheet.png"
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
    if any(output.kind in ("image", "video") for output in record.outputs):
        lines += [f"![pictures](get-artifact?path={PREVIEW_NAME}&run_uuid={run_id})", ""]
    if record.outputs:
        lines += ["| output | tensor | pixels or samples | file |", "|---|---|---|---|"]
        for output in record.outputs[:16]:
            digests = (output.sha256, output.decoded_sha256, output.file_sha256)
            lines.append(
                f"| {output.name} | " + " | ".join(f"`{shorten_digest(one)}`" if one else "-" for one in digests) + " |"
            )
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


def list_caveats(record: RunRecord) -> list[str]:
    """Say in sentences what may keep this run from coming out again, and what is proven about its randomness."""
    caveats = []
    if record.seeds.closed:
        caveats.append("Seed-closed: every random draw came from a recorded generator.")
    else:
        for one in record.seeds.global_generators:
            if one.moved:
                places = to_printable(", ".join(one.drawn_at) or "something", limit=300)
                caveats.append(
                    f"Not seed-closed: the global generator of {one.name} was drawn from ({places}). It was seeded and recorded."
                )
    caveats += [f"Not replayable: {to_printable(reason, limit=300)}." for reason in record.replayable.reasons]
    bound = {one.device for one in record.seeds.generators if not one.device.startswith("cpu")}
    if bound:
        caveats.append(f"The noise is bound to the device: a generator on {', '.join(sorted(bound))}.")
    if record.source.dirty:
        caveats.append("The source had changes that are not committed; they are under source/.")
    return caveats


def _to_markdown(text: str) -> str:
    """Give a text so that Markdown shows it as it is: a name in a record must not become a link or a remote picture.

    >>> _to_markdown("![x](http://host)")
    '\\\\!\\\\[x\\\\]\\\\(http://host\\\\)'
    """
    return re.sub(r"([\\`*_{}\[\]()#!|<>~])", r"\\\1", to_printable(text, limit=1000))


def list_findings(findings: Findings) -> list[str]:
    """Say what was found beyond the comparison, a sentence each."""
    return [part.text for part in vars(findings).values() if part is not None]


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
            heat_maps=_make_heat_maps(comparison, exact) if exact else {},
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
    """Give the pictures as data URLs by output name."""
    inlined = {}
    for output in record.outputs:
        if output.kind == "image" and output.file and (folder / output.file).is_file():
            content = base64.b64encode((folder / output.file).read_bytes()).decode("ascii")
            inlined[output.name] = f"data:image/{Path(output.file).suffix[1:]};base64,{content}"
    return inlined


def name_cause(difference: Difference, explanation: Explanation | None) -> str:
    """Say whether a difference is a proven cause, a possible one, or an effect: it was there only while a proven cause
    was. Nothing where it was not looked into."""
    if explanation is None:
        return ""
    names = {difference.place, find_factor(difference.place)}
    return (
        "proven" if names & set(explanation.proven) else "possible" if names & set(explanation.possible) else "effect"
    )


_RAMP = np.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], dtype=np.float64)
"""Dark to bright, even in lightness, so that it can be read without seeing colours (after matplotlib's inferno)."""


def _make_heat_maps(comparison: Comparison, exact: tuple[Exact, Exact]) -> dict[str, tuple[str, float]]:
    """Give, by output name, a picture of where two pictures differ as a data URL, and the value of its brightest point."""
    maps = {}
    for output in comparison.outputs:
        left, right = (side.outputs.get(output.name) for side in exact)
        if output.distance is None or output.distance.ssim is None or left is None or right is None:
            continue
        gap = np.abs(left.to_numpy().astype(np.float64) - right.to_numpy().astype(np.float64))
        channels = 0 if has_channels_first(gap) else -1
        flat = np.nan_to_num(gap.max(axis=channels) if gap.ndim == 3 else gap, nan=np.inf)
        brightest = float(flat[np.isfinite(flat)].max(initial=0.0))
        shares = np.clip(flat / (brightest or 1.0), 0.0, 1.0)
        maps[output.name] = (_to_data_url(_colour(shares)), brightest)
    return maps


def _colour(shares: np.ndarray) -> np.ndarray:
    """Give 8-bit colours for values in [0, 1], shape (height, width, 3)."""
    stops = np.linspace(0.0, 1.0, len(_RAMP))
    return np.stack([np.interp(shares, stops, _RAMP[:, channel]) for channel in range(3)], axis=-1).astype(np.uint8)


def _to_data_url(pixels: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


@dataclass(frozen=True)
class PlotPoint:
    """One step in a plot: its place in the drawing, the largest difference of a statistic, whether all bits agree."""

    x: float
    y: float
    step: int
    gap: float
    is_equal: bool


@dataclass(frozen=True)
class Plot:
    """The steps of one call: height is the logarithm of how far the latents' mean, deviation or maximum are apart."""

    call: int
    points: tuple[PlotPoint, ...]
    ticks: tuple[tuple[float, str], ...]
    width: int = 640
    height: int = 180


_PLOT_LOWEST, _PLOT_HIGHEST = -9, 1  # powers of ten


def make_divergence_plot(expected: PipelineCall, actual: PipelineCall) -> Plot | None:
    """Make the plot of a call from what both records hold of every step; null where no step can be compared.

    Whether a step's latents are equal is told by their digest; how far apart they are, only by their statistics.
    """
    pairs = list(zip(expected.trace.steps, actual.trace.steps, strict=False))
    if not pairs:
        return None
    plot = Plot(expected.index, (), ())

    def to_y(gap: float) -> float:
        power = _PLOT_LOWEST if gap <= 0 else min(max(math.log10(gap), _PLOT_LOWEST), _PLOT_HIGHEST)
        return round(10 + (plot.height - 20) * (_PLOT_HIGHEST - power) / (_PLOT_HIGHEST - _PLOT_LOWEST), 1)

    points = []
    for number, (left, right) in enumerate(pairs):
        gaps = [abs(getattr(left, name) - getattr(right, name)) for name in ("mean", "std", "abs_max")]
        gap = max((one for one in gaps if math.isfinite(one)), default=math.inf)
        x = round(50 + (plot.width - 70) * number / max(len(pairs) - 1, 1), 1)
        points.append(PlotPoint(x, to_y(gap), left.index, gap, left.latents == right.latents))
    ticks = tuple((to_y(10.0**power), f"1e{power}") for power in range(_PLOT_LOWEST + 1, _PLOT_HIGHEST + 1, 2))
    return Plot(expected.index, tuple(points), ticks)


def list_facts(record: RunRecord) -> list[tuple[str, str]]:
    """List the few facts about a run that a person looks for first: (name, value)."""
    environment, torch_build = record.environment, record.environment.torch
    facts = [
        ("status", record.status),
        ("created", record.created_at),
        ("seed", f"{record.seeds.root} ({record.seeds.origin})"),
    ]
    for call in record.calls:
        stage = f"{call.stage}: " if call.stage else ""
        facts.append(("pipeline", f"{stage}{call.class_name} from {call.name_or_path}"))
        facts += [("scheduler", name) for name in call.schedulers]
        weights = {weight.sha256: weight for part in call.components for weight in part.weights}
        facts += [("weights", f"{weight.path} {digest}") for digest, weight in weights.items()]
        if isinstance(call.trace.noise, str):
            facts.append(("noise", call.trace.noise))
        facts.append(("steps", str(len(call.trace.steps))))
        facts += [("input", f"{part.name} {part.sha256}") for part in call.inputs]
        facts += [
            ("adapter", f"{adapter.name} ({adapter.kind}) in {part.name}, scale {', '.join(map(str, adapter.scales))}")
            for part in call.components
            for adapter in part.adapters
        ]
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
    for output in record.outputs[:_MOST_SHOWN]:
        table.add_row(to_printable(output.name), Text(f"{output.dtype}{list(output.shape)} sha256 {output.sha256}"))
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


def list_effects(comparison: Comparison) -> list[tuple[str, str]]:
    """List what the differences led to, in the order in which it happened: where the runs part, the latents and outputs
    that differ; (what, how)."""
    effects = [("first divergence", comparison.divergence.text)] if comparison.divergence else []
    for row in [*comparison.latents, *comparison.outputs]:
        if row.verdict == "bit-exact":
            continue
        name = row.name if row in comparison.outputs else f"{row.name} latents"
        words = [row.verdict, *row.notes]
        if row.distance:
            words.insert(1, f"max {row.distance.max_abs:.3g}, mean {row.distance.mean_abs:.3g}")
        effects.append((name, ", ".join(words)))
    return effects


def print_diff(comparison: Comparison, *, console: Console) -> None:
    """Print only what differs between two runs: causes, most likely ones first, then what came of it."""
    from rich.text import Text

    effects = list_effects(comparison)
    if not comparison.differences and not effects:
        console.print("The runs agree: every output is the same to the bit, and so is what could change it.")
        return
    print_differences(comparison.differences, console=console)
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


def list_distances(row: Any) -> list[str]:
    """Give the distances of one compared output as short texts: max, mean, PSNR, SSIM, shares of values and pixels."""
    distance = row.distance
    if distance is None:
        return ["-"] * 6
    shares = [distance.share_different, distance.share_of_pixels]
    return [
        f"{distance.max_abs:.3g}",
        f"{distance.mean_abs:.3g}",
        f"{distance.psnr_db:.1f}",
        "-" if distance.ssim is None else f"{distance.ssim:.4f}",
        *("-" if share is None else f"{share:.1%}" for share in shares),
    ]


def fold_consequences(differences: Sequence[Difference]) -> list[Difference]:
    """Leave out what only follows from another root seed: every generator's seed and state."""
    if not any(one.place == "seeds.root" for one in differences):
        return list(differences)
    follows = r"seeds\.(images\..*|.*initial_seed|.*state_before)|config\.resolved\.seed"
    return [one for one in differences if not re.fullmatch(follows, one.place)]


def _shorten(value: Any) -> str:
    """Give a value as a short text; a digest by its first digits."""
    is_digest = isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32,}", value)
    return f"{shorten_digest(value)}…" if is_digest else to_printable(value, limit=60)


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
        expected, actual = (_shorten(value) for value in (difference.expected, difference.actual))
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
    """Show a bar while something is done step by step, on a terminal only; gives what advances it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def comparison_to_json(comparison: Comparison, *, findings: Findings | None = None) -> dict[str, Any]:
    """Give a comparison, and what was looked into besides, as JSON data; NaN and infinity as strings, as in records."""

    def clean(value: Any) -> Any:
        if isinstance(value, float) and value - value != 0:
            return str(value)
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [clean(item) for item in value]
        return value

    return clean({**asdict(comparison), **(findings.to_json() if findings else {})})
