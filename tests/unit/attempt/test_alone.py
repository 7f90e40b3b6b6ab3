"""Promises of alone.py: one image of a batch becomes a run of its own, with its seed, its prompt and its inputs, or it
is said why it cannot."""

import pytest

from repro_track.attempt.alone import has_several_images, make_alone, rename_output, say_alone
from repro_track.config.plain import decode_config
from repro_track.errors import UsageError
from repro_track.record.schema import Input

PROMPTS = ["a ${cat}", "1e5"]


def make_input(name, **changes):
    given = {"kind": "picture", "dtype": "uint8", "shape": (8, 8, 3), "sha256": "a", "mode": "RGB"}
    return Input(**{**given, **changes}, name=name, file=f"inputs/{name}.png")


@pytest.fixture
def batch(make_record):
    """Make the record of two prompts with two images each, from seeds 40 to 43, with these inputs and arguments."""

    def make(*, inputs=(), **more):
        record = make_record()
        arguments = {"prompt": PROMPTS, "num_images_per_prompt": 2, "steps": 4, "size": [8, 8], **more}
        call = record.calls[0].model_copy(update={"arguments": arguments, "inputs": tuple(inputs)})
        one, first = record.outputs[0], record.seeds.generators[0]
        outputs = [one.model_copy(update={"name": f"images.{k}", "sha256": f"{k}", "seed": 40 + k}) for k in range(4)]
        made = [first.model_copy(update={"name": f"call0.generator{k}", "initial_seed": 40 + k}) for k in range(4)]
        resolved = {**record.config.resolved, "seed": 40, "num_images": 1, "seeds": [40, 41, 42, 43],
                    "call": {"prompt": PROMPTS, "num_images_per_prompt": 2, "size": [8, 8], **more}}  # fmt: skip
        changes = {
            "calls": (call,),
            "outputs": tuple(outputs),
            "seeds": record.seeds.model_copy(update={"root": 40, "generators": tuple(made)}),
            "config": record.config.model_copy(update={"resolved": resolved}),
        }
        return record.model_copy(update=changes)

    return make


def test_an_image_has_its_own_seed_prompt_and_inputs(batch):
    """Image 2 of two prompts with two images each: the first of the second prompt, from seed 42, with the second
    picture; what is shared stays."""
    inputs = [make_input("image.0"), make_input("image.1"), make_input("mask")]
    record = batch(inputs=inputs, image=["x", "y"])
    before = record.model_copy(deep=True)
    alone = make_alone(record, image=2)
    resolved = decode_config(alone.config.resolved)
    assert (resolved["seed"], resolved["seeds"], resolved["num_images"]) == (42, None, 1)
    assert resolved["call"] == {"prompt": ["1e5"], "num_images_per_prompt": 1, "size": [8, 8], "image": ["y"]}
    assert (alone.seeds.root, alone.seeds.images) == (42, (42,))
    assert [(one.name, one.initial_seed) for one in alone.seeds.generators] == [("call0.generator0", 42)]
    assert [(one.name, one.sha256, one.seed) for one in alone.outputs] == [("images.0", "2", 42)]
    (call,) = alone.calls
    assert [(one.name, one.file) for one in call.inputs] == [
        ("image.0", "inputs/image.1.png"),
        ("mask", "inputs/mask.png"),
    ]
    assert call.arguments["prompt"] == ["1e5"]
    assert call.trace.steps == ()
    assert record == before
    assert make_alone(record, image=0).seeds.root == 40
    assert decode_config(make_alone(record, image=1).config.resolved)["call"]["prompt"] == ["a ${cat}"]


def test_the_only_image_is_the_run(make_record):
    """A run that makes one image is varied as it is."""
    record = make_record()
    one = record.model_copy(update={"outputs": record.outputs[:1]})
    assert (has_several_images(record), has_several_images(one)) == (True, False)
    assert make_alone(one, image=0) is one


def test_each_stage_is_split(batch):
    """Of two stages each makes one image, from the generator that it was given for it."""
    record = batch()
    call = record.calls[0]
    calls = (call.model_copy(update={"stage": "a"}), call.model_copy(update={"index": 1, "stage": "b"}))
    made = record.seeds.generators
    later = tuple(one.model_copy(update={"name": one.name.replace("call0", "call1")}) for one in made)
    resolved = record.config.resolved
    resolved = {**resolved, "stages": {"a": {"call": resolved["call"]}, "b": {"call": {"steps": 2}}}}
    staged = record.model_copy(
        update={
            "calls": calls,
            "seeds": record.seeds.model_copy(update={"generators": (*made, *later)}),
            "config": record.config.model_copy(update={"resolved": resolved}),
        }
    )
    alone = make_alone(staged, image=3)
    stages = decode_config(alone.config.resolved)["stages"]
    assert (stages["a"]["call"]["prompt"], stages["b"]["call"]) == (["1e5"], {"steps": 2})
    assert [one.name for one in alone.seeds.generators] == ["call0.generator0", "call1.generator0"]


def test_what_has_no_seed_of_its_own_is_refused(batch):
    """One generator for all images, a script, a batch in one piece: each is one message."""
    record = batch()
    one = record.seeds.model_copy(update={"generators": record.seeds.generators[:1]})
    with pytest.raises(UsageError, match="image 2 has no seed of its own") as refused:
        make_alone(record.model_copy(update={"seeds": one}), image=2)
    assert "batch=independent" in refused.value.advice
    script = record.command.model_copy(update={"kind": "script"})
    with pytest.raises(UsageError, match="the run is a script"):
        make_alone(record.model_copy(update={"command": script}), image=2)
    whole = make_input("latents", kind="tensor", shape=(4, 4, 8, 8), mode=None)
    with pytest.raises(UsageError, match="is a batch of 4 in one piece"):
        make_alone(batch(inputs=[whole]), image=2)
    shared = make_input("embeds", kind="tensor", shape=(7, 9), mode=None)
    assert make_alone(batch(inputs=[shared]), image=2).calls[0].inputs == (shared,)


def test_what_can_be_expected_is_said(batch):
    """The noise is the same; that the image alone is not bit for bit the one in the batch is said, unless each was made
    alone there, too."""
    record = batch()
    assert "seed 42" in say_alone(record, image=2)
    assert "bit for bit" in say_alone(record, image=2)
    calls = tuple(call.model_copy(update={"batch": "independent"}) for call in record.calls)
    assert "bit for bit" not in say_alone(record.model_copy(update={"calls": calls}), image=2)


@pytest.mark.parametrize(
    ("name", "alone"), [("images.12", "images.0"), ("call1.frames.3", "call1.frames.0"), ("x", "x")]
)
def test_outputs_of_one_image_are_named_as_its_own(name, alone):
    """The number of the image becomes 0; the call keeps its own."""
    assert rename_output(name) == alone
