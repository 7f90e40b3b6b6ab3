"""Promises of given.py: whatever is given as a config, its values are recorded, what has none is named, and
nothing is raised."""

import argparse
import enum
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from omegaconf import MISSING, OmegaConf

from repro_track.config.given import freeze_config


class Colour(enum.Enum):
    RED = 1


@dataclass
class Part:
    colour: Colour = Colour.RED
    sizes: list[int] = field(default_factory=lambda: [1, 2])
    path: str = MISSING


def test_a_config_is_frozen(monkeypatch):
    """Interpolations get their values when the config is given: what changes afterwards is not seen, another config
    is."""
    monkeypatch.setenv("PLANTED", "then")
    config = OmegaConf.create({"a": 1, "b": "${a}", "c": "${oc.env:PLANTED}"})
    frozen = freeze_config(config)
    monkeypatch.setenv("PLANTED", "now")
    config.a = 2
    assert frozen == {"a": 1, "b": 1, "c": "then"}
    assert freeze_config(config) == {"a": 2, "b": 2, "c": "now"}


def test_a_part_knows_the_whole():
    """A part of a config, and a list in it, have the values of what they point to outside of them; what points to
    nothing is named alone, and the rest is there."""
    whole = OmegaConf.create({"size": 3, "part": {"a": "${size}", "b": ["${..a}", "${nothing}"], "c": 1}})
    frozen = freeze_config(whole.part)
    assert (frozen["a"], frozen["b"][0], frozen["c"]) == (3, 3, 1)
    assert "nothing" in frozen["b"][1]["unavailable"]
    assert frozen["b"][1]["unavailable"].startswith("InterpolationKeyError")


def test_what_has_no_value_yet_is_said_to_have_none():
    """`???` stays, in a dict, a list and a structured config, and is no fault; `None` is another value."""
    config = OmegaConf.create({"a": "???", "b": ["???", None], "c": None, "d": "${a}"})
    frozen = freeze_config(config)
    assert {name: frozen[name] for name in "abc"} == {"a": "???", "b": ["???", None], "c": None}
    assert set(frozen["d"]) == {"unavailable"}
    part = {"colour": "RED", "sizes": [1, 2], "path": "???"}
    assert freeze_config(OmegaConf.structured(Part)) == freeze_config(Part()) == part
    assert freeze_config(OmegaConf.create({"a": OmegaConf.structured(Part())}))["a"] == part


def test_a_resolver_may_fail():
    """A resolver of somebody's own gives its value; one that raises, or is not there, is named, and only that."""
    OmegaConf.register_new_resolver("planted_good", lambda x: x + 1, replace=True)
    OmegaConf.register_new_resolver("planted_bad", lambda: 1 // 0, replace=True)
    frozen = freeze_config(OmegaConf.create({"a": "${planted_good:1}", "b": "${planted_bad:}", "c": "${no_such:1}"}))
    assert frozen["a"] == 2
    assert "division" in frozen["b"]["unavailable"]
    assert "no_such" in frozen["c"]["unavailable"]


def test_a_value_of_any_kind_has_something_that_stands_for_it():
    """Paths, members, data classes, types and numbers of NumPy and torch, functions: each is what it is called."""
    given = {
        "path": Path("/a/b"),
        "member": Colour.RED,
        "part": Part(path="x"),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "number": np.float32(0.5),
        "tensor": torch.tensor(3),
        "function": math.sqrt,
        "class": Part,
        "namespace": argparse.Namespace(lr=1e-3),
        "set": {2, 1},
        "node": OmegaConf.create({"a": [1]}),
        3: "a key",
        "half": "\udc80",
    }
    assert freeze_config(given) == {
        "path": "/a/b",
        "member": "RED",
        "part": {"colour": "RED", "sizes": [1, 2], "path": "x"},
        "dtype": "torch.float16",
        "device": "cpu",
        "number": 0.5,
        "tensor": 3,
        "function": "math.sqrt",
        "class": f"{__name__}.Part",
        "namespace": {"lr": 1e-3},
        "set": [1, 2],
        "node": {"a": [1]},
        "3": "a key",
        "half": "\\udc80",
    }
    assert freeze_config({"path": Path("/a/c")}) != freeze_config({"path": Path("/a/b")})
    assert "<lambda>" in freeze_config({"f": lambda: 0})["f"]


class Failing(Mapping):
    def __getitem__(self, key):
        raise RuntimeError("planted")

    def __iter__(self):
        return iter(["a"])

    def __len__(self):
        return 1


class Raising(Failing):
    def __iter__(self):
        raise RuntimeError("planted")


def make_circle():
    circle = {"a": 1}
    circle["self"] = circle
    return circle


def make_deep():
    deep = {}
    for _ in range(5 * sys.getrecursionlimit()):
        deep = {"a": deep}
    return deep


@pytest.mark.parametrize(
    "given",
    [Failing(), Raising(), make_circle(), make_deep(), {"a": object()}, OmegaConf.create({"a": "${b}", "b": "${a}"}),
     OmegaConf.create({"a": {"b": "${a}"}}), {"a": torch.zeros(2)}, object()],
    ids=["a value", "its keys", "a circle", "deep", "an object", "in turns", "its parent", "a tensor", "no config"],
)  # fmt: skip
def test_nothing_is_raised(given):
    """What cannot be read is named with the reason, and what was read can be written as JSON and as YAML."""
    frozen = freeze_config(given)
    assert "unavailable" in json.dumps(frozen)
    assert yaml.safe_dump(frozen)


def test_no_dict_is_a_config_too():
    """No config is an empty one; a list, or a text, is all that there is of it; a dict's text stays as it is."""
    assert freeze_config(None) == {}
    assert freeze_config({"a": "${b}"}) == {"a": "${b}"}
    assert freeze_config(OmegaConf.create([1, 2])) == {"config": [1, 2]}
    assert freeze_config("base") == {"config": "base"}


def test_a_key_is_left_out():
    """A key at the top is left out, and a value that fails there is not looked at; deeper ones stay."""
    config = OmegaConf.create({"hydra": {"x": "${nothing}"}, "a": {"hydra": 1}})
    assert freeze_config(config, leave_out=("hydra",)) == {"a": {"hydra": 1}}
    assert "unavailable" in freeze_config(config)["hydra"]["x"]
