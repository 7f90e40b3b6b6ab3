"""Promises of checkout.py, on real repositories: the tree that ran comes back, and nothing else is touched."""

import os

import pytest

from repro_track.capture.source import capture_source
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
    from repro_track.errors import RefusedError

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
    from repro_track.capture.checkout import make_source_plan
    from repro_track.errors import RefusedError

    source = capture(git, tmp_path).model_copy(update={"remote": "https://host.invalid/a.git", **changes})
    with pytest.raises(RefusedError):
        make_source_plan(source, places=[])


def test_a_lost_commit_is_named(git, tmp_path):
    """A commit that is in no clone, remote or bundle is said with its hash; one in a clone is planned from there."""
    from repro_track.capture.checkout import make_source_plan
    from repro_track.errors import ReplayError

    source = capture(git, tmp_path)
    assert make_source_plan(source, places=[git.root]).origin == "clone"
    with pytest.raises(ReplayError, match=source.commit):
        make_source_plan(source, places=[tmp_path])


def test_a_clone_is_found_from_a_folder_inside_it(git, tmp_path):
    """Standing in a folder of the clone is enough to find the commit, its files and its top."""
    from repro_track.capture.checkout import has_file, make_source_plan

    (git.root / "folder").mkdir()
    plan = make_source_plan(capture(git, tmp_path), places=[git.root / "folder"])
    assert plan.clone == str(git.root)
    assert has_file(plan, "kept.txt")
    assert not has_file(plan, "folder/kept.txt")


def test_a_bundle_carries_the_commit(git, tmp_path):
    """A captured bundle gives the commit back where there is no clone and no remote."""
    (git.root / "kept.txt").write_text("two\n")
    folder = tmp_path / "recorded"
    source = capture_source(script=None, place=git.root, folder=folder / "source", bundle=True)
    assert isinstance(source.bundle_sha256, str)
    target = restore(git, tmp_path, source, places=[])
    assert (target / "kept.txt").read_text() == "two\n"
