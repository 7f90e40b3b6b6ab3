"""Which environment variables a run's own code asks for that no record keeps.

The code is parsed, never run; the value of a variable is never kept.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from repro_track.capture.hydra import find_job
from repro_track.capture.own_code import read_own_code
from repro_track.config.locations import RECORDED_VARIABLES
from repro_track.errors import name_some
from repro_track.record.schema import Command, Source

_COMMON = (
    "COLUMNS", "DISPLAY", "EDITOR", "HOME", "HOSTNAME", "LANG", "LINES", "LOGNAME", "NO_COLOR", "PATH", "PWD", "SHELL",
    "TEMP", "TERM", "TMP", "TMPDIR", "USER", "VIRTUAL_ENV",
)  # fmt: skip
"""The variables of a session, which a replay on this machine has, too."""
_MOST_NAMED = 5
_REFERENCE = re.compile(r"\$\{\s*oc\.env:\s*([A-Za-z_]\w*)")


def list_taken_variables(command: Command, *, source: Source) -> list[str]:
    """List the environment variables that the run's own code, or its config, asks for and that were set, in one
    sentence; empty: none.

    Args:
        command: what was started.
        source: says which code is the run's own.
    """
    if command.is_config or (not isinstance(command.script, str) and not isinstance(source.repository, str)):
        return []
    told = command.launcher.variables if command.launcher else {}
    names: set[str] = set()
    own: set[str] = set()
    for _, text in read_own_code(command, source=source):
        try:
            read, written = list_variables(text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        names |= read
        own |= written
    names |= set(_list_references())
    given = _read_variables_at_start()
    found = sorted(
        name
        for name in names - own - {*RECORDED_VARIABLES, *_COMMON, *told}
        if name in given and os.environ.get(name) == given[name] and not name.startswith(("XDG_", "REPRO_TRACK_"))
    )
    if not found:
        return []
    shown = name_some(found, most=_MOST_NAMED)
    return [f"the code asks for environment variables that are not kept ({shown}): a replay needs them as they were"]


def _read_variables_at_start() -> Mapping[str, str]:
    """Read the environment that this process was started with: a program may have set some of its own since."""
    try:
        parts = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return dict(os.environ)
    return dict(os.fsdecode(part).partition("=")[::2] for part in parts if b"=" in part)


def _list_references() -> Iterator[str]:
    """List the variables that the config of a Hydra app refers to."""
    job = find_job()
    if job is None or job.config is None:
        return
    from omegaconf import OmegaConf

    try:
        text = OmegaConf.to_yaml(job.config, resolve=False)
    except Exception:  # a value that nobody can write down: the config says so itself
        return
    yield from _REFERENCE.findall(text)


def list_variables(text: str) -> tuple[set[str], set[str]]:
    """List the environment variables that a Python text asks for by name, and those that it sets.

    >>> list_variables("import os; a = os.environ['A'], os.getenv('B'); os.environ['C'] = '1'")
    ({...}, {'C'})
    """
    if "environ" not in text and "getenv" not in text:
        return set(), set()
    read: set[str] = set()
    written: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Subscript(value=owner, slice=ast.Constant(value=str(name)), ctx=context) if _is_environ(owner):
                (written if isinstance(context, (ast.Store, ast.Del)) else read).add(name)
            case ast.Call(func=ast.Attribute(attr="get" | "pop" | "setdefault", value=owner), args=[one, *_]):
                read |= {name for name in _get_text(one) if _is_environ(owner)}
            case ast.Call(func=ast.Name(id="getenv") | ast.Attribute(attr="getenv"), args=[one, *_]):
                read |= set(_get_text(one))
            case ast.Compare(left=one, ops=[ast.In() | ast.NotIn()], comparators=[owner]) if _is_environ(owner):
                read |= set(_get_text(one))
    return read, written


def _is_environ(node: Any) -> bool:
    return "environ" in (getattr(node, "id", None), getattr(node, "attr", None))


def _get_text(node: ast.AST) -> list[str]:
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
