"""Promises of cells.py: of every cell it is known whether it failed, and how far it came; a block stays where it is."""

import pytest

from repro_track.capture.cells import (
    Failure,
    count_cell_block,
    get_cell,
    get_failure,
    is_in_kernel,
    is_known,
    remember,
    remember_kernel,
    watch_cells,
)


@pytest.mark.parametrize(
    ("cell", "failure"),
    [
        ("1 + 1", None),
        ("", None),
        ("a = 1\nb = 2\n\nraise ValueError(a)\nc = 3", Failure("ValueError", 2)),
        ("def f():\n    return 1 // 0\n\n\nf()", Failure("ZeroDivisionError", 1)),
        ("%time a = 1\n!true\nnope", Failure("NameError", 2)),
        ("import asyncio\nawait asyncio.sleep(0)\nnope", Failure("NameError", 2)),
        ("for i in range(3):\n    a = i\n    nope", Failure("NameError", 0)),
        ("(", Failure("SyntaxError", 0)),
        ("raise KeyboardInterrupt", Failure("KeyboardInterrupt", 0)),
    ],
)
def test_how_far_a_cell_came(shell, type_in, cell, failure):
    """A cell that failed has the class of the error, and the number of its statements that had ended; magics, commands
    and `await` are statements."""
    watch_cells()
    type_in("first = 1", cell, "last = 1")
    assert get_failure(shell, 1) is None
    assert (get_failure(shell, 2) or failure) == failure
    assert bool(get_failure(shell, 2)) == bool(failure)


def test_a_cell_that_failed_before_anybody_looked(shell, type_in, monkeypatch):
    """IPython keeps the error itself, without the place; where it does not, nobody knows how the cell ended, but how
    the next ones do."""
    type_in("a = 1\nnope", "a = 1")
    watch_cells()
    type_in("a = 1\nnope")
    assert get_failure(shell, 1) == Failure("NameError", 0)
    assert get_failure(shell, 2) is None
    assert get_failure(shell, 3) == Failure("NameError", 1)
    assert [is_known(shell, cell) for cell in (1, 2, 3)] == [True, True, True]
    monkeypatch.delattr("IPython.core.history.HistoryManager.exceptions")  # as before IPython 9
    assert [is_known(shell, cell) for cell in (1, 2, 3)] == [False, False, True]


def test_a_block_stays_where_it_is(shell, type_in):
    """The place of a block is its cell's, and its own in the cell, whatever was run before; outside of cells there is
    none."""
    assert count_cell_block() is None
    shell.user_ns.update(count=count_cell_block, seen=(seen := []))
    type_in("seen.append(count())", "seen.extend([count(), count()])", "nope", "seen.append(count())")
    assert seen == [1_000_000, 2_000_000, 2_000_001, 4_000_000]
    assert get_cell(shell) == 4


def test_a_replay_takes_what_was_recorded(shell, type_in):
    """In a replay a cell has failed that was run only so far, and nobody knows more of another than did before."""
    watch_cells()
    type_in("a = 1", "b = 1", "c = 1")
    remember(shell, 1, Failure("ValueError", 1), known=True)
    remember(shell, 2, None, known=False)
    assert get_failure(shell, 1) == Failure("ValueError", 1)
    assert [is_known(shell, cell) for cell in (1, 2, 3)] == [True, False, True]
    assert not is_in_kernel(shell)
    remember_kernel(shell, in_kernel=True)
    assert is_in_kernel(shell)
