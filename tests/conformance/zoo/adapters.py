"""Adapters of random weights, saved for a built pipeline in the formats that diffusers loads."""

from __future__ import annotations

import copy
from typing import Any

import torch


def save_lora(pipe: Any, folder: Any) -> dict[str, Any]:
    """Save LoRA weights for a pipeline's UNet; gives the config's adapters."""
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    model = copy.deepcopy(pipe.unet)
    model.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_v"], init_lora_weights=False))
    type(pipe).save_lora_weights(folder / "lora", get_peft_model_state_dict(model))
    path = str(folder / "lora" / "pytorch_lora_weights.safetensors")
    return {"lora": {"pixel": {"path": path, "scale": 0.75}}}


def save_textual_inversion(folder: Any) -> dict[str, Any]:
    """Save the embedding of a new word; gives the config's adapters."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({"sks": torch.randn(1, 32)}, folder / "sks.safetensors")
    return {"textual_inversion": {"sks": {"path": str(folder / "sks.safetensors")}}}


def save_ip_adapter(pipe: Any, folder: Any) -> dict[str, Any]:
    """Save IP-adapter weights for a pipeline's UNet, in the format that load_ip_adapter takes; gives the config's
    adapters."""
    from safetensors.torch import save_file

    tensors, number = {}, 1
    for name in pipe.unet.attn_processors:
        if "attn2" not in name:
            continue
        layer = pipe.unet.get_submodule(name.removesuffix(".processor"))
        for key in ("to_k_ip", "to_v_ip"):
            tensors[f"ip_adapter.{number}.{key}.weight"] = torch.randn(layer.inner_dim, layer.cross_attention_dim) * 0.1
        number += 2
    width = pipe.unet.config.cross_attention_dim
    tensors["image_proj.proj.weight"] = torch.randn(4 * width, 32) * 0.1
    tensors["image_proj.proj.bias"] = torch.zeros(4 * width)
    tensors["image_proj.norm.weight"], tensors["image_proj.norm.bias"] = torch.ones(width), torch.zeros(width)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "ip.safetensors")
    return {"ip_adapter": {"tiny": {"path": str(folder / "ip.safetensors"), "scale": 0.6}}}
