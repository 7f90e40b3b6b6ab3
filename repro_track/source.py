"""The code of a run: commit, branch, remote, staged, unstaged and untracked changes, submodules; capture and restore.

Neither ever writes into the user's repository or working tree, runs a hook or an external diff, or gives git a value
that it could read as an option. Capturing never keeps a secret: files that look like one are left out by name and
reported; and it proves at once that what was kept gives back the tree that ran.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from repro_track.config import data_folder
from repro_track.errors import RefusedError, ReplayError, ReproTrackError, first_line
from repro_track.fingerprint import digest_bytes, digest_file
from repro_track.record import BUNDLE_NAME, Known, Source, Submodule, Unavailable
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
    "--ignore-submodules=dirty",  # its files are not in the diff: said apart
)


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
        script: the entry script, null for the command line.
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
    repository = _open_repository(place)
    if isinstance(repository, Unavailable):
        return Source(
            repository=repository, commit=repository, branch=repository, remote=repository, dirty=False,
            changes={}, left_out={}, submodules=(), script_sha256=script_digest, tree=repository,
        )  # fmt: skip
    with repository:
        source = _capture_repository(
            repository, script_digest=script_digest, folder=folder, exclude=tuple(exclude), limit=size_limit_bytes
        )
        if bundle and isinstance(source.commit, str):
            path = folder.parent / BUNDLE_NAME
            path.parent.mkdir(parents=True, exist_ok=True)
            _run_git("bundle", "create", "--quiet", str(path), "HEAD", cwd=Path(str(source.repository)))
            source = source.model_copy(update={"bundle_sha256": digest_file(path)})
        return source


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
        found = git.Repo(place, search_parent_directories=True)
        found.git.update_environment(GIT_OPTIONAL_LOCKS="0")  # looking must not refresh the user's index
        return found
    except (git.InvalidGitRepositoryError, git.NoSuchPathError):
        return Unavailable(unavailable=f"{place} is not in a git repository")
    except (git.GitCommandError, ValueError, OSError) as error:
        return Unavailable(unavailable=f"the repository of {place} cannot be read: {error}")


def _capture_repository(
    repository: git.Repo, *, script_digest: Known[str], folder: Path, exclude: tuple[Path, ...], limit: int
) -> Source:
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
    tree: Known[str]
    if repository.working_tree_dir is None:
        changes["unstaged"] = tree = Unavailable(unavailable="a bare repository has no working tree")
    else:
        for kind, words in (("staged", ("--cached",)), ("unstaged", ())):
            diff = _read_diff(repository, *words)
            if diff:
                changes[kind] = _keep(diff, folder / f"{kind}.diff.txt", limit=limit, what=f"the {kind} diff")
        kept, left_out = _choose_untracked(repository, root=root, exclude=exclude)
        if kept:
            changes["untracked"] = _keep_untracked(kept, root=root, target=folder / "untracked.tar.gz", limit=limit)
        tree = _prove_tree(root, commit=commit, changes=changes, untracked=kept, folder=folder)
    return Source(
        repository=str(root),
        commit=commit,
        branch=branch,
        remote=_read_remote(repository),
        dirty=bool(changes or left_out),
        changes=changes,
        left_out=left_out,
        submodules=_list_submodules(repository, root=root),
        script_sha256=script_digest,
        tree=tree,
    )


def _list_submodules(repository: git.Repo, *, root: Path) -> tuple[Submodule, ...]:
    import git

    if not (root / ".gitmodules").is_file():
        return ()
    try:
        lines = [line.split() for line in repository.git.submodule("status").splitlines()]
    except git.GitCommandError:
        return ()
    return tuple(Submodule(path=words[1], commit=words[0].lstrip("+-U")) for words in lines)


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
    # a folder that the whole repository is in says nothing about its files: restored source is in one of ours
    outside = tuple(path.absolute() for path in exclude if path.absolute() not in root.parents)
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


# --- the tree that ran, and the proof that it comes back ----------------------------------------------------------


def _run_git(*words: str, cwd: Path, variables: Mapping[str, str] | None = None, given: bytes = b"") -> str:
    """Run git: no hook, no prompt, no variable of a git that called us, no transport that runs commands, and no refresh of
    the index on the way.

    Raises:
        subprocess.CalledProcessError: git failed; `stderr` says why.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **(variables or {})}
    settings = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "protocol.ext.allow=never")
    options = [word for setting in settings for word in ("-c", setting)]
    done = subprocess.run(
        ["git", *options, *words], cwd=cwd, env=environment, input=given, capture_output=True, check=True
    )
    return done.stdout.decode("utf-8", "surrogateescape")


