"""More classes that are made of the parts of a family: from a picture, with a mask, with a control, with perturbed
attention, and so on."""

from __future__ import annotations

import functools
from typing import Any

import diffusers
import transformers

from tests.conformance.zoo.entry import ZOO, entry
from tests.conformance.zoo.families import flux_parts, prior_transformer, sd3_parts
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
    image_processor,
    make_mask,
    sd_parts,
    sdxl_parts,
    sdxl_unet,
    unet,
    vae,
)
from tests.pictures import make_picture

entry = functools.partial(entry, is_variant=True)
PICTURE = {"image": make_picture}
MASKED = {"image": make_picture, "mask_image": make_mask}
CONTROLLED = {"image": make_picture, "control_image": make_picture}
STRENGTH = {**PROMPT, "strength": 0.9}
SDXL_CONTROL = {
    "transformer_layers_per_block": 1, "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 80, "cross_attention_dim": 64, "use_linear_projection": True,
}  # fmt: skip


def picture_adapter() -> Any:
    adapter = diffusers.T2IAdapter(
        in_channels=3, channels=[8, 16], num_res_blocks=1, downscale_factor=2, adapter_type="full_adapter"
    )
    return adapter.eval()


ATTENTION_FIRST = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}  # fmt: skip
"""Where the blocks with attention are first, an adapter is added before the picture gets smaller."""


def parts_of(name: str) -> dict[str, Any]:
    """Return the components of another entry, built anew."""
    return dict(ZOO[name].build().components)


# --- Stable Diffusion 1 and 2 -------------------------------------------------------------------------------------


@entry("Stable Diffusion 1", call=STRENGTH, files=CONTROLLED)
def controlnet_img2img() -> Any:
    return diffusers.StableDiffusionControlNetImg2ImgPipeline(**sd_parts(), controlnet=controlnet())


@entry("Stable Diffusion 1", call=STRENGTH, files={**MASKED, "control_image": make_picture})
def controlnet_inpaint() -> Any:
    return diffusers.StableDiffusionControlNetInpaintPipeline(**sd_parts(), controlnet=controlnet())


@entry("Stable Diffusion 1", call=STRENGTH, files=PICTURE)
def pag_img2img() -> Any:
    return diffusers.StableDiffusionPAGImg2ImgPipeline(**sd_parts(), pag_applied_layers=["mid"])


@entry("Stable Diffusion 1", call={**SQUARE, "strength": 0.9}, files=MASKED)
def pag_inpaint() -> Any:
    return diffusers.StableDiffusionPAGInpaintPipeline(**sd_parts(), pag_applied_layers=["mid"])


@entry("Stable Diffusion 1", call=PROMPT, files=PICTURE)
def pag_controlnet() -> Any:
    return diffusers.StableDiffusionControlNetPAGPipeline(
        **sd_parts(), controlnet=controlnet(), pag_applied_layers=["mid"]
    )


@entry("Stable Diffusion 1", call=STRENGTH, files={**MASKED, "control_image": make_picture})
def pag_controlnet_inpaint() -> Any:
    return diffusers.StableDiffusionControlNetPAGInpaintPipeline(
        **sd_parts(), controlnet=controlnet(), pag_applied_layers=["mid"]
    )


@entry("Stable Diffusion 1", call={**TEXT, "num_images_per_prompt": 1})
def self_attention_guidance() -> Any:
    return diffusers.StableDiffusionSAGPipeline(
        **sd_parts(scheduler=ddim(steps_offset=1)), image_encoder=None, requires_safety_checker=False
    )


@entry("Stable Diffusion 1", call={**PROMPT, "height": 32, "width": 64, "view_batch_size": 1})
def panorama() -> Any:
    return diffusers.StableDiffusionPanoramaPipeline(**sd_parts())


@entry("Stable Diffusion 1", call=TWO_STEPS, files=PICTURE)
def image_variation() -> Any:
    return diffusers.StableDiffusionImageVariationPipeline(
        vae(), clip_vision(), unet(), ddim(), None, image_processor(), requires_safety_checker=False
    )


