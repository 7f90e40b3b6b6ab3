"""Promises of hash_order.py: what goes through a set in its random order is named, and nothing else is."""

import json

import pytest

from repro_track.capture.hash_order import is_hash_random, list_hash_cautions, list_order_lines, say_hash_order
from repro_track.record.names import NOTEBOOK_NAME
from repro_track.record.schema import Command, Source, Unavailable

UNSET = {"PYTHONHASHSEED": None}
NOWHERE = Unavailable(unavailable="no repository")


def make_command(kind="script", **others):
    return Command(**{"kind": kind, "argv": (), "script": "/x.py", "cwd": "/", "ordinal": 0, **others})


def make_source(repository):
    names = ("commit", "branch", "remote", "script_sha256", "tree")
    return Source(
        repository=repository, dirty=False, changes={}, left_out={}, submodules=(), **dict.fromkeys(names, NOWHERE)
    )


@pytest.mark.parametrize(
    "text",
    [
        "for word in {'a', 'b'}: pass",
        "words = set(x)\nlist(words)",
        "words = frozenset(x)\n' '.join(words)",
        "self.words = {'a'} | other\ntuple(self.words)",
        "[word for word in {one for one in x}]",
        "print(*{'a', 'b'})",
        "first = next(iter(set(x)))",
        "words = set(x)\nword = words.pop()",
        "list(a.keys() - b.keys())",
        "list(set(x) - {'a'})",
        "def f(words: set[str]):\n    for word in words: pass",
        "words: set[str] = make()\nlist(words)",
        "words = {'a'}.union(x)\nlist(words)",
        "number = hash('a') % 7",
        "dict.fromkeys({'a', 'b'})",
        "def f(x):\n    yield from set(x)",
    ],
)
def test_what_goes_through_a_set_is_found(text):
    """Loops, lists, joins, first elements, hashes: each by the line in which the order is used."""
    assert list_order_lines(text) == [text.count("\n") + 1]


@pytest.mark.parametrize(
    "text",
    [
        "'a' in {'a', 'b'}",
        "words = {'a'}\nlen(words), sorted(words), 'a' in words, max(words)",
        "for key in {'a': 1}: pass",
        "list(a.keys())",
        "for one in [1, 2]: pass",
        "words = list(x)\nwords.pop()",
        "total = 3 - 2",
        "{one for one in x} == {'a'}",
        "def broken(:",
        "%matplotlib inline",
        "",
    ],
)
def test_what_has_no_order_is_not(text):
    """Members, sizes, sorted sets and dicts are the same in every process; a text that is no Python has none."""
    assert list_order_lines(text) == []


def test_the_order_is_random_where_nobody_has_set_it():
    """Unset, empty or `random`, and where the interpreter ignores the variable; not of a config, whose code is ours,
    and not of an old record that does not say."""
    for value, is_random in ((None, True), ("", True), ("random", True), ("0", False), ("7", False)):
        assert is_hash_random(make_command(), {"PYTHONHASHSEED": value}) == is_random
    for options in (("-E",), ("-I",), ("-R",)):
        assert is_hash_random(make_command(options=options), {"PYTHONHASHSEED": "0"})
    assert not is_hash_random(make_command("config"), UNSET)
    assert not is_hash_random(make_command(), {})


def test_the_places_are_those_of_the_runs_own_code(tmp_path, monkeypatch):
    """The script and the modules beside it that are loaded, by file and line, in one sentence; none without such a
    place, with the variable, or in another folder."""
    for name, text in {
        "x": "import y\nlist({'a'})",
        "planted_y": "for a in set('ab'): pass",
        "z": "list({'a'})",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    import planted_y  # noqa: F401

    command = make_command(script=str(tmp_path / "x.py"))
    where = {"source": make_source(str(tmp_path)), "folder": tmp_path}
    (caution,) = list_hash_cautions(command, UNSET, **where)
    assert "(x.py:2, planted_y.py:1)" in caution
    assert list_hash_cautions(command, {"PYTHONHASHSEED": "1"}, **where) == []
    assert list_hash_cautions(command, UNSET, source=make_source(NOWHERE), folder=tmp_path) == [caution]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "x.py").write_text("print()")
    assert (
        list_hash_cautions(
            make_command(script=str(tmp_path / "empty" / "x.py")), UNSET, source=make_source(NOWHERE), folder=tmp_path
        )
        == []
    )


def test_a_cell_is_named_by_its_number(tmp_path):
    """Of a notebook the cells are looked at, as they are kept with the run."""
    cells = [{"execution_count": 3, "source": "list({'a'})"}, {"execution_count": 4, "source": "sorted({'a'})"}]
    path = tmp_path / NOTEBOOK_NAME
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"cells": cells}))
    command = make_command("notebook", script=NOTEBOOK_NAME)
    (caution,) = list_hash_cautions(command, UNSET, source=make_source(NOWHERE), folder=tmp_path)
    assert "(cell 3)" in caution


def test_the_record_of_such_a_run_has_the_caution(make_record, tmp_path):
    """It is added to those that the record has; a record of a run with the variable stays as it is."""
    (tmp_path / "x.py").write_text("list({'a'})")
    command = {"command": make_command(script=str(tmp_path / "x.py")).model_dump()}
    around = {**command, "source": make_source(NOWHERE).model_dump(), "cautions": ["another"]}
    record = make_record({**around, "environment.variables": UNSET})
    assert [one[:14] for one in say_hash_order(record, folder=tmp_path).cautions] == ["another", "PYTHONHASHSEED"]
    same = make_record({**around, "environment.variables": {"PYTHONHASHSEED": "0"}})
    assert say_hash_order(same, folder=tmp_path) == same
