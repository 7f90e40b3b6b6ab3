"""The recorded source, restored into a folder of its own.

It never writes into the user's repository or working tree, never uses an artifact that is not the one of the record,
and never runs a filter: files come back as they lay on disk.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from repro_track.capture.bundle import unpack_bundle
from repro_track.capture.git import (
    Bench,
    Clone,
    check_remote,
    describe_git_error,
    find_clone,
    has_commit,
    has_object,
    join_names,
    make_git_folder,
    opened_bench,
    opened_bench_of,
    refer_to_objects,
    run_git,
    split_names,
)
from repro_track.capture.tree import (
    KINDS,
    compose_index,
    hash_tree,
    list_absent,
    list_entries,
    load_absent,
    name_kept,
    unpack_kept,
)
from repro_track.config.locations import data_folder
from repro_track.errors import RefusedError, ReplayError
from repro_track.record.names import BUNDLE_FILE, OUTSIDE_NAME, SOURCE_FOLDER, name_inside
from repro_track.record.redaction import redact_url
from repro_track.record.schema import Known, ReferredFile, Source, Submodule, Unavailable
from repro_track.tensors.digests import digest_bytes, digest_file
from repro_track.tensors.weight_files import digest_weight_file

_LINKED_BYTES = 50 * 1024 * 1024
"""Larger files that are taken from the clone are linked, not copied."""


@dataclass(frozen=True)
class TreePlan:
    """How one repository's tree comes back; making it writes nothing and asks no network.

    `origin` says where the commit comes from: a `clone` on this machine, the run's `bundle`, or the `remote`;
    `nothing`: there was no commit yet. `path` is where it is in the outer repository, `kept` the folder below the
    artifacts that has its changes.
    """

    commit: str | None
    tree: str | None
    changes: Mapping[str, str]
    origin: str
    clone: str | None
    remote: str | None
    bundle_sha256: str | None
    path: str = ""
    kept: str = SOURCE_FOLDER

    @property
    def _more(self) -> str:
        return ""

    @property
    def is_sha256(self) -> bool:
        """Whether its objects have long names."""
        return len(self.commit or self.tree or "") == 64

    @property
    def text(self) -> str:
        """The plan in a few words."""
        changes = f" with {', '.join(self.changes)} changes" if self.changes else ""
        changes += self._more
        if self.commit is None:
            return f"no commit{changes}"
        place = {"clone": f"the clone {self.clone}", "bundle": "the run's bundle", "remote": f"{self.remote}"}
        return f"commit {self.commit[:12]}{changes}, from {place[self.origin]}"


@dataclass(frozen=True)
class SourcePlan(TreePlan):
    """How the recorded source comes back: the outer tree, the repositories inside, and the files of which the digest
    alone was kept, with where they are now (`None`: nowhere at hand)."""

    submodules: tuple[Submodule, ...] = ()
    inside: tuple[TreePlan, ...] = ()
    referred: tuple[tuple[ReferredFile, str | None], ...] = ()

    @property
    def _more(self) -> str:
        return f", repositories inside: {len(self.inside)}" if self.inside else ""

    @property
    def trees(self) -> tuple[TreePlan, ...]:
        """All trees, an outer one before those in it."""
        return (self, *self.inside)


def make_source_plan(source: Source, *, places: Sequence[Path]) -> SourcePlan | Unavailable:
    """Plan how the recorded source comes back; or say why there is nothing that could.

    Args:
        source: from a record.
        places: folders whose repositories may have the commit, the likeliest first.

    Raises:
        ReplayError: a commit or file is nowhere to be had, or a change was not kept.
        RefusedError: a value that git could take for something else.
    """
    if isinstance(source.commit, Unavailable) and (isinstance(source.tree, Unavailable) or not source.changes):
        return source.commit
    outer = _plan_tree(source, places=places)
    tops = [Path(outer.clone)] if outer.clone else []
    tops += [place for place in places if place not in tops]
    inside = []
    for number, inner in enumerate(source.submodules, start=1):
        _check_path(inner.path)
        near = [top / inner.path for top in tops] + _list_absorbed(tops, path=inner.path)
        inside.append(_plan_tree(inner, places=near, path=inner.path, number=number))
    paths = ["", *(inner.path for inner in source.submodules)]
    stores = _list_lfs_stores([top / path for top in tops for path in paths]) if source.referred else []
    referred = tuple((one, _find_referred(one, tops=tops, stores=stores)) for one in source.referred)
    for one, found in referred:
        if found is None and one.why != "ignored":
            raise ReplayError(
                f"{one.path} is not kept with the run, and is not in {_name_places(tops)} as it was",
                expected=f"a file of {one.size_bytes} bytes with sha256 {one.sha256}",
                advice="git lfs fetch in the clone brings what LFS keeps" if one.why == "lfs" else "bring it back",
            )
    return SourcePlan(**vars(outer), submodules=source.submodules, inside=tuple(inside), referred=referred)


def _plan_tree(part: Source | Submodule, *, places: Sequence[Path], path: str = "", number: int = 0) -> TreePlan:
    commit = part.commit if isinstance(part.commit, str) else None
    if commit is not None and not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
        raise RefusedError(f"the recorded commit is {commit!r}", expected="a git commit")
    lost = [kind for kind, change in part.changes.items() if isinstance(change, Unavailable)]
    if lost or set(part.changes) - set(KINDS):
        raise ReplayError(
            f"the {lost[0] if lost else 'recorded'} changes of the source were not kept with the run",
            expected="a run whose changes were kept (repro-track show RUN says why these were not)",
            advice="replay it in the present code: --code current",
        )
    remote = part.remote if isinstance(part.remote, str) and part.remote else None
    bundle = part.bundle_sha256 if isinstance(part.bundle_sha256, str) else None
    clone = next((place for place in places if has_commit(place, commit)), None) if commit else None
    origin = "clone" if clone else "bundle" if bundle else "remote" if commit else "nothing"
    if origin == "remote" and remote is None and not (path and part.tree is None):
        raise _make_lost_commit_error(
            str(commit), f"the clone {_name_places(places)}, and the run has neither a remote nor a bundle"
        )
    if origin == "remote" and remote is not None:
        check_remote(remote)
    return TreePlan(
        commit=commit,
        tree=part.tree if isinstance(part.tree, str) else None,
        changes={kind: str(change) for kind, change in part.changes.items()},
        origin=origin,
        clone=_find_top(clone) if clone else None,
        remote=remote,
        bundle_sha256=bundle,
        path=path,
        kept="/".join(filter(None, (SOURCE_FOLDER, name_inside(number)))),
    )


def _find_top(place: Path) -> str:
    clone = find_clone(place)
    return str(clone.root if isinstance(clone, Clone) else place)


def _check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    if PurePosixPath(path).is_absolute() or not parts or ".." in parts or ".git" in [part.lower() for part in parts]:
        raise RefusedError(f"the recorded source has {path!r} in it", expected="a path inside the repository")


def _list_absorbed(tops: Sequence[Path], *, path: str) -> list[Path]:
    """List the git folders that a submodule leaves in its outer repository when it is not checked out any more."""
    clones = [clone for top in tops if isinstance(clone := find_clone(top), Clone)]
    return [clone.common / "modules" / path for clone in clones]


def _list_lfs_stores(places: Sequence[Path]) -> list[Path]:
    """List the folders in which git LFS keeps contents by their digests."""
    clones = [clone for place in places if place.is_dir() and isinstance(clone := find_clone(place), Clone)]
    return [clone.common / (clone.get("lfs.storage") or "lfs") / "objects" for clone in clones]


def _find_referred(one: ReferredFile, *, tops: Sequence[Path], stores: Sequence[Path]) -> str | None:
    """Find a file of which the digest alone was kept: where it lay, or in a store of git LFS."""
    _check_path(one.path)
    if not re.fullmatch(r"[0-9a-f]{64}", one.sha256):
        raise RefusedError(f"the recorded digest of {one.path} is {one.sha256!r}", expected="a sha256")
    candidates = [top / one.path for top in tops]
    if one.why == "lfs":
        candidates += [store / one.sha256[:2] / one.sha256[2:4] / one.sha256 for store in stores]
    for path in candidates:
        if path.is_file() and path.stat().st_size == one.size_bytes and _digest(path) == one.sha256:
            return str(path)
    return None


def _digest(path: Path) -> str:
    return digest_file(path) if path.is_symlink() else digest_weight_file(path)[0]  # a link's name is a claim


def _name_places(places: Sequence[Path]) -> str:
    return " or ".join(str(place) for place in places) or "any clone"


def _make_lost_commit_error(commit: str, where: str) -> ReplayError:
    return ReplayError(
        f"commit {commit} is not in {where}",
        expected="the recorded commit",
        advice="it may have been rebased, deleted or never pushed: fetch it into the clone, or replay in the present "
        "code with --code current. A run that is recorded with source.bundle=true carries its commit",
    )


def restore_source(plan: SourcePlan, *, kept: Path, target: Path) -> None:
    """Write the recorded tree into a new folder, with repositories of our own beside it.

    Args:
        plan: from `make_source_plan`.
        kept: the folder that has the artifacts of `list_kept_names`, as they were logged.
        target: the folder to be made; its parent gets `repository.git`, and one for each repository inside.

    Raises:
        ReplayError: git cannot give it, or the tree that came out is not the one that ran.
        RefusedError: an artifact is not the one that was recorded.
    """
    for tree in plan.trees:
        for name, digest in _list_tree_digests(tree).items():
            check_kept(kept / name, digest)
    for number, tree in enumerate(plan.trees):
        place = target / tree.path
        if tree.path and not place.parent.resolve().is_relative_to(target.resolve()):
            raise RefusedError(f"{tree.path} leads out of the source", expected="a path inside the repository")
        repository = target.parent / (f"repository-{number}.git" if number else "repository.git")
        inner = [(one, found) for one, found in plan.referred if one.path.startswith(f"{tree.path}/" if number else "")]
        try:
            restored = _restore_tree(plan, tree, repository=repository, kept=kept, target=place, referred=inner)
        except subprocess.SubprocessError as error:
            raise ReplayError(
                f"git cannot restore commit {tree.commit}: {describe_git_error(error)}",
                expected=tree.text,
                advice="see what git says; --code current replays in the present code",
            ) from error
        if tree.tree is not None and tree.tree not in restored:
            raise ReplayError(f"the restored source is tree {restored[0]}", expected=f"{tree.tree}, the tree that ran")
    for one, found in plan.referred:
        if found and one.why == "lfs":
            _place_referred(target / one.path, Path(found), one, target=target)


def place_ignored(plan: SourcePlan, *, target: Path) -> None:
    """Put what git ignores, and what is still as it was, into the restored tree, where nothing else is by now.

    Args:
        plan: from `make_source_plan`.
        target: the restored tree.

    Raises:
        RefusedError: a path leads out of the tree.
    """
    placed = []
    for one, found in plan.referred:
        if found and one.why == "ignored" and not os.path.lexists(target / one.path):
            _place_referred(target / one.path, Path(found), one, target=target)
            placed.append(one.path)
    exclude_from_source(target, placed)


def _restore_tree(
    plan: SourcePlan, tree: TreePlan, *, repository: Path, kept: Path, target: Path,
    referred: Sequence[tuple[ReferredFile, str | None]],
) -> list[str]:  # fmt: skip
    """Restore one tree; return its hash, and the one that versions up to schema 3 gave it."""
    make_git_folder(repository, is_sha256=tree.is_sha256)
    target.mkdir(parents=True, exist_ok=True)
    (target / ".git").write_bytes(os.fsencode(f"gitdir: {repository.absolute()}\n"))
    objects = repository / "objects"
    with opened_bench(target, is_sha256=tree.is_sha256, writes=objects) as bench:
        _give_objects(plan, tree, repository=repository, kept=kept, bench=bench)
        if tree.commit:
            (repository / "HEAD").write_text(f"{tree.commit}\n", encoding="utf-8")
        folder = kept / tree.kept
        compose_index(bench, commit=tree.commit, changes=tree.changes, kept=folder, index=bench.index)
        entries = list_entries(bench)
        names = join_names(entry.name for entry in entries if not entry.is_repository)
        bench.run("checkout-index", "--quiet", "-z", "--stdin", given=names)
        for entry in entries:
            if entry.is_repository:
                _make_folder(target / entry.name, target=target)
        names_added = unpack_kept(tree.changes, kept=folder, target=target)
        for one, found in referred:
            if one.why == "encrypted" and found:
                inside = one.path.removeprefix(f"{tree.path}/") if tree.path else one.path
                _place_referred(target / inside, Path(found), one, target=target)
        hashes = [_hash_restored(bench, names=names_added)]
        if tree.tree not in (None, hashes[0]):
            with opened_bench(target, is_sha256=tree.is_sha256, writes=objects, converts=True) as other:
                shutil.copyfile(bench.index, other.index)
                hashes.append(_hash_restored(other, names=names_added))
        _write_index(bench, tree, kept=folder, repository=repository)
    return hashes


def _hash_restored(bench: Bench, *, names: list[str]) -> str:
    index = bench.folder / "restored"
    shutil.copyfile(bench.index, index)
    bench.run("add", "--update", "--", ".", index=index)
    return hash_tree(bench, index=index, names=names)


def _make_folder(path: Path, *, target: Path) -> None:
    if path.parent.resolve().is_relative_to(target.resolve()) and not path.is_symlink():
        path.mkdir(parents=True, exist_ok=True)


def _write_index(bench: Bench, tree: TreePlan, *, kept: Path, repository: Path) -> None:
    """Write the index of the restored tree, so that git sees the same changes in it."""
    index = repository / "index"
    present = {entry.name for entry in list_entries(bench)}
    staged = [kind for kind in tree.changes if kind == "staged"]
    compose_index(bench, commit=tree.commit, changes=staged, kept=kept, index=index)
    known = {entry.name for entry in list_entries(bench, index=index)}
    if added := join_names(sorted(present - known)):  # files that were added with `git add --intent-to-add`
        words = ("add", "--force", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul")
        bench.run("--literal-pathspecs", *words, given=added, index=index)
    if "absent" in tree.changes:
        gone = list_absent(bench, load_absent(kept / name_kept("absent")), index=index)
        bench.run("update-index", "--skip-worktree", "-z", "--stdin", given=join_names(gone), index=index)
    try:
        bench.run("update-index", "-q", "--refresh", index=index)
    except subprocess.CalledProcessError as error:
        if error.returncode != 1:  # 1: something differs
            raise


def _place_referred(path: Path, found: Path, one: ReferredFile, *, target: Path) -> None:
    """Put a file of the clone where it lay: one that is checked, and not through a link."""
    if path.is_symlink() or not path.parent.resolve().is_relative_to(target.resolve()):
        raise RefusedError(f"{one.path} leads out of the source", expected="a path inside the repository")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if one.size_bytes > _LINKED_BYTES:
        path.symlink_to(found.absolute())
        return
    shutil.copy2(found, path)
    check_kept(path, one.sha256)


def exclude_from_source(target: Path, paths: Sequence[str]) -> None:
    """Tell the repository of a restored tree that git is to take no notice of some files: a link does not match a
    pattern for folders.

    Args:
        target: the restored tree.
        paths: from there.
    """
    clone = find_clone(target)
    if not paths or not isinstance(clone, Clone):
        return
    with (clone.common / "info" / "exclude").open("ab") as file:
        for path in paths:
            escaped = re.sub(r"([\\*?\[ ])", r"\\\1", path)
            file.write(os.fsencode(f"/{escaped}\n"))


def _list_tree_digests(tree: TreePlan) -> dict[str, str]:
    return {f"{tree.kept}/{name_kept(kind)}": digest for kind, digest in tree.changes.items()}


def list_kept_digests(source: Source) -> dict[str, str]:
    """List the artifacts that hold a run's source, with their recorded digests."""
    parts: list[tuple[int, Source | Submodule]] = [(0, source), *enumerate(source.submodules, start=1)]
    kept: dict[str, Known[str] | None] = {OUTSIDE_NAME: source.outside_sha256}
    for number, part in parts:
        folder = "/".join(filter(None, (SOURCE_FOLDER, name_inside(number))))
        kept |= {f"{folder}/{name_kept(kind)}": digest for kind, digest in part.changes.items()}
        kept[f"{folder}/{BUNDLE_FILE}"] = part.bundle_sha256
    return {name: digest for name, digest in kept.items() if isinstance(digest, str)}


