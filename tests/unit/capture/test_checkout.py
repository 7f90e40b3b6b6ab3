"""Promises of checkout.py, on real repositories: the tree that ran comes back, and nothing else is touched."""

import os
import shutil
import subprocess

import pytest

from repro_track.capture.checkout import make_source_plan
from repro_track.capture.source import capture_source
from repro_track.errors import RefusedError, ReplayError
from repro_track.record.schema import Submodule
from tests.unit.capture.trees import capture, restore


def test_every_kind_of_change_comes_back(git, tmp_path):
    """Staged, unstaged, binary, renamed, deleted, executable, linked and untracked: the restored folder has the same
    files, bytes and modes, and git sees the same changes in it."""
    (git.root / "binary.bin").write_bytes(bytes(range(256)))
    (git.root / "gone.txt").write_text("x\n")
    (git.root / "old name.txt").write_text("a name\nthat\nchanges\n")
    git("add", "--all")
    git("commit", "--quiet", "-m", "more")
    (git.root / "binary.bin").write_bytes(bytes(reversed(range(256))))
    git("add", "binary.bin")
    git("mv", "old name.txt", "ne\u0175 name.txt")
    (git.root / "gone.txt").unlink()
    (git.root / "kept.txt").write_text("unstaged, no newline at the end")
    (git.root / "kept.txt").chmod(0o755)
    (git.root / "intended.txt").write_text("added with intent\n")
    git("add", "--intent-to-add", "intended.txt")
    (git.root / "folder").mkdir()
    (git.root / "folder" / "new.py").write_text("print(1)\n")
    (git.root / "link").symlink_to("folder/new.py")
    source = capture(git, tmp_path)
    assert isinstance(source.tree, str), source.tree
    target = restore(git, tmp_path, source)

    def list_files(root):
        paths = [path for path in root.rglob("*") if ".git" not in path.relative_to(root).parts and not path.is_dir()]
        return {
            str(path.relative_to(root)): path.readlink()
            if path.is_symlink()
            else (path.read_bytes(), path.stat().st_mode & 0o100)
            for path in paths
        }

    assert list_files(target) == list_files(git.root)
    again = capture_source(script=None, place=target, folder=tmp_path / "again")
    assert (again.changes, again.tree) == (source.changes, source.tree)


def test_a_change_within_a_second_and_of_the_same_size_is_seen(git, tmp_path):
    """git takes a file to be unchanged if its size and time are those in the index, unless the index is no younger. The
    source is proven all the same where a digit was changed right after a commit, and the change comes back."""
    path, moment = git.root / "kept.txt", (1_700_000_000, 1_700_000_000)
    git("config", "core.trustctime", "false")
    os.utime(path, moment)
    git("update-index", "--refresh")
    path.write_text("two\n")
    for file in (path, git.root / ".git" / "index"):
        os.utime(file, moment)
    source = capture(git, tmp_path)
    assert set(source.changes) == {"unstaged"}
    assert isinstance(source.tree, str), source.tree
    assert source.tree != git("rev-parse", "HEAD^{tree}").strip()
    assert (restore(git, tmp_path, source) / "kept.txt").read_text() == "two\n"


def test_a_change_that_git_itself_cannot_see_comes_back(git, tmp_path):
    """A file that was changed to the same size, with the same times to the second, after the index was written looks
    untouched to git; it comes back as it lies there."""
    path, moment = git.root / "kept.txt", 1_700_000_000
    git("config", "core.trustctime", "false")
    os.utime(path, ns=(moment * 10**9, moment * 10**9 + 1))
    git("update-index", "--refresh")
    path.write_text("two\n")
    os.utime(path, ns=(moment * 10**9, moment * 10**9 + 2))
    assert git("status", "--porcelain") == ""
    source = capture(git, tmp_path)
    assert set(source.changes) == {"unstaged"}
    assert (restore(git, tmp_path, source) / "kept.txt").read_text() == "two\n"


def test_restoring_touches_nothing_of_the_clone(git, tmp_path):
    """After a restore the clone has the same index, references, configuration, worktrees and files."""

    def look():
        files = {path: path.read_bytes() for path in git.root.rglob("*") if path.is_file()}
        return files, git("worktree", "list")

    (git.root / "new.py").write_text("1\n")
    source = capture(git, tmp_path)
    before = look()
    restore(git, tmp_path, source)
    assert look() == before


def test_an_altered_patch_is_refused(git, tmp_path):
    """A kept change that is not the recorded one is refused before git sees it."""
    (git.root / "kept.txt").write_text("two\n")
    source = capture(git, tmp_path)
    path = tmp_path / "kept" / "unstaged.diff.txt"
    path.write_bytes(path.read_bytes().replace(b"+two", b"+six"))
    with pytest.raises(RefusedError, match="digest"):
        restore(git, tmp_path, source)


@pytest.mark.parametrize(
    "changes",
    [
        {"commit": "--upload-pack=touch /tmp/x"},
        {"commit": "HEAD"},
        {"remote": "ext::sh -c 'touch /tmp/x'"},
        {"remote": "--upload-pack=touch"},
        {"remote": "-oProxyCommand=x"},
    ],
)
def test_what_git_could_take_for_something_else_is_refused(git, tmp_path, changes):
    """A commit that is an option or a name, and a remote that is an option or runs a command, never reach git."""
    source = capture(git, tmp_path).model_copy(update={"remote": "https://host.invalid/a.git", **changes})
    with pytest.raises(RefusedError):
        make_source_plan(source, places=[])


