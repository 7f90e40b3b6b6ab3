"""Weight files: their digests, kept between runs, so that gigabytes are read once, and where they are from.

It never believes a kept digest of a file whose size or times have changed.
"""

from __future__ import annotations

import contextlib
import functools
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from repro_track.config.locations import data_folder
from repro_track.record.schema import WeightFile, WeightOrigin
from repro_track.tensors.digests import digest_file
from repro_track.tensors.opened import OpenedFile, unwatched

_HUB = re.compile(r".*/models--(?P<name>[^/]+)/snapshots/(?P<commit>[0-9a-f]{40})(?P<inside>/.*)?")


@dataclass(frozen=True)
class HubPlace:
    """A place in the Hub's cache: the repository, its commit, and the path in it."""

    repo_id: str
    commit: str
    path: str


def find_hub_place(path: str) -> HubPlace | None:
    """Find out what a path in the Hub's cache stands for; `None`: it lies elsewhere.

    >>> find_hub_place("/cache/models--owner--name/snapshots/" + "a" * 40 + "/unet/x.safetensors").repo_id
    'owner/name'
    """
    found = _HUB.fullmatch(path)
    if found is None:
        return None
    return HubPlace(found["name"].replace("--", "/", 1), found["commit"], (found["inside"] or "").strip("/"))


def find_in_hub_cache(place: HubPlace) -> Path:
    """Return where a file of the Hub is in this machine's cache, if it is there."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{place.repo_id.replace('/', '--')}"
    return folder / "snapshots" / place.commit / place.path


@functools.lru_cache(maxsize=4096)
def describe_weight_file(file: OpenedFile, *, location: str | None = None) -> WeightFile:
    """Describe a file of weights that was opened; once, so that it may be gone when its model is called again.

    Args:
        file: as it was when it was opened; it is there the first time.
        location: the folder of its component: the path starts there, where the file is in it.
    """
    path = Path(file.path)
    digest, origin = digest_weight_file(path)
    place = find_hub_place(file.path)
    is_inside = location is not None and path.is_relative_to(location)
    return WeightFile(
        path=str(path.relative_to(str(location))) if is_inside else path.name,
        sha256=digest,
        size_bytes=file.size,
        origin=origin,
        folder=None if is_inside else str(path.parent),
        repo_id=place.repo_id if place else None,
        commit=place.commit if place else None,
        made_by_run=file.is_new and place is None,
    )


def digest_weight_file(path: Path) -> tuple[str, WeightOrigin]:
    """Return the sha256 of a weight file and where it is from: `hub` or `computed`.

    The Hub's cache names an LFS blob by its sha256; one `readlink` tells it (not `realpath`, which may land in the
    Xet store). That name is a claim: `repro-track verify` computes. Other files are computed once and kept by path,
    size, mtime and inode.
    """
    if path.is_symlink():
        blob = path.readlink().name
        if len(blob) == 64 and all(letter in "0123456789abcdef" for letter in blob):
            return blob, "hub"
    stat = path.stat()
    key = f"{path.absolute()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
    with _opened_digest_cache() as cache:
        row = cache.execute("SELECT sha256 FROM digests WHERE key = ?", (key,)).fetchone()
        if row:
            return row[0], "computed"
        with unwatched():
            digest = digest_file(path)
        cache.execute("INSERT OR REPLACE INTO digests VALUES (?, ?)", (key, digest))
    return digest, "computed"


def find_file_by_digest(digest: str) -> Path | None:
    """Find a file of this machine whose digest was computed before and that has not changed since."""
    with _opened_digest_cache() as cache:
        rows = cache.execute("SELECT key FROM digests WHERE sha256 = ?", (digest,)).fetchall()
    for (key,) in rows:
        path = Path(key.rsplit("|", 3)[0])
        if path.is_file() and digest_weight_file(path)[0] == digest:
            return path
    return None


@contextlib.contextmanager
def _opened_digest_cache():
    folder = data_folder()
    folder.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(folder / "digests.db", timeout=30)
    try:
        with connection:
            connection.execute("CREATE TABLE IF NOT EXISTS digests (key TEXT PRIMARY KEY, sha256 TEXT)")
            yield connection
    finally:
        connection.close()