def list_kept_names(plan: SourcePlan) -> list[str]:
    """List the artifacts that a plan needs, by their names in the run."""
    names = [name for tree in plan.trees for name in _list_tree_digests(tree)]
    return names + [f"{tree.kept}/{BUNDLE_FILE}" for tree in plan.trees if tree.origin == "bundle"]


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


def _give_objects(plan: SourcePlan, tree: TreePlan, *, repository: Path, kept: Path, bench: Bench) -> None:
    """Make the commit readable in a repository: by reference to a clone, else from the bundle or the remote."""
    if tree.origin == "nothing":
        return
    if tree.clone:
        clone = find_clone(Path(tree.clone))
        objects, common = (clone.objects, clone.common) if isinstance(clone, Clone) else (
            Path(tree.clone) / "objects", Path(tree.clone))  # fmt: skip
        refer_to_objects(repository / "objects", objects)
        if (common / "shallow").is_file():
            shutil.copyfile(common / "shallow", repository / "shallow")
    elif tree.origin == "bundle":
        path = kept / tree.kept / BUNDLE_FILE
        check_kept(path, str(tree.bundle_sha256))
        unpack_bundle(path, commit=str(tree.commit), bench=bench)
        if (bench.folder / "shallow").is_file():
            shutil.copyfile(bench.folder / "shallow", repository / "shallow")
    else:
        remote = tree.remote or _find_submodule_url(plan, tree, target=bench.root)
        refer_to_objects(repository / "objects", _fetch_commit(remote, commit=str(tree.commit)) / "objects")
    if tree.remote:
        run_git("config", "remote.origin.url", tree.remote, cwd=repository)


