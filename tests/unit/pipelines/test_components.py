"""Promises of components.py: every component by class, config, files, memory; what was done to it is seen."""

import torch
from diffusers import DDIMPipeline

from repro_track.pipelines.components import describe_components
from repro_track.tensors.digests import digest_file


def load(folder):
    return DDIMPipeline.from_pretrained(folder, low_cpu_mem_usage=False)


def test_components_are_described(saved):
    """Each component has its class, config and folder; models also their files' digests and one of their memory."""
    pipe = load(saved)
    unet = next(part for part in describe_components(pipe) if part.name == "unet")
    (weight,) = unet.weights
    assert weight.sha256 == digest_file(saved / "unet" / weight.path)
    assert (unet.location, unet.dtype, unet.device) == (str(saved / "unet"), "float32", "cpu")
    assert unet.config["block_out_channels"] == [4, 8]


def test_a_weight_changed_in_memory_is_seen(saved):
    """One weight changed by one ulp after loading changes the digest of the memory, not that of the file."""
    pipe = load(saved)
    before = {part.name: part for part in describe_components(pipe)}["unet"]
    weight = pipe.unet.conv_in.weight
    with torch.no_grad():
        weight[0, 0, 0, 0] = torch.nextafter(weight[0, 0, 0, 0], torch.tensor(torch.inf))
    after = {part.name: part for part in describe_components(pipe)}["unet"]
    assert before.weights == after.weights
    assert before.memory_xxh3 != after.memory_xxh3


def test_channels_last_is_seen(tiny_pipeline):
    """Weights in another memory format have the same digest and give other bits: the format is recorded."""
    before = {part.name: part for part in describe_components(tiny_pipeline)}["unet"]
    tiny_pipeline.unet.to(memory_format=torch.channels_last)
    after = {part.name: part for part in describe_components(tiny_pipeline)}["unet"]
    assert (before.channels_last, after.channels_last) == (False, True)
    assert before.memory_xxh3 == after.memory_xxh3