def _say(error: subprocess.CalledProcessError) -> str:
    """Give git's own reason."""
    lines = error.stderr.decode("utf-8", "replace").strip().splitlines()
    return redact_url(lines[-1]) if lines else f"git ended with code {error.returncode}"


def _prove_tree(
    root: Path, *, commit: Known[str], changes: Mapping[str, Known[str]], untracked: list[str], folder: Path
) -> Known[str]:
    """Give git's hash of the tree that ran, if the commit and the kept changes give the same one; else why not.

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
            return _run_git("rev-parse", f"{commit}^{{tree}}", cwd=root).strip()
        with tempfile.TemporaryDirectory(prefix="repro_track-tree-") as name:
            ran = _hash_present(root, untracked=untracked, hidden=hidden, scratch=Path(name))
            kept = _hash_kept(root, commit=commit, changes=changes, folder=folder, scratch=Path(name))
    except (subprocess.CalledProcessError, OSError, ReproTrackError) as error:
        reason = _say(error) if isinstance(error, subprocess.CalledProcessError) else first_line(error)
        return Unavailable(unavailable=f"git cannot put it together again: {reason}")
    if ran != kept:
        return Unavailable(unavailable=f"the commit and the kept changes give tree {kept}, and {ran} ran")
    return ran


def _list_dirty_submodules(root: Path) -> list[str]:
    if not (root / ".gitmodules").is_file():
        return []
    lines = _run_git("status", "--porcelain=v2", "-z", "--untracked-files=no", cwd=root).split("\0")
    fields = (line.split(" ", 8) for line in lines if line.startswith("1 "))
    return [words[8] for words in fields if words[2].startswith("S") and words[2][2:] != ".."]


def _list_hidden(root: Path) -> list[str]:
    """List tracked files that git was told not to look at (assume-unchanged, skip-worktree): no diff shows their changes."""
    entries = _run_git("ls-files", "-v", "-z", cwd=root).split("\0")
    names = [entry[2:] for entry in entries if entry and (entry[0].islower() or entry[0] == "S")]
    return [name for name in names if (root / name).is_file()]  # those of a sparse checkout are not there


def _scratch_variables(root: Path, *, scratch: Path, index: str) -> dict[str, str]:
    """Let git write objects and the index into a scratch folder, and read those of the repository."""
    (scratch / "objects").mkdir(exist_ok=True)
    objects = _run_git("rev-parse", "--git-path", "objects", cwd=root).strip()
    return {
        "GIT_OBJECT_DIRECTORY": str(scratch / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(root / objects),
        "GIT_INDEX_FILE": str(scratch / index),
    }


def _join_names(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape")


def _hash_present(root: Path, *, untracked: list[str], hidden: list[str], scratch: Path) -> str:
    """Hash the working tree as it is: the tracked files, hidden ones too, and the untracked ones that are named."""
    variables = _scratch_variables(root, scratch=scratch, index="present")
    index = root / _run_git("rev-parse", "--git-path", "index", cwd=root).strip()
    if index.is_file():
        shutil.copyfile(index, scratch / "present")
    for flag in ("--no-assume-unchanged", "--no-skip-worktree"):
        _run_git("update-index", flag, "-z", "--stdin", cwd=root, variables=variables, given=_join_names(hidden))
    _run_git("add", "--update", "--", ".", cwd=root, variables=variables)
    _run_git("update-index", "--add", "-z", "--stdin", cwd=root, variables=variables, given=_join_names(untracked))
    return _run_git("write-tree", cwd=root, variables=variables).strip()


def _hash_kept(root: Path, *, commit: str, changes: Mapping[str, Known[str]], folder: Path, scratch: Path) -> str:
    """Hash what the commit and the kept changes give, exactly as a replay would put them together."""
    variables = _scratch_variables(root, scratch=scratch, index="kept")
    _run_git("read-tree", commit, cwd=root, variables=variables)
    for kind in ("staged", "unstaged"):
        if kind in changes:
            patch = str((folder / f"{kind}.diff.txt").absolute())
            _run_git("apply", "--cached", "--whitespace=nowarn", patch, cwd=root, variables=variables)
    if "untracked" in changes:
        files = scratch / "files"
        names = unpack_untracked(folder / "untracked.tar.gz", files)
        words = (f"--work-tree={files}", "update-index", "--add", "-z", "--stdin")
        git_folder = root / _run_git("rev-parse", "--git-dir", cwd=root).strip()
        _run_git(f"--git-dir={git_folder}", *words, cwd=files, variables=variables, given=_join_names(names))
    return _run_git("write-tree", cwd=root, variables=variables).strip()


def unpack_untracked(archive: Path, target: Path, *, size_limit_bytes: int = SIZE_LIMIT_BYTES) -> list[str]:
    """Unpack an archive of untracked files; gives their names. Symbolic links are made last: nothing is written
    through one.

    Raises:
        RefusedError: an entry that leaves the folder (also by way of a link that is in it), is neither a file nor a
            link, or is there already; or more bytes than the limit. Nothing is written then.
    """
    found: dict[str, tarfile.TarInfo] = {}
    try:
        with tarfile.open(archive, "r:gz") as packed:
            total = 0
            for entry in packed:  # one at a time: a bomb is noticed before it is whole
                path = PurePosixPath(entry.name)
                total += entry.size
                if not (entry.isreg() or entry.issym()) or path.is_absolute() or {"..", ".git"} & set(path.parts):
                    raise _refuse_archive(f"the entry {entry.name!r} is not a file inside the folder")
                if entry.name in found:
                    raise _refuse_archive(f"the entry {entry.name!r} is there twice")
                if total > size_limit_bytes:
                    raise _refuse_archive(f"it holds more than {size_limit_bytes} bytes")
                found[entry.name] = entry
            if inside := [name for name in found if any(str(up) in found for up in PurePosixPath(name).parents)]:
                raise _refuse_archive(f"the entry {inside[0]!r} is inside another entry")
            for name in found:
                file = target / name
                if os.path.lexists(file) or not file.parent.resolve().is_relative_to(target.resolve()):
                    raise _refuse_archive(f"the entry {name!r} would overwrite a file, or be written through a link")
            for name, entry in sorted(found.items(), key=lambda item: item[1].issym()):
                file = target / name
                file.parent.mkdir(parents=True, exist_ok=True)
                if entry.issym():
                    file.symlink_to(entry.linkname)
                    continue
                content = packed.extractfile(entry)
                file.write_bytes(content.read() if content else b"")
                file.chmod(entry.mode & 0o755)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _refuse_archive(first_line(error)) from error
    target.mkdir(parents=True, exist_ok=True)
    return list(found)


def _refuse_archive(reason: str) -> RefusedError:
    return RefusedError(
        f"the archive of untracked files cannot be unpacked: {reason}", expected="an archive that a run wrote"
    )


# --- restore ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SourcePlan:
    """How the recorded tree comes back; making it writes nothing and asks no network.

    `origin` says where the commit comes from: a `clone` on this machine, the run's `bundle`, or the `remote`.
    """

    commit: str
    tree: str | None
    changes: Mapping[str, str]
    submodules: tuple[Submodule, ...]
    origin: str
    clone: str | None
    remote: str | None
    bundle_sha256: str | None

    @property
    def text(self) -> str:
        """The plan in a few words."""
        changes = f" with {', '.join(self.changes)} changes" if self.changes else ""
        place = {"clone": f"the clone {self.clone}", "bundle": "the run's bundle", "remote": f"{self.remote}"}
        return f"commit {self.commit[:12]}{changes}, from {place[self.origin]}"


def make_source_plan(source: Source, *, places: Sequence[Path]) -> SourcePlan | Unavailable:
    """Plan how the recorded source comes back; or say why there is nothing that could.

    Args:
        source: from a record.
        places: folders whose repositories may have the commit, the likeliest first.

    Raises:
        ReplayError: the commit is nowhere to be had, or a change was not kept.
        RefusedError: a value that git could take for something else.
    """
    if isinstance(source.commit, Unavailable):
        return source.commit
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", source.commit):
        raise RefusedError(f"the recorded commit is {source.commit!r}", expected="a git commit")
    lost = [kind for kind, change in source.changes.items() if isinstance(change, Unavailable)]
    if lost or set(source.changes) - {"staged", "unstaged", "untracked"}:
        raise ReplayError(
            f"the {lost[0] if lost else 'recorded'} changes of the source were not kept with the run",
            expected="a run whose changes were kept (repro-track show RUN says why these were not)",
            advice="replay it in the present code: --code current",
        )
    remote = source.remote if isinstance(source.remote, str) and source.remote else None
    clone = next((_find_top(place) for place in places if _has_commit(place, source.commit)), None)
    origin = "clone" if clone else "bundle" if source.bundle_sha256 else "remote"
    if origin == "remote":
        if remote is None:
            raise _lose(
                source.commit, f"the clone {_name_places(places)}, and the run has neither a remote nor a bundle"
            )
        _check_remote(remote)
    return SourcePlan(
        commit=source.commit,
        tree=source.tree if isinstance(source.tree, str) else None,
        changes={kind: str(change) for kind, change in source.changes.items()},
        submodules=source.submodules,
        origin=origin,
        clone=clone,
        remote=remote,
        bundle_sha256=source.bundle_sha256,
    )


def _find_top(place: Path) -> str:
    """Find the top folder of the working tree that a place is in; of a bare repository, the place itself."""
    try:
        return _run_git("rev-parse", "--show-toplevel", cwd=place).rstrip("\n")
    except subprocess.CalledProcessError:
        return str(place)


def _name_places(places: Sequence[Path]) -> str:
    return " or ".join(str(place) for place in places)


def _lose(commit: str, where: str) -> ReplayError:
    return ReplayError(
        f"commit {commit} is not in {where}",
        expected="the recorded commit",
        advice="it may have been rebased, deleted or never pushed: fetch it into the clone, or replay in the present "
        "code with --code current. A run that is recorded with source.bundle=true carries its commit",
    )


def _has_commit(place: Path, commit: str) -> bool:
    try:
        _run_git("cat-file", "-e", f"{commit}^{{tree}}", cwd=place)
    except (subprocess.CalledProcessError, OSError):
        return False
    return True


def _check_remote(url: str) -> None:
    """Let through what is a place and nothing else: git's remote helpers (`ext::sh -c …`) run commands."""
    is_scp_like = re.fullmatch(r"[\w.\-]+@[\w.\-]+:[^:].*", url) is not None
    is_path = url.startswith("/")
    if not (is_scp_like or is_path or urlsplit(url).scheme in ("https", "http", "ssh", "git", "file")):
        raise RefusedError(
            f"the recorded remote is {url!r}", expected="an https, ssh, git or file URL", advice="use --code current"
        )


