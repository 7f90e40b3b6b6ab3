"""The four lessons of the diffusers guide "Create reproducible pipelines", as four tracked runs.

    python examples/guide_lessons.py            # prints the outcome of each lesson and its run id
    repro-track replay RUN_ID                   # each of them comes out bit-exact

With weights from the Hub the guide's own figure comes out: repro-track run experiment=guide.
"""

import torch
from diffusers import DDIMPipeline

import repro_track as rt

device = "cuda" if torch.cuda.is_available() else "cpu"
model = rt.find_builtin("digits")
steps = {"num_inference_steps": 2, "output_type": "np"}


def report(lesson: str, outcome: str, run: rt.TrackedRun) -> None:
    abs_sum = run.record.outputs[0].abs_sum
    print(f"{lesson}\n  np.abs(image).sum() = {abs_sum:.4f}; {outcome}\n  {run.run_id}")


# 1. No generator. In the guide: another value each time. Here: a seed is drawn from the system's entropy and
#    recorded, so that even this run comes out again when it is replayed.
pipe = DDIMPipeline.from_pretrained(model)
with rt.track(experiment="guide_lessons", name="no generator") as run:
    run(pipe, **steps)
report("1. no generator", f"another value each time, but the seed {run.record.seeds.root} is recorded", run)

# 2. A CPU generator with seed 0. In the guide: always the same value.
with rt.track(experiment="guide_lessons", name="CPU generator") as run:
    run(pipe, generator=torch.Generator(device="cpu").manual_seed(0), **steps)
report("2. CPU generator", "the same value each time on this kind of machine", run)

# 3. A GPU generator. In the guide: another value than on the CPU, from the same seed. The record says that the noise
#    is bound to the device. Without a GPU the device is the CPU, and this is lesson 2.
pipe.to(device)
with rt.track(experiment="guide_lessons", name="GPU generator") as run:
    run(pipe, generator=torch.Generator(device=device).manual_seed(0), **steps)
bound = run.record.seeds.generators[0].device
report("3. GPU generator", f"the noise is bound to the device {bound}", run)

# 4. A CPU generator with the pipeline on the GPU: what the guide recommends and what repro_track does by default,
#    whether you pass the generator or only the seed. The noise is the same bytes as in lesson 2.
with rt.track(experiment="guide_lessons", seed=0, name="CPU generator, pipeline on the device") as run:
    run(pipe, **steps)
report(f"4. CPU generator, pipeline on {device}", "the same noise as in lesson 2, on every device", run)
