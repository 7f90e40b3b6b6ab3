"""In the child of a replay: what code names by its recorded place is read where it was restored.

A script may name a file of its own repository by an absolute path, put such a folder on the search path, or hand it to
diffusers. Imports from there, and files that are opened for reading, come from the restored source; so does the code
that was kept from outside of it. What is not restored is read where it is. Files that the process itself has written
since it began are never others. The interpreter loads it when it starts, by its
file: it uses the standard library alone.
"""

from __future__ import annotations

import builtins
import functools
import importlib.util
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from importlib import machinery
from pathlib import Path
from typing import Any

STARTUP_FOLDER = "startup"
_SETTINGS_NAME = "redirect.json"
_PROGRAM = "repro_track"
_FILES = (
    (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
    (machinery.SourceFileLoader, machinery.SOURCE_SUFFIXES),
    (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
)

_NEVER = ("site-packages", "dist-packages", "/.git/")
"""What is in such folders comes back otherwise, or not at all."""

_SITECUSTOMIZE = '''"""Written by repro_track for the child of a replay; the one of the environment runs after it."""

import importlib.util
import sys

sys.path[:] = [entry for entry in sys.path if entry != {folder!r}]
_own = sys.modules.pop("sitecustomize", None)
if sys.version_info >= (3, 11):  # another interpreter, started by the recorded code, is left alone
    _spec = importlib.util.spec_from_file_location("_repro_track_redirect", {module!r})
    _redirect = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_redirect)
    _redirect.install({replay!r})
try:
    import sitecustomize
except ImportError:
    sys.modules["sitecustomize"] = _own
'''


def write_startup(folder: Path, *, moves: list[tuple[str, str]]) -> None:
    """Write what the interpreter of a child loads when it starts.

    Args:
        folder: of the replay.
        moves: recorded folders with where their content was restored; the first that has a file decides.
    """
    startup = folder / STARTUP_FOLDER
    startup.mkdir(exist_ok=True)
    (startup / _SETTINGS_NAME).write_text(json.dumps(moves), encoding="utf-8")
    text = _SITECUSTOMIZE.format(folder=str(startup), replay=str(folder), module=str(Path(__file__).absolute()))
    (startup / "sitecustomize.py").write_text(text, encoding="utf-8")


class Redirect:
    """Where recorded places are now."""

    def __init__(self, moves: list[tuple[str, str]]) -> None:
        self._moves = moves
        self._started_at = time.time()

    def list_restored(self, path: str) -> list[str]:
        """List the restored places of a recorded one; of a folder there may be several, each with a part of it."""
        if not os.path.isabs(path) or any(word in path for word in _NEVER):
            return []
        path, found = os.path.normpath(path), []
        for old, new in self._moves:
            inside = path == old or path.startswith(old.rstrip("/") + "/")
            if inside and not path.startswith(new.rstrip("/") + "/"):
                moved = os.path.normpath(os.path.join(new, os.path.relpath(path, old)))
                if _lexists(moved):
                    found.append(moved)
        return found

    def find(self, path: str) -> str:
        """Return the restored place of a recorded one; what was not restored, and what is no such path, as it is."""
        return next(iter(self.list_restored(path)), path)

    def find_unchanged(self, path: Any) -> Any:
        """Likewise, for a file that is read; one that was written since this process began is left alone."""
        if not isinstance(path, (str, os.PathLike)):
            return path
        name = os.fspath(path)
        moved = self.find(name) if isinstance(name, str) else name
        if moved == name:
            return path
        try:
            is_new = _stat(name).st_mtime >= self._started_at
        except OSError:
            is_new = False
        return path if is_new else moved


_lexists, _stat = os.path.lexists, os.stat


class _Finder(machinery.FileFinder):
    """Finds the modules of a folder where that was restored, and in the folder itself what was not."""

    def __init__(self, folder: str, *, restored: list[str]) -> None:
        super().__init__(restored[0], *_FILES)
        self._others = [machinery.FileFinder(one, *_FILES) for one in (*restored[1:], folder)]

    def find_spec(self, fullname: str, target: Any = None) -> machinery.ModuleSpec | None:
        """Find a module; of this program itself always the present one."""
        if fullname.partition(".")[0] == _PROGRAM:
            return self._others[-1].find_spec(fullname, target)
        found = [spec for spec in self._list_specs(fullname, target) if spec is not None]
        return next((spec for spec in found if spec.loader is not None), found[0] if found else None)

    def _list_specs(self, fullname: str, target: Any) -> Iterator[machinery.ModuleSpec | None]:
        yield super().find_spec(fullname, target)
        for one in self._others:
            yield one.find_spec(fullname, target)

    def invalidate_caches(self) -> None:
        """Look again."""
        super().invalidate_caches()
        for one in self._others:
            one.invalidate_caches()


def install(replay: str) -> None:
    """Let this process read recorded places where they were restored."""
    try:
        text = Path(replay, STARTUP_FOLDER, _SETTINGS_NAME).read_text(encoding="utf-8")
    except OSError:
        return  # a process that has outlived its replay
    redirect = Redirect([(old, new) for old, new in json.loads(text)])
    sys.path_hooks.insert(0, functools.partial(_find_folder, redirect))
    sys.path_importer_cache.clear()
    make_spec = importlib.util.spec_from_file_location

    @functools.wraps(make_spec)
    def find_spec(name: str, location: Any = None, **details: Any) -> Any:
        return make_spec(name, redirect.find(os.fspath(location)) if location is not None else None, **details)

    importlib.util.spec_from_file_location = find_spec
    builtins.open = io.open = _wrap_open(io.open, redirect)
    io.open_code = _wrap_open_code(io.open_code, redirect)
    stat = _wrap_stat(os.stat, redirect)
    for known in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        known.add(stat)
    os.stat = stat


def _find_folder(redirect: Redirect, folder: str) -> _Finder:
    """The hook of the search path: raises `ImportError` for a folder that was not restored, as hooks do."""
    restored = [one for one in redirect.list_restored(folder) if os.path.isdir(one)]
    if not restored:
        raise ImportError(folder)
    return _Finder(folder, restored=restored)


def _wrap_open(original: Any, redirect: Redirect) -> Any:
    @functools.wraps(original)
    def open_restored(file: Any, mode: str = "r", *more: Any, **details: Any) -> Any:
        is_read = isinstance(mode, str) and not set(mode) & set("wax+")
        return original(redirect.find_unchanged(file) if is_read else file, mode, *more, **details)

    return open_restored


def _wrap_open_code(original: Any, redirect: Redirect) -> Any:
    @functools.wraps(original)
    def open_restored(path: str) -> Any:
        return original(redirect.find(path))

    return open_restored


def _wrap_stat(original: Any, redirect: Redirect) -> Any:
    """A file of a folder that is gone is there if it was restored."""

    @functools.wraps(original)
    def stat_restored(path: Any, **details: Any) -> Any:
        try:
            return original(path, **details)
        except FileNotFoundError:
            name = os.fspath(path) if details.get("dir_fd") is None else None
            moved = redirect.find(name) if isinstance(name, str) else name
            if moved == name:
                raise
            return original(moved, **details)

    return stat_restored
