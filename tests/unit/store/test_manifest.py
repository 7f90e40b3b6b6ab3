"""Promises of manifest.py: coreutils understand it, one changed bit is seen."""

import subprocess

import pytest

from repro_track.errors import RecordError
from repro_track.record.names import MANIFEST_NAME
from repro_track.store.manifest import compare_manifest, parse_manifest, write_manifest


@pytest.mark.starts("sha256sum")
def test_sha256sum_agrees(tmp_path):
    """`sha256sum -c` accepts the manifest as it is, and refuses it after one bit was changed."""
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "a b+c.png").write_bytes(b"1")
    (tmp_path / "record.json").write_bytes(b"2")
    write_manifest(tmp_path)
    check = ["sha256sum", "--check", "--strict", "--quiet", MANIFEST_NAME]
    assert subprocess.run(check, cwd=tmp_path, check=False).returncode == 0
    (tmp_path / "record.json").write_bytes(b"3")
    assert subprocess.run(check, cwd=tmp_path, check=False, capture_output=True).returncode == 1


def test_its_digest_stands_for_all_files(tmp_path):
    """The digest of the manifest is the same for the same files, and another one when a file is renamed."""
    (tmp_path / "a").write_bytes(b"1")
    first = write_manifest(tmp_path)
    assert write_manifest(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert write_manifest(tmp_path) != first


def test_every_kind_of_change_is_named():
    """Altered, missing and added files are told apart; nothing is said of equal ones."""
    expected = {"a": "1", "b": "2", "c": "3"}
    assert compare_manifest(expected, expected) == []
    assert compare_manifest(expected, {"a": "1", "b": "0", "d": "4"}) == ["b: altered", "c: missing", "d: added"]


def test_a_damaged_manifest_is_refused():
    """A line that is none is named."""
    with pytest.raises(RecordError, match="damaged"):
        parse_manifest("abc  record.json\n")
