"""The recorded source, restored into a folder of its own.

It never writes into the user's repository or working tree, and never uses an artifact that is not the one of the
record.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from repro_track.capture.git import check_remote, describe_git_error, find_top, has_commit, run_git
from repro_track.capture.source import hash_present, name_kept_change
from repro_track.capture.untracked import unpack_untracked
from repro_track.config.locations import data_folder
from repro_track.errors import RefusedError, ReplayError
from repro_track.record.names import BUNDLE_NAME
from repro_track.record.redaction import redact_url
from repro_track.record.schema import Source, Submodule, Unavailable
from repro_track.tensors.digests import digest_bytes, digest_file


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
    clone = next((find_top(place) for place in places if has_commit(place, source.commit)), None)
    origin = "clone" if clone else "bundle" if source.bundle_sha256 else "remote"
    if origin == "remote":
        if remote is None:
            raise _make_lost_commit_error(
                source.commit, f"the clone {_name_places(places)}, and the run has neither a remote nor a bundle"
            )
        check_remote(remote)
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


def _name_places(places: Sequence[Path]) -> str:
    return " or ".join(str(place) for place in places)


def _make_lost_commit_error(commit: str, where: str) -> ReplayError:
    return ReplayError(
        f"commit {commit} is not in {where}",
        expected="the recorded commit",
        advice="it may have been rebased, deleted or never pushed: fetch it into the clone, or replay in the present "
        "code with --code current. A run that is recorded with source.bundle=true carries its commit",
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
            restored = hash_present(target, untracked=names, hidden=[], scratch=Path(scratch))
    except subprocess.CalledProcessError as error:
        raise ReplayError(
            f"git cannot restore commit {plan.commit}: {describe_git_error(error)}",
            expected=plan.text,
            advice="see what git says; --code current replays in the present code",
        ) from error
    if plan.tree is not None and restored != plan.tree:
        raise ReplayError(f"the restored source is tree {restored}", expected=f"{plan.tree}, the tree that ran")


def _check_out(plan: SourcePlan, *, repository: Path, kept: Path, target: Path) -> None:
    kind_of_hash = "sha256" if len(plan.commit) == 64 else "sha1"
    words = ("init", "--quiet", "--bare", f"--object-format={kind_of_hash}")
    run_git(*words, "--", str(repository), cwd=target.parent)
    _give_objects(plan, repository=repository, kept=kept)
    if plan.remote:
        run_git("config", "remote.origin.url", plan.remote, cwd=repository)
    run_git("worktree", "add", "--quiet", "--detach", "--", str(target), plan.commit, cwd=repository)


def _apply_diffs(plan: SourcePlan, *, kept: Path, target: Path) -> None:
    for kind, options in (("staged", ("--index",)), ("unstaged", ())):
        if kind in plan.changes:
            patch = str((kept / _name_change(kind)).absolute())
            run_git("apply", *options, "--whitespace=nowarn", "--", patch, cwd=target)
    # files that only the unstaged diff has were added with `git add --intent-to-add`
    added = run_git("ls-files", "--others", "-z", cwd=target).encode("utf-8", "surrogateescape")
    if added:
        words = ("add", "--force", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul")
        run_git(*words, cwd=target, given=added)


def _name_change(kind: str) -> str:
    return f"source/{name_kept_change(kind)}"


def list_kept_digests(source: Source) -> dict[str, str]:
    """List the artifacts that hold a run's source, with their recorded digests."""
    kept = {_name_change(kind): digest for kind, digest in source.changes.items() if isinstance(digest, str)}
    return kept | ({BUNDLE_NAME: source.bundle_sha256} if source.bundle_sha256 else {})


def list_kept_names(plan: SourcePlan) -> list[str]:
    """List the artifacts that a plan needs, by their names in the run."""
    return [*map(_name_change, plan.changes), *([BUNDLE_NAME] if plan.origin == "bundle" else [])]


