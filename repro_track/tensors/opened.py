"""Which files of weights this process has opened, seen from the moment on in which it is told to look.

It sees what Python opens, by an audit hook, and what safetensors opens in Rust, where no hook of Python reaches. It
never changes what is opened, keeps none of its contents, and never ends a program: a file that cannot be looked at is
no file of weights.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NO_WEIGHTS = frozenset(
    {
        ".py", ".pyc", ".pyi", ".so", ".json", ".jsonl", ".txt", ".md", ".rst", ".yaml", ".yml", ".toml", ".cfg",
        ".ini", ".html", ".css", ".js", ".csv", ".log", ".pem", ".crt", ".png", ".jpg", ".jpeg", ".webp", ".gif",
        ".mp4", ".wav", ".npy", ".npz", ".db", ".lock", ".h", ".c", ".cpp", ".cu",
    }
)  # fmt: skip
"""Endings that are not even looked into: what a program opens by thousands."""
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How torch's own format began before it was a zip archive."""


@dataclass(frozen=True)
class OpenedFile:
    """A file of weights as it was when it was opened: its absolute path, its size in bytes, when it was last changed,
    its inode."""

    path: str
    size: int
    mtime_ns: int
    inode: int

    @property
    def is_unchanged(self) -> bool:
        """Whether the file is still the one that was opened."""
        return look_at(self.path) == self

    @property
    def is_new(self) -> bool:
        """Whether the file was written after the program had begun: its own work, or a download."""
        return self.mtime_ns >= _watch.since_ns


def look_at(path: str) -> OpenedFile | None:
    """Return a file as it is now; `None`: it is not there, or is no file: a pipe must not be read by anybody else."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return OpenedFile(os.path.abspath(path), found.st_size, found.st_mtime_ns, found.st_ino)  # noqa: PTH100  a link stays


def is_weights(path: str) -> bool:
    """Whether a file holds weights, told by how it begins and not by its name: safetensors, GGUF, or torch's own."""
    try:
        with unwatched(), Path(path).open("rb") as file:
            start = file.read(128)
    except (OSError, ValueError):
        return False
    if start.startswith((b"GGUF", _LEGACY)):
        return True
    if start.startswith(b"PK\x03\x04"):  # the first member of an archive by torch
        return any(name in start for name in (b"/data.pkl", b"/.format_version", b"/.data/", b"/byteorder"))
    return len(start) > 9 and start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") < 1 << 28


class _Watch:
    """What was seen of a process: the files in the order in which they were last opened."""

    def __init__(self) -> None:
        self.since_ns = time.time_ns()
        self.files: dict[OpenedFile, int] = {}
        self.first: dict[OpenedFile, int] = {}
        self.count = 0
        self.is_on = False
        self.thread = threading.local()

    def on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an event of Python's audit."""
        if event == "open":
            mode = arguments[1]
            if mode is None or "r" in mode:
                self.on_opened(arguments[0])

    def on_opened(self, path: Any) -> None:
        """Take a file that is about to be read."""
        if getattr(self.thread, "is_off", False) or isinstance(path, int):
            return
        with contextlib.suppress(Exception):  # whatever a file system does, the program has to go on
            name = os.fsdecode(path)
            if os.path.splitext(name)[1].lower() not in _NO_WEIGHTS:  # noqa: PTH122  quick
                seen = look_at(name)
                if seen is not None and is_weights(name):
                    self.count += 1
                    self.files.pop(seen, None)
                    self.files[seen] = self.count
                    self.first.setdefault(seen, self.count)


_watch = _Watch()


def has_begun_before(path: str) -> bool:
    """Whether a file was there as it is before this process was told to look: not its own work."""
    found = look_at(path)
    return found is not None and found.mtime_ns < _watch.since_ns


def watch_files() -> None:
    """Begin to look at what is opened; a second time does nothing. What was opened before cannot be seen."""
    if _watch.is_on:
        return
    _watch.is_on = True
    sys.addaudithook(_watch.on_event)
    if "safetensors" in sys.modules:
        _wrap_safetensors(sys.modules["safetensors"])
    else:
        sys.meta_path.insert(0, _SafetensorsFinder())


class _SafetensorsFinder:
    """Finds safetensors as Python does, and lets it say which files it opens once it is imported.

    wrapt has this, too, and takes a tenth of a second to import, which every command would pay.
    """

    is_searching = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find the module's spec; `None` for any other one, which the finders after this one find."""
        if name != "safetensors" or self.is_searching:
            return None
        self.is_searching = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.is_searching = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_wrap(module: Any) -> None:
                execute(module)
                _wrap_safetensors(module)

            spec.loader.exec_module = execute_and_wrap  # type: ignore[method-assign]
        return spec


def _wrap_safetensors(module: Any) -> None:
    """Let safetensors say which file it opens: here, and wherever its function was imported from it already."""
    import wrapt

    original = module.safe_open

    def opened(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        path = args[0] if args else kwargs.get("filename")
        if path is not None:
            _watch.on_opened(path)
        return wrapped(*args, **kwargs)

    replace_function("safe_open", original, wrapt.FunctionWrapper(original, opened))


def replace_function(name: str, original: Any, other: Any) -> None:
    """Let another function stand for one wherever it was imported to under its name."""
    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", {}).get(name) is original:
            setattr(module, name, other)


@contextlib.contextmanager
def unwatched() -> Iterator[None]:
    """Leave what this thread opens in the block unseen: our own reading."""
    former = getattr(_watch.thread, "is_off", False)
    _watch.thread.is_off = True
    try:
        yield
    finally:
        _watch.thread.is_off = former


def list_opened() -> list[OpenedFile]:
    """List the files of weights that were opened so far, in the order in which they were last opened."""
    return list(_watch.files)


def list_opened_since(count: int) -> list[OpenedFile]:
    """List the files that were opened since so many were, those that were opened before as well among them."""
    return [file for file, number in list(_watch.files.items()) if number > count]


def find_first_opening(file: OpenedFile) -> int:
    """Return how many files of weights had been opened when a file was opened for the first time."""
    return _watch.first.get(file, 0)


def count_opened() -> int:
    """Count how often a file of weights was opened so far."""
    return _watch.count


def list_mapped() -> list[OpenedFile]:
    """List the files of weights that are mapped into this process's memory: weights that were loaded before anybody
    looked often lie in one. Linux alone says so."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    paths = dict.fromkeys(line.split(maxsplit=5)[5] for line in lines if line.count("/") and len(line.split()) > 5)
    known = [path for path in paths if Path(path).suffix not in _NO_WEIGHTS and is_weights(path)]
    return [seen for path in known if (seen := look_at(path))]
