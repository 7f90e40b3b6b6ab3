"""Pipelines with random weights, alive and saved to a folder."""

import pytest
from diffusers import StableDiffusionPipeline

from tests.conformance import zoo


@pytest.fixture
def pipe() -> StableDiffusionPipeline:
    """A tiny Stable Diffusion pipeline."""
    return zoo.ZOO["stable_diffusion"].build()


@pytest.fixture
def saved(tiny_pipeline, tmp_path):
    """The folder of a saved tiny pipeline."""
    tiny_pipeline.save_pretrained(tmp_path / "model")
    return tmp_path / "model"
