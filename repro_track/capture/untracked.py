"""The archive of untracked files: packed so that equal files give equal bytes, and unpacked safely.

It never follows a link, and never writes outside of the folder that it is given.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from pathlib import Path, PurePosixPath

from repro_track.errors import RefusedError, first_line
from repro_track.record.redaction import has_secret
from repro_track.record.schema import Known, Unavailable
from repro_track.tensors.digests import digest_file

SIZE_LIMIT_BYTES = 50 * 1024 * 1024
"""More than this of changes is not kept: diffs of 100 GB are known from other trackers."""


def pack_untracked(names: list[str], *, root: Path, target: Path, limit: int) -> Known[str]:
    """Keep files as a tar.gz whose bytes depend on names, contents and the executable bit only."""
    total = sum((root / name).lstat().st_size for name in names)
    if total > limit:
        return Unavailable(unavailable=f"{len(names)} untracked files have {total} bytes, more than {limit}")
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name in names:
            path = root / name
            entry = tarfile.TarInfo(name)
            if path.is_symlink():
                entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
                if has_secret(entry.linkname):
                    return Unavailable(unavailable="the target of a link holds what looks like a secret")
                archive.addfile(entry)
                continue
            content = path.read_bytes()
            if has_secret(content):
                return Unavailable(unavailable=f"{name} holds what looks like a secret")
            entry.size = len(content)
            entry.mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
            archive.addfile(entry, io.BytesIO(content))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(buffer.getvalue())
    return digest_file(target)


def unpack_untracked(archive: Path, target: Path, *, size_limit_bytes: int = SIZE_LIMIT_BYTES) -> list[str]:
    """Unpack an archive of untracked files; return their names. Symbolic links are made last: nothing is written
    through one.

    Raises:
        RefusedError: an entry that leaves the folder (also by way of a link that is in it), is neither a file nor a
            link, or is there already; or more bytes than the limit. Nothing is written then.
    """
    found: dict[str, tarfile.TarInfo] = {}
    try:
        with tarfile.open(archive, "r:gz") as packed:
            total = 0
            for entry in packed:  # one at a time: a bomb is noticed before it is whole
                path = PurePosixPath(entry.name)
                total += entry.size
                if not (entry.isreg() or entry.issym()) or path.is_absolute() or {"..", ".git"} & set(path.parts):
                    raise _refuse_archive(f"the entry {entry.name!r} is not a file inside the folder")
                if entry.name in found:
                    raise _refuse_archive(f"the entry {entry.name!r} is there twice")
                if total > size_limit_bytes:
                    raise _refuse_archive(f"it holds more than {size_limit_bytes} bytes")
                found[entry.name] = entry
            if inside := [name for name in found if any(str(up) in found for up in PurePosixPath(name).parents)]:
                raise _refuse_archive(f"the entry {inside[0]!r} is inside another entry")
            for name in found:
                file = target / name
                if os.path.lexists(file) or not file.parent.resolve().is_relative_to(target.resolve()):
                    raise _refuse_archive(f"the entry {name!r} would overwrite a file, or be written through a link")
            for name, entry in sorted(found.items(), key=lambda item: item[1].issym()):
                file = target / name
                file.parent.mkdir(parents=True, exist_ok=True)
                if entry.issym():
                    file.symlink_to(entry.linkname)
                    continue
                content = packed.extractfile(entry)
                file.write_bytes(content.read() if content else b"")
                file.chmod(entry.mode & 0o755)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _refuse_archive(first_line(error)) from error
    target.mkdir(parents=True, exist_ok=True)
    return list(found)


def _refuse_archive(reason: str) -> RefusedError:
    return RefusedError(
        f"the archive of untracked files cannot be unpacked: {reason}", expected="an archive that a run wrote"
    )
