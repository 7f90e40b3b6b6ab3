"""A notebook as it was run so far: its cells as they were typed, how each ended, what of it a replay cannot repeat.

It never runs a cell, and never imports IPython: where that is not loaded, there is no notebook. What runs the cells
again is `notebook_child.py`.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_track.capture.cells import (
    Failure,
    find_shell,
    get_cell,
    get_failure,
    is_embedded,
    is_in_kernel,
    is_known,
    parse_cell,
    watch_cells,
)
from repro_track.errors import ReplayError
from repro_track.record.redaction import redact_text, redact_words

OURS = "repro_track"
"""Where in the metadata of a notebook, and of a cell, stands what a replay needs."""

_SCRIPTS = ("bash", "sh", "script", "sx", "system", "!", "perl", "ruby", "python", "python3", "pypy", "cmd")
_PYTHON = ("time", "timeit", "capture", "prun", "memray_flamegraph")
_RUNNING = ("run", "pip", "conda", "mamba", "micromamba", "uv", "load_ext", "sx", "system")
_INSTALLER = re.compile(
    r"(?:^|[\s;&|(/%!])(?:pip3?|uv|conda|mamba|micromamba|apt|apt-get|brew|npm)\b[^;&|\n]*?"
    r"\s(?:install|add|sync|remove|uninstall|update|upgrade)\b"
)


def installs_packages(command: str) -> bool:
    """Whether a command of a shell changes what is installed: a replay leaves that to `--env restore`.

    >>> installs_packages("pip install -q diffusers"), installs_packages("ls pip"), installs_packages("make install")
    (True, False, False)
    """
    return _INSTALLER.search(command) is not None


@dataclass(frozen=True)
class Cell:
    """A cell that was run.

    Attributes:
        number: the one that IPython shows, from 1.
        source: as it was typed, without what looks like a secret.
        failure: how it failed; `None`: it did not, or runs now.
        is_known: whether anybody knows how it ended.
        commands: what it gave to a shell or a magic that runs something.
        asks: it asked the person at the keyboard.
        has_secret: something in it was withheld.
    """

    number: int
    source: str
    failure: Failure | None = None
    is_known: bool = True
    commands: tuple[str, ...] = ()
    asks: bool = False
    has_secret: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as a cell of an `.ipynb`."""
        ours: dict[str, Any] = {}
        if self.failure:
            ours = {"error": self.failure.error, "statements": self.failure.statements}
        elif not self.is_known:
            ours = {"error": None}
        return {
            "cell_type": "code",
            "execution_count": self.number,
            "id": f"cell-{self.number}",
            "metadata": {OURS: ours} if ours else {},
            "outputs": [],
            "source": self.source,
        }