def test_a_lost_commit_is_named(git, tmp_path):
    """A commit that is in no clone, remote or bundle is said with its hash; one in a clone is planned from there."""
    source = capture(git, tmp_path)
    assert make_source_plan(source, places=[git.root]).origin == "clone"
    with pytest.raises(ReplayError, match=source.commit):
        make_source_plan(source, places=[tmp_path])


def test_a_clone_is_found_from_a_folder_inside_it(git, tmp_path):
    """Standing in a folder of the clone is enough to find the commit, its files and its top."""
    from repro_track.capture.checkout import has_file

    (git.root / "folder").mkdir()
    plan = make_source_plan(capture(git, tmp_path), places=[git.root / "folder"])
    assert plan.clone == str(git.root)
    assert has_file(plan, "kept.txt")
    assert not has_file(plan, "folder/kept.txt")


def test_a_submodule_of_an_older_record_comes_from_where_gitmodules_says(git, tmp_path, monkeypatch):
    """Records of before schema 4 have path and commit of a submodule only: it comes from the clone, else from the
    address in `.gitmodules`, a relative one too."""
    monkeypatch.setenv("REPRO_TRACK_HOME", str(tmp_path / "home"))
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "--quiet", git.root, other], check=True)
    git("remote", "add", "origin", str(git.root))
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../other", "a sub")
    git("commit", "--quiet", "-m", "submodule")
    source = capture(git, tmp_path)
    old = [Submodule(path=one.path, commit=one.commit) for one in source.submodules]
    source = source.model_copy(update={"submodules": tuple(old)})
    assert (restore(git, tmp_path, source) / "a sub" / "kept.txt").is_file()
    shutil.rmtree(git.root / "a sub")
    assert (restore(git, tmp_path, source, name="again") / "a sub" / "kept.txt").is_file()


def test_a_submodule_that_is_not_checked_out_any_more_comes_from_the_clone(git, tmp_path):
    """A submodule that was given up since, and whose remote is gone, comes from what the clone has kept of it."""
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "--quiet", git.root, other], check=True)
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "a sub")
    git("commit", "--quiet", "-m", "submodule")
    (git.root / "a sub" / "new.py").write_text("1\n")
    source = capture(git, tmp_path)
    git("submodule", "--quiet", "deinit", "--force", "a sub")
    shutil.rmtree(other)
    assert (restore(git, tmp_path, source) / "a sub" / "new.py").read_text() == "1\n"


def test_a_tree_of_an_older_record_is_proven_by_its_old_hash(git, tmp_path):
    """Before schema 4 the hash of a tree was that of the files as git would store them: a tree that has it is
    accepted, one that has neither is not."""
    (git.root / ".gitattributes").write_text("*.txt text\n")
    git("add", ".gitattributes")
    git("commit", "--quiet", "-m", "attributes")
    (git.root / "new.txt").write_bytes(b"one\r\ntwo\r\n")
    source = capture(git, tmp_path)
    git("add", "new.txt")
    old = source.model_copy(update={"tree": git("write-tree").strip()})
    assert old.tree != source.tree
    assert (restore(git, tmp_path, old) / "new.txt").read_bytes() == b"one\r\ntwo\r\n"
    with pytest.raises(ReplayError, match="the tree that ran"):
        restore(git, tmp_path, source.model_copy(update={"tree": "1" * 40}), name="again")


@pytest.mark.parametrize("path", ["/tmp/x", "../x", ".git/hooks", "a/../../x", "sub/.GIT"])
def test_a_repository_inside_stays_inside(git, tmp_path, path):
    """A repository that a record has outside of its tree, or in git's own folder, is refused."""
    source = capture(git, tmp_path)
    inner = Submodule(path=path, commit=source.commit)
    with pytest.raises(RefusedError):
        make_source_plan(source.model_copy(update={"submodules": (inner,)}), places=[git.root])


def test_a_repository_inside_is_not_written_through_a_link(git, tmp_path):
    """A commit with a link that leaves the tree, and a repository behind it: refused, and nothing is written there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (git.root / "link").symlink_to(outside)
    git("add", "link")
    git("commit", "--quiet", "-m", "link")
    source = capture(git, tmp_path)
    inner = Submodule(path="link/inner", commit=source.commit, remote=str(git.root))
    with pytest.raises(RefusedError, match="leads out"):
        restore(git, tmp_path, source.model_copy(update={"submodules": (inner,)}))
    assert list(outside.iterdir()) == []


def test_weights_in_a_submodule_are_part_of_the_source(git, tmp_path):
    """Whether a file comes back is asked of the repository inside in which it is."""
    from repro_track.capture.checkout import has_file

    subprocess.run(["git", "clone", "--quiet", git.root, git.root / "vendor"], check=True)
    plan = make_source_plan(capture(git, tmp_path), places=[git.root])
    assert "repositories inside: 1" in plan.text
    assert has_file(plan, "vendor/kept.txt")
    assert not has_file(plan, "vendor/other.txt")
