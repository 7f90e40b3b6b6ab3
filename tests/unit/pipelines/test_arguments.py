"""Promises of arguments.py: everything is read from the pipeline's own signature."""

import pytest
import torch

from repro_track.pipelines.arguments import (
    bind_arguments,
    choose_batch_argument,
    count_images,
    count_prompts,
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
    ],
)
def test_prompts_are_counted(bound, prompts):
    """What a call describes is counted: prompts, embeddings, labels, pictures."""
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
