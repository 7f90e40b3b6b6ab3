"""Promises of executed.py: every file of code that was executed is known, however that was done; one that was only read
is not."""

import importlib.util
import runpy
import shutil
import subprocess
import sys
import types

import pytest

from repro_track.capture import executed
from repro_track.capture.executed import list_executed, watch_execution


def execute_text(path):
    exec(path.read_text())


def execute_with_open(path):
    with open(path) as file:  # noqa: PTH123  what scripts do
        exec(file.read(), {})


def execute_bytes(path):
    exec(compile(path.read_bytes(), "<string>", "exec"), {})


def execute_named(path):
    exec(compile(path.read_text(), str(path), "exec"), {})


def load_by_its_file(path):
    spec = importlib.util.spec_from_file_location("nobody_registers_this", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def run_path(path):
    runpy.run_path(str(path))


WAYS = [execute_text, execute_with_open, execute_bytes, execute_named, load_by_its_file, run_path]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_file_that_is_executed_is_known(tmp_path, way, ends):
    """Whether it is executed by its text, its bytes, its name or as a module that is not registered, with any line
    ends; it is no registered module."""
    path = tmp_path / f"{way.__name__}.py"
    path.write_bytes(f"VALUE = {len(ends)}  # {way.__name__}{ends}OTHER = 2{ends}".encode())
    assert path not in list_executed(bool)
    way(path)
    assert list_executed(bool)[path] is None
    assert path not in list_executed(lambda name: name != str(path))


def test_a_module_is_known_by_its_name(tmp_path, monkeypatch):
    """An imported module is listed with its file and name."""
    (tmp_path / "imported_by_a_test.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("imported_by_a_test")
    assert list_executed(bool)[tmp_path / "imported_by_a_test.py"] == "imported_by_a_test"
    monkeypatch.delitem(sys.modules, "imported_by_a_test")


def test_a_file_that_a_module_only_claims_is_not(tmp_path, monkeypatch):
    """A module that torch builds in memory names a file that is nowhere; the main module is nobody's import."""
    built = [path for path in list_executed(bool) if path.name in ("_ops.py", "_classes.py")]
    assert [path for path in built if not path.is_file()] == []  # torch has a real file of the first name, too
    main = tmp_path / "main.py"
    main.write_text("A = 'the main module'\n")
    execute_named(main)
    assert main in list_executed(bool)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(main), raising=False)
    assert main not in list_executed(bool)


def test_a_file_that_is_only_read_or_gone_is_not(tmp_path):
    """Code that is read and not executed is none that ran; a part of a file is not the file; one that is gone cannot be
    kept."""
    read, part, gone = tmp_path / "read.py", tmp_path / "part.py", tmp_path / "gone.py"
    for index, path in enumerate((read, part, gone)):
        path.write_text(f"A = {index}\nNEVER_THE_SAME = {index}\n")
    read.read_text()
    exec(part.read_text().splitlines()[0])
    execute_named(gone)
    gone.unlink()
    assert not {read, part, gone} & set(list_executed(bool))


def test_what_the_main_module_holds_is_known(tmp_path, monkeypatch):
    """A module that was loaded by its file before anybody watched is found in the main module, as are functions and
    classes of one that is not held itself."""
    main = sys.modules["__main__"]
    for name, text in (("module", ""), ("function", "def f(): pass\n"), ("cls", "class C:\n    def m(self): pass\n")):
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        held = {"module": module, "function": getattr(module, "f", None), "cls": getattr(module, "C", None)}[name]
        monkeypatch.setattr(main, f"held_{name}", held, raising=False)
    monkeypatch.setattr(executed, "_executed", set())
    assert {path.stem for path in list_executed(bool) if path.parent == tmp_path} == {"module", "function", "cls"}


@pytest.mark.starts(sys.executable.rpartition("/")[2])
def test_importing_this_package_begins_to_watch(tmp_path):
    """What is executed after the import is known though nothing was tracked yet; watching twice is watching once."""
    (tmp_path / "settings.cfg").write_text("A = 1\n")
    code = """
import repro_track, sys
exec(open("settings.cfg").read())
from repro_track.capture.executed import list_executed
print([path.name for path in list_executed(bool) if path.suffix == ".cfg"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['settings.cfg']"
    hooked = len(executed._executed)
    watch_execution()
    watch_execution()
    exec(compile("", "/one/more", "exec"))
    assert len(executed._executed) == hooked + 1


def test_a_module_without_a_file_has_none(tmp_path, monkeypatch):
    """A module that was made in memory and names a file that is nowhere, as `torch.ops` does, ran no file; one whose
    file is there did."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.py").write_text("")
    for name in ("there", "nowhere"):
        module = types.ModuleType(name)
        module.__file__ = f"{name}.py"
        monkeypatch.setitem(sys.modules, f"a_test_made_{name}", module)
    assert [path.name for path in list_executed(bool) if path.parent == tmp_path] == ["there.py"]


def test_a_copy_of_what_was_executed_is_not(tmp_path):
    """A copy that somebody makes of a script that was executed, for its results, was not executed; the script was."""
    watch_execution()
    script, copy = tmp_path / "script.py", tmp_path / "results" / "script.py"
    script.write_text("a_copy_of_it = 1\n")
    execute_bytes(script)
    copy.parent.mkdir()
    copy.write_bytes(script.read_bytes())
    shutil.copy(script, copy.with_name("another.py"))
    assert list(list_executed(lambda file: str(tmp_path) in file)) == [script]
