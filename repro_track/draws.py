"""Which lines of code drew from a global generator: a pipeline call is repeated, watched line by line.

It watches states, and knows no function by its name. It repeats a call only from the random state in which it began,
ends as soon as all is explained, and leaves every generator where the first call left it.
"""

from __future__ import annotations

import contextlib
import random
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

from repro_track import seeding


class _AllExplainedError(BaseException):
    """Ends the repeated call; no `except Exception` of a pipeline may swallow it."""


def find_draws(
    call: Callable[[], object], *, before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Repeat a call, and name the lines that moved each global generator that it moved.

    Args:
        call: what is repeated; what it returns or raises is of no interest.
        before: the global states (`seeding.read_globals`) in which the first call began.
        after: those in which it ended.

    Returns:
        by generator, `FILE:LINE in FUNCTION` in the order of the first draw; empty where a draw was not seen again.
    """
    moved = seeding.list_moved(before, after)
    watch = _Watch({name: after[name] for name in moved}, {name: before[name] for name in moved if name in before})
    # a swallowed error is no loss: the first call's own outcome stands
    with seeding.rewound_globals(dict(before)), contextlib.suppress(_AllExplainedError, Exception), watch.watching():
        call()
    return watch.lines


class _Watch:
    """Compares states at every line outside torch, NumPy and the standard library."""

    def __init__(self, ends: Mapping[str, Any], states: Mapping[str, Any]) -> None:
        self.lines: dict[str, list[str]] = {name: [] for name in ends}
        self._ends, self._states = ends, dict(states)
        self._place = ""
        self._owner = threading.get_ident()
        self._is_done = False
        self._own: dict[CodeType, bool] = {}

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        former, former_of_threads = sys.gettrace(), threading.gettrace()
        threading.settrace(self._on_event)
        sys.settrace(self._on_event)
        try:
            yield
        finally:
            sys.settrace(former)
            threading.settrace(former_of_threads)

    def _on_event(self, frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        own = self._own.get(code)
        if own is None:
            own = self._own[code] = not _is_library(code.co_filename)
        if not own:
            return None  # what a library draws is put down to the line that called it
        self._compare()
        self._place = f"{_shorten(code.co_filename)}:{frame.f_lineno} in {code.co_name}"
        return self._on_event

    def _compare(self) -> None:
        is_new = False
        for name, state in self._states.items():
            now = _read(name)
            if not seeding.is_same_state(now, state):
                self._states[name] = now
                is_new = True
                if self._place and self._place not in self.lines[name]:
                    self.lines[name].append(self._place)
        if is_new:
            self._is_done = all(seeding.is_same_state(self._states[name], end) for name, end in self._ends.items())
        if self._is_done and threading.get_ident() == self._owner:  # another thread would only end itself
            raise _AllExplainedError


def _read(name: str) -> Any:
    if name == "python":
        return random.getstate()
    if name == "numpy":
        return np.random.get_state()
    import torch

    return torch.get_rng_state() if name == "torch" else torch.cuda.get_rng_state(name)


def _list_libraries() -> tuple[str, ...]:
    import torch

    return tuple(f"{Path(module.__file__).parent}/" for module in (torch, np) if module.__file__)


_STANDARD = f"{sysconfig.get_path('stdlib')}/"


def _is_library(file: str) -> bool:
    if file.startswith(("<", *_list_libraries())):
        return True
    return file.startswith(_STANDARD) and "site-packages" not in file


def _shorten(file: str) -> str:
    """Name a file as it is imported: what is before site-packages is this machine's own."""
    return file.rpartition("site-packages/")[2]
