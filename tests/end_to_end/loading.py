"""Eight ways of loading a pipeline and its weights, all in one tracked run: `loading.py FOLDER`.

FOLDER has what test_loading.py makes; the Hub's cache in it has the repository `someone/flux`.
"""

import sys
from pathlib import Path

import diffusers
import torch

import repro_track as rt

at = Path(sys.argv[-1])
few = {"prompt": "a cat", "num_inference_steps": 2, "output_type": "np"}
flux = {**few, "height": 16, "width": 16, "max_sequence_length": 16}


def load_flux(transformer):
    return diffusers.FluxPipeline.from_pretrained(at / "flux", transformer=transformer)


def load_sd(**words):
    return diffusers.StableDiffusionPipeline.from_pretrained(at / "sd", **words)


def load_custom(custom_pipeline):
    return diffusers.DiffusionPipeline.from_pretrained(
        at / "ddim", custom_pipeline=custom_pipeline, trust_remote_code=True
    )


def load_single_file(name, **words):
    place = {"config": str(at / "flux"), "subfolder": "transformer", "torch_dtype": torch.float32}
    return diffusers.FluxTransformer2DModel.from_single_file(str(at / name), **place, **words)


def load_swapped():
    pipe = load_sd()
    pipe.load_lora_weights(str(at / "first.safetensors"), adapter_name="style")
    pipe.load_lora_weights(str(at / "second.safetensors"), adapter_name="style", hotswap=True)
    return pipe


T = diffusers.FluxTransformer2DModel
WAYS = {
    "single file": lambda: (load_flux(load_single_file("single.safetensors")), flux),
    "subfolder": lambda: (load_flux(T.from_pretrained("someone/flux", subfolder="transformer")), flux),
    "GGUF": lambda: (
        load_flux(load_single_file("flux.gguf", quantization_config=diffusers.GGUFQuantizationConfig(torch.float32))),
        flux,
    ),
    "quantized": lambda: (
        load_flux(
            T.from_pretrained(
                at / "flux", subfolder="transformer", quantization_config=diffusers.QuantoConfig(weights_dtype="int8")
            )
        ),
        flux,
    ),
    "custom pipeline": lambda: (load_custom(str(at / "custom")), {}),
    "community": lambda: (load_custom(str(at / "community.py")), {}),
    "from_pipe": lambda: (diffusers.StableDiffusionPAGPipeline.from_pipe(load_sd()), few),
    "hotswapped LoRA": lambda: (load_swapped(), few),
}

if __name__ == "__main__":
    with rt.track(experiment="loading", seed=3) as run:
        for load in WAYS.values():
            pipe, call = load()
            pipe.set_progress_bar_config(disable=True)
            run(pipe, **call)
    print(run.run_id)