@dataclass(frozen=True)
class Notebook:
    """The cells of a notebook that were run so far, the one that runs now included.

    Attributes:
        cells: in the order in which they were run; one that was run twice is there twice.
        file: the notebook's own path, where an editor says it.
        in_kernel: it runs in a kernel, in which `await` waits on a loop that runs all the time; else in a terminal.
        notes: what was around the cells and does not come back, a sentence each.
        unread: parts of the cells that ran although a replay leaves them out, and that later cells need.
    """

    cells: tuple[Cell, ...]
    file: str | None = None
    in_kernel: bool = True
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def commands(self) -> tuple[str, ...]:
        """What a replay gives to a shell or a magic again, each with its cell."""
        return tuple(
            f"cell {cell.number}: {line.replace(chr(10), '; ')}"
            for cell in self.cells
            for line in cell.commands
            if not installs_packages(line)
        )

    @property
    def withheld(self) -> tuple[str, ...]:
        """The cells in which something was withheld: a replay would run with its mark."""
        return tuple(dict.fromkeys(f"cell {cell.number}" for cell in self.cells if cell.has_secret))

    @property
    def cautions(self) -> tuple[str, ...]:
        """What a replay does not do as the notebook did, a sentence each."""
        return (*self.notes, *(line for cell in self.cells for line in _list_cautions(cell)))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a replay cannot do what the notebook did, a sentence each."""
        asking = [f"cell {one.number} asked for input, which is not recorded" for one in self.cells if one.asks]
        secret = [f"cell {one.number} has a secret, which was withheld" for one in self.cells if one.has_secret]
        return (*self.unread, *asking, *secret)

    def write(self, path: Path) -> None:
        """Write it as an `.ipynb` that any editor opens."""
        data = {
            "cells": [cell.to_json() for cell in self.cells],
            "metadata": {
                "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                "language_info": {"name": "python"},
                OURS: {"in_kernel": self.in_kernel},
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def capture_notebook() -> Notebook | None:
    """Capture the cells that were run so far, the one that runs now included; `None`: this is no notebook."""
    shell = find_shell()
    if shell is None or is_embedded(shell) or not get_cell(shell):  # `ipython script.py` has no cells
        return None
    watch_cells()
    sources = shell.history_manager.input_hist_raw
    cells = tuple(_make_cell(shell, number, sources[number]) for number in range(1, get_cell(shell) + 1))
    file = shell.user_ns.get("__vsc_ipynb_file__")
    return Notebook(
        tuple(cell for cell in cells if cell.source.strip()),
        file=file if isinstance(file, str) else None,
        in_kernel=is_in_kernel(shell),
        notes=tuple(_list_notes(shell)),
        unread=tuple(_list_unread(shell, cells)),
    )


def check_ipython() -> None:
    """Check that the cells of a notebook can be run here.

    Raises:
        ReplayError: IPython is not installed.
    """
    try:
        found = importlib.util.find_spec("IPython")
    except ValueError:  # something stands in its place
        found = None
    if found is None:
        raise ReplayError(
            "the run is a notebook, and IPython, which runs its cells, is not installed here",
            expected="an environment with ipython",
            advice="pip install ipython, or replay with --env restore",
        )


def read_notebook(path: Path) -> tuple[list[Mapping[str, Any]], bool]:
    """Read what `Notebook.write` wrote: the cells as data, and whether they ran in a kernel."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return data["cells"], bool(data["metadata"].get(OURS, {}).get("in_kernel", True))


def _make_cell(shell: Any, number: int, source: str) -> Cell:
    kept = redact_text(source)
    known = is_known(shell, number)
    failure = get_failure(shell, number) if known else None
    statements = _expand(shell, parse_cell(shell, source)[: failure.statements if failure else None])
    commands = tuple(_list_commands(statements))
    asks = any(_asks(one) for one in statements)
    return Cell(number, kept, failure, known, commands, asks, kept != source)


def _expand(shell: Any, statements: Iterable[ast.stmt]) -> list[ast.stmt]:
    """Put, in the place of magics that run Python in the notebook itself (`%%time`), what they run."""
    expanded: list[ast.stmt] = []
    for statement in statements:
        call = statement.value if isinstance(statement, ast.Expr) else None
        words = [one.value for one in call.args if isinstance(one, ast.Constant)] if isinstance(call, ast.Call) else []
        if len(words) == 3 and words[0] in _PYTHON:
            expanded += _expand(shell, parse_cell(shell, str(words[2])))
        expanded.append(statement)
    return expanded


def _walk_outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """Walk through what runs when the statement runs: what is in a function does not, yet."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _walk_outside_functions(child)


def _asks(statement: ast.stmt) -> bool:
    """Whether a statement asks the person at the keyboard, when it runs."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    called = [node.func for node in _walk_outside_functions(statement) if isinstance(node, ast.Call)]
    return any(
        getattr(func, "id", None) in ("input", "getpass") or getattr(func, "attr", None) == "getpass" for func in called
    )