def _find_submodule_url(plan: SourcePlan, tree: TreePlan, *, target: Path) -> str:
    """Return where `.gitmodules` says that a submodule comes from: records of before schema 4 do not have it.

    Raises:
        RefusedError: it is no place.
        ReplayError: it says nothing.
    """
    top = Path(str(target).removesuffix(f"/{tree.path}"))
    words = ("config", "--file", str(top / ".gitmodules"), "--null", "--get-regexp", r"^submodule\..*\.(path|url)$")
    try:
        told = run_git(*words, cwd=top, user_config=False)
    except subprocess.CalledProcessError:
        told = ""
    settings = dict(entry.partition("\n")[::2] for entry in told.split("\0") if entry)
    name = next((key for key, value in settings.items() if key.endswith(".path") and value == tree.path), "")
    url = settings.get(f"{name.removesuffix('.path')}.url", "")
    base = (plan.remote or plan.clone or "").rstrip("/")
    while url.startswith(("./", "../")):
        base = base.rpartition("/")[0] if url.startswith("../") else base
        url = url.partition("/")[2]
        url = url if url.startswith(("./", "../")) else f"{base}/{url}"
    if not url:
        raise _make_lost_commit_error(
            str(tree.commit), f"a clone of the submodule {tree.path}, nor has .gitmodules one"
        )
    check_remote(url)
    return url


