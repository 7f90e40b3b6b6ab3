"""The whole matrix: every pipeline of the zoo and every scheduler, run by the command line, replayed in a fresh
process.

    python -m tests.conformance.matrix            run all of it, rewrite table.json and the table of docs/conformance.md
    python -m tests.conformance.matrix --check    run all of it, and say where table.json is no longer true

Each cell is three real processes at most: a sweep over one and two threads, and a replay. Two cells run at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from repro_track.record.names import OUTPUT_TENSORS_NAME, RECORD_NAME
from repro_track.record.reading import read_record
from repro_track.tensors.distance import measure_distance
from repro_track.tensors.host import load_tensors
from tests.conformance import zoo

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TABLE = HERE / "table.json"
PROGRAM = Path(sys.executable).parent / "repro-track"
BEGIN, END = "<!-- conformance: made by make conformance -->", "<!-- conformance ends -->"

DRIVERS: dict[str, tuple[str, ...]] = {
    "stable_diffusion": (
        "CogVideoXDDIMScheduler", "CosineDPMSolverMultistepScheduler", "DDIMInverseScheduler",
        "DDIMParallelScheduler", "DDIMScheduler", "DDPMParallelScheduler", "DDPMScheduler", "DEISMultistepScheduler",
        "DPMSolverMultistepInverseScheduler", "DPMSolverMultistepScheduler", "DPMSolverSDEScheduler",
        "DPMSolverSinglestepScheduler", "EDMDPMSolverMultistepScheduler", "EDMEulerScheduler",
        "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler", "IPNDMScheduler",
        "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LCMScheduler", "LMSDiscreteScheduler", "PNDMScheduler",
        "SASolverScheduler", "TCDScheduler", "UniPCMultistepScheduler",
    ),
    "stable_diffusion_2": ("ConsistencyDecoderScheduler",),
    "sd3": (
        "FlowMapEulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler",
        "FlowMatchLCMScheduler", "LTXEulerAncestralRFScheduler", "MiniMaxH3Scheduler",
    ),
    "consistency": ("CMStochasticIterativeScheduler",),
    "cogvideox": ("CogVideoXDPMScheduler",),
    "cascade_prior": ("DDPMWuerstchenScheduler",),
    "kandinsky_prior": ("UnCLIPScheduler",),
    "sana_sprint": ("SCMScheduler",),
    "amused": ("AmusedScheduler",),
}  # fmt: skip
"""Which pipeline of the zoo each scheduler drives. Those that are not here drive none of them (see `try_idle`)."""

NEEDS = {
    "PNDMScheduler": "call.num_inference_steps=4",  # fails below
    "ConsistencyDecoderScheduler": "scheduler.config.num_train_timesteps=1024",  # its two steps begin at 1008
}
"""What a scheduler cannot do without; those that are run together with it get it, too."""


@dataclass(frozen=True)
class Row:
    """One line of the table. `leaks`: where the run drew from a global generator; empty: seed-closed. `threads`: the
    largest difference of an output between one thread and two; null: not measured; `inf`: another shape."""

    pipeline: str
    scheduler: str
    family: str
    leaks: tuple[str, ...]
    verdict: str
    threads: float | None = None
    problem: str = ""


# --- building -----------------------------------------------------------------------------------------------------


def build_model(name: str, folder: Path) -> Path:
    """Build one entry of the zoo with all that its call is given; gives the config folder that names it as
    `zoo/NAME`."""
    import torch

    entry = zoo.ZOO[name]
    pipe = entry.build()
    adapters = entry.prepare(pipe, folder / "adapters" / name) if entry.prepare else {}
    pipe.save_pretrained(folder / "models" / name)
    call: dict[str, Any] = dict(entry.call)
    for argument, make in entry.files.items():
        path = folder / "files" / f"{name}-{argument}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        make().save(path)
        call[argument] = str(path)
    stage = {
        "pipeline": {"path": str(folder / "models" / name)},
        "call": call,
        "adapters": adapters,
    }
    config: dict[str, Any] = {"name": name, **stage}
    if entry.next_stage:
        build_model(entry.next_stage, folder)
        following = yaml.safe_load((folder / "conf" / "zoo" / f"{entry.next_stage}.yaml").read_text())
        following["take"] = zoo.ZOO[entry.next_stage].take
        following.pop("name")
        config = {"name": name, "stages": {name: stage, entry.next_stage: following}}
    target = folder / "conf" / "zoo" / f"{name}.yaml"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("# @package _global_\n" + yaml.safe_dump(config, sort_keys=False))
    torch.manual_seed(0)
    return folder / "conf"


# --- running ------------------------------------------------------------------------------------------------------


def start(*words: str, threads: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run repro-track as a person would, with the home that REPRO_TRACK_HOME names."""
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    variables.pop("OMP_NUM_THREADS", None)
    if threads:
        variables["OMP_NUM_THREADS"] = threads
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [str(PROGRAM), *words], cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=600
        )


