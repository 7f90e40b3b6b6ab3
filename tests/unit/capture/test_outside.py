"""Promises of outside.py: code that ran from elsewhere is named, kept without a secret, and comes back at its place."""

import importlib
import os
import subprocess
import sys
import tarfile

import pytest

from repro_track.capture.outside import (
    capture_outside,
    list_moved_caches,
    look_at_outside,
    restore_outside,
)
from repro_track.errors import RefusedError
from repro_track.record.names import OUTSIDE_NAME
from repro_track.record.schema import OutsideCode, Source, Unavailable
from repro_track.tensors.digests import digest_bytes, digest_file


def make_source(root=None):
    place = str(root) if root else Unavailable(unavailable="not in a git repository")
    return Source(
        repository=place, commit=place, branch=place, remote=place, dirty=False, changes={}, left_out={},
        submodules=(), script_sha256="0" * 64, tree=place,
    )  # fmt: skip


@pytest.fixture
def load(monkeypatch):
    """Write a module and import it from its folder."""

    def load(path, text="VALUE = 1\n"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        monkeypatch.syspath_prepend(path.parent)
        monkeypatch.setitem(sys.modules, path.stem, None)
        del sys.modules[path.stem]
        importlib.import_module(path.stem)
        return path

    return load


def capture(source, folder, below, **options):
    """Capture, and return the parts of files below a folder by name: this process has imported others."""
    found = capture_outside(source, folder=folder, **options)
    return found, {one.name: one for one in found.outside if one.path.startswith(f"{below}/")}


def test_a_module_from_elsewhere_is_named_and_kept(load, tmp_path):
    """Its name, its path, its digest and its content are there; a module that is not imported is not, and neither is
    one of Python, of an installed package or of this program."""
    path = load(tmp_path / "lib" / "outside_one.py")
    (tmp_path / "lib" / "not_imported.py").write_text("")
    source, parts = capture(make_source(), tmp_path / "run", tmp_path / "lib")
    assert parts == {"outside_one": OutsideCode(name="outside_one", path=str(path), sha256=digest_file(path))}
    names = {one.name.partition(".")[0] for one in source.outside}
    assert not {"json", "pydantic", "repro_track", "os", "pytest"} & names
    assert source.outside_sha256 == digest_file(tmp_path / "run" / OUTSIDE_NAME)
    with tarfile.open(tmp_path / "run" / OUTSIDE_NAME) as archive:
        assert archive.extractfile(str(path).lstrip("/")).read() == path.read_bytes()


def test_of_a_repository_it_is_what_git_ignores(load, tmp_path):
    """A module of the recorded repository comes back with it, one that git ignores does not: that one is outside."""
    root = tmp_path / "project"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    (root / ".gitignore").write_text("outside_ignored.py\n")
    load(root / "outside_untracked.py")
    load(root / "outside_ignored.py")
    _, parts = capture(make_source(root), tmp_path / "run", root)
    assert set(parts) == {"outside_ignored"}
    _, parts = capture(make_source(), tmp_path / "run", root)
    assert set(parts) == {"outside_ignored", "outside_untracked"}


def test_a_folder_of_packages_is_no_code_of_ones_own(load, tmp_path):
    """Below a folder in which packages are installed, nothing is outside."""
    (tmp_path / "target" / "flavour-1.0.dist-info").mkdir(parents=True)
    load(tmp_path / "target" / "outside_packaged.py")
    assert capture(make_source(), tmp_path / "run", tmp_path / "target")[1] == {}


def test_what_is_not_kept_says_why(load, tmp_path):
    """Code with a token in it, and code that is too much, is named with the reason; the rest is kept."""
    load(tmp_path / "outside_secret.py", "TOKEN = 'hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZ12345678'\n")
    load(tmp_path / "outside_plain.py")
    load(tmp_path / "outside_empty.py", "")
    _, parts = capture(make_source(), tmp_path / "run", tmp_path)
    assert (parts["outside_empty"].sha256, parts["outside_empty"].left_out) == (digest_bytes(b""), None)
    assert "token" in parts["outside_secret"].left_out
    assert parts["outside_plain"].left_out is None
    with tarfile.open(tmp_path / "run" / OUTSIDE_NAME) as archive:
        assert not [name for name in archive.getnames() if "outside_secret" in name]
    _, parts = capture(make_source(), tmp_path / "run", tmp_path, limit=5)
    assert "more than 5 bytes" in parts["outside_plain"].left_out


def test_it_comes_back_at_its_place_with_what_lay_beside_it(load, tmp_path):
    """The kept content is restored below a folder, though the file was edited; data beside it is linked. The same code
    from there is named as it was recorded."""
    path = load(tmp_path / "lib" / "outside_back.py")
    (tmp_path / "lib" / "data.txt").write_text("data")
    capture_outside(make_source(), folder=tmp_path / "run")
    path.write_text("VALUE = 2\n")
    target = tmp_path / "replay" / "outside"
    assert path in restore_outside(tmp_path / "run" / OUTSIDE_NAME, target=target)
    restored = target / path.relative_to("/")
    assert restored.read_text() == "VALUE = 1\n"
    assert (restored.parent / "data.txt").read_text() == "data"
    assert path.read_text() == "VALUE = 2\n"


def test_code_of_a_replay_has_its_recorded_place(load, tmp_path, monkeypatch):
    """In the child of a replay, code that lies below the replay's folder is named by where it was; so it is equal."""
    load(tmp_path / "replay" / "outside" / "home" / "me" / "outside_child.py")
    monkeypatch.setenv("REPRO_TRACK_REPLAY", str(tmp_path / "replay"))
    found = capture_outside(make_source(), folder=tmp_path / "run").outside
    (one,) = (each for each in found if each.name == "outside_child")
    assert (one.path, one.sha256) == ("/home/me/outside_child.py", digest_bytes(b"VALUE = 1\n"))


def test_the_present_files_are_looked_at(tmp_path):
    """A file that is as it was has its digest, an edited one another, one that is gone none; where nobody had looked,
    nobody does."""
    same, edited, gone = (tmp_path / f"{name}.py" for name in ("same", "edited", "gone"))
    for path in (same, edited):
        path.write_text("VALUE = 1\n")
    digest = digest_file(same)
    edited.write_text("VALUE = 2\n")
    parts = tuple(OutsideCode(name=one.stem, path=str(one), sha256=digest) for one in (same, edited, gone))
    now = look_at_outside(make_source().model_copy(update={"outside": parts})).outside
    assert now[0].sha256 == digest
    assert now[1].sha256 == digest_file(edited)
    assert "No such file" in now[2].sha256.unavailable
    assert look_at_outside(make_source()).outside is None


def test_an_archive_that_leaves_its_folder_is_refused(tmp_path):
    """An archive with a path that goes upwards is refused before anything is written."""
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../evil.py"))
    with pytest.raises(RefusedError):
        restore_outside(tmp_path / "bad.tar.gz", target=tmp_path / "target")
    assert not os.path.lexists(tmp_path / "evil.py")


def test_a_cache_of_remote_code_that_has_moved_is_known(tmp_path, monkeypatch):
    """Where the libraries' cache is another folder now, both are named; where it is the same, none is."""
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "now"))

    def name(root):
        name = "diffusers_modules.local.my_pipe"
        return [OutsideCode(name=name, path=f"{root}/{name.replace('.', '/')}.py", sha256="0" * 64)]

    assert list_moved_caches(name("/then/modules")) == [(str(tmp_path / "now"), "/then/modules")]
    assert list_moved_caches(name(tmp_path / "now")) == []
    monkeypatch.delenv("HF_MODULES_CACHE")
    monkeypatch.setenv("HF_HOME", "/hf")
    assert list_moved_caches(name("/hf/modules")) == []
