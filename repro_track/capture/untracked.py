"""The archives of files that no diff can bring back: packed so that equal files give equal bytes, and unpacked safely.

It never follows a link, and never writes outside of the folder that it is given.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from repro_track.capture.git import to_text
from repro_track.errors import RefusedError, first_line
from repro_track.record.redaction import has_secret
from repro_track.record.schema import Known, Unavailable
from repro_track.record.secret_forms import TEXT_LIMIT_BYTES
from repro_track.tensors.digests import digest_file

SECRET = "holds what looks like a secret"
"""Why a file is not kept."""

SIZE_LIMIT_BYTES = 50 * 1024 * 1024
"""More than this of changes is not kept: diffs of 100 GB are known from other trackers."""


def pack_untracked(
    names: Sequence[str], *, root: Path, target: Path, limit: int, folders: Sequence[str] = (), kind: str = "untracked"
) -> Known[str]:
    """Keep files as a tar.gz whose bytes depend on names, contents and the executable bit only; return its digest.

    Args:
        names: files and symbolic links, by their paths from the root.
        root: the folder that they are in.
        target: the archive.
        limit: more bytes are not kept.
        folders: empty folders.
        kind: what they are, in a word.
    """
    total = sum((root / name).lstat().st_size for name in names)
    if total > limit:
        return Unavailable(unavailable=f"{len(names)} {kind} files have {total} bytes, more than {limit}")
    buffer = io.BytesIO()
    with packing(buffer) as archive:
        for name in folders:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name in names:
            path = root / name
            if path.is_symlink():
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
                if has_secret(entry.linkname):
                    return Unavailable(unavailable=f"the target of a link {SECRET}")
                archive.addfile(entry)
                continue
            content = path.read_bytes()
            if has_secret(content, is_data=total > TEXT_LIMIT_BYTES):
                return Unavailable(unavailable=f"{to_text(name)} {SECRET}")
            add_file(archive, name, content, is_executable=bool(path.stat().st_mode & stat.S_IXUSR))
    return keep_archive(buffer, target=target)


@contextlib.contextmanager
def packing(buffer: io.BytesIO) -> Iterator[tarfile.TarFile]:
    """Write a tar.gz into a buffer whose bytes depend on what is added, and not on the time."""
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        yield archive


def add_file(archive: tarfile.TarFile, name: str, content: bytes, *, is_executable: bool = False) -> None:
    """Add a file to an archive, of which its name, its content and the executable bit are kept."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o755 if is_executable else 0o644
    archive.addfile(entry, io.BytesIO(content))


def keep_archive(buffer: io.BytesIO, *, target: Path) -> str:
    """Write a packed archive to disk; return its digest."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(buffer.getvalue())
    return digest_file(target)


def unpack_untracked(
    archive: Path, target: Path, *, size_limit_bytes: int = SIZE_LIMIT_BYTES, replaces: bool = False
) -> list[str]:
    """Unpack an archive; return the names of its files and links. Symbolic links are made last: nothing is written
    through one.

    Args:
        archive: what `pack_untracked` wrote.
        target: the folder.
        size_limit_bytes: more is refused.
        replaces: its files stand for files that are there.

    Raises:
        RefusedError: an entry that leaves the folder (also by way of a link that is in it), is neither a file nor a
            link nor a folder, or is there already; or more bytes than the limit. Nothing is written then.
    """
    found: dict[str, tarfile.TarInfo] = {}
    try:
        with tarfile.open(archive, "r:gz") as packed:
            total = 0
            for entry in packed:  # one at a time: a bomb is noticed before it is whole
                total += entry.size
                _check_entry(entry, is_twice=entry.name in found)
                if total > size_limit_bytes:
                    raise _refuse_archive(f"it holds more than {size_limit_bytes} bytes")
                found[entry.name] = entry
            files = {name for name, entry in found.items() if not entry.isdir()}
            if inside := [name for name in found if any(str(up) in files for up in PurePosixPath(name).parents)]:
                raise _refuse_archive(f"the entry {inside[0]!r} is inside another entry")
            for name, entry in found.items():
                _check_place(target / name, target=target, entry=entry, replaces=replaces)
            for name, entry in sorted(found.items(), key=lambda item: item[1].issym()):
                _write_entry(packed, entry, target / name)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise _refuse_archive(first_line(error)) from error
    target.mkdir(parents=True, exist_ok=True)
    return [name for name, entry in found.items() if not entry.isdir()]


def _check_entry(entry: tarfile.TarInfo, *, is_twice: bool) -> None:
    path = PurePosixPath(entry.name)
    is_known = entry.isreg() or entry.issym() or entry.isdir()
    if not is_known or path.is_absolute() or ".." in path.parts or ".git" in [part.lower() for part in path.parts]:
        raise _refuse_archive(f"the entry {entry.name!r} is not a file inside the folder")
    if is_twice:
        raise _refuse_archive(f"the entry {entry.name!r} is there twice")


def _check_place(file: Path, *, target: Path, entry: tarfile.TarInfo, replaces: bool) -> None:
    is_free = not os.path.lexists(file) or (entry.isdir() and file.is_dir() and not file.is_symlink())
    is_replaced = replaces and entry.isreg() and file.is_file() and not file.is_symlink()
    if not (is_free or is_replaced) or not file.parent.resolve().is_relative_to(target.resolve()):
        raise _refuse_archive(f"the entry {entry.name!r} would overwrite a file, or be written through a link")


def _write_entry(packed: tarfile.TarFile, entry: tarfile.TarInfo, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if entry.isdir():
        file.mkdir(exist_ok=True)
    elif entry.issym():
        file.symlink_to(entry.linkname)
    else:
        content = packed.extractfile(entry)
        file.write_bytes(content.read() if content else b"")
        file.chmod(0o755 if entry.mode & stat.S_IXUSR else 0o644)


def _refuse_archive(reason: str) -> RefusedError:
    return RefusedError(
        f"the archive of files of the source cannot be unpacked: {reason}", expected="an archive that a run wrote"
    )
