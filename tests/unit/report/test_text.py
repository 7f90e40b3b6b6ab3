"""Promises of text.py: values are short and printable, caveats are said, JSON is JSON."""

from repro_track.record.schema import Unavailable
from repro_track.report.text import comparison_to_json, list_caveats, list_draws, to_printable
from tests.unit.report.comparisons import compare


def test_caveats_are_said(make_record):
    """A run that is not seed-closed or not replayable says so with the reason; one that is says that."""
    assert list_caveats(make_record())[0].startswith("Seed-closed")
    moved = make_record({"seeds.closed": False, "seeds.global_generators.2.moved": True})
    assert "global generator of torch" in list_caveats(moved)[0]
    assert "A replay names the lines" not in list_caveats(moved)[0]
    drew = make_record(
        {
            "seeds.closed": False,
            "seeds.global_generators.2.moved": True,
            "seeds.global_generators.2.drawn_at": ["call 0", "a/b.py:3 in f"],
        }
    )
    assert "A replay names the lines" in list_caveats(drew)[0]
    assert list_draws(drew) == ["the global generator of torch was drawn from at a/b.py:3 in f"]
    half = make_record({"calls.0.trace.noise_dtype": "float16"})
    assert any("The noise was drawn in float16" in caveat for caveat in list_caveats(half))
    rounded = make_record({"calls.0.trace.noise_dtype": "float16", "calls.0.noise": "float32"})
    assert not any("The noise was drawn" in caveat for caveat in list_caveats(rounded))
    between = make_record({"seeds.global_generators.2.moved": True})
    assert "between the calls" in list_caveats(between)[1]
    refused = make_record({"replayable": {"yes": False, "reasons": ["the mesh cannot be kept"]}})
    assert any("the mesh cannot be kept" in caveat for caveat in list_caveats(refused))
    warned = make_record({"cautions": ["The order of a set is random."]})
    assert "The order of a set is random." in list_caveats(warned)
    assert "The order of a set is random." not in list_caveats(make_record())


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
