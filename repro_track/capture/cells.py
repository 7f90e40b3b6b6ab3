"""Which cells of a notebook failed, and how far each of these came: noted while they run.

It changes nothing about them, and loads nothing: it is in force from `import repro_track` on, which costs nothing where
there is no notebook.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

_PLACES = 1_000_000
"""So many blocks may begin in one cell."""

_Key = tuple[int, int]  # session and cell: `%reset` begins a new session, with new numbers


@dataclass(frozen=True)
class Failure:
    """How a cell failed: in the name of the exception's class, after so many of its statements had run to their
    end."""

    error: str
    statements: int


@dataclass
class _Notes:
    """What is noted of a shell's cells; it is kept on the shell.

    `failures` has `None` for a cell that ran to its end; `unknown` has those of which nobody knows, `blocks` the number
    of `track()` blocks that began in each. `in_kernel`: as it was recorded, in a replay.
    """

    is_watching: bool = False
    in_kernel: bool | None = None
    failures: dict[_Key, Failure | None] = field(default_factory=dict)
    unknown: set[_Key] = field(default_factory=set)
    blocks: Counter[_Key] = field(default_factory=Counter)


def find_shell() -> Any:
    """Find the IPython shell that runs us, a notebook's kernel or a terminal's; `None`: there is none."""
    find = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return find() if find else None


def is_embedded(shell: Any) -> bool:
    """Whether the shell was opened inside a program (`IPython.embed()`): its cells are not all that ran."""
    return type(shell).__name__ == "InteractiveShellEmbed"


def watch_cells() -> None:
    """Note of every cell that ends from now on whether it failed; once for each shell."""
    shell = find_shell()
    if shell is not None and not _get_notes(shell).is_watching:
        _get_notes(shell).is_watching = True
        shell.events.register("post_run_cell", _note)


def get_failure(shell: Any, cell: int) -> Failure | None:
    """Return how a cell failed; `None`: it ran to its end, or runs now, or nobody knows."""
    key, failures = _make_key(shell, cell), _get_notes(shell).failures
    if key in failures or cell == get_cell(shell):
        return failures.get(key)
    error = getattr(shell.history_manager, "exceptions", {}).get(cell)  # which IPython keeps from 9 on
    return Failure(str(error.get("ename", "an error")), 0) if error else None


def is_known(shell: Any, cell: int) -> bool:
    """Whether anybody knows how a cell ended: not of one that was run before anybody looked, by an IPython older
    than 9."""
    key, notes = _make_key(shell, cell), _get_notes(shell)
    if key in notes.unknown:
        return False
    return key in notes.failures or cell == get_cell(shell) or hasattr(shell.history_manager, "exceptions")


def is_in_kernel(shell: Any) -> bool:
    """Whether the cells run in a kernel, in which a loop runs all the time, and not in a terminal."""
    noted = _get_notes(shell).in_kernel
    return hasattr(shell, "kernel") if noted is None else noted


def remember_kernel(shell: Any, *, in_kernel: bool) -> None:
    """Take for the shell of a replay what was recorded of the one that it stands for."""
    _get_notes(shell).in_kernel = in_kernel


def remember(shell: Any, cell: int, failure: Failure | None, *, known: bool) -> None:
    """Take for a cell what was noted when it was recorded: in a replay it has run as far, and has not failed."""
    key, notes = _make_key(shell, cell), _get_notes(shell)
    notes.failures[key] = failure
    if not known:
        notes.unknown.add(key)


def get_cell(shell: Any) -> int:
    """Return the number of the cell that runs now, of those that are in the history."""
    return len(shell.history_manager.input_hist_raw) - 1


def count_cell_block() -> int | None:
    """Count a `track()` block of a notebook: its place is the cell's number times a million, and its place among the
    cell's. So it stays where it is when cells that failed are left out. `None`: this is no notebook."""
    shell = find_shell()
    if shell is None or is_embedded(shell) or not get_cell(shell):
        return None
    cell, blocks = get_cell(shell), _get_notes(shell).blocks
    key = _make_key(shell, cell)
    blocks[key] += 1
    return cell * _PLACES + blocks[key] - 1


def parse_cell(shell: Any, source: str) -> list[ast.stmt]:
    """Parse a cell as IPython does: magics and commands are calls. One that cannot be parsed has no statements."""
    try:
        return ast.parse(shell.transform_cell(source)).body
    except (SyntaxError, ValueError):
        return []


def _get_notes(shell: Any) -> _Notes:
    if not hasattr(shell, "_repro_track_notes"):
        shell._repro_track_notes = _Notes()
    return shell._repro_track_notes


def _make_key(shell: Any, cell: int) -> _Key:
    return int(getattr(shell.history_manager, "session_number", 0) or 0), cell


def _note(result: Any) -> None:
    """Note how a cell ended; IPython calls it, also for cells that are no part of the history."""
    shell = find_shell()
    if shell is None or not result.info.store_history or result.execution_count is None:
        return
    failure, error = None, result.error_before_exec or result.error_in_exec
    if error is not None:
        failure = Failure(type(error).__name__, 0 if result.error_before_exec else _count_ended(shell, result))
    _get_notes(shell).failures[_make_key(shell, int(result.execution_count))] = failure


def _count_ended(shell: Any, result: Any) -> int:
    """Count the statements at the top of a cell that had ended when one raised."""
    line = _find_line(shell, result.error_in_exec.__traceback__)
    if line is None:
        return 0
    return sum(1 for one in parse_cell(shell, result.info.raw_cell) if (one.end_lineno or one.lineno) < line)


def _find_line(shell: Any, trace_back: TracebackType | None) -> int | None:
    """Find the line of the cell itself in a traceback."""
    while trace_back is not None:
        frame = trace_back.tb_frame
        if frame.f_code.co_name == "<module>" and frame.f_globals is shell.user_module.__dict__:
            return trace_back.tb_lineno
        trace_back = trace_back.tb_next
    return None
