"""Promises of kept.py: what a run keeps is in the order in which it came, and nothing of it is lost but pictures that
no sheet has room for."""

import dataclasses

import numpy as np

from repro_track.record.schema import Unavailable
from repro_track.tensors.host import to_host
from repro_track.tracking.call_recorder import Draw, RecordedCall
from repro_track.tracking.folder import KeptOutput
from repro_track.tracking.kept import Kept


def make_call(record, *, index=0, **changes):
    part = record.calls[0].model_copy(update={"index": index})
    empty = RecordedCall(part, record.seeds.generators, {}, None, (), (), None)
    return dataclasses.replace(empty, **changes)


def make_output(record, name, **details):
    return KeptOutput(record.outputs[0].model_copy(update={"name": name}), **details)


def test_calls_and_outputs_stay_in_order(record):
    """Outputs of calls and of the run itself come in the order in which they were made."""
    kept = Kept()
    kept.add_call(make_call(record, outputs=(make_output(record, "images.0"),)))
    kept.add_outputs([make_output(record, "mine")])
    kept.add_call(make_call(record, index=1, outputs=(make_output(record, "call1.images.0"),)))
    assert [one.name for one in kept.outputs] == ["images.0", "mine", "call1.images.0"]
    assert [one.index for one in kept.calls] == [0, 1]
    assert len(kept.generators) == 2 * len(record.seeds.generators)


def test_what_is_known_of_a_call_is_kept(record):
    """States, latents and values are kept by name; a call that failed before its pipeline was called leaves none."""
    value = to_host(np.arange(3))
    kept = Kept()
    kept.add_call(make_call(record, states={"a": 1}, latents=value, outputs=(make_output(record, "x", tensor=value),)))
    kept.add_call(make_call(record, part=None, generators=()))
    assert (kept.states, kept.latents, kept.tensors) == ({"a": 1}, {"call0": value}, {"x": value})
    assert len(kept.calls) == 1


def test_what_cannot_be_compared_is_a_reason(record):
    """An output that cannot be compared is no output of the record, and its reason is kept; the others stay."""
    kept = Kept()
    kept.add_outputs([KeptOutput(Unavailable(unavailable="why")), make_output(record, "x")])
    assert kept.unknown == ["why"]
    assert [one.name for one in kept.outputs] == ["x"]


def test_a_place_is_kept_once():
    """A line that drew several times is named once, in its first place; the same line of another generator is its
    own."""
    kept = Kept()
    kept.add_draws([Draw("torch", "b"), Draw("torch", "a")])
    kept.add_draws([Draw("torch", "b"), Draw("numpy", "b")])
    assert kept.draws == {"torch": ["b", "a"], "numpy": ["b"]}


def test_the_sheet_has_room_for_sixteen(record):
    """The first sixteen pictures are kept for the sheet, whatever they are of; all outputs are kept."""
    kept = Kept()
    for index in range(20):
        picture = np.full((2, 2, 3), index, dtype=np.uint8)
        kept.add_outputs([make_output(record, f"images.{index}", picture=picture), make_output(record, f"n{index}")])
    assert [int(picture[0, 0, 0]) for picture in kept.pictures] == list(range(16))
    assert len(kept.outputs) == 40
