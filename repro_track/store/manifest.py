"""The list of all files of a run with their digests, as `sha256sum` writes and checks it: written once, compared later.

It tells whether files are those that were written, and never who wrote them: whoever can write the files can write the
list, too. So the digest of the list itself is a tag of the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from repro_track.errors import RecordError
from repro_track.record.names import MANIFEST_NAME
from repro_track.tensors.digests import digest_bytes, digest_file


def write_manifest(folder: Path) -> str:
    """Write the digests of all files below a folder into it, by path; return the digest of that list itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_NAME)
    text = "".join(f"{digest_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    (folder / MANIFEST_NAME).write_text(text, encoding="utf-8")
    return digest_bytes(text.encode())


def parse_manifest(text: str) -> dict[str, str]:
    """Parse the text of a manifest; return sha256 by path.

    Raises:
        RecordError: a line is not one of a manifest.

    >>> parse_manifest("0" * 64 + "  a/b.png\\n")["a/b.png"][:4]
    '0000'
    """
    digests = {}
    for line in text.splitlines():
        found = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if not found:
            raise RecordError(f"{MANIFEST_NAME} is damaged: {line[:80]!r}", expected="SHA256, two blanks, a path")
        digests[found[2]] = found[1]
    return digests


def compare_manifest(
    expected: Mapping[str, str], actual: Mapping[str, str], *, ignore_added: bool = False
) -> list[str]:
    """Describe which files were altered, are missing, or were added; empty if all are as expected.

    Args:
        expected: sha256 by path, as it was written.
        actual: sha256 by path, as the files are now.
        ignore_added: whether files that were not expected are left out.

    >>> compare_manifest({"a": "1", "b": "2"}, {"a": "0", "c": "3"})
    ['a: altered', 'b: missing', 'c: added']
    """
    lines = [
        f"{path}: missing" if path not in actual else f"{path}: altered"
        for path, digest in expected.items()
        if actual.get(path) != digest
    ]
    added = set() if ignore_added else actual.keys() - expected.keys()
    return sorted([*lines, *(f"{path}: added" for path in added)])
