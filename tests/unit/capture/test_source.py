"""Promises of source.py, on real repositories: every change is kept so that git takes it back; no secret is."""

import subprocess
import tarfile

import pytest

from repro_track.capture.source import capture_source
from repro_track.record.schema import Unavailable
from tests.unit.capture.trees import capture, restore


def test_a_clean_tree_is_a_commit_and_nothing_else(git, tmp_path):
    """Without changes the source is commit and branch, not dirty, and nothing is kept."""
    source = capture(git, tmp_path)
    assert source.commit == git("rev-parse", "HEAD").strip()
    assert (source.branch, source.dirty, source.changes) == ("main", False, {})
    assert not (tmp_path / "kept").exists()


def test_staged_unstaged_and_untracked_changes_come_back(git, tmp_path):
    """The kept patches and archive turn a fresh clone into the tree that ran: same bytes, same executable bit."""
    (git.root / "kept.txt").write_text("one\ntwo, staged\n")
    git("add", "kept.txt")
    (git.root / "kept.txt").write_text("one\ntwo, staged\nthree, no newline at the end")
    (git.root / "binary.bin").write_bytes(bytes(range(256)))
    git("add", "binary.bin")
    (git.root / "new.py").write_text("print(1)\n")
    (git.root / "new.py").chmod(0o755)
    source = capture(git, tmp_path)
    assert set(source.changes) == {"staged", "unstaged", "untracked"}

    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", git.root, clone], check=True)
    for kind in ("staged", "unstaged"):
        subprocess.run(["git", "apply", tmp_path / "kept" / f"{kind}.diff.txt"], cwd=clone, check=True)
    with tarfile.open(tmp_path / "kept" / "untracked.tar.gz") as archive:
        archive.extractall(clone, filter="data")
    for name in ("kept.txt", "binary.bin", "new.py"):
        assert (clone / name).read_bytes() == (git.root / name).read_bytes()
    assert (clone / "new.py").stat().st_mode & 0o100


def test_equal_changes_have_equal_digests(git, tmp_path):
    """The same changes give the same digests whatever the files' times; another byte gives another."""
    path = git.root / "new.py"
    path.write_text("1\n")
    first = capture(git, tmp_path / "a")
    path.touch()
    assert capture(git, tmp_path / "b").changes == first.changes
    path.write_text("2\n")
    assert capture(git, tmp_path / "c").changes != first.changes


def test_ignored_and_excluded_files_stay_out(git, tmp_path):
    """What git ignores, and what the run itself writes, is not part of the source."""
    (git.root / ".gitignore").write_text("ignored.txt\n")
    git("add", ".gitignore")
    git("commit", "--quiet", "-m", "ignore")
    (git.root / "ignored.txt").write_text("x")
    (git.root / "mlflow.db").write_text("x")
    (git.root / "artifacts").mkdir()
    (git.root / "artifacts" / "a.png").write_text("x")
    assert not capture(git, tmp_path, exclude=[git.root / "mlflow.db", git.root / "artifacts"]).dirty
    assert capture(git, tmp_path).dirty


def test_secret_files_are_left_out_and_named(git, tmp_path):
    """A file that is a secret by name is left out and reported; its content is nowhere."""
    (git.root / ".env").write_text("PASSWORD=planted\n")
    (git.root / "new.py").write_text("1\n")
    source = capture(git, tmp_path)
    assert ".env" in source.left_out
    with tarfile.open(tmp_path / "kept" / "untracked.tar.gz") as archive:
        assert archive.getnames() == ["new.py"]


@pytest.mark.parametrize("kind", ["unstaged", "untracked"])
def test_a_change_that_holds_a_token_is_withheld(git, tmp_path, kind):
    """A change with an access token in it is not kept, and the reason is there."""
    path = git.root / ("kept.txt" if kind == "unstaged" else "new.py")
    path.write_text("token = 'hf_" + "a1B2" * 8 + "'\n")
    change = capture(git, tmp_path).changes[kind]
    assert isinstance(change, Unavailable)
    assert "looks like a secret" in change.unavailable
    assert not (tmp_path / "kept").exists()


