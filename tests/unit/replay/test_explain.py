"""Promises of explain.py that need no trial: what could be restored one by one, and what is said of the search."""

from repro_track.compare.differences import make_difference
from repro_track.compare.findings import Trial
from repro_track.lookup.found import FoundRun
from repro_track.record.choice import make_choice
from repro_track.replay.explain import (
    _describe_not_enough,
    _describe_nothing_restorable,
    _describe_proven,
    _make_base,
    list_restorable,
    try_hash_order,
)
from tests.unit.replay.test_request import RECORD

LEFT = make_choice(code="restore", env="current", numerics="current", weights="restore")
THREADS = make_difference("numerics.state.num_threads", 1, 2)
TORCH = make_difference("environment.packages.torch.version", "2.13.0", "2.14.0")
CPU = make_difference("environment.machine.cpu_model", "one", "another")


def test_what_was_left_can_be_restored():
    """A difference that was left as it is now can be tried, by its label; a machine cannot be brought back."""
    can, rest = list_restorable(FoundRun(RECORD), [THREADS, TORCH, CPU], kept=LEFT)
    assert can == ("numerics:threads", "env:torch")
    assert rest == ("environment.machine.cpu_model",)


def test_what_was_restored_is_not_tried():
    """What the replay restored already cannot be the cause that restoring it would show."""
    kept = make_choice(code="restore", env="current", numerics="restore", weights="restore")
    can, rest = list_restorable(FoundRun(RECORD), [THREADS, TORCH], kept=kept)
    assert can == ("env:torch",)
    assert rest == ("numerics:threads",)


def test_the_base_restores_what_is_tried():
    """With everything restored that can be, a group that is tried is restored whole; any other is as it was left."""
    base = _make_base(LEFT, ("numerics:threads",))
    assert base.restores("numerics:threads")
    assert not base.restores("env:torch")


def test_a_proven_cause_is_told_with_its_values():
    """The label, both values, and the number of trials; one that may not be the smallest says so."""
    text = _describe_proven(["numerics:threads"], True, [THREADS, TORCH], 3)
    assert text == "proven cause, in 3 trials: numerics:threads (1 -> 2)"
    assert "at most" in _describe_proven(["numerics:threads"], False, [THREADS], 1)
    assert "1 trial:" in _describe_proven(["numerics:threads"], False, [THREADS], 1)


def test_what_is_not_proven_is_not_called_a_cause():
    """Where nothing differs, nothing can be restored, or restoring does not help, that is what is said."""
    assert "not deterministic" in _describe_nothing_restorable([])
    assert "only a possible cause" in _describe_nothing_restorable([CPU])
    fell_short = Trial((), "diverged", "a" * 32)
    assert "still diverged" in _describe_not_enough(fell_short, ["env:torch"], ["the machine"])
    assert "cannot be run (no uv)" in _describe_not_enough(Trial((), None, None, "no uv"), ["env:torch"], [])


def test_the_order_of_sets_is_proven_by_two_outputs_that_each_come_again():
    """Two orders with two outputs, the first of them again: that is the cause, and the order that gives the recorded
    output is named."""
    outputs = {0: "a", 1: "a", 2: "b"}
    asked = []

    def run(seed):
        asked.append(seed)
        return outputs[seed], outputs[seed] == "b"

    text = try_hash_order(run, budget=16)
    assert asked == [0, 1, 2, 0]
    assert text.startswith("proven cause, in 4 trials: the order of sets")
    assert text.endswith("PYTHONHASHSEED=2 gives the recorded output")
    assert "recorded" not in try_hash_order(lambda seed: (outputs[seed], False), budget=16)


def test_the_order_of_sets_is_not_proven_by_less():
    """One output for every order, another one every time, a trial that cannot be run, no trials left: no proof."""
    assert try_hash_order(lambda seed: ("a", False), budget=16) is None
    every = iter(range(99))
    assert try_hash_order(lambda seed: (str(next(every)), False), budget=16) is None
    assert try_hash_order(lambda seed: (None, False), budget=16) is None
    asked = []
    assert try_hash_order(lambda seed: (asked.append(seed), (str(seed), False))[1], budget=2) is None
    assert len(asked) == 1
