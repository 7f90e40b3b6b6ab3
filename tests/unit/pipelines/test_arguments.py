"""Promises of arguments.py: everything is read from the pipeline's own signature."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMPipeline,
    KandinskyInpaintPipeline,
    KandinskyV22InpaintPipeline,
    LTXLatentUpsamplePipeline,
    ModularPipeline,
)
from diffusers.modular_pipelines import FluxAutoBlocks, FluxModularPipeline
from PIL import Image

from repro_track.errors import UsageError
from repro_track.media.files import load_files
from repro_track.pipelines.arguments import (
    bind_arguments,
    choose_batch_argument,
    count_images,
    count_prompts,
    is_modular,
    list_parameters,
    split_arguments,
    takes_several_generators,
)
from tests.conformance import zoo


def test_every_argument_is_bound(tiny_pipeline):
    """The record has every argument of the pipeline's own signature, defaults included."""
    bound = bind_arguments(tiny_pipeline, {"eta": 0.5})
    assert bound["eta"] == 0.5
    assert bound["num_inference_steps"] == 50
    assert set(bound) >= {"batch_size", "generator", "use_clipped_model_output", "output_type"}


@pytest.mark.parametrize(
    ("bound", "number"),
    [
        ({}, 1),
        ({"batch_size": 3}, 3),
        ({"prompt": "a"}, 1),
        ({"prompt": ["a", "b"], "num_images_per_prompt": 2}, 4),
    ],
)
def test_images_are_counted(bound, number):
    """A call makes prompts times images per prompt, or its batch size."""
    assert count_images(bound) == number


@pytest.mark.parametrize(
    ("bound", "prompts"),
    [
        ({"prompt": "a"}, 1),
        ({"prompt": ["a", "b"]}, 2),
        ({"prompt": None, "prompt_embeds": torch.zeros(3, 7, 8)}, 3),
        ({"class_labels": [1, 2]}, 2),
        ({"image_embeds": torch.zeros(2, 8), "height": 32}, 2),
        ({"image": torch.zeros(3, 8, 8)}, 1),
        ({"image": torch.zeros(2, 3, 8, 8)}, 2),
        ({"image": [object(), object(), object()]}, 3),
        ({"batch_size": 4}, 1),
        ({"video": [Image.new("RGB", (8, 8))] * 5}, 1),
        ({"video": [np.zeros((8, 8, 3))] * 5}, 1),
        ({"video": torch.zeros(5, 3, 8, 8)}, 1),
        ({"video": torch.zeros(2, 5, 3, 8, 8)}, 2),
        ({"video": [[Image.new("RGB", (8, 8))] * 5] * 2}, 2),
        ({"video": [np.zeros((5, 8, 8, 3))] * 2}, 2),
        ({"video": [Image.new("RGB", (8, 8))] * 5, "prompt": ["a", "b"]}, 2),
    ],
)
def test_prompts_are_counted(bound, prompts):
    """What a call describes is counted: prompts, embeddings, labels, pictures; the frames of a video are one."""
    assert count_prompts(bound) == prompts


def test_images_of_a_call_are_told_apart():
    """Image i of a call gets its own prompt, its own row of what has one for each image, and all else unchanged."""
    latents = torch.arange(4.0).reshape(4, 1)
    arguments = {
        "prompt": ["a", "b"],
        "negative_prompt": ["c", "d"],
        "num_images_per_prompt": 2,
        "latents": latents,
        "eta": 0.5,
    }
    split = [split_arguments(arguments, bound=arguments, index=index) for index in range(4)]
    assert [one["prompt"] for one in split] == [["a"], ["a"], ["b"], ["b"]]
    assert [one["negative_prompt"] for one in split] == [["c"], ["c"], ["d"], ["d"]]
    assert [one["latents"].item() for one in split] == [0.0, 1.0, 2.0, 3.0]
    assert all((one["num_images_per_prompt"], one["eta"]) == (1, 0.5) for one in split)