@entry("Stable Diffusion 1", call=TEXT)
def ldm_3d() -> Any:
    return diffusers.StableDiffusionLDM3DPipeline(
        **sd_parts(vae=vae(in_channels=6, out_channels=6)), image_encoder=None
    )


@entry("Stable Diffusion 1", call=PROMPT, files=PICTURE)
def t2i_adapter() -> Any:
    return diffusers.StableDiffusionAdapterPipeline(**sd_parts(unet=unet(**ATTENTION_FIRST)), adapter=picture_adapter())


@entry("Stable Diffusion 1", call={**PROMPT, "strength": 0.9, "source_prompt": "a photo"}, files=PICTURE)
def cycle_diffusion() -> Any:
    return diffusers.CycleDiffusionPipeline(**sd_parts())


@entry("Stable Diffusion 1", call={**STRENGTH, "guidance_scale": 1.0, "num_inference_steps": 4}, files=PICTURE)
def latent_consistency_img2img() -> Any:
    model = unet(time_cond_proj_dim=8)
    return diffusers.LatentConsistencyModelImg2ImgPipeline(
        **sd_parts(unet=model, scheduler=diffusers.LCMScheduler()), image_encoder=None
    )


@entry("Stable Diffusion 2", call=STRENGTH, files=PICTURE)
def depth2img() -> Any:
    config = transformers.DPTConfig(
        image_size=32, patch_size=16, num_channels=3, hidden_size=32, fusion_hidden_size=16, num_hidden_layers=4,
        backbone_out_indices=(0, 1, 2, 3), num_attention_heads=4, intermediate_size=37, is_hybrid=False,
        neck_hidden_sizes=[16, 16, 32, 32],
    )  # fmt: skip
    parts = sd_parts(unet=unet(in_channels=5))
    del parts["safety_checker"], parts["feature_extractor"]
    return diffusers.StableDiffusionDepth2ImgPipeline(
        **parts,
        depth_estimator=transformers.DPTForDepthEstimation(config).eval(),
        feature_extractor=transformers.DPTImageProcessor(size={"height": 32, "width": 32}),
    )


@entry("Stable Diffusion 2", call=PROMPT, files={"image": lambda: make_picture(32)})
def latent_upscale() -> Any:
    model = unet(
        in_channels=8, out_channels=5, layers_per_block=2, block_out_channels=(32, 32),
        time_embedding_dim=32, time_embedding_type="fourier", act_fn="gelu", attention_type="default",
        conv_in_kernel=1, conv_out_kernel=1, resnet_time_scale_shift="scale_shift",
        time_cond_proj_dim=160, cross_attention_dim=32, timestep_post_act="gelu", norm_num_groups=None,
        down_block_types=("KDownBlock2D", "KCrossAttnDownBlock2D"), mid_block_type=None,
        up_block_types=("KCrossAttnUpBlock2D", "KUpBlock2D"),
    )  # fmt: skip
    return diffusers.StableDiffusionLatentUpscalePipeline(
        vae(), clip_text(), clip_tokenizer(), model, diffusers.EulerDiscreteScheduler(prediction_type="sample")
    )


def stable_unclip_parts() -> dict[str, Any]:
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer

    return {
        "image_normalizer": StableUnCLIPImageNormalizer(embedding_dim=32),
        "image_noising_scheduler": diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        "tokenizer": clip_tokenizer(), "text_encoder": clip_text(), "scheduler": ddim(), "vae": vae(),
        "unet": unet(
            class_embed_type="projection", projection_class_embeddings_input_dim=64, cross_attention_dim=32
        ),
    }  # fmt: skip


@entry("Stable Diffusion 2", call={**TEXT, "noise_level": 5, "prior_num_inference_steps": 2})
def stable_unclip() -> Any:
    return diffusers.StableUnCLIPPipeline(
        prior_tokenizer=clip_tokenizer(), prior_text_encoder=clip_text(projection=True),
        prior=prior_transformer(), prior_scheduler=diffusers.DDPMScheduler(variance_type="fixed_small_log",
        prediction_type="sample", clip_sample=True, clip_sample_range=5.0, beta_schedule="squaredcos_cap_v2"),
        **stable_unclip_parts(),
    )  # fmt: skip


