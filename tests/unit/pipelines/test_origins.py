"""Promises of origins.py: the files that a model's weights come from are found by their values, however loaded."""

import copy
import shutil
import subprocess
import sys
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from repro_track.pipelines.components import describe_components, describe_others
from repro_track.pipelines.origins import find_origins
from repro_track.tensors.digests import digest_file
from repro_track.tensors.opened import list_opened
from tests.conformance import zoo
from tests.conformance.zoo import parts

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models in the formats in which they lie about: sharded, a variant, pickled, a bare dict of weights, one file."""
    folder = tmp_path_factory.mktemp("models")
    pipe = zoo.ZOO["stable_diffusion"].build()
    pipe.save_pretrained(folder / "pipe")
    pipe.save_pretrained(folder / "variant", variant="fp16")
    pipe.unet.save_pretrained(folder / "sharded", max_shard_size="100KB")
    pipe.unet.save_pretrained(folder / "pickled", safe_serialization=False)
    torch.save(pipe.unet.state_dict(), folder / "unet.pt")
    torch.save({"step": 3, "ema": pipe.unet.state_dict()}, folder / "old.ckpt", _use_new_zipfile_serialization=False)
    return folder


@pytest.fixture
def pipe():
    """A pipeline whose weights are in no file."""
    return zoo.ZOO["stable_diffusion"].build()


def describe(part, name="unet"):
    """Describe one model as the component of a pipeline."""

    class Pipeline:
        components = {name: part}

    return describe_components(Pipeline())[0]


def list_paths(part):
    """List where the files of a component are."""
    return [f"{weight.folder or part.location}/{weight.path}" for weight in part.weights]


def load_dict(path):
    unet = parts.unet()
    content = torch.load(path, weights_only=True)
    unet.load_state_dict(content.get("ema", content))
    return unet


LOADED = {
    "subfolder": (lambda at: diffusers.UNet2DConditionModel.from_pretrained(at / "pipe", subfolder="unet"), UNET),
    "its own folder": (lambda at: diffusers.UNet2DConditionModel.from_pretrained(at / "pipe" / "unet"), UNET),
    "half precision": (
        lambda at: diffusers.UNet2DConditionModel.from_pretrained(
            at / "pipe", subfolder="unet", torch_dtype=torch.float16
        ),
        UNET,
    ),
    "back to full precision": (
        lambda at: diffusers.UNet2DConditionModel.from_pretrained(
            at / "pipe", subfolder="unet", torch_dtype=torch.bfloat16
        ).float(),
        UNET,
    ),
    "pickled": (
        lambda at: diffusers.UNet2DConditionModel.from_pretrained(at / "pickled", use_safetensors=False),
        "pickled/diffusion_pytorch_model.bin",
    ),
    "a dict of torch": (lambda at: load_dict(at / "unet.pt"), "unet.pt"),
    "a dict of an older torch": (lambda at: load_dict(at / "old.ckpt"), "old.ckpt"),
}


@pytest.mark.parametrize("way", LOADED)
def test_a_model_loaded_by_itself_has_its_file(models, way):
    """However a model was loaded, the record has its file, with the digest; one of random weights has none."""
    load, file = LOADED[way]
    part = describe(load(models))
    expected = models / (file if file != UNET else f"pipe/{UNET}")
    assert list_paths(part) == [str(expected)]
    assert [weight.sha256 for weight in part.weights] == [digest_file(expected)]
    torch.manual_seed(7)
    assert describe(parts.unet()).weights == ()


def test_every_shard_is_found(models):
    """Of a checkpoint in many files all are recorded, and none of another model."""
    part = describe(diffusers.UNet2DConditionModel.from_pretrained(models / "sharded"))
    assert list_paths(part) == [str(path) for path in sorted((models / "sharded").glob("*.safetensors"))]
    assert len(part.weights) == 3


def test_a_variant_is_told_from_the_file_beside_it(models, tmp_path, pipe):
    """Where two variants lie in one folder, the one that was loaded is recorded."""
    folder = tmp_path / "both"
    shutil.copytree(models / "variant", folder)
    plain = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, plain, metadata={"format": "pt"})
    loaded = diffusers.StableDiffusionPipeline.from_pretrained(folder, variant="fp16")
    parts = {part.name: part for part in describe_components(loaded)}
    assert [weight.path for weight in parts["unet"].weights] == ["diffusion_pytorch_model.fp16.safetensors"]
    assert [weight.path for weight in parts["text_encoder"].weights] == ["model.fp16.safetensors"]
    other = describe(diffusers.UNet2DConditionModel.from_pretrained(folder, subfolder="unet"))
    assert list_paths(other) == [str(plain)]


def test_what_was_loaded_apart_is_found_in_each_component(models, pipe):
    """Parts loaded one by one and given to a constructor have their files, those of transformers too; so has a
    ControlNet that was made of a UNet, and a second pipeline of the same parts."""
    at = models / "pipe"
    unet = diffusers.UNet2DConditionModel.from_pretrained(at, subfolder="unet")
    pipe.register_modules(
        unet=unet,
        vae=diffusers.AutoencoderKL.from_pretrained(at, subfolder="vae"),
        text_encoder=transformers.CLIPTextModel.from_pretrained(at / "text_encoder"),
    )
    second = diffusers.StableDiffusionImg2ImgPipeline.from_pipe(pipe)
    for one in (pipe, second):
        parts = {part.name: part for part in describe_components(one)}
        for name in ("unet", "vae", "text_encoder"):
            assert list_paths(parts[name]) == [str(path) for path in sorted((at / name).glob("*.safetensors"))]
    made = describe(diffusers.ControlNetModel.from_unet(unet), "controlnet")
    assert list_paths(made) == [str(at / UNET)]


def test_a_lora_and_its_successor_are_seen(models, pipe, tmp_path):
    """A LoRA's file is recorded with those of the model that it is in; hotswapped, it is the other file; fused, it is
    the model's no more."""
    pipe.unet = diffusers.UNet2DConditionModel.from_pretrained(models / "pipe", subfolder="unet")
    torch.manual_seed(1)
    first = zoo.save_lora(copy.deepcopy(pipe), tmp_path / "a")["lora"]["pixel"]["path"]
    torch.manual_seed(2)
    second = zoo.save_lora(copy.deepcopy(pipe), tmp_path / "b")["lora"]["pixel"]["path"]
    base = str(models / "pipe" / UNET)
    pipe.load_lora_weights(first, adapter_name="x")
    assert set(list_paths(describe(pipe.unet))) == {base, first}
    pipe.load_lora_weights(second, adapter_name="x", hotswap=True)
    assert set(list_paths(describe(pipe.unet))) == {base, second}
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    assert list_paths(describe(pipe.unet)) == [base]
    assert {first, second} <= {file.path for file in list_opened()}


