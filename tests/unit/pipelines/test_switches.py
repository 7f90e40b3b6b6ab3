"""Promises of switches.py: what was done to a pipeline is seen, named, and done again by its config."""

import pytest
import torch
from diffusers import AutoencoderKL

from repro_track.errors import PipelineError, UsageError
from repro_track.pipelines.components import describe_components
from repro_track.pipelines.switches import apply_switches, capture_hooks, capture_switches, digest_switches
from tests.conformance import zoo
from tests.conformance.zoo import parts


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
    model = parts.vae()
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


# --- hooks


def test_the_settings_of_hooks_are_seen(pipe):
    """What a hook of casting, offloading or caching was given is found, by the hook; what it keeps while it runs is
    not, and a model without hooks has none."""
    from accelerate.hooks import AlignDevicesHook, CpuOffload, SequentialHook, add_hook_to_module

    assert capture_hooks(pipe.unet) == {}
    assert capture_hooks(pipe.scheduler) is None
    pipe.unet.enable_layerwise_casting(storage_dtype=torch.float16, compute_dtype=torch.float32)
    ((name, settings),) = capture_hooks(pipe.unet).items()
    assert name.startswith("LayerwiseCastingHook:")
    assert settings == {"storage_dtype": "torch.float16", "compute_dtype": "torch.float32", "non_blocking": False}
    add_hook_to_module(pipe.vae, SequentialHook(AlignDevicesHook(io_same_device=True), CpuOffload("cpu")))
    (inner,) = [one["AlignDevicesHook"] for one in capture_hooks(pipe.vae)["SequentialHook"]["hooks"][:1]]
    assert inner["io_same_device"]
    assert "input_device" not in inner


@pytest.mark.parametrize(
    ("cache", "hook", "setting"),
    [
        ({"FirstBlockCacheConfig": {"threshold": 0.25}}, "FBCHeadBlockHook", ("threshold", 0.25)),
        (
            {"PyramidAttentionBroadcastConfig": {"spatial_attention_block_skip_range": 3}},
            "PyramidAttentionBroadcastHook",
            ("block_skip_range", 3),
        ),
    ],
)
def test_a_cache_is_set_by_a_config_and_its_settings_are_seen(cache, hook, setting):
    """A cache is set by the name of its config class, the pipeline runs with it, and its settings are found: the same
    after a call as before, and others for another threshold."""
    pipe = zoo.ZOO["flux"].build()
    apply_switches(pipe, {"transformer": {"enable_cache": cache}})
    settings = {name.partition(":")[0]: one for name, one in capture_hooks(pipe.transformer).items()}
    assert settings[hook][setting[0]] == setting[1]
    before = describe(pipe)["transformer"]
    pipe(**zoo.ZOO["flux"].call, generator=torch.Generator().manual_seed(0))
    assert describe(pipe)["transformer"].hook_settings == before.hook_settings


def test_group_offloading_is_seen_with_its_settings(pipe):
    """The groups of offloading have their config, whatever else they hold; what differs from module to module is a
    list."""
    words = {"onload_device": "cpu", "offload_device": "cpu", "offload_type": "leaf_level"}
    pipe.vae.enable_group_offload(**{**words, "onload_device": torch.device("cpu")})
    found = capture_hooks(pipe.vae)
    (config,) = {str(one["config"]) for name, one in found.items() if name.startswith("GroupOffloadingHook")}
    assert "leaf_level" in config
    assert "cpu" in config


def test_a_mapping_that_names_no_config_is_arguments(pipe):
    """Only a config class of diffusers is made an object: any other mapping is named arguments."""
    with pytest.raises(PipelineError, match="enable_freeu"):
        apply_switches(pipe, {"enable_freeu": {"NoSuchConfig": {"s1": 1}}})
