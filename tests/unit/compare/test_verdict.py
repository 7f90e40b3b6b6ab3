"""Promises of verdict.py: levels have an order, a tolerance counts for every element, what stays decides what to
expect."""

import numpy as np

from repro_track.compare.verdict import VERDICTS, Tolerance, is_good_enough

PROFILE = Tolerance("test", {"float32": 0.0}, {"float32": 1e-4})


IMAGE = np.linspace(0, 1, 192, dtype=np.float32).reshape(8, 8, 3)


def nudge(values, amount):
    changed = values.copy()
    changed[3, 3, 1] += np.float32(amount)
    return changed


def test_tolerance_counts_for_every_element():
    """One element beyond the profile is enough to fall short, whatever the others are."""
    assert PROFILE.accepts(IMAGE, nudge(IMAGE, 9e-5), dtype="float32")
    assert not PROFILE.accepts(IMAGE, nudge(IMAGE, 1.1e-4), dtype="float32")
    assert not PROFILE.accepts(IMAGE, nudge(IMAGE, 9e-5), dtype="float16")


def test_levels_are_ordered():
    """A better verdict is good enough for a lower requirement, not the other way."""
    for index, verdict in enumerate(VERDICTS):
        for other, required in enumerate(VERDICTS):
            assert is_good_enough(verdict, required=required) == (index <= other)


def test_what_can_be_expected_follows_what_stays():
    """Nothing that stays: bit-exact; other code: that hangs on it; other packages: within tolerance; other weights:
    diverged; each with its reason."""
    from repro_track.compare.differences import make_difference
    from repro_track.compare.verdict import expect_verdict

    library = make_difference("environment.packages.torch.version", "2", "3")
    weights = make_difference("calls.0.components.unet.weights.x.sha256", "a", "b")
    source = make_difference("source.commit", "a", "b")
    assert expect_verdict([]) == ("bit-exact", ())
    assert expect_verdict([source]) == ("bit-exact", (source.place,))
    assert expect_verdict([library, source]) == ("within-tolerance", (library.place,))
    assert expect_verdict([weights, library]) == ("diverged", (weights.place,))
