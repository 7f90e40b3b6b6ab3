"""Recent families: pipelines that read their prompt with a language model, and most that make videos."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from tests.conformance.zoo.entry import ZOO, entry
from tests.conformance.zoo.families import qwen_vl
from tests.conformance.zoo.parts import (
    SQUARE,
    TEXT,
    TWO_STEPS,
    WORDS,
    clip_text,
    clip_tokenizer,
    ddim,
    draw_weights,
    flow,
    image_processor,
    roberta_tokenizer,
    sdxl_unet,
    t5_encoder,
    t5_tokenizer,
    vae,
    word_tokenizer,
)
from tests.conformance.zoo.variants import PICTURE, parts_of
from tests.pictures import make_picture

entry = functools.partial(entry, is_variant=True)
VIDEO = {**TEXT, "height": 16, "width": 16, "num_frames": 9, "max_sequence_length": 16}


# --- Flux 2 -------------------------------------------------------------------------------------------------------


def flux2_vae() -> Any:
    decoder = diffusers.AutoencoderKLFlux2(
        block_out_channels=(4,), down_block_types=("DownEncoderBlock2D",), up_block_types=("UpDecoderBlock2D",),
        layers_per_block=1, latent_channels=1, norm_num_groups=1, sample_size=32, use_quant_conv=False,
        use_post_quant_conv=False,
    )  # fmt: skip
    return decoder.eval()


def flux2_transformer() -> Any:
    model = diffusers.Flux2Transformer2DModel(
        patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, timestep_guidance_channels=256, axes_dims_rope=(4, 4, 4, 4),
    )  # fmt: skip
    return model.eval()


def qwen3(width: int = 16) -> Any:
    config = transformers.Qwen3Config(
        vocab_size=100, hidden_size=width, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=512,
    )  # fmt: skip
    return transformers.Qwen3ForCausalLM(config).eval()


LARGER = {"image": lambda: make_picture(64)}
FLUX_2 = {**TEXT, "max_sequence_length": 16, "text_encoder_out_layers": [1]}


@entry("Flux 2", call=FLUX_2)
def flux_2_klein() -> Any:
    return diffusers.Flux2KleinPipeline(flow(), flux2_vae(), qwen3(), word_tokenizer(), flux2_transformer())


@entry(
    "Flux 2",
    call={name: value for name, value in FLUX_2.items() if name != "guidance_scale"},
    files={"image": lambda: make_picture(64)},
)
def flux_2_klein_kv() -> Any:
    return diffusers.Flux2KleinKVPipeline(flow(), flux2_vae(), qwen3(), word_tokenizer(), flux2_transformer(), True)


@entry("Flux 2", call=FLUX_2)
def flux_2() -> Any:
    text = {
        "hidden_size": 16, "intermediate_size": 16, "max_position_embeddings": 512, "model_type": "mistral",
        "num_attention_heads": 2, "num_hidden_layers": 1, "num_key_value_heads": 1, "vocab_size": 100, "head_dim": 8,
    }  # fmt: skip
    vision = {
        "model_type": "pixtral", "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 1,
        "num_hidden_layers": 1, "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    config = transformers.Mistral3Config(text_config=text, vision_config=vision)
    tokenizer = word_tokenizer()
    # the messages of its processor are lists of parts; each has a text
    tokenizer.chat_template = (
        "{% for message in messages %}{% for part in message['content'] %}{{ part['text'] }} {% endfor %}{% endfor %}"
    )
    model = transformers.Mistral3ForConditionalGeneration(config).eval()
    return diffusers.Flux2Pipeline(flow(), flux2_vae(), model, tokenizer, flux2_transformer())


# --- Qwen-Image that edits ----------------------------------------------------------------------------------------


def embedded_prompt() -> Any:
    """The embedding of a prompt: what makes one of a text and a picture needs torchvision, which has no build for the
    torch of the tests."""
    return torch.randn(1, 7, 16, generator=torch.Generator().manual_seed(1))


EDIT = {
    "files": {
        "image": make_picture, "prompt_embeds": embedded_prompt, "prompt_embeds_mask": lambda: torch.ones(1, 7).long()
    },
    "call": {**TWO_STEPS, "height": 64, "width": 64, "true_cfg_scale": 1.0},
}  # fmt: skip


def qwen_edit_parts() -> dict[str, Any]:
    """The parts of Qwen-Image with an autoencoder that makes a picture 32 times smaller: the picture to be edited is
    always taken as one of 1024 x 1024."""
    decoder = diffusers.AutoencoderKLQwenImage(
        base_dim=3, z_dim=4, dim_mult=[1] * 6, num_res_blocks=1, temperal_downsample=[False] * 5,
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    )  # fmt: skip
    return {**parts_of("qwen_image"), "vae": decoder.eval(), "processor": word_tokenizer()}


@entry("Qwen-Image", **EDIT)
def qwen_image_edit() -> Any:
    return diffusers.QwenImageEditPipeline(**qwen_edit_parts())


@entry("Qwen-Image", **EDIT)
def qwen_image_edit_plus() -> Any:
    return diffusers.QwenImageEditPlusPipeline(**qwen_edit_parts())


# --- Kolors -------------------------------------------------------------------------------------------------------


_MODELS = tempfile.TemporaryDirectory()


def glm_tokenizer() -> Any:
    """The tokenizer of ChatGLM, which wants a model of sentencepiece: one that knows a few words is trained."""
    import io

    import sentencepiece
    from diffusers.pipelines.kolors import ChatGLMTokenizer

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(WORDS)] * 10), model_writer=model, vocab_size=40, minloglevel=2,
        character_coverage=1.0, hard_vocab_limit=False,
    )  # fmt: skip
    path = Path(_MODELS.name) / "tokenizer.model"  # where it is saved from
    path.write_bytes(model.getvalue())
    return ChatGLMTokenizer(str(path))


def kolors_parts() -> dict[str, Any]:
    from diffusers.pipelines.kolors import ChatGLMModel
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig

    config = ChatGLMConfig(
        num_layers=2, padded_vocab_size=100, hidden_size=16, ffn_hidden_size=16, kv_channels=8,
        num_attention_heads=2, multi_query_group_num=1, multi_query_attention=True, seq_length=256,
        post_layer_norm=True, rmsnorm=True, apply_residual_connection_post_layernorm=False, original_rope=True,
    )  # fmt: skip
    text_encoder = ChatGLMModel(config).eval()
    draw_weights(text_encoder)  # left uninitialised by the class
    return {
        "unet": sdxl_unet(cross_attention_dim=16, projection_class_embeddings_input_dim=64),
        "vae": vae(), "text_encoder": text_encoder, "tokenizer": glm_tokenizer(),
        "scheduler": diffusers.EulerDiscreteScheduler(timestep_spacing="leading", steps_offset=1),
    }  # fmt: skip


KOLORS = {**TEXT, "max_sequence_length": 64}


@entry("Kolors", call=KOLORS)
def kolors() -> Any:
    return diffusers.KolorsPipeline(**kolors_parts())


@entry("Kolors", call={**KOLORS, "strength": 0.9}, files=PICTURE)
def kolors_img2img() -> Any:
    return diffusers.KolorsImg2ImgPipeline(**kolors_parts())


@entry("Kolors", call=KOLORS)
def kolors_pag() -> Any:
    return diffusers.KolorsPAGPipeline(**kolors_parts(), pag_applied_layers=["mid"])


# --- Kandinsky 5 --------------------------------------------------------------------------------------------------


def kandinsky_5_parts(*, channels: int, decoder: Any) -> dict[str, Any]:
    transformer = diffusers.Kandinsky5Transformer3DModel(
        in_visual_dim=channels, in_text_dim=16, in_text_dim2=32, time_dim=16, out_visual_dim=channels,
        patch_size=(1, 2, 2), model_dim=16, ff_dim=32, num_text_blocks=1, num_visual_blocks=1, axes_dims=(2, 2, 4),
        visual_cond=False,
    )  # fmt: skip
    return {
        "transformer": transformer.eval(), "vae": decoder, "text_encoder": qwen_vl(),
        "tokenizer": roberta_tokenizer(), "text_encoder_2": clip_text(), "tokenizer_2": clip_tokenizer(),
        "scheduler": flow(),
    }  # fmt: skip


def hunyuan_vae() -> Any:
    decoder = diffusers.AutoencoderKLHunyuanVideo(
        latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4,
        down_block_types=("HunyuanVideoDownBlock3D",) * 4, up_block_types=("HunyuanVideoUpBlock3D",) * 4,
    )  # fmt: skip
    return decoder.eval()


@entry("Kandinsky 5", call={**TEXT, "max_sequence_length": 16})
def kandinsky_5_image() -> Any:
    decoder = vae(block_out_channels=(8, 8, 8, 8))
    return diffusers.Kandinsky5T2IPipeline(**kandinsky_5_parts(channels=4, decoder=decoder))


@entry("Kandinsky 5", batch=False, call={**VIDEO, "height": 32, "width": 32, "num_frames": 5})
def kandinsky_5_video() -> Any:
    return diffusers.Kandinsky5T2VPipeline(**kandinsky_5_parts(channels=4, decoder=hunyuan_vae()))


# --- HunyuanVideo -------------------------------------------------------------------------------------------------


def hunyuan_parts(**words: Any) -> dict[str, Any]:
    given = {
        "in_channels": 4, "out_channels": 4, "num_attention_heads": 2, "attention_head_dim": 10, "num_layers": 1,
        "num_single_layers": 1, "num_refiner_layers": 1, "patch_size": 1, "patch_size_t": 1, "text_embed_dim": 16,
        "pooled_projection_dim": 32, "rope_axes_dim": (2, 4, 4),
    }  # fmt: skip
    config = transformers.LlamaConfig(
        vocab_size=100, hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2,
        max_position_embeddings=512, bos_token_id=2, eos_token_id=3, pad_token_id=0,
    )  # fmt: skip
    return {
        "text_encoder": transformers.LlamaModel(config).eval(), "tokenizer": word_tokenizer(padding_side="right"),
        "transformer": diffusers.HunyuanVideoTransformer3DModel(**{**given, **words}).eval(), "vae": hunyuan_vae(),
        "scheduler": flow(shift=7.0), "text_encoder_2": clip_text(), "tokenizer_2": clip_tokenizer(),
    }  # fmt: skip


@entry(
    "video",
    call={
        **VIDEO,
        "guidance_scale": 1.0,
        "num_frames": 5,
        "prompt_template": {"template": "photo of {}", "crop_start": 0},
    },
)
def hunyuan_video() -> Any:
    return diffusers.HunyuanVideoPipeline(**hunyuan_parts())


# --- Wan, SkyReels ------------------------------------------------------------------------------------------------


def wan_transformer(kind: str = "WanTransformer3DModel", **words: Any) -> Any:
    given = {
        "patch_size": (1, 2, 2), "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 16,
        "out_channels": 16, "text_dim": 32, "freq_dim": 64, "ffn_dim": 32, "num_layers": 2, "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 32,
    }  # fmt: skip
    return getattr(diffusers, kind)(**{**given, **words}).eval()


@entry("video", call=VIDEO, files={"image": lambda: make_picture(16)})
def wan_image_to_video() -> Any:
    config = transformers.CLIPVisionConfig(
        hidden_size=4, projection_dim=4, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        image_size=32, patch_size=16,
    )  # fmt: skip
    parts = {**parts_of("wan"), "transformer": wan_transformer(in_channels=36, image_dim=4)}
    return diffusers.WanImageToVideoPipeline(
        **parts, image_encoder=transformers.CLIPVisionModel(config).eval(), image_processor=image_processor()
    )


@entry("video", call=VIDEO)
def wan_vace() -> Any:
    transformer = wan_transformer("WanVACETransformer3DModel", num_layers=2, vace_layers=[0], vace_in_channels=96)
    return diffusers.WanVACEPipeline(**{**parts_of("wan"), "transformer": transformer})


@entry("video", call=VIDEO)
def skyreels_v2() -> Any:
    parts = parts_of("wan")
    return diffusers.SkyReelsV2Pipeline(
        parts["tokenizer"], parts["text_encoder"], wan_transformer("SkyReelsV2Transformer3DModel"), parts["vae"],
        diffusers.UniPCMultistepScheduler(flow_shift=8.0, use_flow_sigmas=True),
    )  # fmt: skip


# --- LTX, CogVideoX, Mochi, Latte, Allegro ------------------------------------------------------------------------


@entry("video", call=ZOO["ltx"].call, files=PICTURE)
def ltx_image_to_video() -> Any:
    return diffusers.LTXImageToVideoPipeline(**parts_of("ltx"))


@entry("video", call=ZOO["ltx"].call, files=PICTURE)
def ltx_condition() -> Any:
    return diffusers.LTXConditionPipeline(**parts_of("ltx"))


LTX_2 = {
    **VIDEO, "height": 32, "width": 32, "num_frames": 5, "frame_rate": 25.0, "guidance_scale": 1.0,
    "stg_scale": 0.0, "modality_scale": 1.0,
}  # fmt: skip


@entry("video", batch=False, call=LTX_2)
def ltx_2() -> Any:
    return diffusers.LTX2Pipeline(**ltx_2_parts())


@entry("video", batch=False, call=LTX_2, files=PICTURE)
def ltx_2_image_to_video() -> Any:
    return diffusers.LTX2ImageToVideoPipeline(**ltx_2_parts())


def ltx_2_parts() -> dict[str, Any]:
    from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors
    from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

    config = transformers.Gemma3Config(
        text_config={
            "model_type": "gemma3_text", "vocab_size": 100, "hidden_size": 16, "intermediate_size": 16,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
            "max_position_embeddings": 512, "sliding_window": 16,
        },
        vision_config={
            "model_type": "siglip_vision_model", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
        },
        mm_tokens_per_image=4,
    )  # fmt: skip
    transformer = diffusers.LTX2VideoTransformer3DModel(
        in_channels=4, out_channels=4, patch_size=1, patch_size_t=1, num_attention_heads=2, attention_head_dim=8,
        cross_attention_dim=16, audio_in_channels=4, audio_out_channels=4, audio_num_attention_heads=2,
        audio_attention_head_dim=4, audio_cross_attention_dim=8, num_layers=1, caption_channels=16,
        rope_double_precision=False,
    )  # fmt: skip
    connectors = LTX2TextConnectors(
        caption_channels=16, text_proj_in_factor=3, video_connector_num_attention_heads=2,
        video_connector_attention_head_dim=8, video_connector_num_layers=1,
        video_connector_num_learnable_registers=None, audio_connector_num_attention_heads=2,
        audio_connector_attention_head_dim=8, audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=None, connector_rope_base_seq_len=32, rope_double_precision=False,
    )  # fmt: skip
    decoder = diffusers.AutoencoderKLLTX2Video(
        latent_channels=4, block_out_channels=(8,), decoder_block_out_channels=(8,), layers_per_block=(1,),
        decoder_layers_per_block=(1, 1), spatio_temporal_scaling=(True,), decoder_spatio_temporal_scaling=(True,),
        decoder_inject_noise=(False, False), downsample_type=("spatial",), upsample_residual=(False,),
        upsample_factor=(1,), down_block_types=("LTX2VideoDownBlock3D",), upsample_type=("spatiotemporal",),
        decoder_spatial_padding_mode="zeros",
    )  # fmt: skip
    sound = diffusers.AutoencoderKLLTX2Audio(
        base_channels=4, ch_mult=(1,), num_res_blocks=1, in_channels=2, resolution=32, latent_channels=2, mel_bins=8
    )
    vocoder = LTX2Vocoder(
        in_channels=16, hidden_channels=32, upsample_kernel_sizes=[4, 4], upsample_factors=[2, 2],
        resnet_kernel_sizes=[3], resnet_dilations=[[1, 3, 5]], output_sampling_rate=16000,
    )  # fmt: skip
    return {
        "scheduler": flow(), "vae": decoder.eval(), "audio_vae": sound.eval(),
        "text_encoder": transformers.Gemma3ForConditionalGeneration(config).eval(), "tokenizer": word_tokenizer(),
        "connectors": connectors.eval(), "transformer": transformer.eval(), "vocoder": vocoder.eval(),
    }  # fmt: skip


@entry("video", call=ZOO["cogvideox"].call, files={"image": lambda: make_picture(16)})
def cogvideox_image_to_video() -> Any:
    parts = parts_of("cogvideox")
    transformer = diffusers.CogVideoXTransformer3DModel(
        **{**parts["transformer"].config, "in_channels": 8, "use_rotary_positional_embeddings": False}
    )
    return diffusers.CogVideoXImageToVideoPipeline(**{**parts, "transformer": transformer.eval()})


@entry("video", call=VIDEO)
def mochi() -> Any:
    transformer = diffusers.MochiTransformer3DModel(
        patch_size=2, num_attention_heads=2, attention_head_dim=8, num_layers=1, pooled_projection_dim=16,
        in_channels=12, qk_norm="rms_norm", text_embed_dim=32, time_embed_dim=4, max_sequence_length=16,
    )  # fmt: skip
    decoder = diffusers.AutoencoderKLMochi(
        latent_channels=12, out_channels=3, encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 32, 32), layers_per_block=(1, 1, 1, 1, 1),
    )  # fmt: skip
    return diffusers.MochiPipeline(flow(), decoder.eval(), t5_encoder(), t5_tokenizer(), transformer.eval())


@entry("video", call={**TEXT, "video_length": 1, "height": 16, "width": 16, "clean_caption": False})
def latte() -> Any:
    transformer = diffusers.LatteTransformer3DModel(
        sample_size=8, num_layers=1, patch_size=2, attention_head_dim=8, num_attention_heads=3, caption_channels=32,
        in_channels=4, cross_attention_dim=24, out_channels=8, attention_bias=True, activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000, norm_type="ada_norm_single", norm_elementwise_affine=False, norm_eps=1e-6,
        video_length=1,
    )  # fmt: skip
    return diffusers.LattePipeline(t5_tokenizer(), t5_encoder(), vae(), transformer.eval(), ddim())


@entry("video", batch=False, call={**TEXT, "num_frames": 4})
def text_to_video_sd() -> Any:
    model = diffusers.UNet3DConditionModel(
        block_out_channels=(4, 8), layers_per_block=1, sample_size=16, in_channels=4, out_channels=4,
        norm_num_groups=2, cross_attention_dim=32, attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"), up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
    )  # fmt: skip
    return diffusers.TextToVideoSDPipeline(vae(), clip_text(), clip_tokenizer(), model.eval(), ddim())


# --- Cosmos -------------------------------------------------------------------------------------------------------


@entry(
    "Cosmos",
    batch=False,
    call={"prompt": "a small cat", **TWO_STEPS, "height": 32, "width": 32, "num_frames": 5, "guidance_scale": 2.0},
)
def cosmos_3() -> Any:
    transformer = diffusers.Cosmos3OmniTransformer(
        head_dim=8, hidden_size=16, intermediate_size=32, latent_channel=16, latent_patch_size=2,
        num_attention_heads=2, num_hidden_layers=1, num_key_value_heads=1, patch_latent_dim=64, vocab_size=200,
        rope_axes_dim=(2, 1, 1), dtype="float32",
    )  # fmt: skip
    tokenizer = word_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|vision_start|>"]})
    # the guardrail that Cosmos has otherwise is a language model of 8 GB
    return diffusers.Cosmos3OmniPipeline(
        transformer.eval(), tokenizer, parts_of("wan")["vae"],
        diffusers.UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction"),
        enable_safety_checker=False,
    )  # fmt: skip


# --- DeepFloyd, Kandinsky 3, the first Lumina, I2VGen --------------------------------------------------------------


@entry("DeepFloyd IF", call={**TEXT, "clean_caption": False})
def deepfloyd() -> Any:
    model = diffusers.UNet2DConditionModel(
        sample_size=32, layers_per_block=1, block_out_channels=(8, 16), in_channels=3, out_channels=6,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"), norm_num_groups=4,
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), cross_attention_dim=32,
        mid_block_type="UNetMidBlock2DSimpleCrossAttn", encoder_hid_dim=32, attention_head_dim=4,
        addition_embed_type="text", addition_embed_type_num_heads=2, cross_attention_norm="group_norm",
        resnet_time_scale_shift="scale_shift", act_fn="gelu", class_embed_type=None,
    )  # fmt: skip
    scheduler = diffusers.DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", thresholding=True, variance_type="learned_range"
    )
    return diffusers.IFPipeline(
        t5_tokenizer(), t5_encoder(), model.eval(), scheduler, None, None, None, requires_safety_checker=False
    )


@entry("Kandinsky 3", call=TEXT)
def kandinsky_3() -> Any:
    model = diffusers.Kandinsky3UNet(
        in_channels=4, time_embedding_dim=4, groups=2, attention_head_dim=4, layers_per_block=3,
        block_out_channels=(32, 64), cross_attention_dim=4, encoder_hid_dim=32,
    )  # fmt: skip
    movq = diffusers.VQModel(
        block_out_channels=(32, 64), down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        in_channels=3, latent_channels=4, layers_per_block=1, norm_num_groups=8, norm_type="spatial",
        num_vq_embeddings=12, out_channels=3, up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
        vq_embed_dim=4,
    )  # fmt: skip
    return diffusers.Kandinsky3Pipeline(
        t5_tokenizer(), t5_encoder(), model.eval(), diffusers.DDPMScheduler(clip_sample=False), movq.eval()
    )


@entry("Lumina", call={**TEXT, "max_sequence_length": 16, "clean_caption": False})
def lumina() -> Any:
    transformer = diffusers.LuminaNextDiT2DModel(
        sample_size=4, patch_size=2, in_channels=4, hidden_size=4, num_layers=1, num_attention_heads=1, num_kv_heads=1,
        multiple_of=16, ffn_dim_multiplier=None, norm_eps=1e-5, learn_sigma=True, qk_norm=True,
        cross_attention_dim=8, scaling_factor=1.0,
    )  # fmt: skip
    config = transformers.GemmaConfig(
        vocab_size=100, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=4,
    )  # fmt: skip
    return diffusers.LuminaPipeline(
        transformer.eval(), flow(), vae(), transformers.GemmaForCausalLM(config).eval(), word_tokenizer()
    )


@entry("Ovis", call={**SQUARE, "guidance_scale": 5.0, "max_sequence_length": 16})
def ovis_image() -> Any:
    transformer = diffusers.OvisImageTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, axes_dims_rope=(4, 4, 8), out_channels=16,
    )  # fmt: skip
    decoder = vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1)
    return diffusers.OvisImagePipeline(flow(), decoder, qwen3().model, word_tokenizer(), transformer.eval())
