"""Promises of bundle.py, on real repositories: a bundle that is kept can be unpacked; else there is none."""

import subprocess

import pytest

from repro_track.capture.source import capture_source
from repro_track.errors import RefusedError
from repro_track.record.schema import Unavailable
from tests.unit.capture.trees import restore


def capture_with_bundle(root, tmp_path):
    return capture_source(script=None, place=root, folder=tmp_path / "recorded" / "source", bundle=True)


def list_subjects(target):
    """List the subjects of the commits of a tree, the newest first."""
    words = ["git", "log", "--format=%s"]
    return subprocess.run(words, cwd=target, capture_output=True, text=True, check=True).stdout.split()


def test_a_bundle_carries_the_commit(git, tmp_path):
    """A bundle gives the commit back where there is no clone and no remote, with its history."""
    git("commit", "--quiet", "--allow-empty", "-m", "second")
    (git.root / "kept.txt").write_text("two\n")
    source = capture_with_bundle(git.root, tmp_path)
    assert isinstance(source.bundle_sha256, str)
    target = restore(git, tmp_path, source, places=[])
    assert (target / "kept.txt").read_text() == "two\n"
    assert list_subjects(target) == ["second", "first"]


def test_a_bundle_of_a_shallow_clone_can_be_unpacked(git, tmp_path):
    """A clone that has the last commit only gives a bundle that brings this commit back, and its history ends there."""
    git("commit", "--quiet", "--allow-empty", "-m", "second")
    clone = tmp_path / "shallow"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{git.root}", clone], check=True)
    source = capture_with_bundle(clone, tmp_path)
    assert isinstance(source.bundle_sha256, str), source.bundle_sha256
    target = restore(git, tmp_path, source, places=[])
    assert (target / "kept.txt").read_text() == "one\n"
    assert list_subjects(target) == ["second"]


def test_a_bundle_that_would_lack_files_is_not_kept(git, tmp_path):
    """A partial clone lacks files of its commit: there is no bundle, and that is said; nothing is fetched for it, and
    the tree comes back from the clone as it lay on disk, without the files that were not there."""
    (git.root / "large.txt").write_text("large\n")
    git("add", "large.txt")
    git("commit", "--quiet", "-m", "large")
    git("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "partial"
    words = ["clone", "--quiet", "--filter=blob:none", "--no-checkout", f"file://{git.root}", str(clone)]
    subprocess.run(["git", *words], check=True)
    for more in (["sparse-checkout", "set", "--no-cone", "/kept.txt"], ["checkout", "--quiet"]):
        subprocess.run(["git", *more], cwd=clone, check=True)
    missing = ["git", "rev-list", "--objects", "--missing=print", "HEAD"]
    assert "?" in subprocess.run(missing, cwd=clone, capture_output=True, text=True, check=True).stdout
    (clone / "new.py").write_text("1\n")
    before = sorted((clone / ".git" / "objects").rglob("*"))
    source = capture_with_bundle(clone, tmp_path)
    assert isinstance(source.bundle_sha256, Unavailable)
    assert "was not made" in source.cautions[0]
    assert isinstance(source.tree, str), source.tree
    target = restore(git, tmp_path, source, places=[clone])
    assert sorted(path.name for path in target.iterdir()) == [".git", "kept.txt", "new.py"]
    assert sorted((clone / ".git" / "objects").rglob("*")) == before


def test_a_bundle_of_a_clone_without_old_files_has_the_commit_alone(git, tmp_path):
    """A partial clone has all files of its commit and lacks older ones: the bundle has the commit, without history."""
    (git.root / "kept.txt").write_text("two\n")
    git("commit", "--quiet", "--all", "-m", "second")
    git("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "partial"
    words = ["clone", "--quiet", "--filter=blob:none", f"file://{git.root}", str(clone)]
    subprocess.run(["git", *words], check=True)
    source = capture_with_bundle(clone, tmp_path)
    assert isinstance(source.bundle_sha256, str), source.bundle_sha256
    target = restore(git, tmp_path, source, places=[])
    assert (target / "kept.txt").read_text() == "two\n"
    assert list_subjects(target) == ["second"]


def test_a_damaged_bundle_is_refused(git, tmp_path):
    """A bundle that is not the recorded one is refused before git sees it."""
    source = capture_with_bundle(git.root, tmp_path)
    path = tmp_path / "recorded" / "source" / "repository.bundle"
    path.write_bytes(path.read_bytes()[:-4] + b"1234")
    with pytest.raises(RefusedError, match="digest"):
        restore(git, tmp_path, source, places=[])
