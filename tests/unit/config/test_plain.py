"""Promises of plain.py: a config is the same after JSON, and after YAML whoever reads it."""

import datetime
import enum
import json
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from omegaconf._utils import get_yaml_loader

from repro_track.config.plain import decode_config, encode_config, render_yaml
from tests.unit.config.texts import AMBIGUOUS, to_exact, trees


@given(trees)
def test_every_value_comes_back_from_json(value):
    """Whatever a config can hold is the same after JSON and back: kinds, keys, order, infinities, halves of letters."""
    assert to_exact(decode_config(json.loads(json.dumps(encode_config(value), allow_nan=False)))) == to_exact(value)


def test_the_kinds_are_told_apart():
    """The text of a number is not the number, and 1 is not true: otherwise the promise above would be an easy one."""
    values = ["1", 1, True, 1.0, "true", "NaN", math.nan, "repro_track:NaN", {1: 0}, {"1": 0}, {True: 0}]
    assert len({json.dumps(encode_config(value)) for value in values}) == len(values)
    assert len({str(to_exact(decode_config(encode_config(value)))) for value in values}) == len(values)


@given(trees)
@example("\x85")
@example({"a\u2028b": "\u2029 \ufeff"})
def test_every_reader_of_yaml_reads_the_same(value):
    """PyYAML, and Hydra's own reader that takes 1e5 for a number, read the same values."""
    text = render_yaml({"value": value})
    for loader in (yaml.SafeLoader, get_yaml_loader()):
        assert to_exact(yaml.load(text, Loader=loader)["value"]) == to_exact(value)


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_no_text_stands_bare_that_some_reader_would_take_for_something_else(text):
    """What is a number, a date or a truth value in any version of YAML is in quotes; a plain word is not."""
    assert render_yaml([text]) == f"- '{text}'\n"
    assert render_yaml({"prompt": "a cat"}) == "prompt: a cat\n"


def test_what_is_no_data_becomes_text():
    """Paths, dates and members of an enumeration are what they say; any other object is its class and content."""

    class Colour(enum.Enum):
        RED = 1

    given_values = {
        "path": Path("/a"),
        "day": datetime.date(2026, 1, 1),
        "colour": Colour.RED,
        "bytes": b"a",
        "pair": (1, 2),
    }
    assert encode_config(given_values) == {
        "path": "/a",
        "day": "2026-01-01",
        "colour": "RED",
        "bytes": "b'a'",
        "pair": [1, 2],
    }


def test_a_record_of_before_is_read_as_it_is():
    """Text that happens to begin as our mark does, and is no JSON behind it, is that text."""
    assert decode_config({"prompt": "repro_track: a tool", "x": "repro_track:[1]"}) == {
        "prompt": "repro_track: a tool",
        "x": "repro_track:[1]",
    }
