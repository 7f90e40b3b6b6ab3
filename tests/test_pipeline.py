"""Promises of pipeline.py: a folder or a Hub id to a pipeline; arguments from the signature."""

import pytest
import torch
from diffusers import DDIMPipeline

from repro_track.config.builtin import find_builtin
from repro_track.config.schema import PipelineConfig, SchedulerConfig, StageConfig
from repro_track.errors import PipelineError, UsageError
from repro_track.pipelines.arguments import (
    bind_arguments,
    choose_batch_argument,
    count_images,
    count_prompts,
    split_arguments,
    takes_several_generators,
)
from repro_track.pipelines.build import build_pipeline, resolve_location
from repro_track.pipelines.call import find_sampling_rate
from tests.conformance import zoo


def build(config, scheduler=None, dtype="float32", device="cpu"):
    return build_pipeline(StageConfig(config, scheduler or SchedulerConfig()), dtype=dtype, device=device)[0]


@pytest.fixture
def saved(tiny_pipeline, tmp_path):
    tiny_pipeline.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_any_saved_folder_is_loaded(saved):
    """A folder that save_pretrained wrote is loaded as the class that its model_index names."""
    pipe = build(PipelineConfig(path=str(saved)))
    assert type(pipe) is DDIMPipeline
    assert pipe.unet.dtype == torch.float32


def test_a_scheduler_is_swapped_with_its_settings(saved):
    """Another scheduler keeps the saved settings but for those that are overridden."""
    scheduler = SchedulerConfig("DDPMScheduler", {"clip_sample_range": 2.0})
    pipe = build(PipelineConfig(path=str(saved)), scheduler)
    assert type(pipe.scheduler).__name__ == "DDPMScheduler"
    assert pipe.scheduler.config.clip_sample_range == 2.0
    assert pipe.scheduler.config.beta_schedule == "linear"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"path": "/nope"}, "/nope"),
        ({"path": None}, "pipeline.path is None"),
        ({"repo_id": "a/b"}, "pipeline.repo_id is 'a/b'"),
        ({"class_name": "DDIMPipelin"}, "DDIMPipelin"),
        ({"class_name": "DDIMScheduler"}, "DDIMScheduler"),
        ({"path": "builtin:nope"}, "nope"),
    ],
)
def test_a_wrong_pipeline_is_named(saved, change, named):
    """A folder that is not there, two sources or none, a class that is none: refused with what was found."""
    config = PipelineConfig(**{"path": str(saved), **change})
    with pytest.raises(UsageError) as caught:
        build(config)
    assert named in caught.value.found


def test_near_names_are_suggested(saved):
    """A typo in a class, a scheduler setting or an argument comes with the nearest right name."""
    with pytest.raises(UsageError) as caught:
        build(PipelineConfig(path=str(saved), class_name="DDIMPipelin"))
    assert "DDIMPipeline" in caught.value.expected
    with pytest.raises(UsageError) as caught:
        build(PipelineConfig(path=str(saved)), SchedulerConfig(config={"clip_sampel": True}))
    assert "clip_sample" in caught.value.advice
    with pytest.raises(UsageError) as caught:
        bind_arguments(build(PipelineConfig(path=str(saved))), {"num_inference_step": 3})
    assert "num_inference_steps" in caught.value.advice


@pytest.mark.parametrize("words", [{"dtype": "float33"}, {"device": "tpu9"}, {"device": "cuda:99"}])
def test_a_wrong_dtype_or_device_is_named(saved, words):
    """A dtype or device that is not there is refused before the model is loaded."""
    with pytest.raises(UsageError):
        build(PipelineConfig(path=str(saved)), **words)


def test_a_damaged_folder_is_one_message(saved):
    """A model whose weights are gone is one message that names the folder."""
    next((saved / "unet").glob("*.safetensors")).unlink()
    with pytest.raises(PipelineError, match=str(saved)):
        build(PipelineConfig(path=str(saved)))


def test_a_missing_hub_model_is_one_message(tmp_path, monkeypatch):
    """A Hub model that is not in the cache, with the Hub out of reach, is one message."""
    with pytest.raises(PipelineError, match="nobody/nothing"):
        build(PipelineConfig(repo_id="nobody/nothing"))


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


@pytest.mark.parametrize(("name", "rate"), [("stable_audio", 8000), ("audio_ldm_2", 16000), ("ddpm", None)])
def test_the_rate_of_sound_is_found(name, rate):
    """The rate of the sound that a pipeline makes is that of its vocoder or decoder; a picture has none."""
    assert find_sampling_rate(zoo.ZOO[name].build()) == rate


def test_the_embedded_model_is_found():
    """The digits ship with the package; another name is refused."""
    assert resolve_location(PipelineConfig(path="builtin:digits")) == find_builtin("digits")
    with pytest.raises(UsageError):
        find_builtin("letters")
