"""Promises of read_files.py: what a run has read and git ignores is referred to by its digest; what is in the tree, its
own work, or a secret is not."""

import os
import subprocess

import pytest

from repro_track.capture import executed, read_files
from repro_track.capture.executed import watch_execution
from repro_track.capture.read_files import look_at_read, refer_to_read
from repro_track.record.schema import Source, Unavailable
from repro_track.tensors.digests import digest_file


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository with an ignored folder, an ignored link, and a file that is part of the tree; all are old."""
    watch_execution()
    root, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (root / "data" / "deep", elsewhere):
        folder.mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    (root / ".gitignore").write_text("data/\nlinked\n*.bin\n")
    (root / "linked").symlink_to(elsewhere)
    for name in ("data/deep/read.txt", "data/other.txt", "data/.env", "linked/far.txt", "untracked.txt", "w.bin"):
        (root / name).write_text(name)
        os.utime(root / name, (1, 1))
    monkeypatch.setattr(executed, "_opened", set())
    return root


def make_source(root, **parts):
    place = str(root) if root else Unavailable(unavailable="not in a git repository")
    values = {"dirty": False, "changes": {}, "left_out": {}, "submodules": (), "script_sha256": "0" * 64, **parts}
    return Source(repository=place, commit=place, branch=place, remote=place, tree=place, **values)


def test_what_was_read_and_is_ignored_is_referred_to(root, monkeypatch):
    """By an absolute path, by one from the working directory, also behind a link; what was not read, is no part of what
    git ignores, or is known as weights, is not."""
    monkeypatch.chdir(root / "data")
    with open("deep/read.txt") as file:  # noqa: PTH123  what scripts do
        file.read()
    monkeypatch.chdir("/")
    for name in ("linked/far.txt", "untracked.txt", "w.bin"):
        (root / name).read_bytes()
    source, reasons = refer_to_read(make_source(root), weights={"w.bin"})
    assert {one.path: one.sha256 for one in source.referred} == {
        name: digest_file(root / name) for name in ("data/deep/read.txt", "linked/far.txt")
    }
    assert reasons == []
    assert "data/deep/read.txt, linked/far.txt" in source.cautions[0]
    again, _ = refer_to_read(source, weights={"w.bin"})
    assert again == source


def test_a_secret_is_named_and_has_no_digest(root):
    """A file whose name is that of a secret is left out, with the reason."""
    (root / "data" / ".env").read_bytes()
    source, _ = refer_to_read(make_source(root))
    assert (source.referred, list(source.left_out)) == ((), ["data/.env"])


def test_what_the_program_wrote_is_its_own(root):
    """A file that is newer than the process is made again; outside of a repository nothing is restored, and nothing
    referred to."""
    (root / "data" / "other.txt").write_text("new")
    (root / "data" / "other.txt").read_bytes()
    assert refer_to_read(make_source(root)) == (make_source(root), [])
    (root / "data" / "deep" / "read.txt").read_bytes()
    assert refer_to_read(make_source(None)) == (make_source(None), [])


def test_too_much_is_a_reason(root, monkeypatch):
    """What is too much to take digests of does not come back, and the reason names it."""
    (root / "data" / "other.txt").read_bytes()
    monkeypatch.setattr(read_files, "_MOST_BYTES", 5)
    source, (reason,) = refer_to_read(make_source(root))
    assert source.referred == ()
    assert "1 files that git ignores (data/other.txt)" in reason


def test_the_present_file_is_looked_at_again(root):
    """A plan compares the file as it is now, and one that is gone is missing."""
    (root / "data" / "other.txt").read_bytes()
    expected, _ = refer_to_read(make_source(root))
    assert look_at_read(expected, make_source(root)).referred == expected.referred
    (root / "data" / "other.txt").write_text("edited")
    (found,) = look_at_read(expected, make_source(root)).referred
    assert found.sha256 == digest_file(root / "data" / "other.txt") != expected.referred[0].sha256
    (root / "data" / "other.txt").unlink()
    assert look_at_read(expected, make_source(root)).referred == ()