def restore_source(plan: SourcePlan, *, kept: Path, target: Path) -> None:
    """Write the recorded tree into a new folder as a git worktree of a repository of our own beside it.

    Args:
        plan: from `make_source_plan`.
        kept: the folder that has the artifacts of `list_kept_names`, as they were logged.
        target: the folder to be made; its parent gets `repository.git`.

    Raises:
        ReplayError: git cannot give it, or the tree that came out is not the one that ran.
        RefusedError: an artifact is not the one that was recorded.
    """
    for kind, digest in plan.changes.items():
        check_kept(kept / _name_change(kind), digest)
    try:
        _check_out(plan, repository=target.parent / "repository.git", kept=kept, target=target)
        _restore_submodules(plan, target=target)
        _apply_diffs(plan, kept=kept, target=target)
        names = unpack_untracked(kept / _name_change("untracked"), target) if "untracked" in plan.changes else []
        with tempfile.TemporaryDirectory(prefix="repro_track-tree-") as scratch:
            restored = _hash_present(target, untracked=names, hidden=[], scratch=Path(scratch))
    except subprocess.CalledProcessError as error:
        raise ReplayError(
            f"git cannot restore commit {plan.commit}: {_say(error)}",
            expected=plan.text,
            advice="see what git says; --code current replays in the present code",
        ) from error
    if plan.tree is not None and restored != plan.tree:
        raise ReplayError(f"the restored source is tree {restored}", expected=f"{plan.tree}, the tree that ran")


