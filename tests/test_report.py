"""Promises of report.py: everything is said, nothing hostile gets through, the page stands alone."""

import dataclasses
import io
import re

from rich.console import Console

from repro_track.compare.comparison import compare_runs
from repro_track.compare.outputs import Exact
from repro_track.compare.verdict import Tolerance
from repro_track.record.schema import Unavailable
from repro_track.report.markdown import render_description, render_sweep_description
from repro_track.report.page import render_replay_page, render_run_page
from repro_track.report.plots import make_heat_maps
from repro_track.report.terminal import print_comparison, print_diff, print_findings, print_record
from repro_track.report.text import comparison_to_json, fold_consequences, list_caveats, to_printable

HOSTILE = "<script>alert(1)</script>\x1b[31m'\"&"


def compare(left, right):
    return compare_runs(left, right, expected_exact=Exact(), actual_exact=Exact(), tolerance=Tolerance("t", {}, {}))


def test_the_page_of_a_run_stands_alone(make_record, artifacts, digits_run):
    """A run's page has its pictures inlined, its digests and the replay command; it has no script and loads nothing."""
    record = make_record()
    page = render_run_page(record, run_id=digits_run.run_id, folder=artifacts(digits_run.run_id))
    assert page.count("data:image/png;base64,") == 2
    assert record.outputs[0].sha256[:12] in page
    assert f"repro-track replay {digits_run.run_id}" in page
    assert "<script" not in page
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)


def test_hostile_text_is_shown_not_run(make_record, tmp_path):
    """HTML and terminal escapes in a name or a prompt come out as text."""
    record = make_record({"name": HOSTILE, "calls.0.arguments.prompt": HOSTILE})
    page = render_run_page(record, run_id="r", folder=tmp_path)
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page


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


def test_the_page_of_a_replay_says_verdict_and_differences(make_record, artifacts, digits_run):
    """A replay's page has the verdict, both pictures and the table of differences."""
    folder = artifacts(digits_run.run_id)
    left = make_record()
    right = make_record({"outputs.0.sha256": "0" * 64, "outputs.0.pixels_sha256": "0" * 64, "seeds.root": 4})
    page = render_replay_page(
        left, right, compare(left, right), run_id="r", expected_folder=folder, actual_folder=folder
    )
    assert "diverged" in page
    assert page.count("data:image/png;base64,") == 4
    assert "seeds.root" in page
    same = render_replay_page(left, left, compare(left, left), run_id="r", expected_folder=folder, actual_folder=folder)
    assert "seeds.root" not in same
    assert "bit-exact" in same


def test_the_description_begins_with_the_verdict(make_record):
    """MLflow folds the description after a few lines: the verdict or the replay command goes first."""
    record = make_record()
    assert render_description(record, run_id="abc").startswith("Replay: `repro-track replay abc`")
    verdict = render_description(record, run_id="abc", comparison=compare(record, record))
    assert verdict.startswith("**bit-exact**")
    failed = make_record({"status": "failed", "error": "boom"})
    assert render_description(failed, run_id="abc").startswith("**failed**: `boom`")


def test_caveats_are_said(make_record):
    """A run that is not seed-closed or not replayable says so with the reason; one that is says that."""
    assert list_caveats(make_record())[0].startswith("Seed-closed")
    moved = make_record({"seeds.closed": False, "seeds.global_generators.2.moved": True})
    assert "global generator of torch" in list_caveats(moved)[0]
    refused = make_record({"replayable": {"yes": False, "reasons": ["the mesh cannot be kept"]}})
    assert any("the mesh cannot be kept" in caveat for caveat in list_caveats(refused))


def test_values_are_shortened_and_printable():
    """Long values keep both ends, unavailable ones their reason, control characters their code."""
    assert to_printable("x" * 500).count("x") < 100
    assert to_printable(Unavailable(unavailable="no git")) == "unavailable: no git"
    assert to_printable({"unavailable": "no git"}) == "unavailable: no git"
    assert to_printable("a\nb\x07") == "a\\nb\\x07"


def test_json_of_a_comparison_is_json(make_record):
    """NaN and infinity become strings, so that any JSON reader takes the result."""
    import json

    data = comparison_to_json(compare(make_record(), make_record()))
    assert json.loads(json.dumps(data, allow_nan=False))["verdict"] == "bit-exact"