def test_large_changes_are_guarded(git, tmp_path):
    """Changes beyond the limit are not kept, and the reason says how large they are; below it they are."""
    (git.root / "large.bin").write_bytes(b"x" * 2000)
    change = capture(git, tmp_path, size_limit_bytes=1000).changes["untracked"]
    assert isinstance(change, Unavailable)
    assert "2000 bytes" in change.unavailable
    assert isinstance(capture(git, tmp_path, size_limit_bytes=3000).changes["untracked"], str)


def test_the_remote_has_no_credentials(git, tmp_path):
    """The remote's URL is kept without user, password or token."""
    git("remote", "add", "origin", "https://me:planted@host.example/a.git")
    assert capture(git, tmp_path).remote == "https://host.example/a.git"


def test_a_detached_head_has_a_commit_and_no_branch(git, tmp_path):
    """A detached HEAD is said, not a failure."""
    git("checkout", "--quiet", "--detach")
    source = capture(git, tmp_path)
    assert source.commit == git("rev-parse", "HEAD").strip()
    assert isinstance(source.branch, Unavailable)


def test_a_repository_without_a_commit(tmp_path):
    """An empty repository is described; what is staged in it is kept."""
    root = tmp_path / "empty"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    (root / "a.txt").write_text("a\n")
    subprocess.run(["git", "add", "a.txt"], cwd=root, check=True)
    source = capture_source(script=None, place=root, folder=tmp_path / "kept")
    assert isinstance(source.commit, Unavailable)
    assert isinstance(source.changes["staged"], str)


def test_outside_a_repository_the_script_is_kept(tmp_path):
    """Without a repository that is recorded with its reason, and the entry script itself is kept."""
    script = tmp_path / "script.py"
    script.write_text("print(1)\n")
    source = capture_source(script=script, place=tmp_path, folder=tmp_path / "kept")
    assert isinstance(source.commit, Unavailable)
    assert (tmp_path / "kept" / "script.py").read_text() == "print(1)\n"
    assert isinstance(source.script_sha256, str)


def test_submodules_are_listed(git, tmp_path):
    """A submodule is recorded with its path and commit."""
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "--quiet", git.root, other], check=True)
    git("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(other), "sub")
    (submodule,) = capture(git, tmp_path).submodules
    assert submodule.path == "sub"
    assert submodule.commit == git("rev-parse", "HEAD").strip()


def test_the_tree_of_a_clean_commit_is_its_own(git, tmp_path):
    """Without changes the proven tree is the commit's; with a change it is another."""
    assert capture(git, tmp_path).tree == git("rev-parse", "HEAD^{tree}").strip()
    (git.root / "kept.txt").write_text("two\n")
    assert capture(git, tmp_path).tree != git("rev-parse", "HEAD^{tree}").strip()


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_that_git_hides_is_kept(git, tmp_path, flag):
    """A tracked file that git was told not to look at comes back as it was changed; unchanged, there is no change."""
    git("update-index", flag, "kept.txt")
    assert capture(git, tmp_path / "a").changes == {}
    (git.root / "kept.txt").write_text("hidden\n")
    source = capture(git, tmp_path / "b")
    assert source.dirty
    assert (restore(git, tmp_path / "b", source) / "kept.txt").read_text() == "hidden\n"


def test_a_submodule_with_changes_comes_back(git, tmp_path):
    """Changes inside a submodule, its untracked files too, are kept with it and come back; the outer repository has no
    change of its own."""
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "--quiet", git.root, other], check=True)
    git("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(other), "a sub")
    git("commit", "--quiet", "-m", "sub")
    assert isinstance(capture(git, tmp_path / "a").tree, str)
    (git.root / "a sub" / "kept.txt").write_text("changed\n")
    (git.root / "a sub" / "new.txt").write_text("new\n")
    source = capture(git, tmp_path / "b")
    assert (source.changes, set(source.submodules[0].changes)) == ({}, {"unstaged", "untracked"})
    target = restore(git, tmp_path / "b", source)
    assert (target / "a sub" / "kept.txt").read_text() == "changed\n"
    assert (target / "a sub" / "new.txt").read_text() == "new\n"
