"""What tracking costs, against the same work bare and against the same work logged to MLflow by hand.

    python benchmarks/overhead.py            # about 10 minutes; --quick for one round of the demo

Three variants of one script, each in processes of its own, alternating, so that a busy machine hits all alike:

- bare: the pipeline alone;
- by hand: the same, logged to MLflow in batched calls, as a careful user does today: params, metrics, the picture and
  the tensor, and none of our captures;
- tracked: `rt.track()`.

Two workloads: the demo (one picture of the embedded digits), and about 10 s of denoising on a UNet of the size of
`google/ddpm-cifar10-32` with random weights. Wall time, CPU time of the process and its children, and peak memory are
medians over the rounds. What each further step costs is measured within one process, with and without what a tracked
call has around it (strict settings, trace) in turn, as CPU time of one thread; bare against bare is the noise of that
measurement. A replay is timed against its run.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

PIPELINE = """
import sys, time
import torch
from diffusers import DDIMPipeline
pipe = DDIMPipeline.from_pretrained(sys.argv[1], dtype=torch.float32)
pipe.set_progress_bar_config(disable=True)
words = dict(num_inference_steps=int(sys.argv[2]), output_type="np")
"""
BARE = (
    PIPELINE
    + """
pipe(generator=torch.Generator().manual_seed(3), **words)
"""
)
BY_HAND = (
    PIPELINE
    + """
images = pipe(generator=torch.Generator().manual_seed(3), **words).images
import os, tempfile, time
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from PIL import Image
from safetensors.numpy import save_file
client = MlflowClient(tracking_uri=os.environ["BENCHMARK_STORE"])
found = client.get_experiment_by_name("by hand")
experiment = found.experiment_id if found else client.create_experiment("by hand")
run = client.create_run(experiment)
now = int(time.time() * 1000)
client.log_batch(
    run.info.run_id,
    params=[Param(key, str(value)) for key, value in {**words, "seed": 3, "model": sys.argv[1]}.items()],
    metrics=[Metric("abs_sum", float(np.abs(images).sum()), now, 0)],
)
with tempfile.TemporaryDirectory() as folder:
    Image.fromarray((images[0].squeeze() * 255).round().astype("uint8")).save(f"{folder}/0.png")
    save_file({"images": images}, f"{folder}/outputs.safetensors")
    client.log_artifacts(run.info.run_id, folder)
client.set_terminated(run.info.run_id)
"""
)
TRACKED = """
import sys
import repro_track as rt
with rt.track(seed=3, experiment="benchmark") as run:
""" + "\n".join(f"    {line}" for line in PIPELINE.replace("import sys, time\n", "").strip().splitlines()) + """
    run(pipe, **words)
print(run.run_id)
"""  # fmt: skip
VARIANTS = {"bare": BARE, "by hand": BY_HAND, "tracked": TRACKED}


def measure(words, environment):
    """Run a process to its end: (wall seconds, CPU seconds, peak memory in MiB, its stdout)."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise SystemExit(f"{words} ended with status {status}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, usage.ru_maxrss / 1024, out


def make_large_model(folder):
    """Save a UNet of the size of google/ddpm-cifar10-32 (36 million parameters) with random weights."""
    import torch
    from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=32,
        block_out_channels=(128, 256, 256, 256),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    )
    DDIMPipeline(unet=unet, scheduler=DDIMScheduler()).save_pretrained(folder)


def find_steps(model, environment, *, wanted_s):
    """Find the number of steps that take about `wanted_s` seconds of denoising here."""
    short = measure([sys.executable, "-c", BARE, model, "5"], environment)[0]
    longer = measure([sys.executable, "-c", BARE, model, "25"], environment)[0]
    return max(10, round(wanted_s / ((longer - short) / 20)))


def compare(name, model, steps, environment, rounds):
    """Run the variants in turn, print a row for each; gives the median wall seconds by variant."""
    samples = {variant: [] for variant in VARIANTS}
    for _ in range(rounds):
        for variant, script in VARIANTS.items():
            samples[variant].append(measure([sys.executable, "-c", script, model, str(steps)], environment)[:3])
    medians = {
        variant: [statistics.median(column) for column in zip(*rows, strict=True)] for variant, rows in samples.items()
    }
    bare = medians["bare"]
    for variant, (wall, cpu, memory) in medians.items():
        extra = (
            ""
            if variant == "bare"
            else f"+{wall - bare[0]:.2f} s | +{cpu - bare[1]:.2f} s | +{memory - bare[2]:.0f} MiB"
        )
        print(f"| {name} | {variant} | {wall:.2f} s | {extra or '- | - | -'} |", flush=True)
    return {variant: row[0] for variant, row in medians.items()}