def test_weights_that_were_changed_are_still_of_their_file(models):
    """One weight changed in memory by one ulp: the file is the same, the digest of the memory is not. Weights of
    another file copied over them (EMA) are of that file."""
    unet = diffusers.UNet2DConditionModel.from_pretrained(models / "pipe", subfolder="unet")
    before = describe(unet)
    with torch.no_grad():
        unet.conv_in.weight[0, 0, 0, 0] = torch.nextafter(unet.conv_in.weight[0, 0, 0, 0], torch.tensor(torch.inf))
    after = describe(unet)
    assert before.weights == after.weights
    assert before.memory_xxh3 != after.memory_xxh3
    torch.manual_seed(5)
    parts.unet().save_pretrained(models / "ema")
    unet.load_state_dict(load_file(models / "ema" / "diffusion_pytorch_model.safetensors"))
    assert list_paths(describe(unet)) == [str(models / "ema" / "diffusion_pytorch_model.safetensors")]


def test_two_models_of_one_kind_are_told_apart(models, tmp_path):
    """A model whose vectors are another one's and whose matrices are its own is of its own file."""
    weights = load_file(models / "pipe" / UNET)
    merged = {name: value if value.dim() == 1 else value * 1.5 for name, value in weights.items()}
    folder = tmp_path / "merged"
    shutil.copytree(models / "pipe" / "unet", folder)
    save_file(merged, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    one = diffusers.UNet2DConditionModel.from_pretrained(models / "pipe", subfolder="unet")
    other = diffusers.UNet2DConditionModel.from_pretrained(folder)
    assert list_paths(describe(one)) == [str(models / "pipe" / UNET)]
    assert list_paths(describe(other)) == [str(folder / "diffusion_pytorch_model.safetensors")]


def test_an_offloaded_model_has_its_file_and_its_digest(models):
    """A model whose weights are put away by accelerate's hooks has the file and the digest that it has in memory."""
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(models / "pipe")
    plain = {part.name: part for part in describe_components(pipe)}["unet"]
    pipe.enable_sequential_cpu_offload(device="cpu")
    assert next(pipe.unet.parameters()).is_meta
    offloaded = {part.name: part for part in describe_components(pipe)}["unet"]
    assert (offloaded.weights, offloaded.memory_xxh3) == (plain.weights, plain.memory_xxh3)


LATE = """
import sys, diffusers, torch
load = lambda dtype: diffusers.UNet2DConditionModel.from_pretrained(sys.argv[1], subfolder="unet", torch_dtype=dtype)
models = [load(torch.float32), load(torch.float16)]
import repro_track
from repro_track.pipelines.origins import find_origins
print([[file.path for file in find_origins(model, memory="x")] for model in models])
"""


@pytest.mark.starts(Path(sys.executable).name)
def test_weights_that_were_loaded_before_anybody_looked_are_found(models):
    """The program is imported after the model was loaded: its file is found where the model says, by its values, also
    where they were rounded."""
    words = [sys.executable, "-c", LATE, str(models / "pipe")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == str([[str(models / "pipe" / UNET)]] * 2)


def test_what_is_kept_is_asked_again_when_the_values_change(models):
    """The answer for a model is kept while its digest stays, and not for another one."""
    unet = diffusers.UNet2DConditionModel.from_pretrained(models / "pipe", subfolder="unet")
    found = find_origins(unet, memory="a")
    assert find_origins(unet, memory="a") is found
    with torch.no_grad():
        for weight in unet.parameters():
            weight.add_(3)
    assert find_origins(unet, memory="a") is found
    assert find_origins(unet, memory="b") == ()


def test_what_diffusers_loads_part_by_part_is_found(models):
    """The components of a pipeline that is spread over devices have their files and digests; so have those that a
    modular pipeline's specs load, each by itself."""
    at = models / "pipe"
    spread = diffusers.StableDiffusionPipeline.from_pretrained(at, device_map="balanced")
    spec = diffusers.ComponentSpec(
        name="unet",
        type_hint=diffusers.UNet2DConditionModel,
        pretrained_model_name_or_path=str(at),
        subfolder="unet",
    )
    for unet in (spread.unet, spec.load()):
        part = describe(unet)
        assert list_paths(part) == [str(at / UNET)]
        assert isinstance(part.memory_xxh3, str)


def test_the_word_of_a_textual_inversion_is_a_file_besides(models, tmp_path):
    """A new word's file is in no component as it is: it is among the files that were opened, the text encoder's own
    file stays its own."""
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(models / "pipe")
    torch.manual_seed(3)
    word = zoo.save_textual_inversion(tmp_path)["textual_inversion"]["sks"]["path"]
    pipe.load_textual_inversion(word, token="sks")
    parts = describe_components(pipe)
    encoder = next(part for part in parts if part.name == "text_encoder")
    assert list_paths(encoder) == [str(models / "pipe" / "text_encoder" / "model.safetensors")]
    assert word in [f"{one.folder}/{one.path}" for one in describe_others(pipe, parts)]
