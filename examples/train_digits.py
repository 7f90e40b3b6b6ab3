"""Train the digits model that ships with repro_track, as a tracked run: its replay gives the same checkpoint bytes.

    python examples/train_digits.py --save DIR     # about 5 minutes on one CPU core
    repro-track replay latest                      # the same again, and the same bytes on the same machine type

Needs scikit-learn (for its 1,797 handwritten digits of 8x8 pixels). The model card beside the weights says how good
the result is; `benchmarks/digits.py` measures it.
"""

import argparse
import copy
import math
import shutil
import tempfile
from pathlib import Path

import repro_track as rt

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=1800)
parser.add_argument("--save", type=Path, help="where the model is copied to; a replay never writes there")
arguments = parser.parse_args()

# one thread: the number of threads changes the last bits
with rt.track(experiment="train_digits", seed=0, num_threads=1, name="train_digits") as run:
    import torch
    import torch.nn.functional as F
    from diffusers import DDIMPipeline, DDIMScheduler, DDPMScheduler, UNet2DModel
    from sklearn.datasets import load_digits

    pictures = torch.from_numpy(load_digits().images).float()[:, None] / 8 - 1  # (1797, 1, 8, 8) in [-1, 1]
    model = UNet2DModel(  # its weights are drawn from torch's global generator, which the run seeds and records
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
    )
    average = copy.deepcopy(model).eval()
    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)

    for step in range(arguments.steps):
        warmup, decay = min(1.0, (step + 1) / 100), 0.5 * (1 + math.cos(math.pi * step / arguments.steps))
        optimizer.param_groups[0]["lr"] = 2e-3 * warmup * decay
        batch = pictures[torch.randint(0, len(pictures), (128,), generator=generator)]  # (128, 1, 8, 8)
        noise = torch.randn(batch.shape, generator=generator)
        timesteps = torch.randint(0, 1000, (128,), generator=generator)
        loss = F.mse_loss(model(scheduler.add_noise(batch, noise, timesteps), timesteps).sample, noise)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for kept, trained in zip(average.parameters(), model.parameters(), strict=True):
                kept.lerp_(trained, 1 - min(0.995, (step + 1) / (step + 10)))
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)

    pipe = DDIMPipeline(unet=average.half(), scheduler=DDIMScheduler.from_config(scheduler.config))
    with tempfile.TemporaryDirectory() as folder:
        pipe.save_pretrained(folder)
        run.add_output("unet", Path(folder) / "unet" / "diffusion_pytorch_model.safetensors")
        if arguments.save and not run.is_replay:
            shutil.copytree(folder, arguments.save, dirs_exist_ok=True)
            (arguments.save / "unet" / "diffusion_pytorch_model.safetensors").chmod(0o644)

    pipe.unet.float()
    run(pipe, batch_size=8, num_inference_steps=50, output_type="np")

print(run.run_id)