SLOPE = """
import contextlib, random, statistics, sys, time
import torch
from diffusers import DDIMPipeline
from repro_track import determinism, trace
from repro_track.config.presets import read_preset
torch.set_num_threads(1)
pipe = DDIMPipeline.from_pretrained(sys.argv[1], dtype=torch.float32)
pipe.set_progress_bar_config(disable=True)
flags = read_preset("determinism", "strict")["flags"]

@contextlib.contextmanager
def tracked():
    with determinism.applied(flags, policy="strict"), trace.recording(pipe.components, level="steps"):
        yield

variants = {"bare": contextlib.nullcontext, "tracked": tracked, "bare again": contextlib.nullcontext}
samples = {name: [] for name in variants}
for round_number in range(int(sys.argv[2]) + 1):
    for name in random.sample(list(variants), len(variants)):
        with variants[name]():
            began = time.process_time()
            pipe(generator=torch.Generator().manual_seed(3), num_inference_steps=4, output_type="np")
            if round_number:  # the first round warms up
                samples[name].append(time.process_time() - began)
pairs = {
    name: [one / bare - 1 for one, bare in zip(samples[name], samples["bare"])]
    for name in ("tracked", "bare again")
}
print(*(statistics.median(ratios) for ratios in pairs.values()))
"""


def time_replay(environment, rounds):
    """Time `repro-track run` and the replay of it, alternating; gives the medians."""
    program = str(Path(sys.executable).parent / "repro-track")
    runs, replays = [], []
    for _ in range(rounds):
        wall, _, _, out = measure([program, "run", "seed=3"], environment)
        runs.append(wall)
        replays.append(measure([program, "replay", out.strip()], environment)[0])
    return statistics.median(runs), statistics.median(replays)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of the demo and the replay only")
    arguments = parser.parse_args()
    rounds = 1 if arguments.quick else arguments.rounds

    import torch

    import repro_track as rt

    print(
        f"{date.today()}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, torch {torch.__version__}, {rounds} rounds\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        environment = {
            **os.environ,
            "REPRO_TRACK_HOME": str(home),
            "BENCHMARK_STORE": f"sqlite:///{folder}/by_hand.db",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        environment.pop("MLFLOW_TRACKING_URI", None)
        os.chdir(folder)  # MLflow's default artifact folder of the by-hand variant is ./mlruns
        digits = rt.find_builtin("digits")
        for script in (BY_HAND, TRACKED):  # make both databases before anything is timed
            measure([sys.executable, "-c", script, digits, "2"], environment)

        print("| work | variant | wall | extra wall | extra CPU | extra memory |\n|---|---|---|---|---|---|")
        demo = compare("demo", digits, 50, environment, rounds)
        extra = {variant: demo[variant] - demo["bare"] for variant in demo}
        notes = [
            f"demo: tracking costs {extra['tracked'] / extra['by hand']:.2f} of the by-hand variant's extra wall time "
            "(aim: 0.5)"
        ]
        if not arguments.quick:
            large = str(Path(folder) / "large")
            make_large_model(large)
            steps = find_steps(large, environment, wanted_s=10)
            large_run = compare(f"{steps} steps", large, steps, environment, rounds)
            extra = {variant: large_run[variant] - large_run["bare"] for variant in large_run}
            notes.append(
                f"{steps} steps: tracking costs {extra['tracked'] / extra['by hand']:.2f} "
                "of the by-hand variant's extra wall time (aim: 0.5)"
            )
            further, noise = map(float, measure([sys.executable, "-c", SLOPE, large, "80"], environment)[3].split())
            notes.append(
                f"each further step costs {further:+.1%} when tracked (aim: 1 %; bare against bare: {noise:+.1%})"
            )
        run, replay = time_replay(environment, rounds)
        notes.append(
            f"repro-track run {run:.2f} s, its replay {replay:.2f} s: "
            f"{replay - 1.05 * run:+.2f} s beyond 1.05 of the run (aim: 1 s)"
        )
        program = str(Path(sys.executable).parent / "repro-track")
        help_s = statistics.median(measure([program, "--help"], environment)[0] for _ in range(5))
        notes.append(f"repro-track --help {help_s:.2f} s (aim: 0.3 s)")
        print("\n" + "\n".join(f"- {note}" for note in notes))


if __name__ == "__main__":
    main()