def check_kept(path: Path, digest: str) -> None:
    """Check that an artifact is the one of the record: it is about to become code that runs.

    Raises:
        RefusedError: it is another one, or missing.
    """
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
        run_git("fetch", "--quiet", "--", str((kept / BUNDLE_NAME).absolute()), "HEAD", cwd=repository)
    else:
        _refer_to(_fetch_commit(plan), repository=repository)


def _refer_to(clone: Path, *, repository: Path) -> None:
    """Read a clone's objects without copying them, and convert files as its own settings say."""
    objects = clone / run_git("rev-parse", "--git-path", "objects", cwd=clone).strip()
    (repository / "objects" / "info" / "alternates").write_text(f"{objects.resolve()}\n", encoding="utf-8")
    common = clone / run_git("rev-parse", "--git-common-dir", cwd=clone).strip()
    run_git("config", "lfs.storage", str((common / "lfs").resolve()), cwd=repository)
    for name in ("core.autocrlf", "core.eol", "core.symlinks", "core.fileMode"):
        try:
            value = run_git("config", "--get", name, cwd=clone).strip()
        except subprocess.CalledProcessError:
            continue  # not set
        run_git("config", name, value, cwd=repository)


def _fetch_commit(plan: SourcePlan) -> Path:
    """Fetch the commit from the remote into a repository of the user's cache; return that repository."""
    remote = str(plan.remote)
    cache = data_folder() / "repositories" / f"{digest_bytes(remote.encode())[:16]}.git"
    cache.mkdir(parents=True, exist_ok=True)
    run_git("init", "--quiet", "--bare", "--", str(cache), cwd=cache)
    if has_commit(cache, plan.commit):
        return cache
    reason = ""
    # by its hash, which most servers give; else all branches and tags
    for wanted in ((plan.commit,), ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")):
        try:
            run_git("fetch", "--quiet", "--no-tags", "--", remote, *wanted, cwd=cache)
        except subprocess.CalledProcessError as error:
            reason = f" ({describe_git_error(error)})"
        if has_commit(cache, plan.commit):
            return cache
    raise _make_lost_commit_error(plan.commit, f"any clone at hand, nor in {redact_url(remote)}{reason}")


def _restore_submodules(plan: SourcePlan, *, target: Path) -> None:
    """Check every submodule out at its recorded commit: from the clone's own, else from where .gitmodules says."""
    for submodule in plan.submodules:
        path = PurePosixPath(submodule.path)
        if path.is_absolute() or ".." in path.parts or not re.fullmatch(r"[0-9a-f]{40,64}", submodule.commit):
            raise RefusedError(f"the recorded submodule is {submodule.path!r} at {submodule.commit!r}")
        local = Path(plan.clone) / path if plan.clone else None
        if local and has_commit(local, submodule.commit):
            inside = target / path
            run_git("clone", "--quiet", "--shared", "--no-checkout", "--", str(local), str(inside), cwd=target)
            run_git("checkout", "--quiet", "--detach", submodule.commit, cwd=inside)
        else:
            run_git("submodule", "--quiet", "update", "--init", "--", submodule.path, cwd=target)


def has_file(plan: SourcePlan, path: str) -> bool:
    """Return whether a file is part of the recorded commit, as the clone at hand knows it. Without a clone it may be:
    `True`, and it is looked at once it is restored.

    Args:
        plan: of the source.
        path: from the repository's root.
    """
    if plan.clone is None:
        return True
    try:
        return bool(run_git("ls-tree", "--name-only", plan.commit, "--", path, cwd=Path(plan.clone)))
    except subprocess.CalledProcessError:
        return False


def list_top_level(plan: SourcePlan) -> list[str]:
    """List the files and folders at the top of the recorded commit, and in its `src`; asks the clone only."""
    if plan.clone is None:
        return []
    found: list[str] = []
    for place in (plan.commit, f"{plan.commit}:src"):
        try:
            found += run_git("ls-tree", "--name-only", place, cwd=Path(plan.clone)).splitlines()
        except subprocess.CalledProcessError:
            continue  # no src
    return found
