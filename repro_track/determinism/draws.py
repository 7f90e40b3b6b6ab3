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
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from repro_track.determinism.global_generators import is_same_state, list_moved, rewound_globals


class _AllExplainedError(BaseException):
    """Ends the repeated call; no `except Exception` of a pipeline may swallow it."""


def find_draws(
    call: Callable[[], object], *, before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Repeat a call, and name the lines that moved each global generator that it moved.

    Args:
        call: what is repeated; what it returns or raises is of no interest.
        before: the global states (`global_generators.read_globals`) in which the first call began.
        after: those in which it ended.

    Returns:
        by generator, `FILE:LINE in FUNCTION, from FILE:LINE in FUNCTION` in the order of the first draw; empty where a
        draw was not seen again.
    """
    moved = list_moved(before, after)
    watch = _Watch({name: after[name] for name in moved}, {name: before[name] for name in moved if name in before})
    # a swallowed error is no loss: the first call's own outcome stands
    with rewound_globals(dict(before)), contextlib.suppress(_AllExplainedError, Exception), watch.watching():
        call()
    return watch.lines


class _Watch:
    """Compares states at every line outside torch, NumPy and the standard library."""

    def __init__(self, ends: Mapping[str, Any], states: Mapping[str, Any]) -> None:
        self.lines: dict[str, list[str]] = {name: [] for name in ends}
        self._ends, self._states = ends, dict(states)
        self._at: tuple[FrameType, int] | None = None
        self._owner = threading.get_ident()
        self._is_done = False

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
            self._at = None

    def _on_event(self, frame: FrameType, event: str, argument: Any) -> Any:
        if _is_library(frame.f_code.co_filename):
            return None  # what a library draws is put down to the line that called it
        self._compare()
        # a function that returns hands the rest of its caller's line back
        now = _find_own(frame.f_back) if event == "return" else frame
        self._at = (now, now.f_lineno) if now else None
        return self._on_event

    def _compare(self) -> None:
        is_new = False
        for name, state in self._states.items():
            now = _read_global_state(name)
            if not is_same_state(now, state):
                self._states[name] = now
                is_new = True
                if self._at and (place := _name_place(*self._at)) not in self.lines[name]:
                    self.lines[name].append(place)
        if is_new:
            self._is_done = all(is_same_state(self._states[name], end) for name, end in self._ends.items())
        if self._is_done and threading.get_ident() == self._owner:  # another thread would only end itself
            raise _AllExplainedError


def _find_own(frame: FrameType | None) -> FrameType | None:
    """Find the innermost frame, from this one outwards, that is no library's."""
    while frame is not None and _is_library(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def _name_place(frame: FrameType, line: int) -> str:
    """Name a line of code and the one that called it, which is the more telling one where a helper draws."""
    code, caller = frame.f_code, _find_own(frame.f_back)
    place = f"{_shorten(code.co_filename)}:{line} in {code.co_name}"
    if caller is None or _shorten(caller.f_code.co_filename).startswith("repro_track/"):
        return place
    return f"{place}, from {_shorten(caller.f_code.co_filename)}:{caller.f_lineno} in {caller.f_code.co_name}"


def _read_global_state(name: str) -> Any:
    if name == "python":
        return random.getstate()
    if name == "numpy":
        return np.random.get_state()
    import torch

    return torch.get_rng_state() if name == "torch" else torch.cuda.get_rng_state(name)


@cache
def _list_libraries() -> tuple[str, ...]:
    import torch

    return tuple(f"{Path(module.__file__).parent}/" for module in (torch, np) if module.__file__)


_STANDARD = f"{sysconfig.get_path('stdlib')}/"


@cache
def _is_library(file: str) -> bool:
    if file.startswith(("<", *_list_libraries())):
        return True
    return file.startswith(_STANDARD) and "site-packages" not in file


_PROGRAM = f"{Path(__file__).parents[2]}/"


def _shorten(file: str) -> str:
    """Name a file as it is imported: what is before site-packages is this machine's own."""
    return file.rpartition("site-packages/")[2].removeprefix(_PROGRAM)
