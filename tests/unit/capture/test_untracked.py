"""Promises of untracked.py: a hostile archive writes nothing, and nothing is written through a link."""

import tarfile

import pytest


def make_archive(path, entries, *, kind=None):
    import io

    with tarfile.open(path, "w:gz") as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.type = kind or tarfile.REGTYPE
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                entry.linkname = content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        ([("../out.txt", b"x")], None),
        ([("/tmp/out.txt", b"x")], None),
        ([("a/../../out.txt", b"x")], None),
        ([(".git/config", b"x")], None),
        ([("twice", b"x"), ("twice", b"y")], None),
        ([("file", b"x"), ("file/inside", b"y")], None),
        ([("hard", "/etc/passwd")], tarfile.LNKTYPE),
        ([("device", b"")], tarfile.CHRTYPE),
        ([("bomb", b"0" * 3000)], None),
    ],
)
def test_a_hostile_archive_writes_nothing(tmp_path, entries, kind):
    """An archive that leaves its folder, hides git's own, repeats a name, or is too large is refused as a whole."""
    from repro_track.capture.untracked import unpack_untracked
    from repro_track.errors import RefusedError

    make_archive(tmp_path / "a.tar.gz", entries, kind=kind)
    target = tmp_path / "deep" / "target"
    with pytest.raises(RefusedError):
        unpack_untracked(tmp_path / "a.tar.gz", target, size_limit_bytes=2000)
    assert not target.exists()
    assert not (tmp_path / "out.txt").exists()


def test_nothing_is_written_through_a_link(tmp_path):
    """A link in an archive comes back as a link, and a file is never written through one."""
    from repro_track.capture.untracked import unpack_untracked
    from repro_track.errors import RefusedError

    make_archive(tmp_path / "a.tar.gz", [("link", "/etc")], kind=tarfile.SYMTYPE)
    assert unpack_untracked(tmp_path / "a.tar.gz", tmp_path / "target") == ["link"]
    assert (tmp_path / "target" / "link").is_symlink()
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("link")
        entry.type, entry.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(entry)
        archive.addfile(tarfile.TarInfo("link/planted.txt"))
    with pytest.raises(RefusedError):
        unpack_untracked(tmp_path / "b.tar.gz", tmp_path / "other")
    assert not (tmp_path / "planted.txt").exists()


def test_nothing_is_written_through_a_link_of_the_commit(git, tmp_path):
    """A commit with a link that leaves the folder, and an archive with a file behind it: refused; nothing is
    written."""
    from repro_track.capture.untracked import unpack_untracked
    from repro_track.errors import RefusedError

    outside = tmp_path / "outside"
    outside.mkdir()
    target = tmp_path / "target"
    target.mkdir()
    (target / "evil").symlink_to(outside)
    (target / "there").symlink_to(outside / "there")
    for name in ("evil/planted.txt", "there"):
        make_archive(tmp_path / "a.tar.gz", [("fine.txt", b"x"), (name, b"x")])
        with pytest.raises(RefusedError):
            unpack_untracked(tmp_path / "a.tar.gz", target)
    assert not list(outside.iterdir())
    assert not (target / "fine.txt").exists()