def make_diverged(make_record):
    """Make a comparison of two pictures, with all that a report can show of it."""
    import numpy as np

    from repro_track.tensors.host import to_host

    picture = np.zeros((8, 8, 1), dtype="float32")
    other = picture.copy()
    other[2, 3, 0] = 0.25
    expected = make_record()
    actual = make_record(
        {"outputs.0.sha256": "0" * 64, "outputs.0.pixels_sha256": "0" * 64, "calls.0.trace.steps.1.latents": "0" * 64}
    )
    exact = (Exact({"images.0": to_host(picture)}), Exact({"images.0": to_host(other)}))
    comparison = compare_runs(
        expected, actual, expected_exact=exact[0], actual_exact=exact[1], tolerance=Tolerance("t", {}, {})
    )
    return expected, actual, comparison, exact


def test_a_report_has_heat_map_plot_and_causes(make_record, tmp_path):
    """A diverged replay's page shows where the pictures differ and by how much, the steps by their bits, and which
    difference is proven and which possible; a bit-exact one's has no heat map."""
    from repro_track.compare.differences import make_difference
    from repro_track.compare.findings import Explanation, Findings, Trial

    expected, actual, comparison, exact = make_diverged(make_record)
    differences = (
        make_difference("numerics.state.num_threads", 1, 2),
        make_difference("environment.packages.numpy.version", "1", HOSTILE),
        make_difference("calls.0.arguments.eta", 0.0, 1.0),
    )
    comparison = dataclasses.replace(comparison, differences=differences)
    trial = Trial(("numerics:threads",), "diverged", "r", None)
    explanation = Explanation(("numerics:threads",), True, ("env:numpy",), differences, (trial,), f"proven: {HOSTILE}")
    page = render_replay_page(
        expected,
        actual,
        comparison,
        run_id="r",
        expected_folder=None,
        actual_folder=tmp_path,
        findings=Findings(explanation=explanation),
        exact=exact,
    )
    assert "difference, brightest 0.25" in page
    assert page.count('class="equal"') == 3
    assert page.count('class="other"') == 1
    assert 'tr class="proven"' in page
    assert 'tr class="possible"' in page
    assert 'tr class="effect"' in page
    assert "<script" not in page
    assert "\x1b" not in page
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    same = render_replay_page(
        expected, expected, compare(expected, expected), run_id="r", expected_folder=None, actual_folder=tmp_path
    )
    assert "brightest" not in same
    assert 'class="other"' not in same


def test_the_brightest_point_of_a_heat_map_is_the_difference(make_record):
    """The heat map is bright exactly where the values differ, and dark elsewhere."""
    import base64

    import numpy as np
    from PIL import Image

    _, _, comparison, exact = make_diverged(make_record)
    url, brightest = make_heat_maps(comparison, exact)["images.0"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("L"))
    assert brightest == 0.25
    assert np.argwhere(pixels > 128).tolist() == [[2, 3]]


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


def test_markdown_of_a_record_is_text(make_record):
    """A module name that is Markdown for a remote picture is shown as it is on MLflow's run page."""
    from repro_track.compare.findings import Findings, Leak

    hostile = "![x](https://host.invalid/pixel.png)"
    comparison = compare(make_record(), make_record({"calls.0.trace.noise": "0" * 64}))
    comparison = dataclasses.replace(
        comparison, divergence=dataclasses.replace(comparison.divergence, text=f"first in {hostile}")
    )
    text = render_description(
        make_record(), run_id="r", comparison=comparison, findings=Findings(leak=Leak(False, hostile))
    )
    assert "![x]" not in text
    assert text.count("pixel.png") == 2


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


def test_hostile_overrides_stay_text_on_a_sweeps_page():
    """An override is anybody's text: in MLflow's Markdown it becomes neither a picture nor a link."""
    text = render_sweep_description(
        run_id="r", words="-m a=1", members=[("m" * 32, "a=![x](http://host/y.png)", "finished")]
    )
    assert "![x](" not in text
    assert "\\!\\[x\\]" in text


def test_a_large_sweep_fits_into_a_description():
    """MLflow cuts a description at 8000 characters without a word: a thousand members with long prompts stay below, and
    the number of those that are not listed is said."""
    members = [("m" * 32, f"seed={index} call.prompt={'a cat ' * 100}", "finished") for index in range(1000)]
    text = render_sweep_description(run_id="r" * 32, words="-m " + "x" * 5000, members=members)
    assert len(text) < 8000
    assert "and 950 more" in text
