"""Promises of direct.py: a pipeline that is called directly in a block is recorded as if the run had called it, and its
class is afterwards what it was.

The runs are other blocks in the child of a replay: these log nothing, so that no process is started.
"""

import functools
import inspect

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from repro_track.errors import UsageError
from repro_track.tracking.direct import recorded_calls
from repro_track.tracking.track import track

CALL = {"num_inference_steps": 1, "output_type": "np"}
ORIGINAL = DDIMPipeline.__call__


@pytest.fixture
def make_run(unlogged):
    """Make a run that logs nothing."""
    return lambda **words: track(**{"seed": 3, "determinism": "fast", "trace": "off", **words})


def test_a_direct_call_is_recorded_as_the_runs_own(make_run, tiny_pipeline):
    """It has the run's seeds, its outputs are the run's, and it gives what `run(pipe)` gives for them: bit for bit; the
    same pipeline with another seed gives something else. Arguments may be given by position."""
    with make_run() as one:
        direct = tiny_pipeline(2, **CALL).images
    with make_run() as other:
        asked = other(tiny_pipeline, batch_size=2, **CALL).images
    assert one.record.replayable.reasons == other.record.replayable.reasons
    assert one.record.seeds.images == (3, 4)
    assert [part.sha256 for part in one.record.outputs] == [part.sha256 for part in other.record.outputs]
    assert one.record.calls[0].arguments == other.record.calls[0].arguments
    assert np.array_equal(direct, asked)
    with make_run(seed=4) as third:
        tiny_pipeline(2, **CALL)
    assert third.record.outputs[0].sha256 != one.record.outputs[0].sha256


def test_a_generator_of_its_own_stays_its_own(make_run, tiny_pipeline):
    """A call with a generator draws from that one, and the record says whose it is."""
    with make_run() as run:
        made = tiny_pipeline(generator=torch.Generator().manual_seed(7), **CALL).images
    (generator,) = run.record.seeds.generators
    assert (generator.initial_seed, generator.made_by) == (7, "caller")
    assert np.array_equal(made, tiny_pipeline(generator=torch.Generator().manual_seed(7), **CALL).images)


def test_the_class_is_what_it_was(make_run, tiny_pipeline):
    """In the block the class is the same one, with the same words and signature; afterwards its method is, too, and a
    call is recorded by nobody. That holds for the last of several blocks."""
    with make_run() as run:
        with make_run():
            assert DDIMPipeline.__call__ is not ORIGINAL
        assert DDIMPipeline.__call__ is not ORIGINAL
        assert type(tiny_pipeline) is DDIMPipeline
        assert inspect.signature(DDIMPipeline.__call__) == inspect.signature(ORIGINAL)
        assert DDIMPipeline.__call__.__doc__ == ORIGINAL.__doc__
    assert DDIMPipeline.__call__ is ORIGINAL
    assert "__init_subclass__" not in vars(DiffusionPipeline)
    tiny_pipeline(**CALL)
    assert run.record.calls == ()


def test_a_class_that_is_made_in_the_block_is_watched(make_run, tiny_pipeline):
    """A pipeline of somebody's own, defined in the block or before it, is recorded once, also where it calls the one
    that it is derived from; a partial of one is, too."""

    class Before(DDIMPipeline):
        def __call__(self, steps):
            return super().__call__(num_inference_steps=steps, output_type="np")

    with make_run() as run:

        class Inside(Before):
            def __call__(self, steps=1):
                return super().__call__(steps)

        parts = tiny_pipeline.components
        Before(**parts)(1)
        Inside(**parts)()
        functools.partial(tiny_pipeline, num_inference_steps=1)(output_type="np")
    assert [call.class_name for call in run.record.calls] == ["Before", "Inside", "DDIMPipeline"]
    assert run.record.calls[0].arguments["steps"] == 1


def test_an_error_in_the_block_is_its_own(make_run, tiny_pipeline):
    """A wrong argument of a direct call is Python's own error, which somebody may catch, and the block goes on."""
    with make_run() as run:
        with pytest.raises(TypeError, match="num_inference_stepss"):
            tiny_pipeline(num_inference_stepss=1)
        tiny_pipeline(**CALL)
    assert len(run.record.calls) == 1
    assert run.record.status == "finished"


def test_a_call_that_cannot_be_recorded_is_made(make_run, tiny_pipeline):
    """Two seeds and one image: `run(pipe)` is refused, a direct call is made as it is, and the record says that it was
    not recorded."""
    with make_run(seed=None, seeds=[1, 2]) as run:
        assert tiny_pipeline(**CALL).images.shape == (1, 8, 8, 3)
    assert run.record.calls == ()
    (reason,) = [one for one in run.record.replayable.reasons if "a direct call" in one]
    assert "1 images, and there are 2 seeds" in reason


class Odd:
    """An argument that cannot even be asked for its parts."""

    @property
    def shape(self):
        raise RuntimeError("no shape")


def test_an_argument_that_nobody_can_read_ends_nothing(make_run, tiny_pipeline):
    """A call that is given what fails when it is looked at is made, directly and by the run, and both are named as not
    recorded; a name that the pipeline does not have is still refused."""
    taken = []

    class Taking(DDIMPipeline):
        def __call__(self, thing=None, generator=None):
            taken.append(thing)
            return (1.0,)

    pipe, odd = Taking(tiny_pipeline.unet, tiny_pipeline.scheduler), Odd()
    with make_run() as run:
        assert pipe(thing=odd) == run(pipe, thing=odd) == (1.0,)
        with pytest.raises(UsageError, match=r"call\.thin"):
            run(pipe, thin=odd)
    assert taken == [odd, odd]
    assert sum("call of Taking was not recorded: RuntimeError: no shape" in one for one in _reasons(run)) == 2


def _reasons(run):
    return run.record.replayable.reasons


def test_what_somebody_else_has_replaced_stays():
    """A method that a block replaced and somebody else replaced again is left to them."""

    def mine(self):
        return self

    try:
        with recorded_calls():
            DDIMPipeline.__call__ = mine
        assert DDIMPipeline.__call__ is mine
    finally:
        DDIMPipeline.__call__ = ORIGINAL
    with recorded_calls():
        assert DDIMPipeline.__call__ is not ORIGINAL
    assert DDIMPipeline.__call__ is ORIGINAL
