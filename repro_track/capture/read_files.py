"""Files that a run has read and that are no part of its source, because git ignores them: data, lists of prompts.

Of these the digest is recorded; a replay takes them from the clone. It never keeps their contents, and leaves out what
the program itself wrote, what is installed, and what is in the libraries' caches.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from repro_track.capture.executed import list_opened
from repro_track.capture.git import list_ignored, to_text
from repro_track.capture.launch import is_installed
from repro_track.config.locations import data_folder
from repro_track.errors import name_some
from repro_track.record.redaction import has_secret, redact_text
from repro_track.record.schema import ReferredFile, Source
from repro_track.record.secret_names import is_secret_file
from repro_track.tensors.opened import has_begun_before
from repro_track.tensors.weight_files import digest_weight_file, find_hub_place

_MOST_FILES = 500
_MOST_BYTES = 1 << 30
"""What is more takes too long to read again when the run ends."""
_NAMED = 5


def refer_to_read(source: Source, *, weights: Collection[str] = ()) -> tuple[Source, list[str]]:
    """Return the source with the files that this process has read and that git ignores; and why one that was read does
    not come back, a sentence each.

    Args:
        source: what was captured of the repository.
        weights: names of files of weights: those have their digests elsewhere.
    """
    if not isinstance(source.repository, str):
        return source, []
    root = Path(source.repository)
    known = {*source.ignored, *source.left_out, *(one.path for one in source.referred)}
    known |= {one.path.lstrip("/") for one in source.outside or ()}
    names = [
        name
        for name in _list_read(root, inside=[one.path for one in source.submodules])
        if name not in known and str(root / name).lstrip("/") not in known and Path(name).name not in weights
    ]
    secret = [name for name in names if is_secret_file(name) or has_secret(name)]
    left_out = {redact_text(to_text(one)): "git ignores it, and its name is that of a secret" for one in secret}
    names = [name for name in names if name not in secret]
    source = source.model_copy(update={"left_out": {**source.left_out, **left_out}})
    sizes = [(root / name).stat().st_size for name in names]
    if len(names) > _MOST_FILES or sum(sizes) > _MOST_BYTES:
        return source, [
            f"it read {len(names)} files that git ignores ({_name(names)}), of {sum(sizes)} bytes: too much to take "
            "digests of, and no part of the source that comes back"
        ]
    parts = [_refer(root, name=name) for name in names]
    cautions = [f"it read what git ignores and no run keeps ({_name(names)}): a replay takes it from the clone"]
    update = {"referred": (*source.referred, *parts), "cautions": (*source.cautions, *(cautions if names else ()))}
    return source.model_copy(update=update), []


def _refer(root: Path, *, name: str) -> ReferredFile:
    path = root / name
    return ReferredFile(
        path=to_text(name), sha256=digest_weight_file(path)[0], size_bytes=path.stat().st_size, why="ignored"
    )


def _name(names: Sequence[str]) -> str:
    return name_some([to_text(name) for name in names], most=_NAMED)


def _list_read(root: Path, *, inside: Iterable[str]) -> list[str]:
    """List the files of a repository that were read and that git ignores, by their paths in it.

    Args:
        root: the repository's.
        inside: repositories in it: what is in those is theirs.
    """
    never = [one for one in (str(data_folder()), sys.prefix) if not str(root).startswith(f"{one}/")]
    others = (".git/", *(f"{one}/" for one in inside))
    found: dict[str, str] = {}
    for path in list_opened():
        name = _find_name(path, root=root)
        if name is None or name.startswith(others) or "__pycache__" in path or find_hub_place(path) is not None:
            continue
        is_ours = path.startswith(tuple(f"{one}/" for one in never))
        if not is_ours and not is_installed(path) and os.path.isfile(path) and has_begun_before(path):  # noqa: PTH113
            found[name] = _find_link(root, name)
    ignored = set(list_ignored(root, dict.fromkeys(found.values())))
    return sorted(name for name, asked in found.items() if asked in ignored)


def _find_name(path: str, *, root: Path) -> str | None:
    """Return the path of a file in a repository, however that is named; `None`: it is not in it."""
    for place in (str(root), str(root.resolve())):
        if path.startswith(f"{place}/"):
            return path[len(place) + 1 :]
    return None


def _find_link(root: Path, name: str) -> str:
    """Return the first part of a path that is a link, by which git knows what is behind it; else the path."""
    parents = [*reversed(Path(name).parents)][1:]
    return next((str(one) for one in parents if (root / one).is_symlink()), name)


def look_at_read(expected: Source, present: Source) -> Source:
    """Return a present source with what a run had read of it as it is now: it is only known of a run."""
    if not isinstance(present.repository, str):
        return present
    known = {one.path for one in present.referred}
    names = [one.path for one in expected.referred if one.why == "ignored" and one.path not in known]
    there = [name for name in names if (Path(present.repository) / name).is_file()]
    return present.model_copy(
        update={"referred": (*present.referred, *(_refer(Path(present.repository), name=name) for name in there))}
    )