@entry("Stable Diffusion 2", call={**PROMPT, "noise_level": 5}, files=PICTURE)
def stable_unclip_img2img() -> Any:
    return diffusers.StableUnCLIPImg2ImgPipeline(
        feature_extractor=image_processor(), image_encoder=clip_vision(),
        **stable_unclip_parts(),
    )  # fmt: skip


# --- Stable Diffusion XL ----------------------------------------------------------------------------------


@entry("Stable Diffusion XL", call=STRENGTH, files=CONTROLLED)
def sdxl_controlnet_img2img() -> Any:
    return diffusers.StableDiffusionXLControlNetImg2ImgPipeline(**sdxl_parts(), controlnet=controlnet(**SDXL_CONTROL))


@entry("Stable Diffusion XL", call=STRENGTH, files={**MASKED, "control_image": make_picture})
def sdxl_controlnet_inpaint() -> Any:
    return diffusers.StableDiffusionXLControlNetInpaintPipeline(**sdxl_parts(), controlnet=controlnet(**SDXL_CONTROL))


@entry("Stable Diffusion XL", call=STRENGTH, files=PICTURE)
def sdxl_pag_img2img() -> Any:
    return diffusers.StableDiffusionXLPAGImg2ImgPipeline(**sdxl_parts(), pag_applied_layers=["mid"])


@entry("Stable Diffusion XL", call={**SQUARE, "strength": 0.9}, files=MASKED)
def sdxl_pag_inpaint() -> Any:
    return diffusers.StableDiffusionXLPAGInpaintPipeline(**sdxl_parts(), pag_applied_layers=["mid"])


@entry("Stable Diffusion XL", call=PROMPT, files=PICTURE)
def sdxl_pag_controlnet() -> Any:
    return diffusers.StableDiffusionXLControlNetPAGPipeline(
        **sdxl_parts(), controlnet=controlnet(**SDXL_CONTROL), pag_applied_layers=["mid"]
    )


@entry("Stable Diffusion XL", call=STRENGTH, files=CONTROLLED)
def sdxl_pag_controlnet_img2img() -> Any:
    return diffusers.StableDiffusionXLControlNetPAGImg2ImgPipeline(
        **sdxl_parts(), controlnet=controlnet(**SDXL_CONTROL), pag_applied_layers=["mid"]
    )


@entry("Stable Diffusion XL", call=PROMPT, files=PICTURE)
def sdxl_instruct_pix2pix() -> Any:
    return diffusers.StableDiffusionXLInstructPix2PixPipeline(**sdxl_parts(unet=sdxl_unet(in_channels=8)))


@entry("Stable Diffusion XL", call=PROMPT, files=PICTURE)
def sdxl_t2i_adapter() -> Any:
    return diffusers.StableDiffusionXLAdapterPipeline(
        **sdxl_parts(unet=sdxl_unet(**ATTENTION_FIRST)), adapter=picture_adapter()
    )


def control_union() -> Any:
    model = diffusers.ControlNetUnionModel(
        in_channels=4, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), attention_head_dim=4,
        conditioning_embedding_out_channels=(8, 16), num_trans_channel=8, num_trans_head=2, num_trans_layer=1,
        num_proj_channel=8, **{**SDXL_CONTROL, "projection_class_embeddings_input_dim": 80},
    )  # fmt: skip
    return model.eval()


@entry("Stable Diffusion XL", call={**PROMPT, "control_mode": [1]}, files={"control_image": make_picture})
def sdxl_controlnet_union() -> Any:
    return diffusers.StableDiffusionXLControlNetUnionPipeline(**sdxl_parts(), controlnet=control_union())


@entry("Stable Diffusion XL", call={**STRENGTH, "control_mode": [1]}, files=CONTROLLED)
def sdxl_controlnet_union_img2img() -> Any:
    return diffusers.StableDiffusionXLControlNetUnionImg2ImgPipeline(**sdxl_parts(), controlnet=control_union())