@pytest.mark.parametrize(
    ("name", "batch", "several"),
    [
        ("ddpm", "batch_size", True),
        ("flux", "num_images_per_prompt", True),
        ("cogvideox", "num_videos_per_prompt", True),
        ("stable_audio", "num_waveforms_per_prompt", True),
        ("marigold", None, True),  # its batch_size is how many are computed at a time
        ("amused", "num_images_per_prompt", False),
    ],
)
def test_how_a_pipeline_makes_several_is_read_from_its_signature(name, batch, several):
    """The batch argument, and whether a list of generators is taken, are told by the pipeline's own signature."""
    pipe = zoo.ZOO[name].build()
    assert (choose_batch_argument(pipe), takes_several_generators(pipe)) == (batch, several)


def test_the_frames_of_a_video_pipeline_are_one_video():
    """diffusers' own pipeline that takes the frames of a video first makes one video of them."""
    pipe = object.__new__(LTXLatentUpsamplePipeline)
    bound = bind_arguments(pipe, {"video": [Image.new("RGB", (32, 32))] * 5})
    assert next(iter(bound)) == "video"
    assert count_images(bound) == 1


def test_a_mask_of_numbers_is_an_array_where_the_pipeline_wants_one(tmp_path):
    """diffusers' own pipeline that takes a mask as an array, and no tensor beside a picture, gets a .npy file as
    one."""
    np.save(tmp_path / "mask.npy", np.ones((8, 8), dtype=np.float32))
    for kind in (KandinskyInpaintPipeline, KandinskyV22InpaintPipeline):
        words = {"mask_image": str(tmp_path / "mask.npy")}
        loaded, _ = load_files(words, parameters=list_parameters(object.__new__(kind)))
        assert isinstance(loaded["mask_image"], np.ndarray)


# --- what is behind **kwargs


class Passing(DDIMPipeline):
    """A pipeline of somebody's own that passes on whatever it is given."""

    def __call__(self, **kwargs):
        return super().__call__(**kwargs)


class Asking(DDIMPipeline):
    """One that looks for its generator among what it is given."""

    def __call__(self, steps=2, **kwargs):
        def draw():
            return kwargs.get("generator")

        return draw(), steps


class Deaf:
    """One that takes anything, and no generator."""

    def __call__(self, *args, size=8, **kwargs):
        return size, args, kwargs


def test_what_a_call_passes_on_is_what_the_overridden_one_takes(tiny_pipeline):
    """A call that takes any keyword has the arguments of the call that it overrides, with their defaults, and the batch
    and generators of that; what nobody names is kept by its own name."""
    pipe = Passing(**tiny_pipeline.components)
    bound = bind_arguments(pipe, {"eta": 0.5, "mine": 1})
    assert bound == {**bind_arguments(tiny_pipeline, {"eta": 0.5}), "mine": 1}
    assert (choose_batch_argument(pipe), takes_several_generators(pipe)) == ("batch_size", True)
    assert "kwargs" not in bound


def test_a_generator_behind_any_keyword_is_found_in_the_code():
    """A generator that the code asks its keywords for is an argument; where nothing names one, there is none."""
    parameters = list_parameters(object.__new__(Asking))
    assert parameters["generator"].default is None
    assert next(iter(parameters)) == "steps"
    assert list(list_parameters(Deaf())) == ["size"]
    assert bind_arguments(Deaf(), {"generator": 3}) == {"size": 8, "generator": 3}


def test_blocks_say_what_a_modular_pipeline_takes():
    """The arguments of a modular pipeline are the inputs of its blocks, with their defaults; a wrong name is refused
    only where somebody wants that, because diffusers only warns. A pipeline of another kind has no blocks."""
    pipe = FluxModularPipeline(blocks=FluxAutoBlocks())
    bound = bind_arguments(pipe, {"prompt": ["a", "b"]})
    assert (bound["num_inference_steps"], bound["generator"], bound["output"]) == (50, None, None)
    assert next(iter(bound)) == "prompt"
    assert count_images(bound) == 2
    assert (choose_batch_argument(pipe), takes_several_generators(pipe)) == ("num_images_per_prompt", True)
    assert bind_arguments(pipe, {"promt": "a"})["promt"] == "a"
    with pytest.raises(UsageError) as caught:
        bind_arguments(pipe, {"promt": "a"}, strict=True)
    assert "call.prompt" in caught.value.advice
    assert isinstance(pipe, ModularPipeline)
    assert is_modular(pipe)
    assert not is_modular(zoo.ZOO["ddpm"].build())
