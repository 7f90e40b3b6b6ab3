"""Promises of track.py: each parameter arrives as the option of its name, and none hides a module."""

import ast
import inspect
from pathlib import Path

import pytest

import repro_track.tracking.track as module
from repro_track.errors import UsageError
from repro_track.tracking.track import track

GIVEN = {
    "experiment": "cats", "seed": 5, "seeds": [6, 7], "generator": "device", "batch": "independent", "stages": True,
    "trace": "off", "name": "mine", "bundle": True, "picture_format": "webp", "embed": "full", "previews": True,
    "store": "sqlite:////nowhere/mlflow.db", "noise": "float32",
}  # fmt: skip
CONVERTED = {"determinism": "fast", "num_threads": 3, "config": {"a": 1}}


def test_every_parameter_is_an_option():
    """What is given as a parameter is the option of that name, another value than the default each; numerics, threads
    and config as they are read."""
    parameters = inspect.signature(track).parameters
    assert GIVEN.keys() | CONVERTED.keys() == parameters.keys()
    options = track(**GIVEN, **CONVERTED)._options
    for name, value in GIVEN.items():
        assert getattr(options, name) == value != parameters[name].default
    assert (options.determinism["name"], options.determinism["num_threads"], options.config) == ("fast", 3, {"a": 1})


def test_the_defaults_are_those_of_the_signature():
    """Without words the options are the defaults; the experiment has a name."""
    options = track()._options
    defaults = {name: one.default for name, one in inspect.signature(track).parameters.items()}
    assert options.experiment == "repro_track"
    assert options.determinism["name"] == defaults["determinism"] == "strict"
    assert {name: getattr(options, name) for name in GIVEN if name != "experiment"} == {
        name: defaults[name] for name in GIVEN if name != "experiment"
    }
    assert not options.is_config


def test_a_wrong_word_is_refused_before_anything_else():
    """An unknown word, preset or parameter is refused when the run is made, and not only when it is entered."""
    with pytest.raises(UsageError, match="trace"):
        track(trace="loud")
    with pytest.raises(UsageError, match="strickt"):
        track(determinism="strickt")
    with pytest.raises(TypeError, match="sead"):
        track(sead=3)


def test_every_parameter_is_described():
    """The docstring has a line for every parameter, and for nothing else."""
    described = track.__doc__.partition("Args:")[2].partition("Raises:")[0]
    names = [line.strip().partition(":")[0] for line in described.splitlines() if line.startswith(" " * 8 + "")]
    names = [name for name in names if name.isidentifier()]
    assert names == list(inspect.signature(track).parameters)


def list_imported(text):
    """List the names that a module's imports bind, and the modules that they name."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names.update((getattr(node, "module", None) or "").split("."))
            names.update(part for one in node.names for part in one.name.split("."))
    return names


def test_no_parameter_hides_a_module():
    """No module that is imported has the name of a parameter; an import of one would be seen."""
    text = Path(module.__file__).read_text(encoding="utf-8")
    parameters = set(inspect.signature(track).parameters)
    assert not list_imported(text) & parameters
    assert list_imported(f"{text}\nfrom repro_track.pipelines import trace\n") & parameters == {"trace"}
    assert list_imported(f"{text}\nimport repro_track.config.presets\n") & parameters == {"config"}
