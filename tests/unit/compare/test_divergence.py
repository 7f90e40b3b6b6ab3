"""Promises of divergence.py: the first step and module that differ are named; equal traces name nothing."""

import pytest

from repro_track.compare.divergence import find_divergence
from repro_track.record.schema import PipelineCall, Trace, TraceStep

# --- where they part


def make_call(latents, modules=(), noise="n", after=()):
    names = ("unet.conv_in", "unet.mid_block")
    steps = tuple(
        TraceStep(index=i, scheduler="scheduler", timestep=9 - i, latents=digest, mean=0, std=1, abs_max=1, modules=row)
        for i, (digest, row) in enumerate(zip(latents, modules or [()] * len(latents), strict=True))
    )
    trace = Trace(level="steps", noise=noise, modules=names, steps=steps, after_last=after)
    return PipelineCall(
        index=0, class_name="P", name_or_path=None, commit="c", arguments={}, components=(), trace=trace
    )


@pytest.mark.parametrize(
    ("actual", "step", "module"),
    [
        (make_call(["a", "b"], noise="m"), None, None),
        (make_call(["x", "b"], [("1", "2"), ("3", "4")]), 0, None),
        (make_call(["a", "x"], [("1", "2"), ("3", "x")]), 1, "unet.mid_block"),
        (make_call(["a", "x"], [("1", "2"), ("x", "x")]), 1, "unet.conv_in"),
        (make_call(["a"], [("1", "2")]), 1, None),
        (make_call(["a", "b"], [("1", "2"), ("3", "4")], after=("5", "x")), 2, "unet.mid_block"),
    ],
)
def test_the_first_divergence_is_dated_and_placed(actual, step, module):
    """Noise, step, first module in it, a missing step, a difference after the last step: each is named."""
    expected = make_call(["a", "b"], [("1", "2"), ("3", "4")], after=("5", "6"))
    found = find_divergence((expected,), (actual,))
    assert (found.step, found.module) == (step, module)


def test_no_divergence_where_every_digest_agrees():
    """Equal traces have no divergence; another number of calls is one."""
    call = make_call(["a"], [("1", "2")])
    assert find_divergence((call,), (call,)) is None
    assert find_divergence((call,), (call, call)).text == "2 pipeline calls instead of 1"
