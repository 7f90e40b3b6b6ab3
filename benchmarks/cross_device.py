"""How far a GPU's picture is from the CPU's, with the noise of a CPU generator and with that of the GPU's own.

    python benchmarks/cross_device.py

The diffusers guide says that a CPU generator makes the two agree much more closely: this is by how much, for the
embedded digits, in the precisions that a GPU is used with. Needs a CUDA device.
"""

import sys

import numpy as np
import torch
from diffusers import DDIMPipeline

import repro_track as rt

SEED, STEPS = 3, 50


def make(device: str, *, dtype: torch.dtype, generator_device: str) -> np.ndarray:
    """Make one picture, shape (8, 8, 1), values in [0, 1]."""
    pipe = DDIMPipeline.from_pretrained(rt.find_builtin("digits"), dtype=dtype, low_cpu_mem_usage=False).to(device)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator(generator_device).manual_seed(SEED)
    return pipe(num_inference_steps=STEPS, generator=generator, output_type="np").images[0]


def main() -> int:
    """Print the table."""
    if not torch.cuda.is_available():
        print("there is no CUDA device here", file=sys.stderr)
        return 3
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {STEPS} steps, seed {SEED}")
    print(f"{'dtype':10} {'CPU generator: max':>20} {'mean':>10} {'GPU generator: max':>20} {'mean':>10}")
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        expected = make("cpu", dtype=torch.float32, generator_device="cpu")
        gaps = [np.abs(make("cuda", dtype=dtype, generator_device=place) - expected) for place in ("cpu", "cuda")]
        row = "".join(f" {gap.max():20.3g} {gap.mean():10.3g}" for gap in gaps)
        print(f"{str(dtype).removeprefix('torch.'):10}{row}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
