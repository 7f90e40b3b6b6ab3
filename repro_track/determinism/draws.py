"""Which lines of code draw from a global generator: a block is watched line by line while it runs.

It watches states, and knows no function by its name. It repeats nothing, draws nothing and changes no state: what is
watched gives what it would give unwatched, only later.
"""

from __future__ import annotations

import contextlib
import random
import sys
import sysconfig
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from repro_track.determinism.global_generators import is_same_state, read_globals


@contextlib.contextmanager
def watching_draws(names: Sequence[str]) -> Iterator[dict[str, list[str]]]:
    """Watch for a block which lines move global generators.

    Args:
        names: those that are watched, as in `global_generators.read_globals`; of none nothing is watched, and nothing
            is slower. One that this process does not have is left out.

    Yields:
        by generator, `FILE:LINE in FUNCTION, from FILE:LINE in FUNCTION` in the order of the first draw; complete after
        the block, also where that raised.
    """
    states = read_globals() if names else {}
    watch = _Watch({name: states[name] for name in names if name in states})
    if not watch.lines:
        yield watch.lines
        return
    with watch.watching():
        yield watch.lines


class _Watch:
    """Compares states at every line outside torch, NumPy and the standard library."""

    def __init__(self, states: dict[str, Any]) -> None:
        self.lines: dict[str, list[str]] = {name: [] for name in states}
        self._states = states
        self._at: tuple[FrameType, int] | None = None

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
            self._compare()  # what the last line did, after which no other one came
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
        for name, state in self._states.items():
            now = _read_global_state(name)
            if not is_same_state(now, state):
                self._states[name] = now
                if self._at and (place := _name_place(*self._at)) not in self.lines[name]:
                    self.lines[name].append(place)


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
