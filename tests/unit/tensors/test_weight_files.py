"""Promises of weight_files.py: a kept digest is used only while its file is the same."""

from repro_track.tensors.digests import digest_file
from repro_track.tensors.weight_files import digest_weight_file


def test_the_hub_cache_names_its_digest(tmp_path):
    """A file of the Hub's cache gives the digest in its blob's name, with one readlink; any other is computed."""
    digest = "ab" * 32
    blob = tmp_path / "blobs" / digest
    blob.parent.mkdir()
    blob.write_bytes(b"weights")
    link = tmp_path / "model.safetensors"
    link.symlink_to(f"blobs/{digest}")
    assert digest_weight_file(link) == (digest, "hub")
    assert digest_weight_file(blob) == (digest_file(blob), "computed")
    assert digest_file(blob) != digest


def test_a_changed_file_is_computed_again(tmp_path):
    """The kept digest of a file is not used once the file has changed, even with its size kept."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"a" * 100)
    first = digest_weight_file(path)
    assert digest_weight_file(path) == first
    path.write_bytes(b"b" * 100)
    assert digest_weight_file(path) != first


def test_a_file_is_found_by_its_digest_until_it_changes(tmp_path, home):
    """A file whose digest was computed is found by it wherever it is; changed or gone, it is not."""
    from repro_track.tensors.weight_files import digest_weight_file, find_file_by_digest

    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"some weights that no other test has")
    digest, _ = digest_weight_file(path)
    assert find_file_by_digest(digest) == path
    path.write_bytes(b"other")
    assert find_file_by_digest(digest) is None