# --- Stable Diffusion 3 -------------------------------------------------------------------------------------------


@entry("Stable Diffusion 3", call={**SQUARE, "strength": 0.9}, files=MASKED)
def sd3_inpaint() -> Any:
    parts = sd3_parts()
    transformer = diffusers.SD3Transformer2DModel(
        **{**parts["transformer"].config, "in_channels": 16, "out_channels": 16}
    )
    decoder = vae(latent_channels=16, shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False)
    return diffusers.StableDiffusion3InpaintPipeline(**{**parts, "transformer": transformer.eval(), "vae": decoder})


def sd3_control(**words: Any) -> Any:
    given = {
        "sample_size": 16, "patch_size": 1, "in_channels": 4, "num_layers": 1, "attention_head_dim": 8,
        "num_attention_heads": 4, "caption_projection_dim": 32, "joint_attention_dim": 32,
        "pooled_projection_dim": 32, "out_channels": 4,
    }  # fmt: skip
    model = diffusers.SD3ControlNetModel(**{**given, **words}).eval()
    draw_weights(model)
    return model


@entry("Stable Diffusion 3", call=TEXT, files={"control_image": make_picture})
def sd3_controlnet() -> Any:
    return diffusers.StableDiffusion3ControlNetPipeline(**sd3_parts(), controlnet=sd3_control())


@entry("Stable Diffusion 3", call=TEXT, files={"control_image": make_picture, "control_mask": make_mask})
def sd3_controlnet_inpaint() -> Any:
    return diffusers.StableDiffusion3ControlNetInpaintingPipeline(
        **sd3_parts(), controlnet=sd3_control(extra_conditioning_channels=1)
    )


def sd3_pag_parts() -> dict[str, Any]:
    parts = sd3_parts()
    deep = {**parts["transformer"].config, "num_layers": 2}  # a saved pipeline is loaded with its default: block 1
    return {**parts, "transformer": diffusers.SD3Transformer2DModel(**deep).eval()}


@entry("Stable Diffusion 3", call=TEXT)
def sd3_pag() -> Any:
    return diffusers.StableDiffusion3PAGPipeline(**sd3_pag_parts())


@entry("Stable Diffusion 3", call=STRENGTH, files=PICTURE)
def sd3_pag_img2img() -> Any:
    return diffusers.StableDiffusion3PAGImg2ImgPipeline(**sd3_pag_parts())


# --- Flux, Chroma -------------------------------------------------------------------------------------------------

FLUX = {**SQUARE, "max_sequence_length": 16}


def flux_transformer(**words: Any) -> Any:
    given = {
        "patch_size": 1, "in_channels": 16, "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 16,
        "num_attention_heads": 2, "joint_attention_dim": 32, "pooled_projection_dim": 32, "axes_dims_rope": (4, 4, 8),
    }  # fmt: skip
    return diffusers.FluxTransformer2DModel(**{**given, **words}).eval()


@entry("Flux", call={**FLUX, "strength": 0.9}, files=MASKED)
def flux_inpaint() -> Any:
    return diffusers.FluxInpaintPipeline(**flux_parts())


@entry("Flux", call=FLUX, files={"control_image": make_picture})
def flux_control() -> Any:
    return diffusers.FluxControlPipeline(
        **{**flux_parts(), "transformer": flux_transformer(in_channels=32, out_channels=16)}
    )


@entry("Flux", call={**FLUX, "strength": 0.9}, files=CONTROLLED)
def flux_control_img2img() -> Any:
    return diffusers.FluxControlImg2ImgPipeline(
        **{**flux_parts(), "transformer": flux_transformer(in_channels=32, out_channels=16)}
    )


@entry("Flux", call={**FLUX, "strength": 0.9}, files={**MASKED, "control_image": make_picture})
def flux_control_inpaint() -> Any:
    return diffusers.FluxControlInpaintPipeline(
        **{**flux_parts(), "transformer": flux_transformer(in_channels=32, out_channels=16)}
    )


