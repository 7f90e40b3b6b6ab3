"""Promises of terminal.py: a screen has what a person asks for, and no character of anybody else's choosing."""

import io

from rich.console import Console

from repro_track.report.terminal import print_comparison, print_diff, print_findings, print_record
from repro_track.report.text import fold_consequences
from tests.unit.report.comparisons import HOSTILE, compare, make_diverged


def test_the_terminal_gets_no_escapes(make_record):
    """A hostile value is printed without its control characters."""
    screen = io.StringIO()
    console = Console(file=screen, width=200, color_system=None)
    record = make_record({"calls.0.name_or_path": HOSTILE})
    print_record(record, console=console)
    print_comparison(compare(make_record(), make_record({"calls.0.arguments.eta": HOSTILE})), console=console)
    assert "\x1b" not in screen.getvalue()
    assert "alert(1)" in screen.getvalue()


def test_markup_in_values_is_text(make_record):
    """What looks like rich's markup is printed as it is."""
    screen = io.StringIO()
    print_record(make_record({"calls.0.name_or_path": "[bold]x[/bold]"}), console=Console(file=screen, width=200))
    assert "[bold]x[/bold]" in screen.getvalue()


def test_the_terminal_shows_distances_and_findings(make_record):
    """The terminal's table has the distances and similarity; findings are a sentence each, without control
    characters."""
    from repro_track.compare.findings import Findings, Leak

    _, _, comparison, _ = make_diverged(make_record)
    screen = io.StringIO()
    console = Console(file=screen, width=200, color_system=None)
    print_comparison(comparison, console=console)
    print_findings(Findings(leak=Leak(False, HOSTILE)), console=console)
    text = screen.getvalue()
    for word in ("SSIM", "0.25", "1.6%", "alert(1)"):
        assert word in text
    assert "\x1b" not in text


def test_diff_folds_what_follows_from_the_seed(make_record):
    """Of another seed one line is shown, not every generator's; without another seed a generator's state is shown."""
    left = make_record()
    other = make_record(
        {"seeds.root": 9, "seeds.images.0": 9, "seeds.generators.0.initial_seed": 9, "config.resolved.seed": 9}
    )
    stream = io.StringIO()
    print_diff(compare(left, other), console=Console(file=stream, width=200))
    assert "seeds.root" in stream.getvalue()
    assert "initial_seed" not in stream.getvalue()
    assert "and 3 more" in stream.getvalue()
    alone = compare(left, make_record({"seeds.generators.0.initial_seed": 9})).differences
    assert [one.place for one in fold_consequences(alone)] == [one.place for one in alone]


def test_diff_says_what_two_records_mean_together(make_record):
    """Of two runs whose noise was drawn in two precisions `diff` says that one seed is two pictures; of two that drew
    in one it does not."""
    half, wide = (
        make_record({"calls.0.trace.noise_dtype": dtype, "config.resolved.dtype": dtype})
        for dtype in ("float16", "float32")
    )
    seeded = half.model_copy(update={"seeds": half.seeds.model_copy(update={"root": 9})})
    for other, is_said in ((wide, True), (seeded, False)):
        stream = io.StringIO()
        print_diff(compare(half, other), console=Console(file=stream, width=300))
        assert ("one seed is two pictures" in stream.getvalue()) == is_said


def test_diff_shortens_digests(make_record):
    """A digest is shown by its first digits, also where only its end differs from the other's."""
    left, digest = make_record(), "ab" * 32
    stream = io.StringIO()
    changed = make_record({"source.changes": {"staged": digest}})
    print_diff(compare(left, changed), console=Console(file=stream, width=200))
    assert digest[:12] in stream.getvalue()
    assert digest not in stream.getvalue()


def test_show_stays_on_one_screen(make_record):
    """A run of a hundred images takes forty lines, and says how many outputs it does not show."""
    left = make_record()
    many = left.model_copy(update={"outputs": left.outputs[:1] * 100})
    stream = io.StringIO()
    print_record(many, console=Console(file=stream, width=160))
    assert len(stream.getvalue().splitlines()) <= 40
    assert "and 92 more outputs" in stream.getvalue()
