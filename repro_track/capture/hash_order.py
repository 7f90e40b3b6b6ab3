"""Where a run's own code depends on the order of text in sets, which is another one in every process unless
PYTHONHASHSEED is set.

Python tells nobody the seed of a process, so that order cannot be recorded; it can be said, and tried. The code is
parsed, never run; what a library does is not looked at.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from repro_track.capture.command import ignores_variables
from repro_track.capture.own_code import read_own_code
from repro_track.errors import name_some
from repro_track.record.names import NOTEBOOK_NAME
from repro_track.record.schema import Command, RunRecord, Source

VARIABLE = "PYTHONHASHSEED"

_MOST_PLACES = 3
_MAKING = ("set", "frozenset")
_COMBINING = ("union", "intersection", "difference", "symmetric_difference", "copy")
_TAKING = ("list", "tuple", "enumerate", "iter", "zip", "map", "filter", "reversed", "fromkeys", "join", "extend")
_VIEWS = ("keys", "items")


def is_hash_random(command: Command, variables: Mapping[str, str | None]) -> bool:
    """Whether the order of text in sets was another one than in any other process: in a run of somebody's own code
    without PYTHONHASHSEED.

    Args:
        command: what was started.
        variables: the recorded ones of the environment.

    >>> command = Command(kind="script", argv=(), script="x.py", cwd="/", ordinal=0)
    >>> is_hash_random(command, {"PYTHONHASHSEED": None}), is_hash_random(command, {"PYTHONHASHSEED": "0"})
    (True, False)
    """
    if command.is_config or VARIABLE not in variables:
        return False
    is_forced = any(re.fullmatch(r"-[A-Za-z]*R[A-Za-z]*", word) for word in command.options)
    return is_forced or ignores_variables(command) or variables[VARIABLE] in (None, "", "random")


def say_hash_order(record: RunRecord, *, folder: Path) -> RunRecord:
    """Return a record with the caution that its run's own code goes through a set in its order, if it does.

    Args:
        record: of a run that ends in this process.
        folder: the run's; it has the cells of a notebook.
    """
    found = list_hash_cautions(record.command, record.environment.variables, source=record.source, folder=folder)
    return record.model_copy(update={"cautions": (*record.cautions, *found)}) if found else record


def list_hash_cautions(
    command: Command, variables: Mapping[str, str | None], *, source: Source, folder: Path
) -> list[str]:
    """List where the run's own code goes through a set in its order, in one sentence; empty: nowhere, or the order is
    the same in every process.

    Args:
        command: what was started.
        variables: the recorded ones of the environment.
        source: says which code is the run's own.
        folder: the run's; it has the cells of a notebook.
    """
    if not is_hash_random(command, variables):
        return []
    try:
        places = list(_find_places(command, source=source, folder=folder))
    except (OSError, ValueError, KeyError, RecursionError):
        places = []  # a file that is gone by now, or nobody can parse: what is only looked for ends no run
    if not places:
        return []
    shown = name_some(places, most=_MOST_PLACES)
    return [
        f"{VARIABLE} is not set, so that a set has another order in every process, and the code uses it ({shown}): "
        f"where an output depends on it, a replay differs; start with {VARIABLE}=0"
    ]


def _find_places(command: Command, *, source: Source, folder: Path) -> Iterator[str]:
    if command.is_notebook:
        path = folder / NOTEBOOK_NAME
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.is_file() else []
        yield from (f"cell {one['execution_count']}" for one in cells if list_order_lines(one["source"]))
        return
    for name, text in read_own_code(command, source=source):
        yield from (f"{name}:{line}" for line in list_order_lines(text))


def list_order_lines(text: str) -> list[int]:
    """List the lines of a Python text that go through a set in its order, or hash something.

    A set that is only asked for members, sorted or counted has no order that matters.

    >>> list_order_lines("for word in {'a', 'b'}: print(word)")
    [1]
    >>> list_order_lines("known = {'a', 'b'}; print('a' in known, len(known), sorted(known))")
    []
    """
    if not re.search(r"[Ss]et[(\[]|\{|hash\(|keys\(|items\(", text):
        return []
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return []  # a cell with a magic, or of another Python
    nodes = list(ast.walk(tree))
    names = _find_names_of_sets(nodes)
    lines = {
        getattr(used, "lineno", 0) for node in nodes for used in _list_used_in_order(node) if _is_set(used, names=names)
    }
    return sorted(lines | {node.lineno for node in nodes if isinstance(node, ast.Call) and _hashes(node)})


def _find_names_of_sets(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """Return the names, of variables and attributes, that stand for a set anywhere in the text."""
    found: set[str] = set()
    for node in nodes:
        match node:
            case ast.Assign(targets=targets, value=value) if _is_set(value, names=frozenset(found)):
                found |= {name for target in targets if (name := _get_name(target))}
            case ast.AnnAssign(target=target, value=value, annotation=annotation):
                if _is_set_annotation(annotation) or (value and _is_set(value, names=frozenset(found))):
                    found |= {name for name in [_get_name(target)] if name}
            case ast.arg(arg=name, annotation=annotation) if annotation and _is_set_annotation(annotation):
                found.add(name)
    return frozenset(found)


def _get_name(node: ast.AST) -> str | None:
    return getattr(node, "id", None) or getattr(node, "attr", None)


def _is_set_annotation(node: ast.AST) -> bool:
    inner = node.value if isinstance(node, ast.Subscript) else node
    return _get_name(inner) in (*_MAKING, "Set", "FrozenSet", "AbstractSet", "MutableSet")


def _is_set(node: ast.AST, *, names: frozenset[str]) -> bool:
    """Whether an expression is a set, as far as its text tells."""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in _MAKING
        case ast.Call(func=ast.Attribute(attr=name, value=value)):
            return name in _COMBINING and _is_set(value, names=names)
        case ast.BinOp(op=ast.Sub() | ast.BitAnd() | ast.BitOr() | ast.BitXor(), left=left, right=right):
            return any(_is_set(one, names=names) or _is_view(one) for one in (left, right))
        case ast.Name() | ast.Attribute():
            return _get_name(node) in names
    return False


def _is_view(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _VIEWS


def _list_used_in_order(node: ast.AST) -> list[ast.AST]:
    """List the expressions that a node goes through in their order."""
    match node:
        case ast.For(iter=used) | ast.Starred(value=used) | ast.YieldFrom(value=used):
            return [used]
        case ast.ListComp(generators=generators) | ast.DictComp(generators=generators):
            return [one.iter for one in generators]
        case ast.Call(func=ast.Attribute(attr="pop", value=value), args=[]):
            return [value]
        case ast.Call(func=func, args=arguments) if _get_name(func) in _TAKING:
            return list(arguments)
    return []


def _hashes(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "hash"
