"""Promises of git.py, on real repositories: nothing that a repository's config names is started, neither hooks nor
whoever called us have a say, and whatever git does, there is an answer."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from repro_track.capture import git as module
from repro_track.capture.git import Clone, NoClone, ask, find_clone, has_commit, read_remote, run_git
from repro_track.capture.source import capture_source
from repro_track.record.schema import Unavailable
from tests.unit.capture.trees import capture, restore


def plant(git, canary):
    """Let everything in a repository's config that names a program say so."""
    spy = f"touch '{canary}'; cat"
    git("config", "filter.spy.clean", f'sh -c "{spy}"')
    git("config", "filter.spy.smudge", f'sh -c "{spy}"')
    git("config", "filter.spy.required", "true")
    git("config", "diff.spy.textconv", f'sh -c "{spy}"')
    git("config", "diff.spy.command", f'sh -c "{spy}"')
    for name in ("diff.external", "core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "credential.helper",
                 "core.alternateRefsCommand", "core.gitProxy", "gpg.program"):  # fmt: skip
        git("config", name, f'sh -c "{spy}"')
    git("config", "alias.diff", f'!sh -c "{spy}"')
    git("config", "remote.origin.url", f"ext::sh -c {spy}")
    git("config", "remote.origin.promisor", "true")
    git("config", "remote.origin.uploadpack", f'sh -c "{spy}"')
    git("config", "extensions.partialClone", "origin")
    git("config", "core.repositoryformatversion", "1")
    hooks = git.root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "post-index-change", "reference-transaction", "pre-commit"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch '{canary}'\n")
        (hooks / name).chmod(0o755)


def test_nothing_that_a_config_names_is_started(git, tmp_path):
    """Filters, fsmonitor, textconv, external diffs, ssh and upload commands, helpers, hooks: none runs when a tree is
    captured, looked for and restored; the user's own git does run them."""
    canary = tmp_path / "ran"
    (git.root / ".gitattributes").write_text("*.txt filter=spy diff=spy\n")
    git("add", ".gitattributes")
    git("commit", "--quiet", "-m", "attributes")
    plant(git, canary)
    (git.root / "kept.txt").write_text("two\n")
    (git.root / "new.txt").write_text("new\n")
    source = capture(git, tmp_path)
    assert isinstance(source.tree, str), source.tree
    assert not has_commit(git.root, "1" * 40)
    source = source.model_copy(update={"remote": "https://host.invalid/a.git"})
    assert (restore(git, tmp_path, source) / "new.txt").read_text() == "new\n"
    assert not canary.exists()
    subprocess.run(["git", "status"], cwd=git.root, capture_output=True, check=False)
    assert canary.exists()


def test_only_what_starts_nothing_is_asked_of_a_repository(git):
    """A repository is asked by commands that start nothing; any other is refused before git sees it."""
    clone = find_clone(git.root)
    assert ask(clone, "rev-parse", "HEAD") == git("rev-parse", "HEAD")
    with pytest.raises(ValueError, match="may start programs"):
        ask(clone, "status")


def test_hooks_and_callers_of_git_have_no_say(git, tmp_path, monkeypatch):
    """A hook of the clone does not run, and the variables of a git that called us do not lead us elsewhere."""
    hook = git.root / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "no-such-index"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "no-such-folder"))
    (git.root / "new.py").write_text("1\n")
    source = capture(git, tmp_path)
    assert isinstance(source.tree, str), source.tree
    assert (restore(git, tmp_path, source) / "new.py").exists()
    assert not (tmp_path / "ran").exists()


def test_a_folder_whose_repository_is_named_by_variables(tmp_path, monkeypatch):
    """A working tree without a git folder above it, as people keep their dotfiles, is that of GIT_DIR and
    GIT_WORK_TREE; a folder outside of it is not."""
    place, bare = tmp_path / "home", tmp_path / "dotfiles.git"
    (place / "code").mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
    monkeypatch.setenv("GIT_DIR", str(bare))
    monkeypatch.setenv("GIT_WORK_TREE", str(place))
    assert find_clone(place / "code") == find_clone(place)
    assert isinstance(find_clone(place), Clone)
    assert isinstance(find_clone(tmp_path), NoClone)


def test_a_repository_of_another_owner_is_captured(git, tmp_path):
    """A repository that git itself refuses because it belongs to somebody else is read and restored all the same: what
    its config names is not started, which is what the refusal protects from. Nobody's config is changed."""
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    canary = tmp_path / "ran"
    plant(git, canary)
    (git.root / "new.py").write_text("1\n")
    for path in [git.root, *git.root.rglob("*")]:
        os.lchown(path, 12345, 12345)
    variables = {"HOME": str(tmp_path), "GIT_CONFIG_GLOBAL": "/dev/null", "PATH": os.environ["PATH"]}
    refused = subprocess.run(
        ["git", "status"], cwd=git.root, env=variables, capture_output=True, text=True, check=False
    )
    assert "dubious ownership" in refused.stderr
    source = capture(git, tmp_path)
    assert isinstance(source.tree, str), source.tree
    source = source.model_copy(update={"remote": "https://host.invalid/a.git"})
    assert (restore(git, tmp_path, source) / "new.py").exists()
    assert not canary.exists()


