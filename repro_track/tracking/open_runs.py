"""The runs that are open in this process: whose a call is, and what one block does to another that is open at once.

Numeric settings and global generators are the process's, so that blocks which are open at the same time in several
threads or tasks disturb each other: then neither can be replayed, which is said. Whatever the order in which they end,
the process is left as it was before the first. It never waits for another block, which might wait for this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from repro_track.errors import UsageError
from repro_track.tracking.kept import Kept

_T = TypeVar("_T")

_AT_ONCE = (
    "another block was open at the same time, in another thread or task: they share settings and global generators"
)
_NOT_NESTED = "a block that was open around another one ended first, and put its settings back: they are the process's"
_SEVERAL_THREADS = "pipelines were called in several threads: in a replay their order may be another"

_Owner = tuple[int, int, int]  # process, thread, task


@dataclass
class _Opened:
    """A run whose block is open.

    Attributes:
        run: the run.
        kept: what it has kept; what there is to say is added to it.
        settings: puts back what the block changed in the process.
        owner: where its block was opened.
        caller: where one of its calls is being made.
    """

    run: Any
    kept: Kept
    settings: ExitStack
    owner: _Owner
    caller: _Owner | None = None


_lock = threading.RLock()
_open: list[_Opened] = []


def _find_owner() -> _Owner:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs
        task = None
    return os.getpid(), threading.get_ident(), id(task) if task else 0


def open_run(run: Any, kept: Kept, *, around: AbstractContextManager[_T]) -> _T:
    """Open a block.

    Args:
        run: the run.
        kept: what it keeps.
        around: changes the process for the block, and puts it back: with the block, or with the last of those that were
            opened later and are still open.

    Returns:
        what `around` gives.
    """
    owner, settings = _find_owner(), ExitStack()
    with _lock:  # nobody else changes the process meanwhile
        entered = settings.enter_context(around)
        for other in _open:
            if other.owner != owner:
                other.kept.unknown.append(_AT_ONCE)
                kept.unknown.append(_AT_ONCE)
        _open.append(_Opened(run, kept, settings, owner))
    return entered


def begin_end(run: Any) -> bool:
    """Take note that a block is about to end, and say what has to be said of it and of those that go on.

    Returns:
        whether it is this process's to end: not in one that was forked inside the block.
    """
    with _lock:
        opened = _find(run)
        if opened is None or opened.owner[0] != os.getpid():
            return False
        later = _open[_open.index(opened) + 1 :]
        for one in [opened, *later] if later else []:
            one.kept.unknown.append(_NOT_NESTED)
    return True


def close_run(run: Any) -> None:
    """Take note that a block has ended, and put back what it changed: now, or with the next one that is open still."""
    with _lock:
        opened = _find(run)
        if opened is None:
            return
        index = _open.index(opened)
        del _open[index]
        if index == len(_open):
            opened.settings.close()
            return
        both = ExitStack()
        both.callback(opened.settings.close)
        both.callback(_open[index].settings.close)  # which was opened later, and is put back before
        _open[index].settings = both


def get_current_run() -> Any:
    """Return the run that is tracked here now: the innermost one of this thread or task, else that of the process;
    `None` outside every block."""
    opened = _find_current()
    return opened.run if opened else None


def is_calling(run: Any) -> bool:
    """Whether a pipeline is being called by this run now."""
    opened = _find(run)
    return opened is not None and opened.caller is not None


def check_open(run: Any, what: str, *, was_opened: bool) -> None:
    """Check that something may be done with a run here and now.

    Args:
        run: the run.
        what: what is to be done, for the message.
        was_opened: whether its block was entered, if it is not open.

    Raises:
        UsageError: its block is not open, or another one is open inside of it, or it is another process's.
    """
    opened, owner = _find(run), _find_owner()
    if opened is None:
        when = "after its block had ended" if was_opened else "before its block was entered"
        raise UsageError(
            f"{what} was called {when}: nothing would be recorded",
            expected="a call inside of the block",
            advice="with rt.track(...) as run: ...",
        )
    if opened.owner[0] != owner[0]:
        raise UsageError(
            f"{what} was called in another process than the one of its block",
            expected="a call in the process that opened the block",
            advice="open a block in the other process",
        )
    mine = [one for one in _open if one.owner == owner]
    if opened in mine and mine[-1] is not opened:
        raise UsageError(
            f"{what} was called inside of another block, whose settings are in force",
            expected="a call of the run of the innermost block",
            advice="end the inner block before, or call its run",
        )


def find_for_call() -> Any:
    """Find the run that a pipeline's call belongs to which somebody makes here and now; `None`: no block is open, or a
    run makes the call, or a part of one, itself."""
    owner = _find_owner()
    opened = _find_current()
    return opened.run if opened and _may_record(opened, owner) else None


@contextlib.contextmanager
def recording_call(run: Any) -> Iterator[bool]:
    """Let a run record a call in the block.

    Yields:
        whether it may: not while another thread makes a call of the same run, which is said in the record.
    """
    owner, opened = _find_owner(), _find(run)
    with _lock:
        may = opened is not None and (opened.caller == owner or _may_record(opened, owner))
        former = opened.caller if opened else None
        if may and opened:
            opened.caller = owner
    try:
        yield may
    finally:
        if may and opened:
            opened.caller = former


def _may_record(opened: _Opened, owner: _Owner) -> bool:
    """Whether a call is recorded that is made here; what there is to say of it is said."""
    if opened.caller is not None:
        if opened.caller[:2] != owner[:2]:
            opened.kept.unknown.append("a pipeline was called while another thread called one: it was not recorded")
        return False
    if opened.owner[1] != owner[1] and _SEVERAL_THREADS not in opened.kept.cautions:
        opened.kept.cautions.append(_SEVERAL_THREADS)
    return True


def _find(run: Any) -> _Opened | None:
    return next((one for one in _open if one.run is run), None)


def _find_current() -> _Opened | None:
    owner = _find_owner()
    with _lock:
        here = [one for one in _open if one.owner[0] == owner[0]]  # not of the process that forked this one
        mine = [one for one in here if one.owner == owner]
        found = [*here, *mine]
        return found[-1] if found else None