def run_cell(name: str, folder: Path, *, schedulers: tuple[str, ...] = ()) -> list[Row]:
    """Run one entry with one and two threads, or with each of several schedulers; replay each run; give the rows.

    Args:
        name: of the zoo; its model is under `folder`.
        folder: where models, configs and `home` are.
        schedulers: classes; null: the pipeline's own.
    """
    swept = f"scheduler.class_name={','.join(schedulers)}" if schedulers else "determinism.num_threads=1,2"
    more = [swept, *(NEEDS[name] for name in schedulers if name in NEEDS)]
    ran = start("run", "-m", "--config-dir", str(folder / "conf"), "pipeline=none", f"+zoo={name}", "seed=3", *more)
    runs, wanted = ran.stdout.split(), len(schedulers) or 2
    if len(runs) < wanted:
        lines = ran.stderr.strip().splitlines() or ["it said nothing"]
        problem = next((line for line in reversed(lines) if "error" in line.lower()), lines[-1])
        return [Row(name, ", ".join(schedulers), zoo.ZOO[name].family, (), "", problem=problem)]
    if not schedulers:
        one, two = runs
        return [_replay(one, zoo.ZOO[name].family, threads=_measure(one, two))]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda run: _replay(run, zoo.ZOO[name].family), runs))


def _find_artifacts(run: str) -> Path:
    return next((Path(os.environ["REPRO_TRACK_HOME"]) / "artifacts").glob(f"*/{run}/artifacts"))


def _replay(run: str, family: str, *, threads: float | None = None) -> Row:
    record = read_record(_find_artifacts(run) / RECORD_NAME)
    replayed = start("replay", run)
    problem = "" if replayed.stdout else (replayed.stderr.strip().splitlines() or ["it said nothing"])[-1]
    leaks = tuple(
        f"{one.name}: {place}" for one in record.seeds.global_generators if one.moved for place in one.drawn_at
    )
    parts = [part.class_name.rpartition(".")[2] for call in record.calls for part in call.components]
    schedulers = dict.fromkeys(name for name in parts if name.endswith("Scheduler"))
    classes = " + ".join(call.class_name for call in record.calls)
    return Row(classes, ", ".join(schedulers), family, leaks, replayed.stdout.strip(), threads, problem)


def _measure(one: str, other: str) -> float:
    """Give the largest difference of any output of two runs; 0: the same bits, infinity: another shape."""
    left, right = (load_tensors(_find_artifacts(run) / OUTPUT_TENSORS_NAME) for run in (one, other))
    if {name: tensor.shape for name, tensor in left.items()} != {name: tensor.shape for name, tensor in right.items()}:
        return float("inf")
    return max(measure_distance(left[name].to_numpy(), right[name].to_numpy()).max_abs for name in left)


def run_all(folder: Path) -> list[Row]:
    """Build and run everything, two cells at a time."""
    os.environ["REPRO_TRACK_HOME"] = str(folder / "home")
    names = [name for name, entry in zoo.ZOO.items() if not entry.is_later_stage]
    for name in names:
        build_model(name, folder)
    start("run", "call.num_inference_steps=1")  # makes the store
    rows: list[Row] = []
    with ThreadPoolExecutor(2) as pool:
        for name, found in zip(names, pool.map(lambda name: run_cell(name, folder), names), strict=True):
            print(f"{name}: {found[0].verdict or found[0].problem}", flush=True)
            rows += found
    seen = {name for row in rows for name in row.scheduler.split(", ")}
    for driver, schedulers in DRIVERS.items():
        if missing := tuple(one for one in schedulers if one not in seen):
            found = run_cell(driver, folder, schedulers=missing)
            print(
                f"{driver}: " + ", ".join(f"{row.scheduler} {row.verdict or row.problem}" for row in found), flush=True
            )
            rows += found
    return rows


def list_idle() -> list[str]:
    """List the schedulers that drive no pipeline of the zoo."""
    import diffusers

    every = [
        name
        for name in dir(diffusers.schedulers)
        if isinstance(found := getattr(diffusers.schedulers, name), type)
        and issubclass(found, diffusers.SchedulerMixin)
        and found is not diffusers.SchedulerMixin
    ]
    driving = {name for names in DRIVERS.values() for name in names}
    return sorted(set(every) - driving)


