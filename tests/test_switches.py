"""Promises of switches.py and adapters.py: what was done to a pipeline is seen, named, and done again by its config."""

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline

from repro_track.config.schema import AdapterConfig, AdaptersConfig
from repro_track.errors import PipelineError, UsageError
from repro_track.pipelines.adapters import capture_adapters, load_adapters
from repro_track.pipelines.components import describe_components
from repro_track.pipelines.switches import apply_switches, capture_switches, digest_switches
from tests.conformance import zoo


@pytest.fixture
def pipe() -> StableDiffusionPipeline:
    """A tiny Stable Diffusion pipeline."""
    return zoo.ZOO["stable_diffusion"].build()


def describe(pipe):
    return {part.name: part for part in describe_components(pipe)}


@pytest.mark.parametrize(
    ("switches", "component"),
    [
        ({"vae": {"enable_tiling": True}}, "vae"),
        ({"vae.enable_slicing": True}, "vae"),
        ({"enable_attention_slicing": "max"}, "unet"),
        ({"enable_freeu": {"s1": 0.9, "s2": 0.2, "b1": 1.2, "b2": 1.4}}, "unet"),
        ({"fuse_qkv_projections": True}, "unet"),
        ({"unet.to": {"memory_format": "torch.channels_last"}}, "unet"),
        ({"unet.compile": True}, "unet"),
    ],
    ids=str,
)
def test_a_switch_is_set_and_seen(pipe, switches, component):
    """Each switch, set by its name in diffusers, changes what is found on its component and nothing on another."""
    before = describe(pipe)
    apply_switches(pipe, switches)
    after = describe(pipe)
    changed = {name for name in before if before[name] != after[name]}
    assert component in changed
    assert changed <= {"unet", "vae"}
    again = describe(pipe)
    assert again == after


def test_a_switch_that_is_off_is_not_called(pipe):
    """`false` leaves the pipeline as it is."""
    before = describe(pipe)
    apply_switches(pipe, {"vae.enable_tiling": False})
    assert describe(pipe) == before


def test_an_attention_backend_is_seen():
    """The backend that attention was dispatched to is found on the processors."""
    pipe = zoo.ZOO["flux"].build()
    before = describe(pipe)
    apply_switches(pipe, {"transformer": {"set_attention_backend": "native"}})
    after = describe(pipe)
    assert any("native" in name for name in after["transformer"].switches["attention"])
    assert before["transformer"].switches["attention"] != after["transformer"].switches["attention"]


def test_offloading_is_seen(pipe):
    """The hooks of CPU offloading are found on the models, and gone when it is undone."""
    from accelerate.hooks import CpuOffload, add_hook_to_module, remove_hook_from_module

    add_hook_to_module(pipe.unet, CpuOffload("cpu"))
    assert capture_switches(pipe.unet)["hooks"] == {"CpuOffload": 1}
    remove_hook_from_module(pipe.unet)
    assert "hooks" not in capture_switches(pipe.unet)


def test_a_setting_deep_in_a_model_is_seen():
    """A setting of a single module below changes the digest of all, and only that."""
    model = zoo.vae()
    assert isinstance(model, AutoencoderKL)
    before = digest_switches(model)
    model.decoder.up_blocks[0].resnets[0].output_scale_factor = 1.5
    assert digest_switches(model) != before
    model.decoder.up_blocks[0].resnets[0].output_scale_factor = 1.0
    assert digest_switches(model) == before


@pytest.mark.parametrize(
    ("switches", "advice"),
    [
        ({"enable_freeuu": True}, "switches.enable_freeu"),
        ({"vae.enable_tilin": True}, "switches.vae.enable_tiling"),
        ({"save_pretrained": "/tmp/x"}, None),
        ({"vea.enable_tiling": True}, None),
        ({"config.update": {"a": 1}}, None),
    ],
    ids=str,
)
def test_what_is_no_switch_is_refused(pipe, switches, advice):
    """A typo comes with the right name; a method that is no switch is never called."""
    with pytest.raises(UsageError) as caught:
        apply_switches(pipe, switches)
    if advice:
        assert advice in caught.value.advice


def test_a_switch_that_fails_is_one_message(pipe):
    """What a switch does not take is one message with what it takes."""
    with pytest.raises(PipelineError, match="enable_freeu"):
        apply_switches(pipe, {"enable_freeu": {"s1": 1}})


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
