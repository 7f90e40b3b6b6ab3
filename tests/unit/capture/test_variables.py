"""Promises of variables.py: the variables that a run's own code asks for, and that were set, are named; no other is,
and no value."""

import sys
import types

import pytest

from repro_track.capture import variables
from repro_track.capture.variables import list_taken_variables, list_variables
from repro_track.record.schema import Command, Source, Unavailable

NOWHERE = Unavailable(unavailable="no repository")


@pytest.mark.parametrize(
    ("text", "read", "written"),
    [
        ("os.environ['A']", {"A"}, set()),
        ("from os import environ\nenviron.get('A', 1)", {"A"}, set()),
        ("getenv('A') or os.getenv('B', 'x')", {"A", "B"}, set()),
        ("'A' in os.environ", {"A"}, set()),
        ("os.environ['A'] = '1'; del os.environ['B']", set(), {"A", "B"}),
        ("os.environ[name]; settings['A']; config.get('A'); 'A' in config  # environ", set(), set()),
        ("print('A')", set(), set()),
    ],
)
def test_what_a_text_asks_for_is_found(text, read, written):
    """Each way to ask by name is known, and setting is not asking; what is no environment is none."""
    assert list_variables(text) == (read, written)


@pytest.fixture
def say(tmp_path, monkeypatch):
    """Say which variables a script asks for, where the process was started with some."""

    def say(text, *, given, kind="script", module=""):
        script = tmp_path / "script.py"
        script.write_text(text)
        monkeypatch.setattr(variables, "_read_variables_at_start", lambda: given)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        if module:
            (tmp_path / "other.py").write_text(module)
            loaded = types.ModuleType("a_test_made_other")
            loaded.__file__ = str(tmp_path / "other.py")
            monkeypatch.setitem(sys.modules, "a_test_made_other", loaded)
        command = Command(kind=kind, argv=(), script=str(script), cwd="/", ordinal=0)
        source = Source(
            repository=NOWHERE, commit=NOWHERE, branch=NOWHERE, remote=NOWHERE, dirty=False, changes={}, left_out={},
            submodules=(), script_sha256="0" * 64, tree=NOWHERE,
        )  # fmt: skip
        return list_taken_variables(command, source=source)

    return say


def test_a_variable_that_was_set_is_named_without_its_value(say):
    """One of the script and one of a module of its own; those that are not set, are recorded anyway, belong to every
    session, or are set by the code itself, are not."""
    text = "import os\nos.environ['MINE'], os.getenv('NOT_SET'), os.getenv('HOME'), os.getenv('OMP_NUM_THREADS')\n"
    given = {"MINE": "the value", "HOME": "/h", "OMP_NUM_THREADS": "1", "THEIRS": "2", "OWN": "3"}
    (said,) = say(text, given=given, module="import os\nos.getenv('THEIRS')\nos.environ['OWN'] = os.environ['OWN']\n")
    assert "(MINE, THEIRS)" in said
    assert "the value" not in said


def test_where_nothing_is_asked_for_nothing_is_said(say):
    """A script that asks for nothing that was set has no caution; `repro-track run` is no script; a text that is no
    Python ends nothing."""
    assert say("import os\nos.getenv('NOT_SET')\n", given={"MINE": "1"}) == []
    assert say("import os\nos.getenv('MINE')\n", given={"MINE": "1"}, kind="config") == []
    assert say("os.getenv('MINE'\n", given={"MINE": "1"}) == []