@pytest.mark.parametrize("inside", [".git", ".git/hooks"])
def test_a_script_inside_of_a_git_folder_is_in_no_tree(git, inside):
    """A place inside of a git folder is in no working tree, and that is said; the folder beside it is."""
    found = find_clone(git.root / inside)
    assert isinstance(found, NoClone)
    assert "inside of the git folder" in found.reason
    assert isinstance(find_clone(git.root), Clone)


def test_a_bare_repository_has_no_tree(git, tmp_path):
    """A script in a bare repository is captured alone, with the reason."""
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", git.root, bare], check=True)
    (bare / "script.py").write_text("1\n")
    source = capture_source(script=bare / "script.py", place=bare, folder=tmp_path / "kept")
    assert isinstance(source.repository, Unavailable)
    assert isinstance(source.script_sha256, str)


def test_a_working_tree_elsewhere_is_not_taken(git, tmp_path):
    """A git folder whose working tree is elsewhere has nothing to say about the folder that it lies in."""
    (tmp_path / "elsewhere").mkdir()
    git("config", "core.worktree", str(tmp_path / "elsewhere"))
    assert "elsewhere" in find_clone(git.root).reason


def break_head(root):
    (root / ".git" / "HEAD").write_text("garbage\n")


def break_index(root):
    (root / ".git" / "index").write_bytes(b"DIRC garbage")


def break_config(root):
    (root / ".git" / "config").write_text("[core\ngarbage")


def break_objects(root):
    for path in sorted((root / ".git" / "objects").rglob("*")):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(b"garbage")


def break_reference(root):
    (root / ".git" / "refs" / "heads" / "main").write_text("garbage\n")


def break_pointer(root):
    (root / ".git").rename(root.parent / "moved")
    (root / ".git").write_text("gitdir: /no/such/folder\n")


@pytest.mark.parametrize(
    "damage", [break_head, break_index, break_config, break_objects, break_reference, break_pointer]
)
def test_a_damaged_repository_ends_no_run(git, tmp_path, damage):
    """Whatever is broken, there is a source that says so: the repository is there and does not come back."""
    (git.root / "kept.txt").write_text("two\n")
    damage(git.root)
    source = capture(git, tmp_path)
    assert source.repository == str(git.root)
    assert isinstance(source.tree, Unavailable)


@pytest.mark.parametrize("program", ["exec sleep 60", "sleep 60 & sleep 60", "echo garbage; exit 0", "exit 129", None])
def test_a_git_that_hangs_or_talks_nonsense_ends_no_run(git, tmp_path, monkeypatch, program):
    """A git that hangs, itself or in a child that holds its pipes, that prints garbage, that is too old for what it is
    asked, or that is gone makes the source unavailable, soon."""
    folder = tmp_path / "bin"
    folder.mkdir()
    if program is not None:
        (folder / "git").write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{program}\n")
        (folder / "git").chmod(0o755)
    find_clone(git.root)  # GitPython looks for git when it is imported
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(module, "CAPTURE_LIMIT_S", 0.5)
    begin = time.monotonic()
    source = capture(git, tmp_path)
    assert time.monotonic() - begin < 20
    assert source.repository == str(git.root)
    assert isinstance(source.tree, Unavailable)
    assert isinstance(source.commit, Unavailable)


def test_git_is_killed_with_what_it_started(tmp_path, monkeypatch):
    """A git that takes too long is ended together with its children."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\nsleep 60 &\necho $! > {tmp_path}/child\nwait\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(subprocess.TimeoutExpired):
        run_git("status", cwd=tmp_path, limit_s=0.5)
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    deadline = time.monotonic() + 5
    while child.exists() and ") Z " not in child.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.exists() or ") Z " in child.read_text()


def test_the_remote_is_origin_without_what_is_secret(git):
    """The remote is origin's first URL, else that of the first remote, without credentials."""
    assert isinstance(read_remote(find_clone(git.root)), Unavailable)
    git("remote", "add", "fork", "https://me:planted@host.example/fork.git")
    assert read_remote(find_clone(git.root)) == "https://host.example/fork.git"
    git("remote", "add", "origin", "https://host.example/a.git")
    git("remote", "set-url", "--add", "origin", "https://host.example/mirror.git")
    assert read_remote(find_clone(git.root)) == "https://host.example/a.git"
