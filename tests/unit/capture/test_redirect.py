"""Promises of redirect.py: recorded places are read where they were restored, and nothing else is read elsewhere."""

# ruff: noqa: PTH110, PTH123

import builtins
import importlib
import importlib.util
import io
import os
import runpy
import shutil
import sys
import time
from pathlib import Path

import pytest

from repro_track.capture.redirect import Redirect, install, write_startup


@pytest.fixture
def places(tmp_path):
    """A clone that was edited since, its restored tree, and code that was kept from elsewhere."""
    clone, tree, kept, elsewhere = (tmp_path / name for name in ("clone", "tree", "kept", "elsewhere"))
    for folder, text in ((clone, "WHERE = 'clone'\n"), (tree, "WHERE = 'tree'\n")):
        (folder / "package").mkdir(parents=True)
        (folder / "package" / "__init__.py").write_text(text)
        (folder / "plain.py").write_text(text)
    (clone / "ignored.py").write_text("WHERE = 'clone'\n")
    elsewhere.mkdir()
    (elsewhere / "loose.py").write_text("WHERE = 'elsewhere'\n")
    below = kept / str(elsewhere).lstrip("/")
    below.mkdir(parents=True)
    (below / "loose.py").write_text("WHERE = 'kept'\n")
    an_hour_ago = time.time() - 3600
    for path in tmp_path.rglob("*.py"):
        os.utime(path, (an_hour_ago, an_hour_ago))
    return {"clone": clone, "tree": tree, "kept": kept, "elsewhere": elsewhere}


@pytest.fixture
def changeable(monkeypatch):
    """What a redirect changes in a process is put back afterwards."""
    for owner, name in ((builtins, "open"), (io, "open"), (io, "open_code"), (os, "stat")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.setattr(importlib.util, "spec_from_file_location", importlib.util.spec_from_file_location)
    monkeypatch.setattr(sys, "path_hooks", [*sys.path_hooks])
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]
    sys.path_importer_cache.clear()


@pytest.fixture
def installed(places, tmp_path, changeable):
    """A process that was started as the child of a replay."""
    write_startup(tmp_path, moves=[(str(places["clone"]), str(places["tree"])), ("/", str(places["kept"]))])
    install(str(tmp_path))
    return places


def test_a_recorded_place_is_found_where_it_was_restored(places):
    """A file of the clone in the tree, one from elsewhere where it was kept, a folder in both; what was not restored,
    a relative path, git's own files and installed packages where they are."""
    clone, tree, kept = places["clone"], places["tree"], places["kept"]
    redirect = Redirect([(str(clone), str(tree)), ("/", str(kept))])
    assert redirect.find(f"{clone}/package/../plain.py") == f"{tree}/plain.py"
    assert redirect.find(f"{places['elsewhere']}/loose.py") == f"{kept}{places['elsewhere']}/loose.py"
    assert redirect.find(str(tree / "plain.py")) == str(tree / "plain.py")
    for name in ("ignored.py", "nothing.py", ".git/HEAD", "lib/site-packages/plain.py"):
        assert redirect.find(f"{clone}/{name}") == f"{clone}/{name}"
    assert redirect.find("plain.py") == "plain.py"
    assert redirect.find(f"{clone}-2/plain.py") == f"{clone}-2/plain.py"


def test_imports_come_from_the_restored_source(installed):
    """A folder of the clone on the search path gives the restored modules, one from elsewhere the kept ones; a module
    that was not restored comes from the folder itself, and this program always does."""
    sys.path[:0] = [str(installed["clone"]), str(installed["elsewhere"])]
    (installed["tree"] / "repro_track.py").write_text("raise SystemExit\n")
    importlib.invalidate_caches()
    found = {name: importlib.import_module(name) for name in ("package", "plain", "loose", "ignored")}
    assert {name: one.WHERE for name, one in found.items()} == {
        "package": "tree", "plain": "tree", "loose": "kept", "ignored": "clone",
    }  # fmt: skip
    assert importlib.machinery.PathFinder.find_spec("repro_track").origin != str(installed["tree"] / "repro_track.py")
    spec = importlib.util.spec_from_file_location("by_file", installed["clone"] / "plain.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.WHERE == "tree"


def test_files_that_are_read_are_the_restored_ones(installed, tmp_path):
    """By `open`, by pathlib, by a copy, by `runpy`; a file that is gone is there if it was restored."""
    plain = installed["clone"] / "plain.py"
    with open(plain) as one, open(str(plain), mode="rb") as other:
        assert one.read() == plain.read_text() == other.read().decode() == "WHERE = 'tree'\n"
    shutil.copyfile(plain, tmp_path / "copy.py")
    assert (tmp_path / "copy.py").read_text() == "WHERE = 'tree'\n"
    assert runpy.run_path(str(plain))["WHERE"] == "tree"
    assert (installed["clone"] / "ignored.py").read_text() == "WHERE = 'clone'\n"
    plain.unlink()
    assert plain.is_file() and os.path.exists(plain)
    assert plain.read_text() == "WHERE = 'tree'\n"
    assert not (installed["clone"] / "nothing.py").exists()


def test_what_the_run_writes_it_reads(installed):
    """A file is written where the code says, and read from there then; the restored one is not touched."""
    plain = installed["clone"] / "plain.py"
    for mode in ("w", "a", "r+"):
        with open(plain, mode) as file:
            file.write("WHERE = 'run'\n")
        assert plain.read_text().startswith("WHERE = 'run'\n")
    assert (installed["tree"] / "plain.py").read_text() == "WHERE = 'tree'\n"


def test_another_process_is_left_alone(tmp_path, monkeypatch):
    """Where the replay's folder is gone, nothing is installed."""
    hooks = [*sys.path_hooks]
    monkeypatch.setattr(sys, "path_hooks", hooks)
    install(str(tmp_path / "gone"))
    assert sys.path_hooks == hooks


def test_the_environments_own_startup_runs_after_ours(places, tmp_path, monkeypatch, changeable):
    """The file that the interpreter loads installs the redirect, takes its own folder off the search path, and loads
    the environment's `sitecustomize`, where there is one."""
    write_startup(tmp_path, moves=[(str(places["clone"]), str(places["tree"]))])
    startup, other = tmp_path / "startup", tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(sys, "path", [str(startup), str(other)])
    monkeypatch.delitem(sys.modules, "sitecustomize", raising=False)
    ours = importlib.import_module("sitecustomize")
    assert sys.path == [str(other)]
    assert Path(ours.__file__).parent == startup
    assert (places["clone"] / "plain.py").read_text() == "WHERE = 'tree'\n"
    (other / "sitecustomize.py").write_text("OWN = True\n")
    monkeypatch.setattr(sys, "path", [str(startup), str(other)])
    del sys.modules["sitecustomize"]
    sys.path_importer_cache.clear()
    assert importlib.import_module("sitecustomize").OWN
