"""Promises of references.py: values that are an environment variable as a whole are known, and refer to it again."""

import pytest
from omegaconf import OmegaConf

from repro_track.config.references import list_references, put_references


@pytest.mark.parametrize("text", ["${oc.env:A_TOKEN}", "${oc.env: A_TOKEN }"])
def test_a_whole_value_is_a_reference(text):
    """At the top, in dicts, in lists."""
    config = OmegaConf.create({"a": text, "b": {"c": text}, "d": [0, text]})
    assert list_references(config) == dict.fromkeys(("a", "b.c", "d.1"), "A_TOKEN")


@pytest.mark.parametrize(
    "text", ["a ${oc.env:A_TOKEN}", "${oc.env:A_TOKEN,x}", "${other}", r"\${oc.env:A_TOKEN}", "A_TOKEN"]
)
def test_anything_else_is_none(text):
    """A part of a text, a default, another key, text that only looks like one: nothing of these comes back from a
    variable alone."""
    assert list_references(OmegaConf.create({"a": text, "other": 1})) == {}


def test_values_are_put_back():
    """A config whose values were withheld has them again at their places, and nowhere else."""
    config = OmegaConf.create({"b": {"c": "${oc.env:A_TOKEN}"}, "d": [0, "${oc.env:A_TOKEN}"], "e": "f"})
    values = dict.fromkeys(list_references(config), "${abc}")
    put = put_references({"b": {"c": "***"}, "d": [0, "***"], "e": "f"}, values)
    assert put == {"b": {"c": "${abc}"}, "d": [0, "${abc}"], "e": "f"}
