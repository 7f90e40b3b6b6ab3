"""Digests of weight files, kept between runs, so that gigabytes are read once.

It never believes a kept digest of a file whose size or times have changed.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from repro_track.config.locations import data_folder
from repro_track.record.schema import WeightOrigin
from repro_track.tensors.digests import digest_file


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
