"""A plain script, tracked by two lines: the `with` and the call through `run`.

python examples/script.py --seed 3
repro-track replay latest
"""

import argparse

from diffusers import DDIMPipeline

import repro_track as rt

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--seed", type=int, default=3)
parser.add_argument("--steps", type=int, default=20)
arguments = parser.parse_args()

pipe = DDIMPipeline.from_pretrained(rt.find_builtin("digits"))

with rt.track(experiment="examples", seed=arguments.seed) as run:
    images = run(pipe, num_inference_steps=arguments.steps, output_type="np").images

print(run.run_id)
