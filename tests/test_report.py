"""Promises of report.py: everything is said, nothing hostile gets through, the page stands alone."""

import io
import re

from rich.console import Console

from repro_track import report
from repro_track.compare import Exact, Tolerance, compare_runs
from repro_track.record import Unavailable

HOSTILE = "<script>alert(1)</script>\x1b[31m'\"&"


def compare(left, right):
    return compare_runs(left, right, expected_exact=Exact(), actual_exact=Exact(), tolerance=Tolerance("t", {}, {}))


def test_the_page_of_a_run_stands_alone(make_record, artifacts, digits_run):
    """A run's page has its pictures inlined, its digests and the replay command; it has no script and loads nothing."""
    record = make_record()
    page = report.render_run_page(record, run_id=digits_run.run_id, folder=artifacts(digits_run.run_id))
    assert page.count("data:image/png;base64,") == 2
    assert record.outputs[0].sha256[:12] in page
    assert f"repro-track replay {digits_run.run_id}" in page
    assert "<script" not in page
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)


def test_hostile_text_is_shown_not_run(make_record, tmp_path):
    """HTML and terminal escapes in a name or a prompt come out as text."""
    record = make_record({"name": HOSTILE, "calls.0.arguments.prompt": HOSTILE})
    page = report.render_run_page(record, run_id="r", folder=tmp_path)
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page


def test_the_terminal_gets_no_escapes(make_record):
    """A hostile value is printed without its control characters."""
    screen = io.StringIO()
    console = Console(file=screen, width=200, color_system=None)
    record = make_record({"calls.0.name_or_path": HOSTILE})
    report.print_record(record, console=console)
    report.print_comparison(compare(make_record(), make_record({"calls.0.arguments.eta": HOSTILE})), console=console)
    assert "\x1b" not in screen.getvalue()
    assert "alert(1)" in screen.getvalue()


def test_markup_in_values_is_text(make_record):
    """What looks like rich's markup is printed as it is."""
    screen = io.StringIO()
    report.print_record(
        make_record({"calls.0.name_or_path": "[bold]x[/bold]"}), console=Console(file=screen, width=200)
    )
    assert "[bold]x[/bold]" in screen.getvalue()


def test_the_page_of_a_replay_says_verdict_and_differences(make_record, artifacts, digits_run):
    """A replay's page has the verdict, both pictures and the table of differences."""
    folder = artifacts(digits_run.run_id)
    left = make_record()
    right = make_record({"outputs.0.sha256": "0" * 64, "outputs.0.pixels_sha256": "0" * 64, "seeds.root": 4})
    page = report.render_replay_page(
        left, right, compare(left, right), run_id="r", expected_folder=folder, actual_folder=folder
    )
    assert "diverged" in page
    assert page.count("data:image/png;base64,") == 4
    assert "seeds.root" in page
    same = report.render_replay_page(
        left, left, compare(left, left), run_id="r", expected_folder=folder, actual_folder=folder
    )
    assert "seeds.root" not in same
    assert "bit-exact" in same


def test_the_description_begins_with_the_verdict(make_record):
    """MLflow folds the description after a few lines: the verdict or the replay command goes first."""
    record = make_record()
    assert report.render_description(record, run_id="abc").startswith("Replay: `repro-track replay abc`")
    verdict = report.render_description(record, run_id="abc", comparison=compare(record, record))
    assert verdict.startswith("**bit-exact**")
    failed = make_record({"status": "failed", "error": "boom"})
    assert report.render_description(failed, run_id="abc").startswith("**failed**: `boom`")


def test_caveats_are_said(make_record):
    """A run that is not seed-closed or not replayable says so with the reason; one that is says that."""
    assert report.list_caveats(make_record())[0].startswith("Seed-closed")
    moved = make_record({"seeds.closed": False, "seeds.global_generators.2.moved": True})
    assert "global generator of torch" in report.list_caveats(moved)[0]
    refused = make_record({"replayable": {"yes": False, "reasons": ["the mesh cannot be kept"]}})
    assert any("the mesh cannot be kept" in caveat for caveat in report.list_caveats(refused))


def test_values_are_shortened_and_printable():
    """Long values keep both ends, unavailable ones their reason, control characters their code."""
    assert report.to_printable("x" * 500).count("x") < 100
    assert report.to_printable(Unavailable(unavailable="no git")) == "unavailable: no git"
    assert report.to_printable({"unavailable": "no git"}) == "unavailable: no git"
    assert report.to_printable("a\nb\x07") == "a\\nb\\x07"


def test_json_of_a_comparison_is_json(make_record):
    """NaN and infinity become strings, so that any JSON reader takes the result."""
    import json

    data = report.comparison_to_json(compare(make_record(), make_record()))
    assert json.loads(json.dumps(data, allow_nan=False))["verdict"] == "bit-exact"
