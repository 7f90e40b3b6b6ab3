"""Promises of call_recorder.py: what is known of a call is one value, also of a call that fails, and the pipeline's
result is its own."""

import dataclasses

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline

from repro_track.determinism.global_generators import read_globals, rewound_globals
from repro_track.errors import PipelineError, UsageError
from repro_track.pipelines.call import make_call
from repro_track.record.choice import DEFAULT
from repro_track.record.handover import Settings
from repro_track.tensors.digests import digest_tensor
from repro_track.tracking.call_recorder import CallRecorder, Draw, describe_error
from repro_track.tracking.cost import Stopwatch
from repro_track.tracking.folder import RunFolder
from repro_track.tracking.generators import begin_seeding, watch_generators
from repro_track.tracking.replayed import Replayed

CALL = {"num_inference_steps": 2, "output_type": "np", "batch_size": 1, "generator": None}

OTHER_WEIGHTS = DEFAULT.leave({"weights"})
"""The record is of another pipeline than those that are called here."""


@pytest.fixture
def make_recorder(make_options, tmp_path):
    """Make a recorder for a call of a pipeline."""

    def make(pipe, *, index=0, replayed=None, is_config=False, arguments=None, **words):
        options = dataclasses.replace(make_options(**{"seed": 3, **words}), is_config=is_config)
        replayed = replayed or Replayed()
        seeding = begin_seeding(options, replayed=replayed)
        bound = arguments or CALL
        watch, seeding = watch_generators(pipe, bound, index=index, seeding=seeding, options=options, replayed=replayed)
        given = {name: value for name, value in bound.items() if name != "generator"}
        return CallRecorder(
            make_call(pipe, given, index=index, watch=watch, batch=options.batch, noise=options.noise),
            stage=None,
            inputs=(),
            adapter_files=(),
            options=options,
            folder=RunFolder(tmp_path, owner="a" * 32, picture_format="png"),
            replayed=replayed,
            watch=Stopwatch(),
        )

    return make


def test_a_call_is_recorded(make_recorder, tiny_pipeline):
    """Arguments, trace, generators, states, latents and outputs of a call are known; another seed gives others."""
    recorder = make_recorder(tiny_pipeline)
    result = recorder.make()
    known = recorder.finish()
    assert known.part.arguments["num_inference_steps"] == 2
    assert len(known.part.trace.steps) == 2
    assert [one.initial_seed for one in known.generators] == [3]
    assert {"call0.generator0.before", "call0.generator0.after", "call0.global.torch"} <= known.states.keys()
    assert np.array_equal(known.outputs[0].tensor.to_numpy(), result.images[0])
    assert known.latents.shape == (1, 3, 8, 8)
    other = make_recorder(tiny_pipeline, seed=4)
    other.make()
    assert other.finish().outputs[0].part.sha256 != known.outputs[0].part.sha256
    again = make_recorder(tiny_pipeline)
    again.make()
    assert again.finish().outputs[0].part == known.outputs[0].part


def test_a_later_call_has_names_of_its_own(make_recorder, tiny_pipeline):
    """The outputs and states of the second call have the call in their names."""
    recorder = make_recorder(tiny_pipeline, index=1)
    recorder.make()
    known = recorder.finish()
    assert [one.part.name for one in known.outputs] == ["call1.images.0"]
    assert all(name.startswith("call1.") for name in known.states)


def test_nothing_is_known_before_the_call(make_recorder, tiny_pipeline):
    """Before the pipeline is called there is no part of the record, and nothing else."""
    known = make_recorder(tiny_pipeline).finish()
    assert known.part is None
    assert not any((known.generators, known.states, known.outputs, known.draws))


class BrokenError(Exception):
    """Raised by a pipeline in the middle of its work."""


def break_after(pipe, steps, error):
    """Let the model raise when it is called for the step after so many."""
    forward, calls = pipe.unet.forward, []

    def broken(*args, **kwargs):
        calls.append(1)
        if len(calls) > steps:
            raise error
        return forward(*args, **kwargs)

    pipe.unet.forward = broken


def test_a_call_that_fails_is_known_until_then(make_recorder, tiny_pipeline):
    """What a pipeline raises passes unchanged, and the steps until then are known, without an output."""
    error = BrokenError("in the middle")
    break_after(tiny_pipeline, 1, error)
    recorder = make_recorder(tiny_pipeline)
    with pytest.raises(BrokenError) as caught:
        recorder.make()
    known = recorder.finish()
    assert caught.value is error
    assert len(known.part.trace.steps) == 1
    assert known.generators[0].state_before != known.generators[0].state_after
    assert known.outputs == ()


class Broken:
    """A component that does not say what it is."""

    def to_dict(self):
        raise RuntimeError("no dict")


class WithBroken(DDIMPipeline):
    """A pipeline that has one."""

    @property
    def components(self):
        return {**super().components, "broken": Broken()}


def test_what_cannot_be_recorded_ends_no_call(make_recorder, tiny_pipeline):
    """Where a component cannot be described, the result is what it would have been, and what is missing is said; of a
    call of which all is known nothing is said."""
    whole = make_recorder(tiny_pipeline)
    expected = whole.make().images
    assert whole.finish().unknown == ()
    recorder = make_recorder(WithBroken(tiny_pipeline.unet, tiny_pipeline.scheduler))
    assert np.array_equal(recorder.make().images, expected)
    known = recorder.finish()
    assert len(known.outputs) == 1
    assert known.unknown == ("of call 0 what it is made of could not be recorded: RuntimeError: no dict",)