def flux_control_model() -> Any:
    model = diffusers.FluxControlNetModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=[4, 4, 8],
    )  # fmt: skip
    draw_weights(model)
    return model.eval()


@entry("Flux", call=FLUX, files={"control_image": make_picture})
def flux_controlnet() -> Any:
    return diffusers.FluxControlNetPipeline(**flux_parts(), controlnet=flux_control_model())


@entry("Flux", call={**FLUX, "strength": 0.9}, files=CONTROLLED)
def flux_controlnet_img2img() -> Any:
    return diffusers.FluxControlNetImg2ImgPipeline(**flux_parts(), controlnet=flux_control_model())


@entry("Flux", call={**FLUX, "strength": 0.9}, files={**MASKED, "control_image": make_picture})
def flux_controlnet_inpaint() -> Any:
    return diffusers.FluxControlNetInpaintPipeline(**flux_parts(), controlnet=flux_control_model())


@entry("Flux", call=FLUX, files=MASKED)
def flux_fill() -> Any:
    # the mask has a channel for each pixel of a latent's square: 2 x 2 of them here, for each of four patches
    return diffusers.FluxFillPipeline(
        **{**flux_parts(), "transformer": flux_transformer(in_channels=48, out_channels=16)}
    )


@entry("Flux", call={**FLUX, "max_area": 1024, "_auto_resize": False}, files=PICTURE)
def flux_kontext() -> Any:
    return diffusers.FluxKontextPipeline(**flux_parts())


@entry("Flux", call={**FLUX, "_auto_resize": False, "strength": 0.9}, files=MASKED)
def flux_kontext_inpaint() -> Any:
    return diffusers.FluxKontextInpaintPipeline(**flux_parts())


@entry("Chroma", call={**SQUARE, "max_sequence_length": 16, "strength": 0.9}, files=PICTURE)
def chroma_img2img() -> Any:
    return diffusers.ChromaImg2ImgPipeline(**parts_of("chroma"))


# --- PixArt, Sana, HunyuanDiT, Qwen-Image, Z-Image -----------------------------------------------------------------


@entry("PixArt", call={**TEXT, "use_resolution_binning": False, "max_sequence_length": 16, "clean_caption": False})
def pixart_sigma_pag() -> Any:
    return diffusers.PixArtSigmaPAGPipeline(**parts_of("pixart_sigma"), pag_applied_layers=["blocks.1"])


@entry("Sana", call=ZOO["sana"].call)
def sana_pag() -> Any:
    return diffusers.SanaPAGPipeline(**parts_of("sana"), pag_applied_layers=["transformer_blocks.0"])


@entry("Sana", call={**ZOO["sana_sprint"].call, "strength": 0.9}, files=PICTURE)
def sana_sprint_img2img() -> Any:
    return diffusers.SanaSprintImg2ImgPipeline(**parts_of("sana_sprint"))


@entry("Sana", call=ZOO["sana"].call, files={"control_image": make_picture})
def sana_controlnet() -> Any:
    model = diffusers.SanaControlNetModel(
        patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2, attention_head_dim=4,
        num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8, caption_channels=32,
        sample_size=32,
    )  # fmt: skip
    draw_weights(model)
    return diffusers.SanaControlNetPipeline(**parts_of("sana"), controlnet=model.eval())


@entry("HunyuanDiT", call={**TEXT, "use_resolution_binning": False})
def hunyuan_dit_pag() -> Any:
    return diffusers.HunyuanDiTPAGPipeline(
        **parts_of("hunyuan_dit"), requires_safety_checker=False, pag_applied_layers=["blocks.1"]
    )


QWEN = ZOO["qwen_image"].call


@entry("Qwen-Image", call={**QWEN, "strength": 0.9}, files=PICTURE)
def qwen_image_img2img() -> Any:
    return diffusers.QwenImageImg2ImgPipeline(**parts_of("qwen_image"))


@entry("Qwen-Image", call={**QWEN, "strength": 0.9}, files=MASKED)
def qwen_image_inpaint() -> Any:
    return diffusers.QwenImageInpaintPipeline(**parts_of("qwen_image"))


