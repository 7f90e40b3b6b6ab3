"""The code of a run: commit, branch, remote, staged, unstaged and untracked changes, submodules.

Capturing never writes into the repository, never runs a hook, a filter or an external diff, and never keeps a secret:
files that look like one are left out by name and reported.
"""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from repro_track.errors import first_line
from repro_track.fingerprint import digest_bytes, digest_file
from repro_track.record import Known, Source, Submodule, Unavailable
from repro_track.redaction import has_secret, is_secret_file, redact_url

if TYPE_CHECKING:
    import git

SIZE_LIMIT_BYTES = 50 * 1024 * 1024
"""More than this of changes is not kept: diffs of 100 GB are known from other trackers (FIELD.md, section 10)."""

_DIFF = (
    "--binary",
    "--full-index",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)


def capture_source(
    *,
    script: Path | None,
    place: Path,
    folder: Path,
    exclude: Iterable[Path] = (),
    size_limit_bytes: int = SIZE_LIMIT_BYTES,
) -> Source:
    """Capture the repository around a folder, and the entry script; outside a repository, the script alone.

    Args:
        script: the entry script, null for the command line.
        place: the folder whose repository is meant.
        folder: where `source/` is written: `staged.diff.txt`, `unstaged.diff.txt`, `untracked.tar.gz`, the script.
        exclude: files and folders that the run itself writes (the store), not part of its code.
        size_limit_bytes: changes larger than this are recorded as unavailable.
    """
    script_digest: Known[str] = Unavailable(unavailable="the run has no entry script")
    if script is not None:
        try:
            script_digest = _keep_script(script, folder=folder)
        except OSError as error:
            script_digest = Unavailable(unavailable=f"{script} cannot be read: {error.strerror}")
    repository = _open_repository(place)
    if isinstance(repository, Unavailable):
        return Source(
            repository=repository, commit=repository, branch=repository, remote=repository, dirty=False,
            changes={}, left_out={}, submodules=(), script_sha256=script_digest,
        )  # fmt: skip
    with repository:
        return _capture_repository(
            repository, script_digest=script_digest, folder=folder, exclude=tuple(exclude), limit=size_limit_bytes
        )


def _keep_script(script: Path, *, folder: Path) -> str:
    content = script.read_bytes()
    if not has_secret(content):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / script.name).write_bytes(content)
    return digest_bytes(content)


def _open_repository(place: Path) -> git.Repo | Unavailable:
    try:
        import git
    except ImportError as error:  # GitPython raises it when there is no git program
        return Unavailable(unavailable=f"git cannot be used: {first_line(error)}")
    try:
        return git.Repo(place, search_parent_directories=True)
    except (git.InvalidGitRepositoryError, git.NoSuchPathError):
        return Unavailable(unavailable=f"{place} is not in a git repository")
    except (git.GitCommandError, ValueError, OSError) as error:
        return Unavailable(unavailable=f"the repository of {place} cannot be read: {error}")


def _capture_repository(
    repository: git.Repo, *, script_digest: Known[str], folder: Path, exclude: tuple[Path, ...], limit: int
) -> Source:
    import git

    root = Path(repository.working_tree_dir or repository.git_dir)
    try:
        commit: Known[str] = repository.head.commit.hexsha
    except ValueError:
        commit = Unavailable(unavailable="the repository has no commit yet")
    try:
        branch: Known[str] = repository.active_branch.name
    except TypeError:
        branch = Unavailable(unavailable="HEAD is detached")

    changes: dict[str, Known[str]] = {}
    left_out: dict[str, str] = {}
    if repository.working_tree_dir is None:
        changes["unstaged"] = Unavailable(unavailable="a bare repository has no working tree")
    else:
        for kind, words in (("staged", ("--cached",)), ("unstaged", ())):
            diff = _read_diff(repository, *words)
            if diff:
                changes[kind] = _keep(diff, folder / f"{kind}.diff.txt", limit=limit, what=f"the {kind} diff")
        kept, left_out = _choose_untracked(repository, root=root, exclude=exclude)
        if kept:
            changes["untracked"] = _keep_untracked(kept, root=root, target=folder / "untracked.tar.gz", limit=limit)
    try:
        submodules = tuple(
            Submodule(path=words[1], commit=words[0].lstrip("+-U"))
            for words in (line.split() for line in repository.git.submodule("status").splitlines())
        )
    except git.GitCommandError:
        submodules = ()
    return Source(
        repository=str(root),
        commit=commit,
        branch=branch,
        remote=_read_remote(repository),
        dirty=bool(changes or left_out),
        changes=changes,
        left_out=left_out,
        submodules=submodules,
        script_sha256=script_digest,
    )


def _read_diff(repository: git.Repo, *words: str) -> bytes:
    """Read a diff as bytes. GitPython would strip its last newline, and `git apply` then calls it corrupt."""
    return repository.git.diff(*words, *_DIFF, stdout_as_string=False, strip_newline_in_stdout=False)


def _read_remote(repository: git.Repo) -> Known[str]:
    remotes = {remote.name: remote for remote in repository.remotes}
    remote = remotes.get("origin") or next(iter(remotes.values()), None)
    if remote is None:
        return Unavailable(unavailable="the repository has no remote")
    return redact_url(next(iter(remote.urls), ""))


def _keep(content: bytes, target: Path, *, limit: int, what: str) -> Known[str]:
    if len(content) > limit:
        return Unavailable(unavailable=f"{what} has {len(content)} bytes, more than {limit}")
    if has_secret(content):
        return Unavailable(unavailable=f"{what} holds what looks like an access token or a private key")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return digest_bytes(content)


def _choose_untracked(
    repository: git.Repo, *, root: Path, exclude: tuple[Path, ...]
) -> tuple[list[str], dict[str, str]]:
    """Choose the untracked files that git does not ignore; also say which were left out and why."""
    names = repository.git.ls_files("--others", "--exclude-standard", "-z").split("\0")
    outside = tuple(path.absolute() for path in exclude)
    kept, left_out = [], {}
    for name in sorted(filter(None, names)):
        path = root / name
        if any(path == other or other in path.parents for other in outside):
            continue
        if is_secret_file(name):
            left_out[name] = "its name is that of a secret"
        elif not (path.is_symlink() or path.is_file()):
            left_out[name] = "not a file"  # a repository inside the repository, a socket
        else:
            kept.append(name)
    return kept, left_out


def _keep_untracked(names: list[str], *, root: Path, target: Path, limit: int) -> Known[str]:
    """Keep files as a tar.gz whose bytes depend on names, contents and the executable bit only."""
    total = sum((root / name).lstat().st_size for name in names)
    if total > limit:
        return Unavailable(unavailable=f"{len(names)} untracked files have {total} bytes, more than {limit}")
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name in names:
            path = root / name
            entry = tarfile.TarInfo(name)
            if path.is_symlink():
                entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
                archive.addfile(entry)
                continue
            content = path.read_bytes()
            if has_secret(content):
                return Unavailable(unavailable=f"{name} holds what looks like an access token or a private key")
            entry.size = len(content)
            entry.mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
            archive.addfile(entry, io.BytesIO(content))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(buffer.getvalue())
    return digest_file(target)
