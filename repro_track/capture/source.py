"""The code of a run: commit, branch, remote, staged, unstaged and untracked changes, submodules; and the proof that
they suffice.

It never writes into the user's repository or working tree, and never keeps a secret: files that look like one are left
out by name and reported. It proves at once that what was kept gives back the tree that ran.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from repro_track.capture.git import (
    describe_git_error,
    join_names,
    list_submodules,
    list_untracked,
    open_repository,
    read_branch,
    read_commit,
    read_diff,
    read_remote,
    run_git,
    scratch_variables,
)
from repro_track.capture.launch import is_installed
from repro_track.capture.untracked import SIZE_LIMIT_BYTES, pack_untracked, unpack_untracked
from repro_track.errors import ReproTrackError, first_line
from repro_track.record.names import BUNDLE_NAME
from repro_track.record.redaction import has_secret, redact_text
from repro_track.record.schema import Known, Source, Unavailable
from repro_track.record.secret_names import is_secret_file
from repro_track.tensors.digests import digest_bytes, digest_file

if TYPE_CHECKING:
    import git

_SECRET = "holds what looks like a secret"


def capture_source(
    *,
    script: Path | None,
    place: Path,
    folder: Path,
    exclude: Iterable[Path] = (),
    bundle: bool = False,
    size_limit_bytes: int = SIZE_LIMIT_BYTES,
) -> Source:
    """Capture the repository around a folder, and the entry script; outside a repository, the script alone.

    Args:
        script: the entry script, `None` for the command line.
        place: the folder whose repository is meant.
        folder: where `source/` is written: `staged.diff.txt`, `unstaged.diff.txt`, `untracked.tar.gz`, the script.
        exclude: files and folders that the run itself writes (the store), not part of its code.
        bundle: also keep the commit and its history as a git bundle, for a commit that may be lost.
        size_limit_bytes: changes larger than this are recorded as unavailable.
    """
    script_digest: Known[str] = Unavailable(unavailable="the run has no entry script")
    if script is not None:
        try:
            script_digest = _keep_script(script, folder=folder)
        except OSError as error:
            script_digest = Unavailable(unavailable=f"{script} cannot be read: {error.strerror}")
    repository = open_repository(place)
    if is_installed(place) and not isinstance(repository, Unavailable):  # an environment may lie in any repository
        repository.close()
        repository = Unavailable(unavailable=f"{place} is part of an installed package")
    if isinstance(repository, Unavailable):
        is_lost = script is not None and isinstance(script_digest, str) and not (folder / script.name).is_file()
        lost = {script.name: _SECRET} if script and is_lost else {}
        return Source(
            repository=repository, commit=repository, branch=repository, remote=repository, dirty=False,
            changes={}, left_out=lost, submodules=(), script_sha256=script_digest, tree=repository,
        )  # fmt: skip
    with repository:
        source = _capture_repository(
            repository, script_digest=script_digest, folder=folder, exclude=tuple(exclude), limit=size_limit_bytes
        )
        if bundle and isinstance(source.commit, str):
            path = folder.parent / BUNDLE_NAME
            path.parent.mkdir(parents=True, exist_ok=True)
            run_git("bundle", "create", "--quiet", str(path), "HEAD", cwd=Path(str(source.repository)))
            source = source.model_copy(update={"bundle_sha256": digest_file(path)})
        return source


def _keep_script(script: Path, *, folder: Path) -> str:
    """Keep the script unless a secret is in it; return its digest either way."""
    content = script.read_bytes()
    if not has_secret(content):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / script.name).write_bytes(content)
    return digest_bytes(content)


def _capture_repository(
    repository: git.Repo, *, script_digest: Known[str], folder: Path, exclude: tuple[Path, ...], limit: int
) -> Source:
    root = Path(repository.working_tree_dir or repository.git_dir)
    commit = read_commit(repository)
    changes: dict[str, Known[str]] = {}
    left_out: dict[str, str] = {}
    tree: Known[str]
    if repository.working_tree_dir is None:
        changes["unstaged"] = tree = Unavailable(unavailable="a bare repository has no working tree")
    else:
        for kind, words in (("staged", ("--cached",)), ("unstaged", ())):
            diff = read_diff(repository, *words)
            if diff:
                target = folder / name_kept_change(kind)
                changes[kind] = _keep_diff(diff, target, limit=limit, what=f"the {kind} diff")
        kept, left_out = _choose_untracked(repository, root=root, exclude=exclude)
        if kept:
            target = folder / name_kept_change("untracked")
            changes["untracked"] = pack_untracked(kept, root=root, target=target, limit=limit)
        tree = _prove_tree(root, commit=commit, changes=changes, untracked=kept, folder=folder)
    return Source(
        repository=str(root),
        commit=commit,
        branch=read_branch(repository),
        remote=read_remote(repository),
        dirty=bool(changes or left_out),
        changes=changes,
        left_out=left_out,
        submodules=list_submodules(repository, root=root),
        script_sha256=script_digest,
        tree=tree,
    )


def name_kept_change(kind: str) -> str:
    """Name the file under `source/` that holds the changes of a kind: `staged`, `unstaged` or `untracked`."""
    return "untracked.tar.gz" if kind == "untracked" else f"{kind}.diff.txt"


def _keep_diff(content: bytes, target: Path, *, limit: int, what: str) -> Known[str]:
    if len(content) > limit:
        return Unavailable(unavailable=f"{what} has {len(content)} bytes, more than {limit}")
    if has_secret(content):
        return Unavailable(unavailable=f"{what} {_SECRET}")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return digest_bytes(content)


def _choose_untracked(
    repository: git.Repo, *, root: Path, exclude: tuple[Path, ...]
) -> tuple[list[str], dict[str, str]]:
    """Return the untracked files that are kept, and those that are left out with the reason."""
    # a folder that the whole repository is in says nothing about its files: restored source is in one of ours
    outside = tuple(path.absolute() for path in exclude if path.absolute() not in root.parents)
    kept, left_out = [], {}
    for name in list_untracked(repository):
        path = root / name
        if any(path == other or other in path.parents for other in outside):
            continue
        if is_secret_file(name) or has_secret(name):
            left_out[redact_text(name)] = "its name is that of a secret"
        elif not (path.is_symlink() or path.is_file()):
            left_out[name] = "not a file"  # a repository inside the repository, a socket
        else:
            kept.append(name)
    return kept, left_out


def _prove_tree(
    root: Path, *, commit: Known[str], changes: Mapping[str, Known[str]], untracked: list[str], folder: Path
) -> Known[str]:
    """Return git's hash of the tree that ran, if the commit and the kept changes give the same one; else why not.

    Both are written into a temporary object folder; the repository and its index are only read.
    """
    if isinstance(commit, Unavailable):
        return commit
    for kind, change in changes.items():
        if isinstance(change, Unavailable):
            return Unavailable(unavailable=f"the {kind} changes were not kept: {change.unavailable}")
    try:
        if dirty := _list_dirty_submodules(root):
            return Unavailable(unavailable=f"the submodule {dirty[0]} has changes of its own, which are not kept")
        hidden = _list_hidden(root)
        if not changes and not hidden:
            return run_git("rev-parse", f"{commit}^{{tree}}", cwd=root).strip()
        with tempfile.TemporaryDirectory(prefix="repro_track-tree-") as name:
            ran = hash_present(root, untracked=untracked, hidden=hidden, scratch=Path(name))
            kept = _hash_kept(root, commit=commit, changes=changes, folder=folder, scratch=Path(name))
    except (subprocess.CalledProcessError, OSError, ReproTrackError) as error:
        reason = describe_git_error(error) if isinstance(error, subprocess.CalledProcessError) else first_line(error)
        return Unavailable(unavailable=f"git cannot put it together again: {reason}")
    if ran != kept:
        return Unavailable(unavailable=f"the commit and the kept changes give tree {kept}, and {ran} ran")
    return ran


def _list_dirty_submodules(root: Path) -> list[str]:
    if not (root / ".gitmodules").is_file():
        return []
    lines = run_git("status", "--porcelain=v2", "-z", "--untracked-files=no", cwd=root).split("\0")
    fields = (line.split(" ", 8) for line in lines if line.startswith("1 "))
    return [words[8] for words in fields if words[2].startswith("S") and words[2][2:] != ".."]


def _list_hidden(root: Path) -> list[str]:
    """List tracked files that git was told not to look at (assume-unchanged, skip-worktree): no diff shows their
    changes."""
    entries = run_git("ls-files", "-v", "-z", cwd=root).split("\0")
    names = [entry[2:] for entry in entries if entry and (entry[0].islower() or entry[0] == "S")]
    return [name for name in names if (root / name).is_file()]  # those of a sparse checkout are not there


def hash_present(root: Path, *, untracked: list[str], hidden: list[str], scratch: Path) -> str:
    """Hash the working tree as it is: the tracked files, hidden ones too, and the untracked ones that are named."""
    variables = scratch_variables(root, scratch=scratch, index="present")
    index = root / run_git("rev-parse", "--git-path", "index", cwd=root).strip()
    if index.is_file():
        shutil.copy2(index, scratch / "present")  # with its time: git looks again into files that are no older
    for flag in ("--no-assume-unchanged", "--no-skip-worktree"):
        run_git("update-index", flag, "-z", "--stdin", cwd=root, variables=variables, given=join_names(hidden))
    run_git("add", "--update", "--", ".", cwd=root, variables=variables)
    run_git("update-index", "--add", "-z", "--stdin", cwd=root, variables=variables, given=join_names(untracked))
    return run_git("write-tree", cwd=root, variables=variables).strip()


def _hash_kept(root: Path, *, commit: str, changes: Mapping[str, Known[str]], folder: Path, scratch: Path) -> str:
    """Hash what the commit and the kept changes give, exactly as a replay would put them together."""
    variables = scratch_variables(root, scratch=scratch, index="kept")
    run_git("read-tree", commit, cwd=root, variables=variables)
    for kind in ("staged", "unstaged"):
        if kind in changes:
            patch = str((folder / name_kept_change(kind)).absolute())
            run_git("apply", "--cached", "--whitespace=nowarn", patch, cwd=root, variables=variables)
    if "untracked" in changes:
        files = scratch / "files"
        names = unpack_untracked(folder / name_kept_change("untracked"), files)
        words = (f"--work-tree={files}", "update-index", "--add", "-z", "--stdin")
        git_folder = root / run_git("rev-parse", "--git-dir", cwd=root).strip()
        run_git(f"--git-dir={git_folder}", *words, cwd=files, variables=variables, given=join_names(names))
    return run_git("write-tree", cwd=root, variables=variables).strip()
