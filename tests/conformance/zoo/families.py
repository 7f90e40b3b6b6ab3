"""One pipeline or a few of each family that has been there for long."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
import transformers

from tests.conformance.zoo.adapters import save_ip_adapter, save_lora, save_textual_inversion
from tests.conformance.zoo.entry import entry
from tests.conformance.zoo.parts import (
    PROMPT,
    SQUARE,
    TEXT,
    TWO_STEPS,
    clip_text,
    clip_tokenizer,
    clip_vision,
    controlnet,
    ddim,
    draw_weights,
    flow,
    image_processor,
    make_mask,
    roberta_tokenizer,
    sd_parts,
    sdxl_parts,
    t5_encoder,
    t5_tokenizer,
    unconditional_unet,
    unet,
    vae,
    word_tokenizer,
)
from tests.pictures import make_picture

# --- unconditional ------------------------------------------------------------------------------------------------


@entry("unconditional", call=TWO_STEPS)
def ddpm() -> Any:
    return diffusers.DDPMPipeline(unconditional_unet(), diffusers.DDPMScheduler())


@entry("unconditional", call=TWO_STEPS)
def ddim_unconditional() -> Any:
    return diffusers.DDIMPipeline(unconditional_unet(), diffusers.DDIMScheduler())


@entry("unconditional", call=TWO_STEPS)
def consistency() -> Any:
    model = unconditional_unet(num_class_embeds=10)
    scheduler = diffusers.CMStochasticIterativeScheduler(num_train_timesteps=40, sigma_min=0.002, sigma_max=80.0)
    return diffusers.ConsistencyModelPipeline(model, scheduler)


@entry("unconditional", call={"class_labels": [1], **TWO_STEPS})
def dit() -> Any:
    transformer = diffusers.DiTTransformer2DModel(
        sample_size=16, num_layers=2, patch_size=4, attention_head_dim=8, num_attention_heads=2, in_channels=4,
        out_channels=8, attention_bias=True, activation_fn="gelu-approximate", num_embeds_ada_norm=1000,
        norm_type="ada_norm_zero", norm_elementwise_affine=False,
    )  # fmt: skip
    return diffusers.DiTPipeline(transformer.eval(), vae(), diffusers.DDIMScheduler())


@entry("unconditional", call=TWO_STEPS)
def latent_diffusion() -> Any:
    return diffusers.LDMPipeline(vq_model(), unconditional_unet(), diffusers.DDIMScheduler())


def vq_model(**words: Any) -> Any:
    given = {
        "block_out_channels": (8, 16), "in_channels": 3, "out_channels": 3, "latent_channels": 3, "norm_num_groups": 4,
        "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2,
        "num_vq_embeddings": 16,
    }  # fmt: skip
    return diffusers.VQModel(**{**given, **words}).eval()


# --- Stable Diffusion ---------------------------------------------------------------------------------------------


@entry("Stable Diffusion 1", call=TEXT)
def stable_diffusion() -> Any:
    return diffusers.StableDiffusionPipeline(**sd_parts())


@entry("Stable Diffusion 2", call=TEXT)
def stable_diffusion_2() -> Any:
    model = unet(use_linear_projection=True, attention_head_dim=(2, 4))
    return diffusers.StableDiffusionPipeline(**sd_parts(unet=model, scheduler=ddim(prediction_type="v_prediction")))


@entry("Stable Diffusion 1", call={**PROMPT, "strength": 0.9}, files={"image": make_picture})
def img2img() -> Any:
    return diffusers.StableDiffusionImg2ImgPipeline(**sd_parts())


@entry("Stable Diffusion 1", call=SQUARE, files={"image": make_picture, "mask_image": make_mask})
def inpaint() -> Any:
    return diffusers.StableDiffusionInpaintPipeline(**sd_parts(unet=unet(in_channels=9)))


@entry("Stable Diffusion 1", call=PROMPT, files={"image": make_picture})
def controlnet_text() -> Any:
    return diffusers.StableDiffusionControlNetPipeline(**sd_parts(), controlnet=controlnet())


@entry("Stable Diffusion 1", call=TEXT)
def pag() -> Any:
    return diffusers.StableDiffusionPAGPipeline(**sd_parts(), pag_applied_layers=["mid"])


@entry("Stable Diffusion 1", call=PROMPT, files={"image": make_picture})
def instruct_pix2pix() -> Any:
    return diffusers.StableDiffusionInstructPix2PixPipeline(**sd_parts(unet=unet(in_channels=8)))


@entry("Stable Diffusion 2", call={**PROMPT, "noise_level": 20}, files={"image": lambda: make_picture(16)})
def upscale() -> Any:
    parts = sd_parts(unet=unet(in_channels=7, num_class_embeds=1000), vae=vae(block_out_channels=(8, 8, 16)))
    del parts["safety_checker"], parts["feature_extractor"]
    return diffusers.StableDiffusionUpscalePipeline(**parts, low_res_scheduler=diffusers.DDPMScheduler())


@entry(
    "Stable Diffusion 1",
    call=TEXT,
    files={"ip_adapter_image": make_picture},
    prepare=lambda pipe, folder: save_ip_adapter(pipe, folder),
)
def ip_adapter() -> Any:
    return diffusers.StableDiffusionPipeline(
        **sd_parts(feature_extractor=image_processor()), image_encoder=clip_vision()
    )


@entry("Stable Diffusion 1", call=TEXT, prepare=lambda pipe, folder: save_lora(pipe, folder))
def lora() -> Any:
    return diffusers.StableDiffusionPipeline(**sd_parts())


@entry(
    "Stable Diffusion 1",
    call={**TEXT, "prompt": "a photo of sks"},
    prepare=lambda pipe, folder: save_textual_inversion(folder),
)
def textual_inversion() -> Any:
    return diffusers.StableDiffusionPipeline(**sd_parts())


@entry("Stable Diffusion 1", call={**TEXT, "guidance_scale": 1.0})
def latent_consistency() -> Any:
    model = unet(time_cond_proj_dim=8)
    return diffusers.LatentConsistencyModelPipeline(
        **sd_parts(unet=model, scheduler=diffusers.LCMScheduler()), image_encoder=None
    )


@entry("Stable Diffusion XL", call=TEXT)
def sdxl() -> Any:
    return diffusers.StableDiffusionXLPipeline(**sdxl_parts())


@entry("Stable Diffusion XL", call={**SQUARE, "guidance_scale": 0.0})
def sdxl_turbo() -> Any:
    scheduler = diffusers.EulerAncestralDiscreteScheduler(timestep_spacing="trailing")
    return diffusers.StableDiffusionXLPipeline(**sdxl_parts(scheduler=scheduler))


@entry("Stable Diffusion XL", call={**PROMPT, "strength": 0.9}, files={"image": make_picture})
def sdxl_img2img() -> Any:
    return diffusers.StableDiffusionXLImg2ImgPipeline(**sdxl_parts())


@entry("Stable Diffusion XL", call={**SQUARE, "strength": 0.9}, files={"image": make_picture, "mask_image": make_mask})
def sdxl_inpaint() -> Any:
    return diffusers.StableDiffusionXLInpaintPipeline(**sdxl_parts())


@entry("Stable Diffusion XL", call=PROMPT, files={"image": make_picture})
def sdxl_controlnet() -> Any:
    model = controlnet(
        transformer_layers_per_block=1, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=80, cross_attention_dim=64, use_linear_projection=True,
    )  # fmt: skip
    return diffusers.StableDiffusionXLControlNetPipeline(**sdxl_parts(), controlnet=model)


@entry("Stable Diffusion XL", call=TEXT)
def sdxl_pag() -> Any:
    return diffusers.StableDiffusionXLPAGPipeline(**sdxl_parts(), pag_applied_layers=["mid"])


def sd3_parts() -> dict[str, Any]:
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=16, patch_size=1, in_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=4,
        caption_projection_dim=32, joint_attention_dim=32, pooled_projection_dim=32, out_channels=4,
    )  # fmt: skip
    return {
        "transformer": transformer.eval(), "scheduler": flow(),
        "vae": vae(shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False),
        "text_encoder": clip_text(projection=True, width=16), "text_encoder_2": clip_text(projection=True, width=16),
        "text_encoder_3": t5_encoder(),
        "tokenizer": clip_tokenizer(), "tokenizer_2": clip_tokenizer(), "tokenizer_3": t5_tokenizer(),
    }  # fmt: skip


@entry("Stable Diffusion 3", call=TEXT)
def sd3() -> Any:
    return diffusers.StableDiffusion3Pipeline(**sd3_parts())


@entry("Stable Diffusion 3", call={**PROMPT, "strength": 0.9}, files={"image": make_picture})
def sd3_img2img() -> Any:
    return diffusers.StableDiffusion3Img2ImgPipeline(**sd3_parts())


# --- transformers -------------------------------------------------------------------------------------------------


def flux_parts() -> dict[str, Any]:
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8),
    )  # fmt: skip
    return {
        "scheduler": flow(), "vae": vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1),
        "text_encoder": clip_text(),
        "tokenizer": clip_tokenizer(), "text_encoder_2": t5_encoder(), "tokenizer_2": t5_tokenizer(),
        "transformer": transformer.eval(),
    }  # fmt: skip


@entry("Flux", call={**SQUARE, "max_sequence_length": 16})
def flux() -> Any:
    return diffusers.FluxPipeline(**flux_parts())


@entry("Flux", call={**SQUARE, "max_sequence_length": 16, "strength": 0.9}, files={"image": make_picture})
def flux_img2img() -> Any:
    return diffusers.FluxImg2ImgPipeline(**flux_parts())


@entry("Chroma", call={**SQUARE, "max_sequence_length": 16})
def chroma() -> Any:
    transformer = diffusers.ChromaTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, axes_dims_rope=(4, 4, 8), approximator_hidden_dim=32, approximator_layers=1,
        approximator_num_channels=16,
    )  # fmt: skip
    return diffusers.ChromaPipeline(
        flow(),
        vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1),
        t5_encoder(),
        t5_tokenizer(),
        transformer.eval(),
    )


def pixart_transformer(**words: Any) -> Any:
    given = {
        "sample_size": 16, "num_layers": 2, "patch_size": 2, "attention_head_dim": 8, "num_attention_heads": 3,
        "caption_channels": 32, "in_channels": 4, "cross_attention_dim": 24, "out_channels": 8,
    }  # fmt: skip
    return diffusers.PixArtTransformer2DModel(**{**given, **words}).eval()


@entry("PixArt", call={**TEXT, "use_resolution_binning": False, "max_sequence_length": 16, "clean_caption": False})
def pixart_alpha() -> Any:
    model = pixart_transformer(use_additional_conditions=False)
    return diffusers.PixArtAlphaPipeline(t5_tokenizer(), t5_encoder(), vae(), model, ddim())


@entry("PixArt", call={**TEXT, "use_resolution_binning": False, "max_sequence_length": 16, "clean_caption": False})
def pixart_sigma() -> Any:
    model = pixart_transformer(use_additional_conditions=False)
    return diffusers.PixArtSigmaPipeline(t5_tokenizer(), t5_encoder(), vae(), model, ddim())


def gemma2(width: int = 32) -> Any:
    config = transformers.Gemma2Config(
        vocab_size=100, hidden_size=width, intermediate_size=37, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    return transformers.Gemma2Model(config).eval()


def deep_autoencoder() -> Any:
    decoder = diffusers.AutoencoderDC(
        in_channels=3, latent_channels=4, attention_head_dim=2, encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"), encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8), encoder_qkv_multiscales=((), (5,)), decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1), downsample_block_type="conv",
        upsample_block_type="interpolate", decoder_norm_types="rms_norm", decoder_act_fns="silu",
        scaling_factor=0.41407,
    )  # fmt: skip
    return decoder.eval()


@entry(
    "Sana",
    call={
        **TEXT,
        "use_resolution_binning": False,
        "complex_human_instruction": [],
        "max_sequence_length": 16,
        "clean_caption": False,
    },
)
def sana() -> Any:
    transformer = diffusers.SanaTransformer2DModel(
        patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2, attention_head_dim=4,
        num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8, caption_channels=32,
        sample_size=32,
    )  # fmt: skip
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return diffusers.SanaPipeline(word_tokenizer(), gemma2(), deep_autoencoder(), transformer.eval(), scheduler)


@entry(
    "Sana",
    call={
        "prompt": "a small cat",
        "num_inference_steps": 2,
        "height": 32,
        "width": 32,
        "use_resolution_binning": False,
        "complex_human_instruction": [],
        "max_sequence_length": 16,
        "clean_caption": False,
        "output_type": "np",
    },
)
def sana_sprint() -> Any:
    transformer = diffusers.SanaTransformer2DModel(
        patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2, attention_head_dim=4,
        num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8, caption_channels=32,
        sample_size=32,
        qk_norm="rms_norm_across_heads", guidance_embeds=True,
    )  # fmt: skip
    return diffusers.SanaSprintPipeline(
        word_tokenizer(), gemma2(), deep_autoencoder(), transformer.eval(), diffusers.SCMScheduler()
    )


@entry("AuraFlow", call={**TEXT, "max_sequence_length": 16})
def aura_flow() -> Any:
    transformer = diffusers.AuraFlowTransformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, num_mmdit_layers=1, num_single_dit_layers=1, attention_head_dim=8,
        num_attention_heads=4, caption_projection_dim=32, joint_attention_dim=32, out_channels=4,
        pos_embed_max_size=256,
    )  # fmt: skip
    return diffusers.AuraFlowPipeline(t5_tokenizer(), t5_encoder("UMT5EncoderModel"), vae(), transformer.eval(), flow())


@entry("Lumina", call={**TEXT, "max_sequence_length": 16})
def lumina_2() -> Any:
    transformer = diffusers.Lumina2Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, hidden_size=24, num_layers=1, num_refiner_layers=1,
        num_attention_heads=3, num_kv_heads=1, multiple_of=16, ffn_dim_multiplier=None, norm_eps=1e-5,
        scaling_factor=1.0,
        axes_dim_rope=(4, 2, 2), axes_lens=(128, 128, 128), cap_feat_dim=32,
    )  # fmt: skip
    return diffusers.Lumina2Pipeline(
        transformer.eval(), flow(), vae(block_out_channels=(8, 8, 8, 8), shift_factor=0.1), gemma2(), word_tokenizer()
    )


@entry("HunyuanDiT", call={**TEXT, "use_resolution_binning": False})
def hunyuan_dit() -> Any:
    transformer = diffusers.HunyuanDiT2DModel(
        sample_size=16, num_layers=2, patch_size=2, attention_head_dim=8, num_attention_heads=3, in_channels=4,
        cross_attention_dim=32, cross_attention_dim_t5=32, pooled_projection_dim=16, hidden_size=24,
        activation_fn="gelu-approximate", text_len=77, text_len_t5=256,
    )  # fmt: skip
    config = transformers.BertConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=37
    )
    return diffusers.HunyuanDiTPipeline(
        vae(block_out_channels=(8, 8, 8, 8)), transformers.BertModel(config).eval(), word_tokenizer(),
        transformer.eval(), diffusers.DDPMScheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        text_encoder_2=t5_encoder(), tokenizer_2=t5_tokenizer(),
    )  # fmt: skip


@entry("CogView", call={**TEXT, "max_sequence_length": 16})
def cogview_3() -> Any:
    transformer = diffusers.CogView3PlusTransformer2DModel(
        patch_size=2, in_channels=4, num_layers=1, attention_head_dim=4, num_attention_heads=2, out_channels=4,
        text_embed_dim=32, time_embed_dim=8, condition_dim=2, pos_embed_max_size=8, sample_size=8,
    )  # fmt: skip
    return diffusers.CogView3PlusPipeline(
        t5_tokenizer(), t5_encoder(), vae(), transformer.eval(), diffusers.CogVideoXDDIMScheduler()
    )


@entry("CogView", call={**TEXT, "max_sequence_length": 16})
def cogview_4() -> Any:
    transformer = diffusers.CogView4Transformer2DModel(
        patch_size=2, in_channels=4, num_layers=2, attention_head_dim=4, num_attention_heads=4, out_channels=4,
        text_embed_dim=32, time_embed_dim=8, condition_dim=4,
    )  # fmt: skip
    config = transformers.GlmConfig(
        vocab_size=100, hidden_size=32, intermediate_size=8, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, pad_token_id=0,
    )  # fmt: skip
    return diffusers.CogView4Pipeline(
        word_tokenizer(padding_side="left"),
        transformers.GlmModel(config).eval(),
        vae(),
        transformer.eval(),
        flow(
            base_shift=0.25, max_shift=0.75, base_image_seq_len=256, use_dynamic_shifting=True, time_shift_type="linear"
        ),
    )


def qwen_vl() -> Any:
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
            "rope_theta": 1e6, "vocab_size": 100,
        },
        vision_config={
            "depth": 2, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16,
        },
        hidden_size=16, vocab_size=100, vision_end_token_id=90, vision_start_token_id=91, vision_token_id=92,
    )  # fmt: skip
    return transformers.Qwen2_5_VLForConditionalGeneration(config).eval()


@entry("Qwen-Image", call={**SQUARE, "true_cfg_scale": 2.0, "negative_prompt": "blurry", "max_sequence_length": 16})
def qwen_image() -> Any:
    transformer = diffusers.QwenImageTransformer2DModel(
        patch_size=2, in_channels=16, out_channels=4, num_layers=2, attention_head_dim=16, num_attention_heads=3,
        joint_attention_dim=16, guidance_embeds=False, axes_dims_rope=(8, 4, 4),
    )  # fmt: skip
    decoder = diffusers.AutoencoderKLQwenImage(
        base_dim=6, z_dim=4, dim_mult=[1, 2, 4], num_res_blocks=1, temperal_downsample=[False, True],
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    )  # fmt: skip
    return diffusers.QwenImagePipeline(flow(), decoder.eval(), qwen_vl(), word_tokenizer(), transformer.eval())


@entry("Z-Image", call={**TEXT, "max_sequence_length": 16})
def z_image() -> Any:
    transformer = diffusers.ZImageTransformer2DModel(
        all_patch_size=(2,), all_f_patch_size=(1,), in_channels=16, dim=32, n_layers=1, n_refiner_layers=1, n_heads=2,
        n_kv_heads=2, norm_eps=1e-5, qk_norm=True, cap_feat_dim=16, rope_theta=256.0, t_scale=1000.0,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    )  # fmt: skip
    config = transformers.Qwen3Config(
        vocab_size=100, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=512,
    )  # fmt: skip
    draw_weights(transformer)  # pad tokens are left uninitialised by the class
    decoder = vae(latent_channels=16, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0)
    return diffusers.ZImagePipeline(
        flow(), decoder, transformers.Qwen3Model(config).eval(), word_tokenizer(), transformer.eval()
    )


# --- several models -----------------------------------------------------------------------------------------------


def prior_transformer(**words: Any) -> Any:
    given = {"num_attention_heads": 2, "attention_head_dim": 12, "embedding_dim": 32, "num_layers": 1}
    model = diffusers.PriorTransformer(**{**given, **words}).eval()
    torch.nn.init.ones_(model.clip_std)  # zeros as built: the prior would be disconnected
    return model


def unclip_scheduler(**words: Any) -> Any:
    given = {
        "variance_type": "fixed_small_log", "prediction_type": "sample", "num_train_timesteps": 1000,
        "clip_sample_range": 5.0,
    }  # fmt: skip
    return diffusers.UnCLIPScheduler(**{**given, **words})


@entry("Kandinsky 2.2", call={"prompt": "a small cat", "num_inference_steps": 2}, next_stage="kandinsky_decoder")
def kandinsky_prior() -> Any:
    return diffusers.KandinskyV22PriorPipeline(
        prior_transformer(),
        clip_vision(),
        clip_text(projection=True),
        clip_tokenizer(),
        unclip_scheduler(),
        image_processor(),
    )


@entry(
    "Kandinsky 2.2", call={**TWO_STEPS, "height": 32, "width": 32}, is_later_stage=True,
    take={"image_embeds": "image_embeds", "negative_image_embeds": "negative_image_embeds"},
)  # fmt: skip
def kandinsky_decoder() -> Any:
    model = diffusers.UNet2DConditionModel(
        in_channels=4, out_channels=8, addition_embed_type="image", block_out_channels=(8, 16), layers_per_block=1,
        encoder_hid_dim=32, encoder_hid_dim_type="image_proj", cross_attention_dim=32, attention_head_dim=4,
        norm_num_groups=4,
        resnet_time_scale_shift="scale_shift", class_embed_type=None, mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    )  # fmt: skip
    movq = vq_model(
        latent_channels=4, norm_type="spatial", vq_embed_dim=4, block_out_channels=(32, 64), norm_num_groups=32,
        down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
    )  # fmt: skip
    return diffusers.KandinskyV22Pipeline(
        model.eval(), diffusers.DDPMScheduler(variance_type="learned_range", clip_sample=False), movq
    )


@entry(
    "Stable Cascade",
    call={"prompt": "a small cat", "num_inference_steps": 2, "height": 128, "width": 128},
    next_stage="cascade_decoder",
)
def cascade_prior() -> Any:
    model = diffusers.StableCascadeUNet(
        conditioning_dim=32, block_out_channels=(16, 16), num_attention_heads=(2, 2), down_num_layers_per_block=(1, 1),
        up_num_layers_per_block=(1, 1), clip_image_in_channels=32, switch_level=(False,), clip_text_in_channels=32,
        clip_text_pooled_in_channels=32, down_blocks_repeat_mappers=(1, 1), up_blocks_repeat_mappers=(1, 1),
        block_types_per_layer=(("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"),) * 2,
        kernel_size=1, dropout=(0.1, 0.1), self_attn=True, timestep_ratio_embedding_dim=64, in_channels=16,
        out_channels=16,
    )  # fmt: skip
    return diffusers.StableCascadePriorPipeline(
        clip_tokenizer(), clip_text(projection=True), model.eval(), diffusers.DDPMWuerstchenScheduler(),
        feature_extractor=image_processor(), image_encoder=clip_vision(),
    )  # fmt: skip


@entry(
    "Stable Cascade",
    call={**PROMPT, "guidance_scale": 0.0},
    is_later_stage=True,
    take={"image_embeddings": "image_embeddings"},
)
def cascade_decoder() -> Any:
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel

    model = diffusers.StableCascadeUNet(
        in_channels=4, out_channels=4, conditioning_dim=32, block_out_channels=(8, 16), num_attention_heads=(1, 2),
        down_num_layers_per_block=(1, 1), up_num_layers_per_block=(1, 1), down_blocks_repeat_mappers=(1, 1),
        up_blocks_repeat_mappers=(1, 1),
        block_types_per_layer=(
            ("SDCascadeResBlock", "SDCascadeTimestepBlock"),
            ("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"),
        ),
        switch_level=None, clip_text_pooled_in_channels=32, clip_text_in_channels=32, effnet_in_channels=16,
        pixel_mapper_in_channels=3, self_attn=True,
        kernel_size=3, dropout=(0.1, 0.1), patch_size=2,
    )  # fmt: skip
    vqgan = PaellaVQModel(bottleneck_blocks=1, num_vq_embeddings=2)
    return diffusers.StableCascadeDecoderPipeline(
        model.eval(),
        clip_tokenizer(),
        clip_text(projection=True),
        diffusers.DDPMWuerstchenScheduler(),
        vqgan.eval(),
        latent_dim_scale=4.0,
    )


@entry(
    "UnCLIP",
    call={
        "prompt": "a small cat",
        "prior_num_inference_steps": 2,
        "decoder_num_inference_steps": 2,
        "super_res_num_inference_steps": 2,
        "output_type": "np",
    },
)
def unclip() -> Any:
    from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

    decoder = unet(
        in_channels=3, out_channels=6, encoder_hid_dim=None, cross_attention_dim=32, class_embed_type="identity",
        sample_size=16,
        resnet_time_scale_shift="scale_shift", mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    )  # fmt: skip
    bigger = {
        "in_channels": 6, "out_channels": 3, "sample_size": 32, "resnet_time_scale_shift": "scale_shift",
        "down_block_types": ("ResnetDownsampleBlock2D",) * 2, "up_block_types": ("ResnetUpsampleBlock2D",) * 2,
        "block_out_channels": (8, 16),
    }  # fmt: skip
    projection = UnCLIPTextProjModel(clip_embeddings_dim=32, time_embed_dim=32, cross_attention_dim=32)
    return diffusers.UnCLIPPipeline(
        prior_transformer(), decoder, clip_text(projection=True), clip_tokenizer(), projection.eval(),
        unconditional_unet(**bigger), unconditional_unet(**bigger), unclip_scheduler(),
        unclip_scheduler(variance_type="learned_range", prediction_type="epsilon"),
        unclip_scheduler(prediction_type="epsilon"),
    )  # fmt: skip


@entry("Amused", call={**SQUARE})
def amused() -> Any:
    transformer = diffusers.UVit2DModel(
        hidden_size=8, use_bias=False, hidden_dropout=0.0, cond_embed_dim=32, micro_cond_encode_dim=2,
        micro_cond_embed_dim=10,
        encoder_hidden_size=32, vocab_size=32, codebook_size=32, in_channels=8, block_out_channels=8, num_res_blocks=1,
        downsample=True, upsample=True, block_num_heads=1, num_hidden_layers=1, num_attention_heads=1,
        attention_dropout=0.0,
        intermediate_size=8, layer_norm_eps=1e-6, ln_elementwise_affine=True,
    )  # fmt: skip
    vqvae = vq_model(num_vq_embeddings=32, latent_channels=8, vq_embed_dim=8, lookup_from_codebook=True)
    return diffusers.AmusedPipeline(
        vqvae,
        clip_tokenizer(),
        clip_text(projection=True),
        transformer.eval(),
        diffusers.AmusedScheduler(mask_token_id=31),
    )


# --- video --------------------------------------------------------------------------------------------------------


@entry("video", batch=False, call={**TEXT, "num_frames": 4})
def animate_diff() -> Any:
    model = unet(block_out_channels=(8, 8))
    adapter = diffusers.MotionAdapter(
        block_out_channels=(8, 8), motion_layers_per_block=1, motion_norm_num_groups=2, motion_num_attention_heads=4
    )
    return diffusers.AnimateDiffPipeline(
        vae(), clip_text(), clip_tokenizer(), model, adapter.eval(), ddim(beta_schedule="linear")
    )


@entry(
    "video",
    call={**TWO_STEPS, "height": 32, "width": 32, "num_frames": 2, "fps": 7, "decode_chunk_size": 2},
    files={"image": make_picture},
)
def stable_video() -> Any:
    model = diffusers.UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64), layers_per_block=1, sample_size=16, in_channels=8, out_channels=4,
        num_attention_heads=8,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"), cross_attention_dim=32,
        projection_class_embeddings_input_dim=96, addition_time_embed_dim=32,
    )  # fmt: skip
    decoder = diffusers.AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32), in_channels=3, out_channels=3, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
    )  # fmt: skip
    scheduler = diffusers.EulerDiscreteScheduler(
        prediction_type="v_prediction",
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
        timestep_type="continuous",
    )
    return diffusers.StableVideoDiffusionPipeline(
        decoder.eval(), clip_vision(size=224, patch_size=56), model.eval(), scheduler, image_processor()
    )


@entry("video", call={**TEXT, "height": 16, "width": 16, "num_frames": 8, "max_sequence_length": 16})
def cogvideox() -> Any:
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=4, attention_head_dim=8, in_channels=4, out_channels=4, time_embed_dim=2, text_embed_dim=32,
        num_layers=1, sample_width=2, sample_height=2, sample_frames=9, patch_size=2, temporal_compression_ratio=4,
        max_text_seq_length=16,
    )  # fmt: skip
    decoder = diffusers.AutoencoderKLCogVideoX(
        in_channels=3, out_channels=3, block_out_channels=(8, 8, 8, 8), latent_channels=4, layers_per_block=1,
        norm_num_groups=2, temporal_compression_ratio=4, down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
    )  # fmt: skip
    return diffusers.CogVideoXPipeline(
        t5_tokenizer(), t5_encoder(), decoder.eval(), transformer.eval(), diffusers.CogVideoXDDIMScheduler()
    )


@entry("video", call={**TEXT, "num_frames": 9, "max_sequence_length": 16, "frame_rate": 25})
def ltx() -> Any:
    transformer = diffusers.LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, patch_size=1, patch_size_t=1, num_attention_heads=4, attention_head_dim=8,
        cross_attention_dim=32, num_layers=1, caption_channels=32,
    )  # fmt: skip
    decoder = diffusers.AutoencoderKLLTXVideo(
        in_channels=3, out_channels=3, latent_channels=8, block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5,
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False), decoder_inject_noise=(False,) * 5,
        upsample_residual=(False,) * 4,
        upsample_factor=(1,) * 4, timestep_conditioning=False, patch_size=1, patch_size_t=1, encoder_causal=True,
        decoder_causal=False,
    )  # fmt: skip
    return diffusers.LTXPipeline(flow(), decoder.eval(), t5_encoder(), t5_tokenizer(), transformer.eval())


@entry("video", call={**TEXT, "height": 16, "width": 16, "num_frames": 9, "max_sequence_length": 16})
def wan() -> Any:
    transformer = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16,
        text_dim=32,
        freq_dim=64, ffn_dim=32, num_layers=2, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    )  # fmt: skip
    decoder = diffusers.AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    return diffusers.WanPipeline(
        t5_tokenizer(), t5_encoder("UMT5EncoderModel"), decoder.eval(), flow(shift=7.0), transformer=transformer.eval()
    )


# --- sound, 3D, depth ---------------------------------------------------------------------------------------------


@entry("sound", call={"prompt": "a small cat", "num_inference_steps": 2, "audio_end_in_s": 0.02, "output_type": "np"})
def stable_audio() -> Any:
    from diffusers import StableAudioProjectionModel

    transformer = diffusers.StableAudioDiTModel(
        sample_size=80, in_channels=3, num_layers=2, attention_head_dim=4, num_key_value_attention_heads=2,
        out_channels=3,
        cross_attention_dim=4, time_proj_dim=8, global_states_input_dim=8, cross_attention_input_dim=4,
        num_attention_heads=4,
    )  # fmt: skip
    decoder = diffusers.AutoencoderOobleck(
        encoder_hidden_size=6, downsampling_ratios=[1, 2], decoder_channels=3, decoder_input_channels=3,
        audio_channels=2,
        channel_multiples=[2, 4], sampling_rate=8000,
    )  # fmt: skip
    projection = StableAudioProjectionModel(text_encoder_dim=32, conditioning_dim=4, min_value=0, max_value=32)
    scheduler = diffusers.EDMDPMSolverMultistepScheduler(
        solver_order=2, prediction_type="v_prediction", sigma_data=1.0, sigma_schedule="exponential"
    )
    return diffusers.StableAudioPipeline(
        decoder.eval(), t5_encoder(), projection.eval(), t5_tokenizer(), transformer.eval(), scheduler
    )


@entry(
    "sound",
    call={
        "prompt": "a small cat",
        "num_inference_steps": 2,
        "audio_length_in_s": 0.05,
        "max_new_tokens": 4,
        "guidance_scale": 3.5,
        "output_type": "np",
    },
)
def audio_ldm_2() -> Any:
    from diffusers import AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel

    model = AudioLDM2UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=8, sample_size=16, in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=(8, 16),
    )  # fmt: skip
    text = {
        "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1, "vocab_size": 100,
        "projection_dim": 16, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    }  # fmt: skip
    sound = {
        "spec_size": 64, "window_size": 4, "num_mel_bins": 64, "intermediate_size": 8, "num_attention_heads": [2, 2],
        "num_hidden_layers": 1, "depths": [1, 1], "hidden_size": 192, "patch_size": 2, "patch_stride": 2,
        "patch_embed_input_channels": 4,
    }  # fmt: skip
    clap = transformers.ClapModel(transformers.ClapConfig(text_config=text, audio_config=sound, projection_dim=16))
    gpt = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_embd=16, n_head=2, n_layer=2, vocab_size=100, n_ctx=99, n_positions=99)
    )
    gpt.config.max_new_tokens = 8
    vocoder = transformers.SpeechT5HifiGan(
        transformers.SpeechT5HifiGanConfig(
            model_in_dim=8, sampling_rate=16000, upsample_initial_channel=16, upsample_rates=[2, 2],
            upsample_kernel_sizes=[4, 4],
            resblock_kernel_sizes=[3, 7], resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]], normalize_before=False,
        )
    )  # fmt: skip
    projection = AudioLDM2ProjectionModel(text_encoder_dim=16, text_encoder_1_dim=32, langauge_model_dim=16)
    return diffusers.AudioLDM2Pipeline(
        vae(in_channels=1, out_channels=1), clap.eval(), t5_encoder(), projection.eval(), gpt.eval(),
        roberta_tokenizer(), t5_tokenizer(),
        transformers.ClapFeatureExtractor(feature_size=64), model.eval(), ddim(), vocoder.eval(),
    )  # fmt: skip


def shap_e_renderer() -> Any:
    from diffusers.pipelines.shap_e import ShapERenderer

    return ShapERenderer(
        param_shapes=((8, 93), (8, 8), (8, 8), (8, 8)), d_latent=16, d_hidden=8, n_output=12,
        background=(0.1, 0.1, 0.1),
    )  # fmt: skip


@entry("3D", call={"prompt": "a small cat", "num_inference_steps": 2, "frame_size": 32, "output_type": "np"})
def shap_e() -> Any:
    model = diffusers.PriorTransformer(
        num_attention_heads=2, attention_head_dim=16, embedding_dim=16, num_embeddings=32, embedding_proj_dim=32,
        time_embed_dim=64,
        num_layers=1, clip_embed_dim=32, additional_embeddings=0, time_embed_act_fn="gelu", norm_in_type="layer",
        encoder_hid_proj_type=None, added_emb_type=None,
    )  # fmt: skip
    scheduler = diffusers.HeunDiscreteScheduler(
        beta_schedule="exp",
        num_train_timesteps=1024,
        prediction_type="sample",
        use_karras_sigmas=True,
        clip_sample=True,
        clip_sample_range=1.0,
    )
    return diffusers.ShapEPipeline(
        model.eval(), clip_text(projection=True), clip_tokenizer(), scheduler, shap_e_renderer().eval()
    )


@entry(
    "depth",
    call={"num_inference_steps": 2, "processing_resolution": 0, "output_type": "np"},
    files={"image": make_picture},
)
def marigold() -> Any:
    return diffusers.MarigoldDepthPipeline(
        unet(in_channels=8), vae(), ddim(prediction_type="v_prediction"), clip_text(), clip_tokenizer(),
        prediction_type="depth", scale_invariant=True, shift_invariant=True,
    )  # fmt: skip
