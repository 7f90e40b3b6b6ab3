"""Promises of choice.py: a focus leaves what is looked at, and nothing else."""

import pytest

from repro_track.record.choice import Focus


@pytest.mark.parametrize(
    ("focus", "outputs", "calls"),
    [
        (Focus(), ["images.0", "images.1", "call1.images.0"], [0, 1]),
        (Focus(call=1), ["call1.images.0"], [1]),
        (Focus(image=0), ["images.0", "call1.images.0"], [0, 1]),
        (Focus(call=0, image=1), ["images.1"], [0]),
        (Focus(image=5), [], [0, 1]),
    ],
    ids=str,
)
def test_a_focus_narrows_a_record(make_record, focus, outputs, calls):
    """Only the call and the image that are looked at are left of a record, and of its generators those of the call."""
    record = make_record()
    third = record.outputs[0].model_copy(update={"name": "call1.images.0"})
    second_call = record.calls[0].model_copy(update={"index": 1})
    generator = record.seeds.generators[0].model_copy(update={"name": "call1.generator0"})
    seeds = record.seeds.model_copy(update={"generators": (*record.seeds.generators, generator)})
    whole = record.model_copy(
        update={"outputs": (*record.outputs, third), "calls": (*record.calls, second_call), "seeds": seeds}
    )
    narrow = focus.narrow(whole)
    assert [one.name for one in narrow.outputs] == outputs
    assert [one.index for one in narrow.calls] == calls
    assert {one.name.split(".")[0] for one in narrow.seeds.generators} == {f"call{index}" for index in calls}
