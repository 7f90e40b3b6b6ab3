"""Code that runs from outside of the recorded source: found and kept with the run, and put where a replay finds it.

Outside is what is neither of the repository, nor of Python, nor of an installed package, nor of this program: a module
in another folder, an editable install of another repository, a custom pipeline in diffusers' cache of modules, a file
that git ignores. It never keeps a secret, and never writes anywhere but into the folder that it is given.
"""

from __future__ import annotations

import io
import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

from repro_track.capture.executed import list_executed
from repro_track.capture.git import list_ignored
from repro_track.capture.hydra import list_config_files
from repro_track.capture.packages import holds_packages
from repro_track.capture.untracked import SIZE_LIMIT_BYTES, add_file, keep_archive, packing, unpack_untracked
from repro_track.config.locations import replay_folder
from repro_track.record.names import OUTSIDE_FOLDER, OUTSIDE_NAME
from repro_track.record.redaction import has_secret
from repro_track.record.schema import Known, OutsideCode, Source, Unavailable
from repro_track.record.secret_names import is_secret_file
from repro_track.tensors.digests import digest_bytes

_NEVER = ("/site-packages/", "/dist-packages/", "/torchinductor_", "/.triton/", "/torch_extensions/", "/ipykernel_")
"""Folders of installed packages, and of code that a library writes while it runs: it writes it again."""

_SUFFIXES = (".py", ".so", ".pyd", ".ipy", ".yaml", ".yml", ".txt", ".cfg", "")


def capture_outside(source: Source, *, folder: Path, limit: int = SIZE_LIMIT_BYTES) -> Source:
    """Return the source with the code that this process ran from outside of it; its files are kept in one archive.

    Args:
        source: what was captured of the repository.
        folder: the run's.
        limit: files that are larger together are not kept.
    """
    root = Path(source.repository) if isinstance(source.repository, str) else None
    parts, contents = [], {}
    total = 0
    for path, module in _list_outside(root, source=source).items():
        content, left_out = _read_code(path)
        total += len(content or b"")
        if total > limit and left_out is None:
            left_out = f"the code from outside of the repository has more than {limit} bytes"
        if content is not None and left_out is None:
            contents[_name_place(path)] = content
        name = module or _name_place(path)
        digest = _digest(content, left_out)
        parts.append(OutsideCode(name=name, path=_name_place(path), sha256=digest, left_out=left_out))
    archive = _pack(contents, target=folder / OUTSIDE_NAME) if contents else None
    return source.model_copy(update={"outside": tuple(parts), "outside_sha256": archive})


def _list_outside(root: Path | None, *, source: Source) -> dict[Path, str | None]:
    """List the files that were executed and are outside, with their modules, sorted by path, and those from which a
    Hydra app composed its config. What git ignores is outside, but where it comes back with the repository all the
    same; what is in a repository inside comes back with that one."""
    found, inside = {}, {}
    real_root = root.resolve() if root is not None else None
    installed = tuple(f"{one}/" for one in sys.path if one and holds_packages(Path(one)))
    elsewhere = (*(f"{one}/" for one in _list_our_folders()), *installed)
    ours = tuple(f"{Path(one).resolve()}/" for one in elsewhere)

    def is_wanted(file: str) -> bool:
        is_code = os.path.splitext(file)[1] in _SUFFIXES  # noqa: PTH122  for thousands of files
        return is_code and not file.startswith(elsewhere) and not any(mark in file for mark in _NEVER)

    configs = [path for path in list_config_files() if is_wanted(str(path))]
    for path, module in {**dict.fromkeys(configs), **list_executed(is_wanted)}.items():
        real = path.resolve()
        if str(real).startswith(ours):
            continue
        if real_root is not None and real.is_relative_to(real_root):
            inside[str(real.relative_to(real_root))] = (path, module)
        else:
            found[path] = module
    if root is not None and inside:
        others = tuple(f"{one.path}/" for one in source.submodules)
        names = [name for name in inside if name not in source.ignored and not name.startswith(others)]
        found |= dict(inside[name] for name in list_ignored(root, names))
    return dict(sorted(found.items()))


