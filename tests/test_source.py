"""Promises of source.py, on real repositories: every change is kept so that git takes it back; no secret is."""

import os
import subprocess
import tarfile

import pytest

from repro_track.capture.source import capture_source
from repro_track.record.schema import Unavailable


def capture(git, tmp_path, **options):
    return capture_source(script=None, place=git.root, folder=tmp_path / "kept", **options)


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
    assert "access token" in change.unavailable
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


# --- the proof and the way back -----------------------------------------------------------------------------------


def restore(git, tmp_path, source, *, places=None, name="restored"):
    from repro_track.capture.checkout import make_source_plan, restore_source

    plan = make_source_plan(source, places=[git.root] if places is None else places)
    target = tmp_path / name / "source"
    target.parent.mkdir()
    (tmp_path / "recorded").mkdir(exist_ok=True)
    if (tmp_path / "kept").exists() and not (tmp_path / "recorded" / "source").exists():
        (tmp_path / "recorded" / "source").symlink_to(tmp_path / "kept")
    restore_source(plan, kept=tmp_path / "recorded", target=target)
    return target


def test_the_tree_of_a_clean_commit_is_its_own(git, tmp_path):
    """Without changes the proven tree is the commit's; with a change it is another."""
    assert capture(git, tmp_path).tree == git("rev-parse", "HEAD^{tree}").strip()
    (git.root / "kept.txt").write_text("two\n")
    assert capture(git, tmp_path).tree != git("rev-parse", "HEAD^{tree}").strip()


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


def test_hooks_and_callers_of_git_have_no_say(git, tmp_path, monkeypatch):
    """A hook of the clone does not run, and the variables of a git that called us do not lead us elsewhere."""
    hook = git.root / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "no-such-index"))
    (git.root / "new.py").write_text("1\n")
    source = capture(git, tmp_path)
    assert isinstance(source.tree, str), source.tree
    assert (restore(git, tmp_path, source) / "new.py").exists()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_that_git_hides_is_noticed(git, tmp_path, flag):
    """A tracked file that git was told not to look at and that was changed makes the tree unproven; unchanged, it does
    not."""
    git("update-index", flag, "kept.txt")
    assert isinstance(capture(git, tmp_path).tree, str)
    (git.root / "kept.txt").write_text("hidden\n")
    source = capture(git, tmp_path)
    assert not source.dirty
    assert "ran" in source.tree.unavailable


def test_a_submodule_with_changes_is_noticed(git, tmp_path):
    """A change inside a submodule is in no diff: the tree is unproven, and the submodule named."""
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "--quiet", git.root, other], check=True)
    git("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(other), "sub")
    git("commit", "--quiet", "-m", "sub")
    assert isinstance(capture(git, tmp_path).tree, str)
    (git.root / "sub" / "kept.txt").write_text("changed\n")
    assert "sub" in capture(git, tmp_path).tree.unavailable


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


def make_archive(path, entries, *, kind=None):
    import io

    with tarfile.open(path, "w:gz") as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.type = kind or tarfile.REGTYPE
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                entry.linkname = content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        ([("../out.txt", b"x")], None),
        ([("/tmp/out.txt", b"x")], None),
        ([("a/../../out.txt", b"x")], None),
        ([(".git/config", b"x")], None),
        ([("twice", b"x"), ("twice", b"y")], None),
        ([("file", b"x"), ("file/inside", b"y")], None),
        ([("hard", "/etc/passwd")], tarfile.LNKTYPE),
        ([("device", b"")], tarfile.CHRTYPE),
        ([("bomb", b"0" * 3000)], None),
    ],
)
def test_a_hostile_archive_writes_nothing(tmp_path, entries, kind):
    """An archive that leaves its folder, hides git's own, repeats a name, or is too large is refused as a whole."""
    from repro_track.capture.untracked import unpack_untracked
    from repro_track.errors import RefusedError

    make_archive(tmp_path / "a.tar.gz", entries, kind=kind)
    target = tmp_path / "deep" / "target"
    with pytest.raises(RefusedError):
        unpack_untracked(tmp_path / "a.tar.gz", target, size_limit_bytes=2000)
    assert not target.exists()
    assert not (tmp_path / "out.txt").exists()


def test_nothing_is_written_through_a_link(tmp_path):
    """A link in an archive comes back as a link, and a file is never written through one."""
    from repro_track.capture.untracked import unpack_untracked
    from repro_track.errors import RefusedError

    make_archive(tmp_path / "a.tar.gz", [("link", "/etc")], kind=tarfile.SYMTYPE)
    assert unpack_untracked(tmp_path / "a.tar.gz", tmp_path / "target") == ["link"]
    assert (tmp_path / "target" / "link").is_symlink()
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("link")
        entry.type, entry.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(entry)
        archive.addfile(tarfile.TarInfo("link/planted.txt"))
    with pytest.raises(RefusedError):
        unpack_untracked(tmp_path / "b.tar.gz", tmp_path / "other")
    assert not (tmp_path / "planted.txt").exists()


def test_nothing_is_written_through_a_link_of_the_commit(git, tmp_path):
    """A commit with a link that leaves the folder, and an archive with a file behind it: refused; nothing is
    written."""
    from repro_track.capture.untracked import unpack_untracked
    from repro_track.errors import RefusedError

    outside = tmp_path / "outside"
    outside.mkdir()
    target = tmp_path / "target"
    target.mkdir()
    (target / "evil").symlink_to(outside)
    (target / "there").symlink_to(outside / "there")
    for name in ("evil/planted.txt", "there"):
        make_archive(tmp_path / "a.tar.gz", [("fine.txt", b"x"), (name, b"x")])
        with pytest.raises(RefusedError):
            unpack_untracked(tmp_path / "a.tar.gz", target)
    assert not list(outside.iterdir())
    assert not (target / "fine.txt").exists()


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
