"""Which files of code this process has executed: what it imports, and what it reads and executes itself.

Python tells it by its audit events, from the import of this package on. A hook stays until the process ends; it only
adds names to sets, never reads a file, and never fails.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

_LIMIT = 20_000
"""So many names are kept of each kind: enough for every program, and no leak in one that opens files for days."""

_executed: set[str] = set()
_opened: set[str] = set()
_compiled: set[tuple[int, int]] = set()
_has_asked = False
_is_watching = False


def watch_execution() -> None:
    """Begin to note which files are executed, once in a process."""
    global _is_watching
    if not _is_watching:
        _is_watching = True
        sys.addaudithook(_note)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        name, flags = arguments[0], arguments[-1]
        # what is only written is a copy of code, not where it was read from
        is_read = type(flags) is int and not flags & os.O_WRONLY
        if type(name) is str and is_read and len(_opened) < _LIMIT:
            _opened.add(_place(name))
    elif event == "exec":
        if type(arguments[0]) is CodeType and len(_executed) < _LIMIT:
            _executed.add(arguments[0].co_filename)
    elif event == "compile":
        text, name = arguments
        # a file's own name is noted when it is executed; `<string>` says nothing of where the text is from
        is_named = isinstance(name, str) and not name.startswith("<")
        if isinstance(text, (str, bytes)) and text and not is_named and len(_compiled) < _LIMIT:
            _compiled.add(_mark(text))
    elif event == "builtins.input":
        _note_question(sys._getframe(1).f_globals.get("__name__", ""))


def _note_question(asking: object) -> None:
    """Note that a module has asked the person at the keyboard, but for a debugger or a shell, which no replay
    opens."""
    global _has_asked
    _has_asked = _has_asked or asking not in ("cmd", "code", "pdb")


def has_asked() -> bool:
    """Whether the person at the keyboard was asked for input since this process is watched."""
    return _has_asked


def _place(name: str) -> str:
    """Return where a file is that is opened now: the program may go to another folder later."""
    if name.startswith("/"):
        return name
    try:
        return os.path.join(os.getcwd(), name)
    except OSError:  # a folder that is gone
        return name


def _mark(text: str | bytes) -> tuple[int, int]:
    """Return what a text is known again by: its length and hash."""
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return len(content), hash(content)


def list_executed(is_wanted: Callable[[str], bool]) -> dict[Path, str | None]:
    """List the files whose code this process has executed, with the name of the module; `None`: it is none.

    These are the modules that are loaded, what was executed under its file's name, what was read from a file and
    executed as text, and what the main module holds of code that was loaded before this package was. The main module
    itself is not among them.

    Args:
        is_wanted: whether the file of a name is of interest; it is asked before anything is looked at.
    """
    main = getattr(sys.modules["__main__"], "__file__", None)
    found: dict[str, str | None] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and is_wanted(file) and _is_file_of_its_own(file):
            found.setdefault(os.path.abspath(file), name)
    for file in sorted(_executed | _list_held() | _list_read(is_wanted)):
        if os.path.isabs(file) and is_wanted(file) and os.path.isfile(file):
            found.setdefault(os.path.normpath(file), None)
    return {Path(file): name for file, name in found.items() if main is None or file != os.path.abspath(main)}


def _is_file_of_its_own(file: str) -> bool:
    """Whether a module's file is one: `torch.ops` and `torch.classes` are made in memory, and name a file by its name
    alone that is nowhere."""
    return os.path.isabs(file) or os.path.isfile(file)


def _list_held() -> set[str]:
    """List the files of what the main module holds: modules that are not registered, functions, classes."""
    found = set()
    for value in list(vars(sys.modules["__main__"]).values()):
        if isinstance(value, ModuleType):
            found.add(getattr(value, "__file__", None))
        members = list(vars(value).values()) if isinstance(value, type) else [value]
        found |= {one.__code__.co_filename for one in members if isinstance(one, FunctionType)}
    return {name for name in found if isinstance(name, str)}


def list_opened() -> list[str]:
    """List the files that this process has opened, to read or to write, by their absolute paths."""
    return sorted({os.path.normpath(name) for name in list(_opened) if os.path.isabs(name)})


def _list_read(is_wanted: Callable[[str], bool]) -> set[str]:
    """List the files that were opened, and whose whole text was then executed."""
    lengths = {length for length, _ in _compiled}
    found = set()
    for name in list(_opened):
        file = os.path.abspath(name)
        try:
            # text that was read with the line ends of Windows is shorter
            if is_wanted(file) and (file.endswith(".py") or os.stat(file).st_size in lengths):
                content = Path(file).read_bytes()
                if {_mark(content), _mark(content.replace(b"\r\n", b"\n"))} & _compiled:
                    found.add(file)
        except OSError:
            continue
    return found