def _list_our_folders() -> list[Path]:
    """List the folders of Python itself and of this program, and what a replay starts with."""
    ours = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    ours += [Path(str(resources.files(name))) for name in ("repro_track", "repro_track.conf")]
    replay = replay_folder()
    return [*ours, *([replay / "startup"] if replay else [])]


def _digest(content: bytes | None, left_out: str | None) -> Known[str]:
    return Unavailable(unavailable=str(left_out)) if content is None else digest_bytes(content)


def _read_code(path: Path) -> tuple[bytes | None, str | None]:
    """Read a file of code, `None` if that cannot be; also return why it is not to be kept, if it is not."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return None, f"it cannot be read ({error.strerror})"
    if is_secret_file(path.name):
        return content, "its name is that of a secret"
    if has_secret(content):
        return content, "it holds what looks like an access token or a private key"
    return content, None


def _name_place(path: Path) -> str:
    """Return where a file of code was in the recorded run: in a replay it lies below the replay's folder."""
    replay = replay_folder()
    if replay is not None:
        for folder in (replay / OUTSIDE_FOLDER, (replay / OUTSIDE_FOLDER).resolve()):
            if path.is_relative_to(folder):
                return str(Path("/") / path.relative_to(folder))
    return str(path)


def _pack(contents: Mapping[str, bytes], *, target: Path) -> str:
    """Write files, by absolute path, as a tar.gz whose bytes depend on paths and contents only; return its digest."""
    buffer = io.BytesIO()
    with packing(buffer) as archive:
        for name in sorted(contents):
            add_file(archive, name.lstrip("/"), contents[name])
    return keep_archive(buffer, target=target)


def look_at_outside(expected: Source) -> Source:
    """Return a recorded source's code from outside as it is on this machine now."""
    if expected.outside is None:
        return expected
    parts = []
    for one in expected.outside:
        parts.append(one.model_copy(update={"sha256": _digest(*_read_code(Path(one.path)))}))
    return expected.model_copy(update={"outside": tuple(parts)})


def restore_outside(archive: Path, *, target: Path) -> list[Path]:
    """Unpack kept code below a folder, each file at its recorded path; what lies beside it now, data that it may read,
    is linked.

    Returns:
        the recorded paths.

    Raises:
        RefusedError: the archive is not one that a run wrote.
    """
    names = unpack_untracked(archive, target)
    for folder in sorted({Path(name).parent for name in names}):
        _link_neighbours(Path("/") / folder, target=target / folder)
    return [Path("/") / name for name in names]


def _link_neighbours(present: Path, *, target: Path) -> None:
    try:
        neighbours = [one for one in present.iterdir() if one.name not in ("__pycache__", ".git")]
    except OSError:
        return  # it is gone, or not for us to read
    if present == Path(tempfile.gettempdir()) or len(neighbours) > _MOST_NEIGHBOURS:
        return
    for one in neighbours:
        if not os.path.lexists(target / one.name):
            (target / one.name).symlink_to(one)


_MOST_NEIGHBOURS = 1000
"""A folder with more files is a heap, not the folder of a module."""


def list_moved_caches(parts: Iterable[OutsideCode]) -> list[tuple[str, str]]:
    """List where the libraries' cache of remote code is now and where it was, if that is another folder."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = Path(os.environ.get("HF_HOME") or caches / "huggingface")
    now = os.environ.get("HF_MODULES_CACHE") or str(home / "modules")
    recorded: dict[str, None] = {}
    for one in parts:
        words = one.name.split(".")
        path = Path(one.path).with_suffix("")
        if words[0] in ("diffusers_modules", "transformers_modules") and path.parts[-len(words) :] == tuple(words):
            recorded[str(path.parents[len(words) - 1])] = None
    return [(now, then) for then in recorded if then != now]
