"""Promises of typed.py: data becomes a config as it is, or it is said what is wrong and where."""

import math

import pytest

from repro_track.config.schema import AdapterConfig, RunConfig, StageConfig
from repro_track.config.typed import make_typed
from repro_track.errors import UsageError
from tests.unit.config.texts import TEXTS


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text)[:20])
def test_text_is_left_as_it_is(text):
    """In an open place and in one for text; no interpolation is resolved, and `???` is no missing value."""
    data = {"name": text, "call": {"prompt": text, "deep": [{text: text}]}, "pipeline": {"revision": text}}
    config = make_typed(RunConfig, data)
    assert (config.name, config.call, config.pipeline.revision) == (text, data["call"], text)


def test_what_is_not_given_has_its_default():
    """An old record may lack a key that came later."""
    assert make_typed(RunConfig, {"seed": 3}) == RunConfig(seed=3)
    assert make_typed(StageConfig, {"take": {"image": "images"}}).take == {"image": "images"}


def test_a_value_takes_the_type_of_its_key():
    """As Hydra does it: a whole number is text where text is wanted, and a number whatever its form where one is."""
    config = make_typed(RunConfig, {"num_images": "2", "pipeline": {"revision": 1234567}, "seeds": [1, 2.0]})
    assert (config.num_images, config.pipeline.revision, config.seeds) == (2, "1234567", [1, 2])
    assert make_typed(AdapterConfig, {"scale": 1}).scale == 1.0
    assert math.isinf(make_typed(AdapterConfig, {"scale": "inf"}).scale)


@pytest.mark.parametrize(
    ("data", "found", "expected"),
    [
        ({"seed": "three"}, "seed is 'three'", "a whole number, or null"),
        ({"seed": 1.5}, "seed is 1.5", "a whole number"),
        ({"num_images": [1, 2]}, r"num_images is \[1, 2\]", "a whole number"),
        ({"num_images": None}, "num_images is None", "a whole number"),
        ({"num_images": True}, "num_images is True", "a whole number"),
        ({"seeds": 3}, "seeds is 3", "a list, each a whole number"),
        ({"seeds": [1, "x"]}, r"seeds\[1\] is 'x'", "a whole number"),
        ({"name": ["a"]}, r"name is \['a'\]", "text"),
        ({"source": {"bundle": "maybe"}}, "source.bundle is 'maybe'", "true or false"),
        ({"call": [1]}, r"call is \[1\]", "keys"),
        ({"call": {1: 2}}, "call is {1: 2}", "keys that are text"),
        ({"tolerance": {"rtol": {"float32": "x"}}}, "tolerance.rtol.float32", "a number"),
        ({"pipeline": "digits"}, "pipeline is 'digits'", "keys of it are class_name"),
        ({"sead": 1}, "sead is no key", "keys of it are seed"),
        ({"pipeline": {"pth": 1}}, "pipeline.pth is no key", "path"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_said_with_its_place(data, found, expected):
    """An unknown key, a list where a number is expected: one message with what was found and what was expected."""
    with pytest.raises(UsageError, match=found) as refused:
        make_typed(RunConfig, data)
    assert expected in refused.value.expected
