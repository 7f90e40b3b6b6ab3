"""Promises about weights that a script loads by itself: eight ways of loading are recorded with their files, come back
to the bit, and a file that is not the recorded one is named before anything is computed."""

import copy
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from repro_track.tensors.digests import digest_file
from tests.conformance import zoo
from tests.models import make_tiny_pipeline

pytestmark = [pytest.mark.pipelines, pytest.mark.xdist_group("loading")]

SCRIPT = Path(__file__).with_name("loading.py")
COMMIT, LATER = "a" * 40, "b" * 40

PIPELINE = """
import torch
from diffusers import DiffusionPipeline


class OneStep(DiffusionPipeline):
    def __init__(self, unet, scheduler):
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(self, generator=None):
        self.scheduler.set_timesteps(2)
        noise = torch.randn((1, 3, 8, 8), generator=generator)
        return {"images": self.scheduler.step(self.unet(noise, 1).sample, 1, noise).prev_sample}
"""


def publish(cache, repository, commit, files):
    """Put files into a Hub cache as its library lays them out, and let the branch `main` be this commit."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    for inside, file in files.items():
        blob, link = folder / "blobs" / digest_file(file), folder / "snapshots" / commit / inside
        for path in (blob, link):
            path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, blob)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit)


def list_files(folder, prefix=""):
    return {f"{prefix}{path.relative_to(folder)}": path for path in folder.rglob("*") if path.is_file()}


def save_gguf(model, path):
    """Save a model as GGUF, its large matrices in eight bits."""
    import gguf

    kind = gguf.GGMLQuantizationType.Q8_0
    writer = gguf.GGUFWriter(str(path), "flux")
    for name, tensor in model.state_dict().items():
        values = tensor.numpy()
        if values.ndim == 2 and values.shape[-1] % 32 == 0:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """What loading.py loads."""
    at = tmp_path_factory.mktemp("models")
    flux, sd = zoo.ZOO["flux"].build(), zoo.ZOO["stable_diffusion"].build()
    flux.save_pretrained(at / "flux")
    sd.save_pretrained(at / "sd")
    make_tiny_pipeline().save_pretrained(at / "ddim")
    for name in ("single.safetensors", "flux.gguf", "hub"):  # each its own weights
        with torch.no_grad():
            for weight in flux.transformer.parameters():
                weight.mul_(1.01)
        if name == "hub":
            flux.transformer.save_pretrained(at / "published")
        elif name.endswith("gguf"):
            save_gguf(flux.transformer, at / name)
        else:
            save_file(flux.transformer.state_dict(), at / name)
    for seed, name in enumerate(("first", "second")):
        torch.manual_seed(seed)
        lora = zoo.save_lora(copy.deepcopy(sd), at / "lora")["lora"]["pixel"]["path"]
        shutil.copyfile(lora, at / f"{name}.safetensors")
    (at / "custom").mkdir()
    (at / "custom" / "pipeline.py").write_text(PIPELINE)
    publish(at / "hub", "someone/flux", COMMIT, list_files(at / "published", "transformer/"))
    (at / "community.py").write_text(PIPELINE.replace("OneStep", "OneMoreStep"))
    return at


@pytest.fixture(scope="module")
def env(models, tmp_path_factory):
    return {"HF_HUB_CACHE": str(models / "hub"), "HF_MODULES_CACHE": str(tmp_path_factory.mktemp("modules"))}


@pytest.fixture(scope="module")
def recorded(python, models, env, tmp_path_factory):
    """All eight ways in one run; gives its id."""
    script = tmp_path_factory.mktemp("script") / "loading.py"
    shutil.copyfile(SCRIPT, script)
    result = python(script, models, env=env)
    assert result.code == 0, result.err
    return result.run_id


def test_every_way_of_loading_has_its_files(recorded, read_record, models):
    """Each component that has weights has the file that it came from, by digest, the Hub's with repository and commit;
    the adapter is the one that was swapped in, the one before it was opened besides; nothing is unseen."""
    record = read_record(recorded)
    assert record.replayable.yes and record.cautions == ()
    ways = ["single file", "subfolder", "GGUF", "quantized", "custom pipeline", "community", "from_pipe", "LoRA"]
    found = {}
    for way, call in zip(ways, record.calls, strict=True):
        parts = {part.name: part for part in call.components if part.memory_xxh3 is not None}
        assert all(part.weights and isinstance(part.memory_xxh3, str) for part in parts.values()), way
        main = parts.get("transformer") or parts["unet"]
        found[way] = {f"{one.folder or main.location}/{one.path}": one for one in main.weights}
    expected = {
        "single file": [models / "single.safetensors"],
        "GGUF": [models / "flux.gguf"],
        "quantized": [models / "flux/transformer/diffusion_pytorch_model.safetensors"],
        "custom pipeline": [models / "ddim/unet/diffusion_pytorch_model.safetensors"],
        "from_pipe": [models / "sd/unet/diffusion_pytorch_model.safetensors"],
        "LoRA": [models / "sd/unet/diffusion_pytorch_model.safetensors", models / "second.safetensors"],
    }
    for way, paths in expected.items():
        assert {path: one.sha256 for path, one in found[way].items()} == {str(one): digest_file(one) for one in paths}
    (hub,) = found["subfolder"].values()
    assert (hub.repo_id, hub.commit, hub.origin) == ("someone/flux", COMMIT, "hub")
    assert hub.sha256 == digest_file(models / "published" / "diffusion_pytorch_model.safetensors")
    assert [one.path for one in record.calls[7].other_weights] == ["first.safetensors"]


def change_by_one_ulp(path, name):
    weights = load_file(path)
    flat = weights[name].view(-1)
    flat[0] = torch.nextafter(flat[0], torch.tensor(torch.inf))
    save_file(weights, path, metadata={"format": "pt"})


def test_every_way_of_loading_comes_back(cli, recorded, models, env):
    """The run replays to the bit, all eight ways; also where the Hub's branch has moved to other weights since, because
    the repository is loaded at the recorded commit."""
    moved = models / "moved"
    shutil.copytree(models / "published", moved)
    change_by_one_ulp(moved / "diffusion_pytorch_model.safetensors", "x_embedder.bias")
    publish(models / "hub", "someone/flux", LATER, list_files(moved, "transformer/"))
    result = cli("replay", recorded, "--json", env=env)
    assert result.code == 0, result.err
    data = json.loads(result.out)
    assert data["verdict"] == "bit-exact"
    assert len(data["outputs"]) == 8
    assert [one for one in data["differences"] if one["kind"] == "weights"] == []


def test_one_weight_by_one_ulp_is_refused_and_named(cli, recorded, models, env):
    """One weight of a file that was loaded apart is changed by one unit in the last place: the replay is refused before
    anything is computed, with the file's name; with the present weights it says that this file is what differs."""
    path = models / "single.safetensors"
    kept = path.read_bytes()
    change_by_one_ulp(path, "x_embedder.weight")
    try:
        result = cli("replay", recorded, env=env)
        assert result.code == 3
        assert "single.safetensors are not the recorded ones" in result.err
        result = cli("replay", recorded, "--weights", "current", "--json", env=env)
    finally:
        path.write_bytes(kept)
    data = json.loads(result.out)
    wrong = {one["place"] for one in data["differences"] if one["kind"] == "weights"}
    assert "calls.0.components.transformer.weights.single.safetensors.sha256" in wrong
    assert "calls.0.components.transformer.memory_xxh3" in wrong
    assert not any(place.startswith("calls.2.") for place in wrong)
    verdicts = {one["name"]: one["verdict"] for one in data["outputs"]}
    assert verdicts["call2.images.0"] == "bit-exact"
    assert verdicts["images.0"] != "bit-exact"