def try_idle(names: list[str]) -> dict[str, str]:
    """Try schedulers in every pipeline of the zoo, in this process; gives by name those that do drive one, and
    which."""
    import diffusers
    import torch

    driving: dict[str, str] = {}
    for entry in zoo.ZOO.values():
        pipe = entry.build()
        if entry.is_later_stage or not hasattr(pipe, "scheduler"):
            continue
        pipe.set_progress_bar_config(disable=True)
        own = pipe.scheduler.config
        call = {**entry.call, **{argument: make() for argument, make in entry.files.items()}}
        call.pop("ip_adapter_image", None)
        if entry.family == "3D":
            call["output_type"] = "latent"
        for name in names:
            try:
                pipe.scheduler = getattr(diffusers.schedulers, name).from_config(own)
                pipe(**call, generator=torch.Generator().manual_seed(0))
            except Exception:  # whatever a pipeline and a scheduler that do not fit raise
                continue
            driving.setdefault(name, entry.name)
    return driving


# --- the table ----------------------------------------------------------------------------------------------------


def render(data: dict[str, Any]) -> str:
    """Render table.json as the table of docs/conformance.md."""
    rows = [Row(**{**row, "leaks": tuple(row["leaks"])}) for row in data["rows"]]
    classes = {name for row in rows for name in row.pipeline.split(" + ")}
    schedulers = {name for row in rows for name in row.scheduler.split(", ")}
    exact = sum(row.verdict == "bit-exact" for row in rows)
    lines = [
        f"{exact} of {len(rows)} cells replayed bit-exactly: {len(classes)} pipeline classes, {len(schedulers)} scheduler classes, "
        f"with diffusers {data['diffusers']}, torch {data['torch']}, on {data['date']}.",
        "",
        "| family | pipeline | scheduler | random draws | replay | 1 against 2 threads |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        drawn = "seed-closed" if not row.leaks else "; ".join(f"`{leak}`" for leak in row.leaks)
        threads = "" if row.threads is None else "same bits" if row.threads == 0 else f"{row.threads:.1g}"
        lines.append(
            f"| {row.family} | {row.pipeline} | {row.scheduler} | {drawn} | {row.verdict or row.problem} | {threads} |"
        )
    return "\n".join([*lines, "", "Schedulers that drive none of these pipelines: " + ", ".join(data["idle"]) + "."])


def write_page(text: str) -> None:
    """Put the table between its two marks in docs/conformance.md."""
    page = ROOT / "docs" / "conformance.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def read_page() -> str:
    """Read the table that is in docs/conformance.md."""
    text = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def find_untrue(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Say which cells are not what table.json says; how far two threads are apart depends on the machine."""

    def index(data: dict[str, Any]) -> dict[tuple[str, str], tuple[Any, ...]]:
        # line numbers are diffusers' own, of the release that is installed
        return {(row["pipeline"], row["scheduler"]): (list(row["leaks"]), row["verdict"]) for row in data["rows"]}

    left, right = index(old), index(new)
    return [
        f"{key}: {left.get(key)} -> {right.get(key)}" for key in {**left, **right} if left.get(key) != right.get(key)
    ]


def main() -> int:
    """Run all of it."""
    import datetime
    import importlib.metadata

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with table.json instead of rewriting it")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        rows = run_all(Path(folder))
    data = {
        "diffusers": importlib.metadata.version("diffusers"),
        "torch": importlib.metadata.version("torch"),
        "date": datetime.date.today().isoformat(),
        "rows": [asdict(row) for row in rows],
        "idle": list_idle(),
    }
    rows += [
        Row(name, one, "", (), "", problem="drives it, and is not in DRIVERS")
        for one, name in try_idle(data["idle"]).items()
    ]
    failed = [row for row in rows if row.verdict != "bit-exact"]
    for row in failed:
        print(f"FAILED {row.pipeline} {row.scheduler}: {row.verdict} {row.problem}")
    untrue = find_untrue(json.loads(TABLE.read_text()), data) if check else []
    for line in untrue:
        print(f"CHANGED {line}")
    if not check:
        TABLE.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        write_page(render(data))
    print(f"{len(rows) - len(failed)} passed, {len(failed) + len(untrue)} failed")
    return 1 if failed or untrue else 0


if __name__ == "__main__":
    sys.exit(main())
