"""Promises of adapters.py: every adapter is seen with its scale, and only safetensors are loaded."""

import pytest
import torch

from repro_track.config.schema import AdapterConfig, AdaptersConfig
from repro_track.errors import PipelineError, UsageError
from repro_track.pipelines.adapters import capture_adapters, load_adapters
from repro_track.pipelines.components import describe_components
from repro_track.pipelines.switches import capture_switches
from tests.conformance import zoo


def describe(pipe):
    return {part.name: part for part in describe_components(pipe)}


def test_lora_weights_are_loaded_and_seen(pipe, tmp_path):
    """A LoRA's name, rank, scale and file are recorded; another scale is another record; without it there is none."""
    files = zoo.save_lora(pipe, tmp_path)
    assert capture_adapters(pipe.unet) == ()
    path = files["lora"]["pixel"]["path"]
    (file,) = load_adapters(pipe, AdaptersConfig(lora={"pixel": AdapterConfig(path, scale=0.75)}))
    (adapter,) = capture_adapters(pipe.unet)
    assert (adapter.name, adapter.kind, adapter.rank, adapter.scales, adapter.is_active) == (
        "pixel",
        "LORA",
        4,
        (0.75,),
        True,
    )
    assert file.path == path
    pipe.set_adapters(["pixel"], [0.5])
    assert capture_adapters(pipe.unet)[0].scales == (0.5,)
    pipe.disable_lora()
    assert not capture_adapters(pipe.unet)[0].is_active


def test_two_adapters_keep_their_order(pipe, tmp_path):
    """Two adapters are recorded in the order in which they were loaded, each with its own scale."""
    first, second = (zoo.save_lora(pipe, tmp_path / name)["lora"]["pixel"]["path"] for name in ("a", "b"))
    load_adapters(
        pipe, AdaptersConfig(lora={"b": AdapterConfig(second, scale=1.0), "a": AdapterConfig(first, scale=0.25)})
    )
    assert [(one.name, one.scales) for one in capture_adapters(pipe.unet)] == [("b", (1.0,)), ("a", (0.25,))]


def test_an_ip_adapter_and_its_scale_are_seen(tmp_path):
    """An IP-adapter changes the attention processors that are recorded; so does its scale."""
    pipe = zoo.ZOO["ip_adapter"].build()
    plain = capture_switches(pipe.unet)["attention"]
    path = zoo.save_ip_adapter(pipe, tmp_path)["ip_adapter"]["tiny"]["path"]
    load_adapters(pipe, AdaptersConfig(ip_adapter={"tiny": AdapterConfig(path, scale=0.6)}))
    loaded = capture_switches(pipe.unet)["attention"]
    assert any("IPAdapter" in name and "0.6" in name for name in loaded)
    pipe.set_ip_adapter_scale(0.1)
    assert capture_switches(pipe.unet)["attention"] not in (plain, loaded)


def test_a_textual_inversion_is_seen(pipe, tmp_path):
    """A new word is found in the tokenizer, and its embedding in the digest of the text encoder."""
    before = describe(pipe)
    path = zoo.save_textual_inversion(tmp_path)["textual_inversion"]["sks"]["path"]
    load_adapters(pipe, AdaptersConfig(textual_inversion={"sks": AdapterConfig(path)}))
    after = describe(pipe)
    assert "sks" in after["tokenizer"].switches["added_words"]
    assert "sks" not in before["tokenizer"].switches["added_words"]
    assert before["text_encoder"].memory_xxh3 != after["text_encoder"].memory_xxh3


@pytest.mark.parametrize("kind", ["lora", "ip_adapter", "textual_inversion"])
def test_only_safetensors_are_loaded(pipe, tmp_path, kind):
    """A file of another format, which could hold code, is refused by its name; so is one that is not there."""
    pickled = tmp_path / "weights.bin"
    torch.save({"a": torch.ones(1)}, pickled)
    for path in (str(pickled), str(tmp_path / "nothing.safetensors")):
        with pytest.raises(UsageError, match=f"adapters.{kind}.x"):
            load_adapters(pipe, AdaptersConfig(**{kind: {"x": AdapterConfig(path)}}))


@pytest.mark.parametrize("kind", ["lora", "ip_adapter", "textual_inversion"])
def test_a_repository_is_asked_for_by_its_whole_name(pipe, kind):
    """An adapter of the Hub that is not in the cache, with the Hub out of reach, is one message that names the
    repository."""
    adapter = AdapterConfig("nobody/nothing", weight_name="x.safetensors")
    with pytest.raises(PipelineError, match="nobody/nothing"):
        load_adapters(pipe, AdaptersConfig(**{kind: {"x": adapter}}))


def test_a_pipeline_without_adapters_says_so(tiny_pipeline, tmp_path):
    """A pipeline that takes no LoRA is named."""
    with pytest.raises(UsageError, match="DDIMPipeline"):
        load_adapters(tiny_pipeline, AdaptersConfig(lora={"x": AdapterConfig(str(tmp_path))}))
