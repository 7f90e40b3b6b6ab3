"""Promises of call.py: what a call needs to know of a pipeline is found on it."""

import numpy as np
import pytest
from diffusers import DDIMPipeline
from diffusers.modular_pipelines import FluxAutoBlocks, FluxModularPipeline, PipelineState
from PIL import Image

from repro_track.pipelines.call import Call, find_location, find_sampling_rate, make_call, name_result, undisturbed
from tests.conformance import zoo


class States(FluxModularPipeline):
    """A modular pipeline whose call gives a state with its seeds as a picture."""

    def __call__(self, state=None, output=None, **kwargs):
        values = {"prompt": kwargs["prompt"], "latents": 1, "images": np.full((len(kwargs["prompt"]), 2), 7.0)}
        return PipelineState(values)


@pytest.fixture
def modular():
    """A modular pipeline without components."""
    return States(blocks=FluxAutoBlocks())


def test_what_a_modular_pipeline_gives_is_named(modular, tiny_pipeline):
    """Of a state the declared outputs are the result; a value that was asked for by name has that name; several are a
    dict already, and another pipeline's result is its own."""
    state, images = PipelineState({"prompt": "a", "latents": 1, "images": [2]}), [2]
    assert name_result(modular, state) == {"images": [2]}
    assert name_result(modular, PipelineState({"other": 1})) == {"other": 1}
    assert name_result(modular, images, asked="images") == {"images": images}
    assert name_result(modular, {"images": images}, asked=["images"]) == {"images": images}
    assert name_result(tiny_pipeline, state) is state


def test_images_of_a_modular_pipeline_made_alone_are_put_together(modular):
    """With each image made alone, the states are one, with the outputs of all."""
    watch = type("Watch", (), {"generators": []})()
    call = make_call(modular, {"prompt": ["a", "b"]}, index=0, watch=watch, batch="independent")
    assert isinstance(call, Call)
    result = call.make()
    assert (result.images.shape, result.prompt) == ((2, 2), ["a"])
    assert [raw.name for raw in call.list_outputs(result)] == ["images"]


def test_a_modular_pipeline_is_left_undisturbed(modular):
    """A pipeline without a bar of its own and without offloading can be called in between, too."""
    with undisturbed(modular):
        pass


def test_where_a_pipeline_is_from(modular, tiny_pipeline):
    """The folder that a pipeline was loaded from is found, also of a modular one; one that was built has none."""
    assert find_location(tiny_pipeline) is None
    assert find_location(modular) is None
    modular._pretrained_model_name_or_path = "/a/model"
    assert find_location(modular) == "/a/model"
    assert find_location(object()) is None


@pytest.mark.parametrize(("name", "rate"), [("stable_audio", 8000), ("audio_ldm_2", 16000), ("ddpm", None)])
def test_the_rate_of_sound_is_found(name, rate):
    """The rate of the sound that a pipeline makes is that of its vocoder or decoder; a picture has none."""
    assert find_sampling_rate(zoo.ZOO[name].build()) == rate


class Rows(DDIMPipeline):
    """A pipeline that gives a list of pictures for each prompt."""

    def __call__(self, prompt=None, rows=2):
        return {"images": [[Image.new("RGB", (8, 8))] * rows] * 2}


class Views(Rows):
    """One that gives the frames of a video for each."""

    def __call__(self, prompt=None, frame_size=8):
        return super().__call__()


@pytest.mark.parametrize(("kind", "count"), [(Rows, 4), (Views, 2)])
def test_a_call_that_speaks_of_frames_makes_videos(tiny_pipeline, kind, count):
    """Nested pictures are videos where an argument is about frames, and pictures elsewhere; a replay is told of what
    was recorded as a video, also of a later call."""
    watch = type("Watch", (), {"generators": []})()
    call = make_call(kind(**tiny_pipeline.components), {}, index=1, watch=watch, batch="together")
    result = call.make()
    assert len(list(call.list_outputs(result))) == count
    assert [raw.kind for raw in call.list_outputs(result, videos=["call1.images.0", "call1.images.1"])] == ["video"] * 2
