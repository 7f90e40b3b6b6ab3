"""Promises of inputs.py."""

import torch

from repro_track.inputs import to_plain


def test_plain_values():
    """Tensors become digests, classes and functions their names, everything else JSON."""
    value = to_plain({"a": (1, None), "t": torch.zeros(2), "f": torch.nn.functional.relu, "s": {"b", "a"}})
    assert value["a"] == [1, None]
    assert value["t"]["shape"] == [2]
    assert value["f"] == "torch.nn.functional.relu"
    assert value["s"] == ["a", "b"]
