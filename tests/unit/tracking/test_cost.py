"""Promises of cost.py: a phase takes what its blocks take together, also where one raises."""

import time

import pytest

from repro_track.tracking.cost import Stopwatch, measure_cost


def test_a_phase_is_the_sum_of_its_blocks():
    """Two blocks of one phase add up, in the order in which phases first ended; a phase without a block has no
    seconds."""
    watch = Stopwatch()
    with watch.timed("b"):
        time.sleep(0.02)
    with watch.timed("a"):
        pass
    once = watch.seconds["b"]
    with watch.timed("b"):
        time.sleep(0.02)
    assert list(watch.seconds) == ["b", "a"]
    assert watch.seconds["b"] >= once + 0.02 > watch.seconds["a"]


def test_a_block_that_raises_is_timed():
    """What a phase took before it failed is known."""
    watch = Stopwatch()
    with pytest.raises(ZeroDivisionError), watch.timed("call"):
        1 / 0  # noqa: B018
    assert "call" in watch.seconds


def test_the_clock_can_begin_again():
    """After a restart the clock begins at zero, and the phases stay."""
    watch = Stopwatch()
    with watch.timed("a"):
        time.sleep(0.05)
    before = watch.read()
    watch.restart()
    assert watch.read() < before
    assert "a" in watch.seconds


def test_the_cost_has_the_phases_and_the_peak():
    """The cost has every phase to a tenth of a millisecond, and more memory than torch alone takes."""
    watch = Stopwatch()
    watch.seconds["call"] = 1.23456789
    cost = measure_cost(watch)
    assert cost.phases_s == {"call": 1.2346}
    assert cost.peak_memory_bytes > 50 * 2**20
