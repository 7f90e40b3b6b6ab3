"""Promises of markdown.py: MLflow's descriptions begin with what matters, fit, and show values as text."""

import dataclasses

from repro_track.report.markdown import render_description, render_sweep_description
from tests.unit.report.comparisons import compare


def test_the_description_begins_with_the_verdict(make_record):
    """MLflow folds the description after a few lines: the verdict or the replay command goes first."""
    record = make_record()
    assert render_description(record, run_id="abc").startswith("Replay: `repro-track replay abc`")
    verdict = render_description(record, run_id="abc", comparison=compare(record, record))
    assert verdict.startswith("**bit-exact**")
    failed = make_record({"status": "failed", "error": "boom"})
    assert render_description(failed, run_id="abc").startswith("**failed**: `boom`")


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
