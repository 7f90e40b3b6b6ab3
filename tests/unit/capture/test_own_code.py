"""Promises of own_code.py: a run's own code is its script and what is loaded from beside it, and nothing else."""

import importlib
import sys

import pytest

from repro_track.capture.own_code import read_own_code
from repro_track.record.schema import Command, Source, Unavailable

LOST = Unavailable(unavailable="no repository")


@pytest.fixture
def source():
    """A source without a repository."""
    return Source(
        repository=LOST, commit=LOST, branch=LOST, remote=LOST, dirty=False, changes={}, left_out={}, submodules=(),
        script_sha256=LOST, tree=LOST,
    )  # fmt: skip


def test_it_is_the_script_and_what_is_loaded_from_beside_it(tmp_path, monkeypatch, source):
    """The script comes first, then the modules of its folder that are loaded; one that nobody imports is not read, nor
    is a file that is no text by now."""
    for name in ("a", "own_b", "own_c", "own_d"):
        (tmp_path / f"{name}.py").write_text(f"name = '{name}'\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("own_b", "own_d"):
        importlib.import_module(name)
    (tmp_path / "own_d.py").write_bytes(b"\xff")
    command = Command(kind="script", argv=(), script=str(tmp_path / "a.py"), cwd=str(tmp_path), ordinal=0)
    assert list(read_own_code(command, source=source)) == [("a.py", "name = 'a'\n"), ("own_b.py", "name = 'own_b'\n")]
    for name in ("own_b", "own_d"):
        monkeypatch.delitem(sys.modules, name)


def test_what_has_neither_script_nor_repository_has_none(source):
    """Of a program that is no file there is nothing to read."""
    command = Command(kind="interactive", argv=(), script=LOST, cwd="/", ordinal=0)
    assert list(read_own_code(command, source=source)) == []
