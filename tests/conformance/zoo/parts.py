"""Parts of tiny pipelines: tokenizers, encoders, autoencoders, UNets and what else several entries have."""

from __future__ import annotations

import string
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image

WORDS = ("a", "small", "cat", "on", "the", "moon", "photo", "of", "music", "blurry", "sks")


def make_mask(size: int = 32) -> Image.Image:
    """A mask: the left half is to be painted."""
    return Image.fromarray(np.where(np.arange(size) < size // 2, 255, 0).astype(np.uint8)[None, :].repeat(size, 0))


def clip_tokenizer() -> Any:
    """A CLIP tokenizer that knows letters, and each of them at the end of a word."""
    letters = string.ascii_lowercase + string.digits + ".,"
    pieces = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    return transformers.CLIPTokenizer(
        vocab={piece: index for index, piece in enumerate(pieces)}, merges=[], model_max_length=77
    )


def roberta_tokenizer() -> Any:
    """A RoBERTa tokenizer that knows letters, with and without a space before them."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *string.ascii_lowercase, "Ġ"]
    return transformers.RobertaTokenizer(
        vocab={piece: index for index, piece in enumerate(pieces)}, merges=[], model_max_length=32
    )


def t5_tokenizer(**words: Any) -> Any:
    """A T5 tokenizer that knows a few words."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += (
        [(f"▁{word}", -2.0) for word in WORDS] + [(letter, -5.0) for letter in string.ascii_lowercase] + [("▁", -3.0)]
    )
    return transformers.T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=32, **words)


def word_tokenizer(**words: Any) -> Any:
    """A tokenizer of whole words for every other language model, with a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ["<pad>", "<unk>", "<s>", "</s>"]
    vocabulary = {word: index for index, word in enumerate([*special, *WORDS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    # an empty prompt is one token, as it is with real language models
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 2)])
    template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        model_max_length=64, **words,
    )  # fmt: skip
    tokenizer.chat_template = template
    return tokenizer


def clip_text(*, projection: bool = False, width: int = 32, **words: Any) -> Any:
    config = transformers.CLIPTextConfig(
        hidden_size=width, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4, vocab_size=100,
        projection_dim=width, bos_token_id=0, eos_token_id=1, pad_token_id=1, **words,
    )  # fmt: skip
    model = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    return model(config).eval()


def clip_vision(*, width: int = 32, size: int = 32, patch_size: int = 8) -> Any:
    config = transformers.CLIPVisionConfig(
        hidden_size=width, projection_dim=width, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
        image_size=size, patch_size=patch_size,
    )  # fmt: skip
    return transformers.CLIPVisionModelWithProjection(config).eval()


def image_processor(size: int = 32) -> Any:
    return transformers.CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})


def t5_encoder(model: str = "T5EncoderModel", width: int = 32) -> Any:
    config_class = transformers.UMT5Config if model.startswith("UMT5") else transformers.T5Config
    config = config_class(vocab_size=100, d_model=width, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    return getattr(transformers, model)(config).eval()


def vae(**words: Any) -> Any:
    channels = words.get("block_out_channels", (8, 16))
    given = {
        "block_out_channels": channels, "in_channels": 3, "out_channels": 3, "latent_channels": 4, "norm_num_groups": 4,
        "down_block_types": ("DownEncoderBlock2D",) * len(channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(channels),
        "sample_size": 32,
    }  # fmt: skip
    return diffusers.AutoencoderKL(**{**given, **words}).eval()


def unet(**words: Any) -> Any:
    given = {
        "block_out_channels": (8, 16), "layers_per_block": 1, "sample_size": 16, "in_channels": 4, "out_channels": 4,
        "norm_num_groups": 4, "cross_attention_dim": 32, "attention_head_dim": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }  # fmt: skip
    return diffusers.UNet2DConditionModel(**{**given, **words}).eval()


def unconditional_unet(**words: Any) -> Any:
    given = {
        "block_out_channels": (4, 8), "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 8, "in_channels": 3,
        "out_channels": 3, "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }  # fmt: skip
    return diffusers.UNet2DModel(**{**given, **words}).eval()


def ddim(**words: Any) -> Any:
    given = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
    return diffusers.DDIMScheduler(**{**given, "set_alpha_to_one": False, **words})


def flow(**words: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(**words)


def sd_parts(**changed: Any) -> dict[str, Any]:
    parts = {
        "unet": unet(), "vae": vae(), "text_encoder": clip_text(), "tokenizer": clip_tokenizer(), "scheduler": ddim(),
        "safety_checker": None, "feature_extractor": None,
    }  # fmt: skip
    return {**parts, **changed}


def draw_weights(model: Any) -> None:
    """Draw every weight of a model whose class leaves some uninitialised, or zero: it would control nothing."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)


def controlnet(**words: Any) -> Any:
    given = {
        "block_out_channels": (8, 16), "layers_per_block": 1, "in_channels": 4, "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "cross_attention_dim": 32, "attention_head_dim": 4,
        "conditioning_embedding_out_channels": (8, 16),
    }  # fmt: skip
    model = diffusers.ControlNetModel(**{**given, **words}).eval()
    for block in (*model.controlnet_down_blocks, model.controlnet_mid_block):
        torch.nn.init.normal_(block.weight)  # zeros as built: it would control nothing
    return model


def sdxl_unet(**words: Any) -> Any:
    given = {
        "transformer_layers_per_block": 1, "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 80, "cross_attention_dim": 64, "use_linear_projection": True,
    }  # fmt: skip
    return unet(**{**given, **words})


def sdxl_parts(**changed: Any) -> dict[str, Any]:
    parts = {
        "unet": sdxl_unet(), "vae": vae(), "text_encoder": clip_text(), "text_encoder_2": clip_text(projection=True),
        "tokenizer": clip_tokenizer(), "tokenizer_2": clip_tokenizer(),
        "scheduler": diffusers.EulerDiscreteScheduler(timestep_spacing="leading", steps_offset=1),
    }  # fmt: skip
    return {**parts, **changed}


TWO_STEPS = {"num_inference_steps": 2, "output_type": "np"}
PROMPT = {"prompt": "a small cat", **TWO_STEPS}
SQUARE = {**PROMPT, "height": 32, "width": 32}
TEXT = {**SQUARE, "guidance_scale": 5.0}