def _list_commands(statements: Iterable[ast.stmt]) -> Iterator[str]:
    """List what cells give to a shell, and the magics that run something, as one would type them, without secrets."""
    for node in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(node, ast.Call) and (line := render_call(node)):
            yield " ".join(redact_words(redact_text(line).split(" ")))


def render_call(node: ast.Call) -> str | None:
    """Render a call of IPython's as it was typed: a shell's command, or a magic that runs something; `None` for any
    other call."""
    words = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    match getattr(node.func, "attr", None), words:
        case "system" | "getoutput", [command, *_] if _is_of_ipython(node):
            return f"!{command}"
        case "run_line_magic", [name, line, *_] if name in _RUNNING:
            return f"%{name} {line}"
        case "run_cell_magic", [name, line, body, *_] if name in _SCRIPTS:
            return f"%%{name} {line}".rstrip() + "\n" + body.strip()
        case "run_cell_magic", ["writefile", line, *_]:
            return f"%%writefile {line}"
    return None


def _is_of_ipython(node: ast.Call) -> bool:
    """Whether it is a method of `get_ipython()`: `os.system` is a function of somebody else's."""
    owner = getattr(node.func, "value", None)
    return isinstance(owner, ast.Call) and getattr(owner.func, "id", None) == "get_ipython"


def _list_cautions(cell: Cell) -> Iterator[str]:
    failure = cell.failure
    if failure and failure.statements:
        yield (
            f"cell {cell.number} failed ({failure.error}): a replay runs what is before its statement "
            f"{failure.statements + 1}, and leaves out the rest"
        )
    elif failure:
        yield f"cell {cell.number} failed ({failure.error}): a replay leaves it out"
    elif not cell.is_known:
        yield (
            f"it is not known whether cell {cell.number} failed, which was run before repro_track was imported: a "
            "replay goes on where it does"
        )
    for command in cell.commands:
        if installs_packages(command):
            shown = command.replace("\n", "; ")
            yield f"cell {cell.number} changes what is installed ({shown}): a replay leaves that to --env restore"


def _list_notes(shell: Any) -> Iterator[str]:
    """List what ran before the first cell."""
    folder = getattr(getattr(shell, "profile_dir", None), "startup_dir", None)
    files = sorted(path.name for path in Path(folder).glob("*.*py")) if folder else []
    if files:
        yield f"IPython ran {', '.join(files)} of {folder} before the first cell: a replay does not"
    app = getattr(shell, "parent", None)
    given = [name for name in ("file_to_run", "code_to_run", "module_to_run", "exec_lines") if getattr(app, name, None)]
    if given:
        yield f"IPython was started with code of its own ({', '.join(given)}): a replay does not run it"


def _list_unread(shell: Any, cells: Sequence[Cell]) -> Iterator[str]:
    """List what only the left-out part of a cell that failed has set, and a later cell uses."""
    parsed = {cell.number: parse_cell(shell, cell.source) for cell in cells}
    ran = {
        one.number: _expand(shell, parsed[one.number][: one.failure.statements if one.failure else None])
        for one in cells
    }
    known = {name for statements in ran.values() for name in _list_names(statements, ast.Store)}
    for cell in cells:
        if not cell.failure:
            continue
        left_out = _expand(shell, parsed[cell.number][cell.failure.statements :])
        lost = _list_names(left_out, ast.Store) - known
        for later in cells:
            used = sorted(lost & _list_names(ran[later.number], ast.Load)) if later.number > cell.number else []
            if used:
                yield f"cell {cell.number} failed after it had set {used[0]}, which cell {later.number} uses"
                break


def _list_names(statements: Iterable[ast.stmt], context: type) -> set[str]:
    """List the names that statements set (`ast.Store`) or use (`ast.Load`)."""
    nodes = [node for statement in statements for node in ast.walk(statement)]
    found = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, context)}
    if context is ast.Store:
        found |= {
            node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        }
        imports = [alias for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names]
        found |= {alias.asname or alias.name.partition(".")[0] for alias in imports}
    return found
