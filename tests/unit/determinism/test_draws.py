"""Promises of draws.py: whoever draws from a global generator is named by the line, and looking changes nothing."""

import random
import sys
import threading

import numpy as np
import pytest
import torch

from repro_track.determinism import draws
from repro_track.determinism.global_generators import list_moved, read_globals, rewound_globals


def draw_python():
    return random.random()


def draw_numpy():
    return np.random.rand(3)


def draw_torch():
    noise = torch.randn(3)
    return torch.nn.functional.dropout(noise)


def draw_in_a_thread():
    thread = threading.Thread(target=draw_python)
    thread.start()
    thread.join()


def draw_at_the_end():
    for _ in range(3):
        torch.ones(1)
    torch.rand(1)


def draw_nothing():
    return torch.randn(3, generator=torch.Generator().manual_seed(0))


def watch(call, *names):
    """Make a call, once, and give the lines that drew."""
    with draws.watching_draws(names or ("python", "numpy", "torch")) as found:
        call()
    return {name: lines for name, lines in found.items() if lines}


@pytest.mark.parametrize(
    ("call", "generator", "functions"),
    [
        (draw_python, "python", ["draw_python"]),
        (draw_numpy, "numpy", ["draw_numpy"]),
        (draw_torch, "torch", ["draw_torch", "draw_torch"]),
        (draw_in_a_thread, "python", ["draw_python"]),
        (draw_at_the_end, "torch", ["draw_at_the_end"]),
    ],
)
def test_every_line_that_draws_is_named(call, generator, functions):
    """Each line outside of libraries that moved a generator is named, with its generator and function."""
    found = watch(call)
    assert list(found) == [generator]
    places = [place.partition(",")[0] for place in found[generator]]
    assert [place.rpartition(" in ")[2] for place in places] == functions
    start = call.__code__.co_firstlineno
    if call is not draw_in_a_thread:
        lines = [int(place.rpartition(":")[2].partition(" ")[0]) for place in places]
        assert all(start < line <= start + 3 for line in lines)


class Config:
    """Something with a property that is looked up in the line that draws."""

    @property
    def size(self):
        return 3


def draw_after_a_look():
    config = Config()
    return torch.rand(config.size)


def draw_by_a_helper():
    return draw_numpy()


def test_a_draw_is_the_line_of_the_draw_not_of_what_was_called_last():
    """A line that calls something and then draws is named itself, and the caller of a helper with it."""
    (place,) = watch(draw_after_a_look)["torch"]
    assert place.partition(",")[0].endswith(f":{draw_after_a_look.__code__.co_firstlineno + 2} in draw_after_a_look")
    (place,) = watch(draw_by_a_helper)["numpy"]
    helper, _, caller = place.partition(", from ")
    assert helper.endswith(" in draw_numpy")
    assert caller.endswith(f":{draw_by_a_helper.__code__.co_firstlineno + 1} in draw_by_a_helper")


def test_who_draws_nothing_is_not_named():
    """A call that draws from generators of its own names no line."""
    assert watch(draw_nothing) == {}


def test_looking_changes_nothing():
    """A watched call draws what it draws unwatched, is made once, and passes on what it raises with the lines until
    then."""
    calls, before = [], read_globals()

    def fail():
        calls.append((draw_numpy().tolist(), draw_torch().tolist()))
        raise RuntimeError("broken")

    with rewound_globals(before), pytest.raises(RuntimeError):
        fail()
    with rewound_globals(before), pytest.raises(RuntimeError), draws.watching_draws(["numpy", "torch"]) as found:
        fail()
    assert len(calls) == 2
    assert calls[0] == calls[1]
    assert [len(lines) for lines in found.values()] == [1, 2]
    assert list_moved(before, read_globals()) == []


def test_only_what_is_asked_for_is_watched():
    """A generator that nobody asked for is not watched, nor one that is not here; where none is, there is no tracer."""
    assert list(watch(draw_numpy, "numpy", "cuda:7")) == ["numpy"]
    assert watch(draw_numpy, "torch") == {}
    with draws.watching_draws([]) as found:
        assert sys.gettrace() is None or "draws" not in repr(sys.gettrace())
        draw_numpy()
    assert found == {}
