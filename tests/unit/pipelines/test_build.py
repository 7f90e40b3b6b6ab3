"""Promises of build.py: a folder or a Hub id to a pipeline; what is wrong is named before it is loaded."""

import shutil

import pytest
import torch
from diffusers import DDIMPipeline

from repro_track.config.builtin import find_builtin
from repro_track.config.schema import PipelineConfig, SchedulerConfig, StageConfig
from repro_track.errors import PipelineError, UsageError
from repro_track.pipelines.arguments import (
    bind_arguments,
)
from repro_track.pipelines.build import build_pipeline, resolve_location
from tests.conformance import zoo


def build(config, scheduler=None, dtype="float32", device="cpu"):
    return build_pipeline(StageConfig(config, scheduler or SchedulerConfig()), dtype=dtype, device=device)[0]


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


def test_the_embedded_model_is_found():
    """The digits ship with the package; another name is refused."""
    assert resolve_location(PipelineConfig(path="builtin:digits")) == find_builtin("digits")
    with pytest.raises(UsageError):
        find_builtin("letters")


@pytest.fixture(scope="module")
def flux(tmp_path_factory):
    """The folder of a saved Flux pipeline with random weights."""
    folder = tmp_path_factory.mktemp("flux")
    zoo.ZOO["flux"].build().save_pretrained(folder)
    return folder


def test_a_modular_pipeline_is_loaded_with_its_components(flux, tmp_path):
    """A modular class loads a saved pipeline with all components in the dtype that is asked for, and so does the folder
    that it is saved to, without its class; its scheduler can be another one. A class of diffusers that is none is
    not."""
    config = PipelineConfig(path=str(flux), class_name="ModularPipeline")
    pipe = build(config, SchedulerConfig(config={"shift": 2.0}), dtype="bfloat16")
    assert type(pipe).__name__ == "FluxModularPipeline"
    assert pipe.transformer.dtype == torch.bfloat16
    assert pipe.components["scheduler"].config.shift == 2.0
    pipe.save_pretrained(str(tmp_path / "saved"))
    again = build(PipelineConfig(path=str(tmp_path / "saved")))
    assert type(again) is type(pipe)
    assert all(part is not None for name, part in again.components.items() if name in pipe.components)
    assert type(build(PipelineConfig(path=str(flux)))).__name__ == "FluxPipeline"


def test_a_modular_component_that_is_missing_is_one_message(flux, tmp_path):
    """diffusers only warns of a component that it cannot load, and the pipeline breaks later: it is one message."""
    shutil.copytree(flux, tmp_path / "model")
    next((tmp_path / "model" / "transformer").glob("*.safetensors")).unlink()
    with pytest.raises(PipelineError, match="transformer"):
        build(PipelineConfig(path=str(tmp_path / "model"), class_name="FluxModularPipeline"))
