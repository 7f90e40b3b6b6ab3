"""The code of a run: commit, branch, remote, everything in the working tree that differs, repositories inside; and the
proof that they suffice.

It never writes into the user's repository or working tree, never ends a run, and never keeps a secret: files that look
like one are left out by name and reported. It proves at once that what was kept gives back the tree that ran.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from repro_track.capture.bundle import make_bundle
from repro_track.capture.git import (
    Clone,
    NoClone,
    describe_git_error,
    find_clone,
    opened_bench_of,
    read_branch,
    read_commit,
    read_remote,
    to_text,
)
from repro_track.capture.launch import is_installed
from repro_track.capture.tree import Tree, Wanted, capture_tree
from repro_track.capture.untracked import SECRET, SIZE_LIMIT_BYTES
from repro_track.errors import ReproTrackError, name_some
from repro_track.record.names import name_inside
from repro_track.record.redaction import has_secret
from repro_track.record.schema import Known, ReferredFile, Source, Submodule, Unavailable
from repro_track.tensors.digests import digest_bytes

_INSIDE_LIMIT = 100
"""No more repositories inside a repository than this are captured."""
_NAMED = 5


@dataclass(frozen=True)
class _Captured:
    """One repository that was captured; `path` is where it is in the outer one."""

    path: str
    is_clone: bool
    commit: Known[str]
    remote: Known[str]
    tree: Tree
    bundle: Known[str] | None


def capture_source(
    *,
    script: Path | None,
    place: Path,
    folder: Path,
    exclude: Iterable[Path] = (),
    ran: Iterable[Path] = (),
    bundle: bool = False,
    size_limit_bytes: int = SIZE_LIMIT_BYTES,
) -> Source:
    """Capture the repository around a folder, and the entry script; outside a repository, the script alone.

    Whatever git does, there is a source: what cannot be captured is unavailable in it, with the reason.

    Args:
        script: the entry script, `None` for the command line.
        place: the folder whose repository is meant.
        folder: where `source/` is written: diffs, archives, the script.
        exclude: files and folders that the run itself writes (the store), not part of its code.
        ran: files whose code has run: they are kept although git ignores them.
        bundle: also keep each commit and its history as a git bundle, for a commit that may be lost.
        size_limit_bytes: changes larger than this are recorded as unavailable.
    """
    script_digest: Known[str] = Unavailable(unavailable="the run has no entry script")
    if script is not None:
        try:
            script_digest = _keep_script(script, folder=folder)
        except OSError as error:
            script_digest = Unavailable(unavailable=f"{script} cannot be read: {error.strerror}")
    wanted = Wanted(folder, size_limit_bytes, tuple(exclude), (*ran, *([script] if script else [])))
    root = place
    try:
        clone = find_clone(place)
        if is_installed(place):  # an environment may lie in any repository
            clone = NoClone(f"{place} is part of an installed package")
        if isinstance(clone, NoClone):
            lost = Unavailable(unavailable=clone.reason)
            source = _make_empty_source(place if clone.is_unreadable else lost, lost=lost, script_digest=script_digest)
            is_lost = script is not None and isinstance(script_digest, str) and not (folder / script.name).is_file()
            return source.model_copy(update={"left_out": {script.name: SECRET}}) if script and is_lost else source
        root = clone.root
        return _capture_repositories(clone, script_digest=script_digest, wanted=wanted, bundle=bundle)
    except Exception as error:  # git hangs, a damaged repository: the run goes on, and its record says so
        lost = Unavailable(unavailable=f"the repository cannot be captured: {describe_git_error(error)}")
        return _make_empty_source(root, lost=lost, script_digest=script_digest)


def _make_empty_source(repository: Path | Unavailable, *, lost: Unavailable, script_digest: Known[str]) -> Source:
    return Source(
        repository=repository if isinstance(repository, Unavailable) else to_text(str(repository)), commit=lost,
        branch=lost, remote=lost, dirty=False, changes={}, left_out={}, submodules=(), script_sha256=script_digest,
        tree=lost,
    )  # fmt: skip


def list_imported_files() -> list[Path]:
    """List the files of all imported modules, but those of Python itself and of installed packages."""
    installed = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return [Path(file) for file in files if isinstance(file, str) and not file.startswith(installed)]


def _keep_script(script: Path, *, folder: Path) -> str:
    """Keep the script unless a secret is in it; return its digest either way."""
    content = script.read_bytes()
    if not has_secret(content):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / script.name).write_bytes(content)
    return digest_bytes(content)


def _capture_repositories(clone: Clone, *, script_digest: Known[str], wanted: Wanted, bundle: bool) -> Source:
    outer = _capture_one(clone, path="", is_clone=False, wanted=wanted, bundle=bundle)
    inner = _capture_inside(clone, outer, wanted=wanted, bundle=bundle)
    tree = outer.tree
    for one in inner:
        tree.left_out |= {f"{one.path}/{name}": reason for name, reason in one.tree.left_out.items()}
        tree.ignored += [f"{one.path}/{name}" for name in one.tree.ignored]
        tree.referred += [part.model_copy(update={"path": f"{one.path}/{part.path}"}) for part in one.tree.referred]
        if isinstance(one.tree.hash, Unavailable) and isinstance(tree.hash, str):
            tree.hash = Unavailable(unavailable=f"the repository {one.path} inside: {one.tree.hash.unavailable}")
    return Source(
        repository=to_text(str(clone.root)),
        commit=outer.commit,
        branch=read_branch(clone),
        remote=outer.remote,
        dirty=tree.dirty or any(one.tree.dirty for one in inner),
        changes=tree.changes,
        left_out=tree.left_out,
        submodules=tuple(
            Submodule(
                path=one.path, commit=one.commit, is_clone=one.is_clone, remote=one.remote, changes=one.tree.changes,
                tree=one.tree.hash, bundle_sha256=one.bundle,
            )
            for one in inner
        ),
        script_sha256=script_digest,
        tree=tree.hash,
        bundle_sha256=outer.bundle,
        referred=tuple(tree.referred),
        ignored=tuple(tree.ignored),
        cautions=tuple(_list_cautions([outer, *inner], referred=tree.referred)),
    )  # fmt: skip


def _capture_one(clone: Clone, *, path: str, is_clone: bool, wanted: Wanted, bundle: bool) -> _Captured:
    commit = read_commit(clone)
    known = commit if isinstance(commit, str) else None
    tree = Tree()
    with opened_bench_of(clone) as bench:
        try:
            capture_tree(clone, bench, commit=known, wanted=wanted, tree=tree)
        except (subprocess.SubprocessError, OSError, ReproTrackError, ValueError) as error:
            tree.hash = Unavailable(unavailable=f"git cannot capture it: {describe_git_error(error)}")
    kept = make_bundle(clone, commit=known, target=wanted.folder) if bundle and known else None
    return _Captured(path, is_clone, commit, read_remote(clone), tree, kept)


def _capture_inside(clone: Clone, outer: _Captured, *, wanted: Wanted, bundle: bool) -> list[_Captured]:
    """Capture the repositories inside, those inside of them too. One that cannot be captured is a reason why the outer
    tree does not come back."""
    waiting = [(name, is_clone) for name, is_clone in sorted(outer.tree.inside.items())]
    captured: list[_Captured] = []
    while waiting:
        name, is_clone = waiting.pop(0)
        found = find_clone(clone.root / name)
        reason = found.reason if isinstance(found, NoClone) else ""
        if not reason and (len(captured) == _INSIDE_LIMIT or to_text(name) != name):
            reason = f"there are more than {_INSIDE_LIMIT}, or its name is no text"
        if isinstance(found, Clone) and found.root.resolve() != (clone.root / name).resolve():
            reason = "git does not find it"
        if reason or isinstance(found, NoClone):
            outer.tree.hash = Unavailable(unavailable=f"the repository {to_text(name)} inside is not kept: {reason}")
            continue
        folder = wanted.folder / name_inside(len(captured) + 1)
        one = _capture_one(found, path=name, is_clone=is_clone, wanted=replace(wanted, folder=folder), bundle=bundle)
        captured.append(one)
        waiting += [(f"{name}/{deeper}", other) for deeper, other in sorted(one.tree.inside.items())]
    return captured


def _list_cautions(parts: list[_Captured], *, referred: list[ReferredFile]) -> list[str]:
    """Say what of the source is not kept with the run although the tree is proven."""
    cautions = []
    for part in parts:
        if isinstance(part.bundle, Unavailable):
            where = f" of {part.path}" if part.path else ""
            cautions.append(f"the bundle{where} that was asked for was not made: {part.bundle.unavailable}")
    sayings = {
        "lfs": "kept by git LFS and not with the run",
        "encrypted": "encrypted in the repository and not kept with the run",
        "ignored": "ignored by git and not kept with the run",
    }
    for why, saying in sayings.items():
        if names := [one.path for one in referred if one.why == why]:
            cautions.append(
                f"{saying}, only the digest is: {name_some(names, most=_NAMED)}; a replay takes it from the clone"
            )
    return cautions