@entry("Qwen-Image", call=QWEN, files={"control_image": make_picture})
def qwen_image_controlnet() -> Any:
    model = diffusers.QwenImageControlNetModel(
        patch_size=2, in_channels=16, out_channels=4, num_layers=1, attention_head_dim=16, num_attention_heads=3,
        joint_attention_dim=16, axes_dims_rope=(8, 4, 4),
    )  # fmt: skip
    draw_weights(model)
    return diffusers.QwenImageControlNetPipeline(**parts_of("qwen_image"), controlnet=model.eval())


Z_IMAGE = ZOO["z_image"].call


@entry("Z-Image", call={**Z_IMAGE, "strength": 0.9}, files=PICTURE)
def z_image_img2img() -> Any:
    return diffusers.ZImageImg2ImgPipeline(**parts_of("z_image"))


@entry("Z-Image", call={**Z_IMAGE, "strength": 0.9}, files=MASKED)
def z_image_inpaint() -> Any:
    return diffusers.ZImageInpaintPipeline(**parts_of("z_image"))


# --- several models, depth ----------------------------------------------------------------------------------------

MARIGOLD = {"num_inference_steps": 2, "processing_resolution": 0, "output_type": "np"}


@entry("depth", call=MARIGOLD, files=PICTURE)
def marigold_normals() -> Any:
    return diffusers.MarigoldNormalsPipeline(
        unet(in_channels=8), vae(), ddim(prediction_type="v_prediction"), clip_text(), clip_tokenizer(),
        prediction_type="normals",
    )  # fmt: skip


@entry("depth", call=MARIGOLD, files=PICTURE)
def marigold_intrinsics() -> Any:
    return diffusers.MarigoldIntrinsicsPipeline(
        unet(in_channels=12, out_channels=8), vae(), ddim(prediction_type="v_prediction"), clip_text(),
        clip_tokenizer(), prediction_type="intrinsics", target_properties={
            "target_names": ["albedo", "material"], "albedo": {"prediction_space": "srgb"},
        },
    )  # fmt: skip


@entry("Amused", call={**PROMPT, "strength": 0.9}, files=PICTURE)
def amused_img2img() -> Any:
    return diffusers.AmusedImg2ImgPipeline(**parts_of("amused"))


@entry("Amused", call={**PROMPT, "strength": 0.9}, files=MASKED)
def amused_inpaint() -> Any:
    return diffusers.AmusedInpaintPipeline(**parts_of("amused"))


@entry("video", batch=False, call={**TEXT, "num_frames": 4})
def animate_diff_pag() -> Any:
    parts = parts_of("animate_diff")
    return diffusers.AnimateDiffPAGPipeline(
        **{name: part for name, part in parts.items() if part is not None}, pag_applied_layers=["mid"]
    )


@entry("video", batch=False, call={**TEXT, "num_frames": 4})
def animate_diff_sdxl() -> Any:
    parts = sdxl_parts(unet=sdxl_unet(block_out_channels=(8, 8)), scheduler=ddim(beta_schedule="linear"))
    adapter = diffusers.MotionAdapter(
        block_out_channels=(8, 8), motion_layers_per_block=1, motion_norm_num_groups=2, motion_num_attention_heads=4,
        use_motion_mid_block=False,
    )  # fmt: skip
    return diffusers.AnimateDiffSDXLPipeline(**parts, motion_adapter=adapter.eval())


@entry("UnCLIP", call={"decoder_num_inference_steps": 2, "super_res_num_inference_steps": 2, "output_type": "np"},
       files=PICTURE)  # fmt: skip
def unclip_variation() -> Any:
    parts = parts_of("unclip")
    kept = (
        "decoder", "text_encoder", "tokenizer", "text_proj", "super_res_first", "super_res_last", "decoder_scheduler",
        "super_res_scheduler",
    )  # fmt: skip
    return diffusers.UnCLIPImageVariationPipeline(
        **{name: parts[name] for name in kept}, feature_extractor=image_processor(), image_encoder=clip_vision()
    )