def _fetch_commit(remote: str, *, commit: str) -> Path:
    """Fetch the commit from the remote into a repository of the user's cache; return that repository."""
    cache = data_folder() / "repositories" / f"{digest_bytes(remote.encode())[:16]}.git"
    if not (cache / "objects").is_dir():
        make_git_folder(cache, is_sha256=len(commit) == 64)
    if has_object(cache, commit):
        return cache
    reason = ""
    # by its hash, which most servers give; else all branches and tags
    for wanted in ((commit,), ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")):
        try:
            words = ("fetch", "--quiet", "--no-tags", "--update-head-ok", "--no-recurse-submodules")
            run_git(*words, "--", remote, *wanted, cwd=cache, variables={"GIT_DIR": str(cache)})
        except subprocess.CalledProcessError as error:
            reason = f" ({describe_git_error(error)})"
        if has_object(cache, commit):
            return cache
    raise _make_lost_commit_error(commit, f"any clone at hand, nor in {redact_url(remote)}{reason}")


def has_file(plan: SourcePlan, path: str) -> bool:
    """Return whether a file is part of the recorded commit, or its content is taken from the clone, as the clone at
    hand knows it. Without a clone it may be: `True`, and it is looked at once it is restored.

    Args:
        plan: of the source.
        path: from the repository's root.
    """
    tree = next((one for one in reversed(plan.trees) if path.startswith(f"{one.path}/" if one.path else "")), plan)
    if tree.clone is None or any(one.path == path for one, _ in plan.referred):
        return True
    return bool(_list_names(tree, str(tree.commit), "--", path.removeprefix(f"{tree.path}/") if tree.path else path))


def list_top_level(plan: SourcePlan) -> list[str]:
    """List the files and folders at the top of the recorded commit, and in its `src`; asks the clone only."""
    if plan.clone is None:
        return []
    return [name for place in (str(plan.commit), f"{plan.commit}:src") for name in _list_names(plan, place)]


def _list_names(plan: TreePlan, *words: str) -> list[str]:
    """List names in the recorded commit; none where the clone has no such folder."""
    clone = find_clone(Path(str(plan.clone)))
    if not isinstance(clone, Clone):
        return []
    try:
        with opened_bench_of(clone) as bench:
            return split_names(bench.run("ls-tree", "--name-only", "-z", "--full-tree", *words))
    except subprocess.SubprocessError:
        return []
