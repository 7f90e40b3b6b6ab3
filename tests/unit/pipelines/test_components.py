"""Promises of components.py: every component by class, config, files, memory; what was done to it is seen."""

import shutil

import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

from repro_track.pipelines.components import describe_components, describe_others, list_unseen
from repro_track.tensors.digests import digest_file
from repro_track.tensors.opened import watch_files


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


def test_weights_that_are_in_no_file_are_named(saved, tiny_pipeline):
    """A component whose weights were made by the script is named; one that was loaded is not, nor one without any."""
    with torch.no_grad():
        for weight in tiny_pipeline.unet.parameters():
            weight.add_(7)  # as no file has them
    (sentence,) = list_unseen(describe_components(tiny_pipeline))
    assert "the weights of unet (diffusers.UNet2DModel) are in no file that was seen" in sentence
    assert list_unseen(describe_components(load(saved))) == []
    tiny_pipeline.unet = torch.nn.Identity()
    assert list_unseen(describe_components(tiny_pipeline)) == []


def test_files_that_were_opened_besides_are_kept(saved, tmp_path):
    """What was opened and is in no component is recorded with the next call, and again with each call of that pipeline;
    not what the components have, nor with a pipeline that comes later."""
    pipe = load(saved)
    watch_files()
    save_file({"word": torch.arange(9.0)}, tmp_path / "word.safetensors")
    load_file(tmp_path / "word.safetensors")
    for _ in range(2):
        others = describe_others(pipe, describe_components(pipe))
        assert [(one.path, one.folder) for one in others if one.folder == str(tmp_path)] == [
            ("word.safetensors", str(tmp_path))
        ]
        assert not [one for one in others if one.folder == str(saved / "unet")]
    later = load(saved)
    assert describe_others(later, describe_components(later)) == ()
    others = describe_others(pipe, describe_components(pipe), known=[str(tmp_path / "word.safetensors")])
    assert not [one for one in others if one.folder == str(tmp_path)]


def test_a_component_of_the_hub_has_its_repository(saved, tmp_path, monkeypatch):
    """A model that was loaded by a repository's name has it and the commit, although that name is no folder."""
    from huggingface_hub import constants

    cache, commit = tmp_path / "hub", "a" * 40
    snapshot = cache / "models--someone--tiny" / "snapshots" / commit
    shutil.copytree(saved, snapshot)
    (cache / "models--someone--tiny" / "refs").mkdir()
    (cache / "models--someone--tiny" / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    unet = UNet2DModel.from_pretrained("someone/tiny", subfolder="unet", cache_dir=str(cache))
    part = {one.name: one for one in describe_components(DDIMPipeline(unet, DDIMScheduler()))}["unet"]
    assert (part.repo_id, part.commit, part.location) == ("someone/tiny", commit, str(snapshot / "unet"))
    assert [(one.path, one.repo_id, one.commit) for one in part.weights] == [
        ("diffusion_pytorch_model.safetensors", "someone/tiny", commit)
    ]
