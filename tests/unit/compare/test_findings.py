"""Promises of findings.py: the smallest cause is found in few trials and proven, and outcomes and leaks are counted
right."""

import itertools
import random

import pytest

from repro_track.compare.findings import Findings, Stability, compare_second_calls, count_outcomes, locate, minimise
from repro_track.record.handover import SecondCall

TEN = tuple("abcdefghij")


def search(causes, *, factors=TEN, budget=100):
    """Run the search with a planted cause, counting trials as `explain` does: no set is tried twice."""
    tried = {}

    def falls_short(chosen):
        if chosen not in tried and len(tried) >= budget:
            return None
        return tried.setdefault(chosen, any(cause <= chosen for cause in causes))

    found, is_minimal = minimise(factors, falls_short=falls_short)
    return set(found), is_minimal, len(tried)


@pytest.mark.parametrize("cause", TEN)
def test_one_cause_among_ten_is_found_in_few_trials(cause):
    """Wherever a single cause stands among ten, it is found alone in at most ten trials, which leaves two of the twelve
    for the base and the proof that nothing else matters."""
    found, is_minimal, number = search([{cause}])
    assert (found, is_minimal) == ({cause}, True)
    assert number <= 10


@pytest.mark.parametrize("pair", list(itertools.combinations("abcdefgh", 2)))
def test_two_causes_that_need_each_other_are_found_together(pair):
    """Two differences that only together change the result are found as a pair, without a third."""
    assert search([set(pair)], factors="abcdefgh")[:2] == (set(pair), True)


def test_what_is_found_is_always_minimal():
    """For a hundred random planted causes, what is found falls short, and without any one member it does not."""
    random.seed(0)
    for _ in range(100):
        causes = [set(random.sample(TEN, random.randint(1, 4))) for _ in range(random.randint(1, 3))]
        found, is_minimal, _ = search(causes)
        assert is_minimal
        assert any(cause <= found for cause in causes)
        assert not any(cause <= found - {one} for one in found for cause in causes)


def test_a_spent_budget_is_said():
    """When the trials are used up, what is left still falls short, and is not called minimal."""
    found, is_minimal, number = search([{"a", "j"}], budget=2)
    assert not is_minimal
    assert {"a", "j"} <= found
    assert number == 2


def test_outcomes_are_counted_by_their_bits(make_record):
    """Runs with equal outputs are one outcome; another digest is another, with its share, and the recorded is
    marked."""
    recorded, other = make_record(), make_record({"outputs.0.sha256": "0" * 64})
    stable = count_outcomes(recorded, [recorded, recorded])
    assert [one.share for one in stable.outcomes] == [1.0]
    assert stable.text == "2 runs, one outcome"
    mixed = count_outcomes(recorded, [recorded, other, other, other])
    assert [(one.count, one.is_recorded) for one in mixed.outcomes] == [(3, False), (1, True)]
    assert "2 distinct outcomes" in mixed.text
    assert "75%" in mixed.text


def test_a_leak_is_a_second_call_with_other_bits(make_record):
    """A second call with the recorded digests is clean; with another digest, or when there was none, it is not."""
    record = make_record()
    equal = {output.name: output.sha256 for output in record.outputs}
    assert compare_second_calls(record, [SecondCall(record.calls[0], equal)]).is_clean
    other = SecondCall(record.calls[0], {**equal, "images.1": "0" * 64})
    leak = compare_second_calls(record, [other])
    assert not leak.is_clean
    assert "images.1" in leak.text
    assert not compare_second_calls(record, []).is_clean


def make_calls(make_record, columns, digests):
    record = make_record()
    step = record.calls[0].trace.steps[0].model_copy(update={"modules": tuple(digests)})
    trace = record.calls[0].trace.model_copy(update={"modules": tuple(columns), "steps": (step,), "after_last": ()})
    return (record.calls[0].model_copy(update={"trace": trace}),)


COLUMNS = ("unet.a inputs", "unet.a", "unet.b inputs", "unet.b")


def test_the_module_is_the_one_whose_inputs_agree(make_record):
    """A module whose output differs while its inputs agree is named exactly; where inputs differ after an equal output,
    the fault is outside any module, and both neighbours are named; equal traces name nothing."""
    left = make_calls(make_record, COLUMNS, "0123")
    inside = locate(left, make_calls(make_record, COLUMNS, "012x"))
    assert (inside.module, inside.is_exact, inside.step) == ("unet.b", True, 0)
    between = locate(left, make_calls(make_record, COLUMNS, "01xx"))
    assert (between.module, between.is_exact) == ("unet.b", False)
    assert "unet.a, which agrees" in between.text
    assert locate(left, left).module is None


def test_findings_as_data_hold_what_was_asked_for():
    """What was not looked into is not in the data; what was, is."""
    assert Findings().to_json() == {}
    data = Findings(stability=Stability(1, ())).to_json()
    assert list(data) == ["stability"]