def test_the_pipeline_of_a_config_fails_in_one_message(make_recorder, tiny_pipeline):
    """Where a config is run, whatever the pipeline raises is one of our errors with the first as its cause; Ctrl-C is
    none."""
    break_after(tiny_pipeline, 0, BrokenError("in the middle"))
    with pytest.raises(PipelineError, match="DDIMPipeline failed: BrokenError: in the middle") as caught:
        make_recorder(tiny_pipeline, is_config=True).make()
    assert isinstance(caught.value.__cause__, BrokenError)
    recorder = make_recorder(tiny_pipeline, is_config=True)
    break_after(tiny_pipeline, 0, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        recorder.make()
    assert recorder.finish().part.trace.steps == ()


def test_phases_are_timed_in_order(make_recorder, tiny_pipeline):
    """The phases of a call are described, called, outputs kept; with previews those, too."""
    recorder = make_recorder(tiny_pipeline)
    recorder.make()
    assert list(recorder.watch.seconds) == ["describe", "call", "outputs"]
    recorder = make_recorder(tiny_pipeline, previews=True)
    recorder.make()
    assert list(recorder.watch.seconds) == ["describe", "call", "previews", "outputs"]


def test_previews_are_made_where_they_are_asked_for(make_recorder, tiny_pipeline, tmp_path):
    """Each step has a picture and its thumbnail in the run's folder, and the outputs are the same as without."""
    plain = make_recorder(tiny_pipeline)
    plain.make()
    assert not (tmp_path / "images").exists()
    with_previews = make_recorder(tiny_pipeline, previews=True)
    with_previews.make()
    assert len(list((tmp_path / "images").iterdir())) == 4
    assert [one.part for one in with_previews.finish().outputs] == [one.part for one in plain.finish().outputs]


def test_a_second_call_is_made_where_a_replay_asks_for_it(make_recorder, make_replayed, tiny_pipeline):
    """The second call of a pipeline that leaves nothing behind gives the same digests; without being asked for there is
    none."""
    replayed = make_replayed(settings=Settings(twice=True), choice=OTHER_WEIGHTS)
    recorder = make_recorder(tiny_pipeline, replayed=replayed, trace="steps")
    recorder.make()
    known = recorder.finish()
    assert known.second.digests == {one.part.name: one.part.sha256 for one in known.outputs}
    assert known.second.call.trace == known.part.trace
    recorder = make_recorder(tiny_pipeline)
    recorder.make()
    assert recorder.finish().second is None


def test_a_call_that_draws_is_made_once(make_recorder, make_replayed, record, tiny_pipeline):
    """A call that draws from a global generator is named, and made once: a pipeline that counts its steps counts two.
    Its replay names the line, and gives the same; a pipeline that draws nothing is not named."""
    forward, calls = tiny_pipeline.unet.forward, []

    def drawing(*args, **kwargs):
        calls.append(np.random.rand())
        return forward(*args, **kwargs)

    def make(**words):
        recorder = make_recorder(tiny_pipeline, **words)
        with rewound_globals(start):
            recorder.make()
        return recorder.finish()

    start, tiny_pipeline.unet.forward = read_globals(), drawing
    known = make()
    assert (known.draws, known.part.drawn) == ((Draw("numpy", "call 0"),), ("numpy",))
    assert len(calls) == len(known.part.trace.steps) == 2
    drawn = record.model_copy(update={"calls": (known.part,)})
    again = make(replayed=make_replayed(expected=drawn, choice=OTHER_WEIGHTS))
    (draw,) = again.draws
    assert draw.generator == "numpy"
    assert " in drawing" in draw.place
    assert calls[:2] == calls[2:]
    assert again.outputs[0].part == known.outputs[0].part
    tiny_pipeline.unet.forward = forward
    assert (make().draws, make().part.drawn) == ((), ())


def test_a_seed_is_one_noise_in_every_precision(make_recorder, tiny_pipeline):
    """With noise=float32 the initial noise of a seed in half and double precision is float32's, rounded; without it, it
    is another one (in half precision torch 2.13 has that for some sizes alone). The record says in which precision it
    was drawn, and a float32 call is the same either way."""

    def make(dtype, noise):
        recorder = make_recorder(tiny_pipeline.to(dtype), noise=noise)
        recorder.make()
        return recorder.finish().part

    wide, same = make(torch.float32, "pipeline"), make(torch.float32, "float32")
    assert wide.trace == same.trace
    noise = torch.randn((1, 3, 8, 8), generator=torch.Generator().manual_seed(3))
    assert wide.trace.noise == digest_tensor(noise)
    half, rounded = make(torch.float16, "float32"), make(torch.float64, "float32")
    other = make(torch.float64, "pipeline")
    assert half.trace.noise == digest_tensor(noise.half())
    assert rounded.trace.noise == digest_tensor(noise.double()) != other.trace.noise
    assert [one.trace.noise_dtype for one in (wide, half, other)] == ["float32", "float16", "float64"]
    assert [one.noise_drawn_in for one in (wide, half, other)] == ["float32", "float32", "float64"]


def test_an_error_is_one_line_without_secrets():
    """Of several lines the first is kept, with the class of what is not ours."""
    assert describe_error(ValueError("first\nsecond")) == "ValueError: first"
    assert describe_error(UsageError("seed is 'x'")) == "seed is 'x'"
    assert "hunter2" not in describe_error(ValueError("https://me:hunter2@host/x"))
