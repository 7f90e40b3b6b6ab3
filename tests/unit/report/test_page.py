"""Promises of page.py: everything is said, nothing hostile gets through, the page stands alone."""

import dataclasses
import re

import numpy as np
import pytest

from repro_track.media.picture import write_picture
from repro_track.report.page import render_replay_page, render_run_page
from tests.unit.report.comparisons import HOSTILE, compare, make_diverged


@pytest.fixture
def pictures(make_record, tmp_path):
    """A run's folder with a picture for each output of the kept record."""
    for index, output in enumerate(make_record().outputs):
        path = tmp_path / output.file
        path.parent.mkdir(exist_ok=True)
        write_picture(np.full((8, 8, 1), 100 * index, np.uint8), path, record_id="r", pixels_sha256="d")
    return tmp_path


def test_the_page_of_a_run_stands_alone(make_record, pictures):
    """A run's page has its pictures inlined, its digests and the replay command; it has no script and loads nothing."""
    record = make_record()
    page = render_run_page(record, run_id="r" * 32, folder=pictures)
    assert page.count("data:image/png;base64,") == 2
    assert record.outputs[0].sha256[:12] in page
    assert f"repro-track replay {'r' * 32}" in page
    assert "<script" not in page
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)


def test_hostile_text_is_shown_not_run(make_record, tmp_path):
    """HTML and terminal escapes in a name or a prompt come out as text."""
    record = make_record({"name": HOSTILE, "calls.0.arguments.prompt": HOSTILE})
    page = render_run_page(record, run_id="r", folder=tmp_path)
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page


def test_the_page_of_a_replay_says_verdict_and_differences(make_record, pictures):
    """A replay's page has the verdict, both pictures and the table of differences."""
    left = make_record()
    right = make_record({"outputs.0.sha256": "0" * 64, "outputs.0.pixels_sha256": "0" * 64, "seeds.root": 4})
    page = render_replay_page(
        left, right, compare(left, right), run_id="r", expected_folder=pictures, actual_folder=pictures
    )
    assert "diverged" in page
    assert page.count("data:image/png;base64,") == 4
    assert "seeds.root" in page
    same = render_replay_page(
        left, left, compare(left, left), run_id="r", expected_folder=pictures, actual_folder=pictures
    )
    assert "seeds.root" not in same
    assert "bit-exact" in same


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
