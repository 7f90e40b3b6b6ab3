"""Promises of sweep.py that need no sweep: what varies, in which order, who is the same member."""

from repro_track.run.sweep import _to_natural, find_varied, make_member_key


def test_only_what_varies_is_a_label():
    """A key is a label where its values differ, or where some members lack it."""
    lists = [["a=1", "b=x", "c=1"], ["a=2", "b=x"], ["a=1", "b=x", "c=1"]]
    assert find_varied(lists) == ["a", "c"]
    assert find_varied([["a=1"]]) == []


def test_numbers_are_in_their_order():
    """seed=2 comes before seed=10, words by their letters."""
    labels = ["seed=10 s=euler", "seed=2 s=euler", "seed=2 s=ddim", "seed=1.5 s=ddim"]
    assert sorted(labels, key=_to_natural) == ["seed=1.5 s=ddim", "seed=2 s=ddim", "seed=2 s=euler", "seed=10 s=euler"]


def test_a_member_is_known_by_what_it_runs():
    """The order of overrides and where the run is shown do not matter, every value does; a secret is the same
    withheld."""
    key = make_member_key(["seed=1", "call.prompt=a cat"])
    assert make_member_key(["call.prompt=a cat", "++sweep.run=x", "seed=1", "++sweep.done.m1=y"]) == key
    assert make_member_key(["seed=2", "call.prompt=a cat"]) != key
    assert make_member_key(["call.prompt=\udcff"]) != make_member_key(["call.prompt=\udcfe"])  # a word that is no UTF-8
    secret = make_member_key(["api_token=hf_abcdefghijklmnopqrstuvwxyz012345"])
    assert secret == make_member_key(["api_token=" + "hf_zyxwvutsrqponmlkjihgfedcba543210"])
