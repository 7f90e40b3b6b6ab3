"""Promises of reading.py: a record survives the way through JSON, old ones are read for ever, bad ones are named."""

import json
import math
from pathlib import Path

import pytest

from repro_track.errors import RecordError
from repro_track.record.reading import parse_record, read_record, render_record
from repro_track.record.schema import SCHEMA_VERSION, Unavailable

KEPT = sorted((Path(__file__).parents[2] / "data" / "records").glob("*.json"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_every_released_schema_is_read(path):
    """A record of each schema version that was ever released is read, and written as the newest."""
    record = read_record(path)
    assert json.loads(render_record(record))["schema_version"] == SCHEMA_VERSION


def test_a_record_of_the_present_schema_is_kept():
    """The folder of kept records has one of the present schema: nobody can change it without noticing."""
    assert any(json.loads(path.read_text())["schema_version"] == SCHEMA_VERSION for path in KEPT)


def test_json_and_back_is_equal(make_record):
    """A record is equal after JSON and back; one with another seed is not."""
    record = make_record()
    assert parse_record(render_record(record), origin="itself") == record
    assert parse_record(render_record(make_record({"seeds.root": 4})), origin="another") != record


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_survive(make_record, value):
    """NaN and infinities come back as they were, not as null."""
    record = make_record()
    output = record.outputs[0].model_copy(update={"abs_sum": value})
    record = record.model_copy(update={"outputs": (output,)})
    back = parse_record(render_record(record), origin="itself").outputs[0].abs_sum
    assert math.isnan(back) if math.isnan(value) else back == value


def test_unavailable_survives(make_record):
    """What could not be read comes back as the reason, not as null or as a dict."""
    record = make_record({"source.commit": {"unavailable": "no git"}})
    assert record.source.commit == Unavailable(unavailable="no git")


def test_a_newer_schema_is_named(make_record):
    """A record of a newer schema is refused with both versions and what to do."""
    data = json.loads(render_record(make_record())) | {"schema_version": SCHEMA_VERSION + 1}
    with pytest.raises(RecordError) as caught:
        parse_record(json.dumps(data), origin="x")
    assert str(SCHEMA_VERSION + 1) in caught.value.found
    assert "upgrade" in caught.value.advice


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": "x"}', "not json", '{"schema_version": 1}'])
def test_what_is_no_record_is_refused(text):
    """Anything that is not a whole record is refused with one message."""
    with pytest.raises(RecordError):
        parse_record(text, origin="x")


def test_half_of_a_letter_survives(make_record):
    """A prompt that is no UTF-8 (half of a pair of surrogates) is written and read as it was, with what else JSON
    lacks; the file is UTF-8 all the same."""
    call = make_record().calls[0].model_copy(update={"arguments": {"prompt": "a \ud800", "scale": math.inf}})
    record = make_record().model_copy(update={"calls": (call,), "name": "half \udfff"})
    text = render_record(record).encode("utf-8")
    back = parse_record(text, origin="itself")
    assert (back.name, back.calls[0].arguments) == ("half \udfff", {"prompt": "a \ud800", "scale": "Infinity"})
    json.loads(text, parse_constant=pytest.fail)


def test_the_seeds_of_an_older_record_are_those_of_its_generators(make_record):
    """Before schema 4 the seeds of a caller's own generators stood at the generators alone."""
    data = json.loads(render_record(make_record({"seeds.images": [1]})))
    older = parse_record(json.dumps({**data, "schema_version": 3}), origin="an older record")
    assert older.seeds.images == (3, 4)