def _check_out(plan: SourcePlan, *, repository: Path, kept: Path, target: Path) -> None:
    kind_of_hash = "sha256" if len(plan.commit) == 64 else "sha1"
    words = ("init", "--quiet", "--bare", f"--object-format={kind_of_hash}")
    _run_git(*words, "--", str(repository), cwd=target.parent)
    _give_objects(plan, repository=repository, kept=kept)
    if plan.remote:
        _run_git("config", "remote.origin.url", plan.remote, cwd=repository)
    _run_git("worktree", "add", "--quiet", "--detach", "--", str(target), plan.commit, cwd=repository)


def _apply_diffs(plan: SourcePlan, *, kept: Path, target: Path) -> None:
    for kind, options in (("staged", ("--index",)), ("unstaged", ())):
        if kind in plan.changes:
            patch = str((kept / _name_change(kind)).absolute())
            _run_git("apply", *options, "--whitespace=nowarn", "--", patch, cwd=target)
    # files that only the unstaged diff has were added with `git add --intent-to-add`
    added = _run_git("ls-files", "--others", "-z", cwd=target).encode("utf-8", "surrogateescape")
    if added:
        words = ("add", "--force", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul")
        _run_git(*words, cwd=target, given=added)


def _name_change(kind: str) -> str:
    return "source/untracked.tar.gz" if kind == "untracked" else f"source/{kind}.diff.txt"


def list_kept_digests(source: Source) -> dict[str, str]:
    """List the artifacts that hold a run's source, with their recorded digests."""
    kept = {_name_change(kind): digest for kind, digest in source.changes.items() if isinstance(digest, str)}
    return kept | ({BUNDLE_NAME: source.bundle_sha256} if source.bundle_sha256 else {})


def list_kept_names(plan: SourcePlan) -> list[str]:
    """List the artifacts that a plan needs, by their names in the run."""
    return [*map(_name_change, plan.changes), *([BUNDLE_NAME] if plan.origin == "bundle" else [])]


def check_kept(path: Path, digest: str) -> None:
    """See that an artifact is the one of the record: it is about to become code that runs."""
    actual = digest_file(path) if path.is_file() else "nothing"
    if actual != digest:
        raise RefusedError(
            f"{path.name} of the run has the digest {actual}",
            expected=f"{digest}, as recorded",
            advice="the store was altered or is incomplete: repro-track verify RUN",
        )


def _give_objects(plan: SourcePlan, *, repository: Path, kept: Path) -> None:
    """Make the commit readable in a repository: by reference to a clone, else from the bundle or the remote."""
    if plan.clone:
        _refer_to(Path(plan.clone), repository=repository)
    elif plan.origin == "bundle":
        check_kept(kept / BUNDLE_NAME, str(plan.bundle_sha256))
        _run_git("fetch", "--quiet", "--", str((kept / BUNDLE_NAME).absolute()), "HEAD", cwd=repository)
    else:
        _refer_to(_fetch(plan), repository=repository)


def _refer_to(clone: Path, *, repository: Path) -> None:
    """Read a clone's objects without copying them, and convert files as its own settings say."""
    objects = clone / _run_git("rev-parse", "--git-path", "objects", cwd=clone).strip()
    (repository / "objects" / "info" / "alternates").write_text(f"{objects.resolve()}\n", encoding="utf-8")
    common = clone / _run_git("rev-parse", "--git-common-dir", cwd=clone).strip()
    _run_git("config", "lfs.storage", str((common / "lfs").resolve()), cwd=repository)
    for name in ("core.autocrlf", "core.eol", "core.symlinks", "core.fileMode"):
        try:
            value = _run_git("config", "--get", name, cwd=clone).strip()
        except subprocess.CalledProcessError:
            continue  # not set
        _run_git("config", name, value, cwd=repository)


def _fetch(plan: SourcePlan) -> Path:
    """Fetch the commit from the remote into a repository of the user's cache; gives that repository."""
    remote = str(plan.remote)
    cache = data_folder() / "repositories" / f"{digest_bytes(remote.encode())[:16]}.git"
    cache.mkdir(parents=True, exist_ok=True)
    _run_git("init", "--quiet", "--bare", "--", str(cache), cwd=cache)
    if _has_commit(cache, plan.commit):
        return cache
    reason = ""
    # by its hash, which most servers give; else all branches and tags
    for wanted in ((plan.commit,), ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")):
        try:
            _run_git("fetch", "--quiet", "--no-tags", "--", remote, *wanted, cwd=cache)
        except subprocess.CalledProcessError as error:
            reason = f" ({_say(error)})"
        if _has_commit(cache, plan.commit):
            return cache
    raise _lose(plan.commit, f"any clone at hand, nor in {redact_url(remote)}{reason}")


def _restore_submodules(plan: SourcePlan, *, target: Path) -> None:
    """Check every submodule out at its recorded commit: from the clone's own, else from where .gitmodules says."""
    for submodule in plan.submodules:
        path = PurePosixPath(submodule.path)
        if path.is_absolute() or ".." in path.parts or not re.fullmatch(r"[0-9a-f]{40,64}", submodule.commit):
            raise RefusedError(f"the recorded submodule is {submodule.path!r} at {submodule.commit!r}")
        local = Path(plan.clone) / path if plan.clone else None
        if local and _has_commit(local, submodule.commit):
            inside = target / path
            _run_git("clone", "--quiet", "--shared", "--no-checkout", "--", str(local), str(inside), cwd=target)
            _run_git("checkout", "--quiet", "--detach", submodule.commit, cwd=inside)
        else:
            _run_git("submodule", "--quiet", "update", "--init", "--", submodule.path, cwd=target)


def has_file(plan: SourcePlan, path: str) -> bool:
    """Whether a file, named from the repository's root, is part of the recorded commit, as the clone at hand knows it;
    without one it may be, and is looked at once it is restored."""
    if plan.clone is None:
        return True
    try:
        return bool(_run_git("ls-tree", "--name-only", plan.commit, "--", path, cwd=Path(plan.clone)))
    except subprocess.CalledProcessError:
        return False


def list_top_level(plan: SourcePlan) -> list[str]:
    """List the files and folders at the top of the recorded commit, and in its `src`; asks the clone only."""
    if plan.clone is None:
        return []
    found: list[str] = []
    for place in (plan.commit, f"{plan.commit}:src"):
        try:
            found += _run_git("ls-tree", "--name-only", place, cwd=Path(plan.clone)).splitlines()
        except subprocess.CalledProcessError:
            continue  # no src
    return found
