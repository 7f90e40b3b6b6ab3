"""The whole matrix: every pipeline of the zoo and every scheduler, run and replayed, each replay in another process.

    python -m tests.conformance.matrix               run all of it, rewrite table.json and the table of
                                                     docs/conformance.md
    python -m tests.conformance.matrix --check       run all of it, and say where table.json is no longer true
    python -m tests.conformance.matrix --check --each 4   the same with every fourth of the variants
    python -m tests.conformance.matrix --sample all  the same, and each cell by commands with processes of its own, too

The cells are run together (see `cells`): two processes record half of them each, two other ones replay them. A sample
of them is run alone as well, as a person would do it, and has to give the same bits, draws and verdict.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from tests.conformance import zoo
from tests.conformance.cells import Cell, Outcome, Row, Together, run_alone

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TABLE = HERE / "table.json"
T = TypeVar("T")
BEGIN, END = "<!-- conformance: made by make conformance -->", "<!-- conformance ends -->"

DRIVERS: dict[str, tuple[str, ...]] = {
    "stable_diffusion": (
        "CogVideoXDDIMScheduler", "CosineDPMSolverMultistepScheduler", "DDIMInverseScheduler",
        "DDIMParallelScheduler", "DDIMScheduler", "DDPMParallelScheduler", "DDPMScheduler", "DEISMultistepScheduler",
        "DPMSolverMultistepInverseScheduler", "DPMSolverMultistepScheduler", "DPMSolverSDEScheduler",
        "DPMSolverSinglestepScheduler", "EDMDPMSolverMultistepScheduler", "EDMEulerScheduler",
        "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler", "IPNDMScheduler",
        "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LCMScheduler", "LMSDiscreteScheduler",
        "PNDMScheduler", "SASolverScheduler", "TCDScheduler", "UniPCMultistepScheduler",
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
    "stable_diffusion": ("call.num_inference_steps=4",),  # PNDMScheduler fails below
    "stable_diffusion_2": (
        "scheduler.config.num_train_timesteps=1024",
    ),  # ConsistencyDecoderScheduler's two steps begin at 1008
}
"""What the schedulers of a pipeline cannot do without."""

SAMPLE = (
    "stable_diffusion", "ltx", "kandinsky_prior", "stable_audio", "ip_adapter",
    "stable_diffusion, DPMSolverSDEScheduler", "unclip",
)  # fmt: skip
"""The cells that are run alone as well, the first ones first: pictures, a video, two stages, sound, an adapter, a
scheduler that draws from a global generator, a class that diffusers has moved."""

ALONE: dict[str, str] = {}
"""Cells that are run alone only, because together with others they give something else; and why."""


# --- running ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """What came of the whole matrix.

    `rows` are in the table's order; `alone` names the cells that were run alone as well; `driving` has the schedulers
    that were taken for idle and do drive a pipeline, each with that pipeline.
    """

    rows: list[Row]
    alone: list[str]
    driving: dict[str, str]


def list_cells(*, each: int = 1) -> list[Cell]:
    """List the cells of pipelines with their own scheduler; `each`: of the variants every second, third, ... alone."""
    entries = [(name, entry) for name, entry in zoo.ZOO.items() if not entry.is_later_stage]
    variants = [name for name, entry in entries if entry.is_variant]
    return [Cell(name) for name, entry in entries if not entry.is_variant or name in variants[::each]]


def run_all(folder: Path, *, sample: Sequence[str] | None, each: int = 1) -> Measured:
    """Build, run and replay everything.

    Args:
        folder: where models, runs and logs are to be.
        sample: the cells that are run alone as well; `None`: all of them.
        each: of the variants every second, third, ... is run; 1: all of them.

    Raises:
        ValueError: a name in the sample is no cell.
    """
    os.environ["REPRO_TRACK_HOME"] = str(folder / "home")
    cells = list_cells(each=each)
    halves, idle = [Together(folder, name=f"half{number}") for number in (0, 1)], list_idle()
    with ThreadPoolExecutor(2) as pool:

        def share(verb: Callable[[Together, list[Cell]], T], some: Sequence[Cell]) -> list[T]:
            """Do something with every second cell, and beside it with the others."""
            return list(pool.map(verb, halves, (list(some[0::2]), list(some[1::2]))))

        driving = share(lambda half, some: half.build([cell.name for cell in some], idle=idle), cells)
        seen = share(lambda half, some: half.record([cell for cell in some if str(cell) not in ALONE]), cells)
        cells += (more := list_scheduler_cells(seen[0] | seen[1]))
        if unknown := {*(sample or ()), *ALONE} - {str(cell) for cell in cells}:
            raise ValueError(f"{', '.join(sorted(unknown))}: no cell has this name")
        share(lambda half, some: half.record([cell for cell in some if str(cell) not in ALONE]), more)
        outcomes = {cell: outcome for found in pool.map(Together.replay, halves) for cell, outcome in found.items()}
        for cell in cells:
            if cell in outcomes:
                print(f"{cell}: {outcomes[cell].row.verdict or outcomes[cell].row.problem}", flush=True)
        chosen = [cell for cell in cells if sample is None or str(cell) in {*sample, *ALONE}]
        for cell, alone in zip(chosen, pool.map(lambda cell: run_alone(cell, folder), chosen), strict=True):
            print(f"{cell}, alone: {alone.row.verdict or alone.row.problem}", flush=True)
            outcomes[cell] = agree(alone, outcomes.get(cell, alone))
    return Measured([outcomes[cell].row for cell in cells], [str(cell) for cell in chosen], driving[0] | driving[1])


def list_scheduler_cells(seen: Container[str]) -> list[Cell]:
    """List the cells of the schedulers that no pipeline of the zoo has by itself."""
    return [
        Cell(driver, scheduler, NEEDS.get(driver, ()))
        for driver, schedulers in DRIVERS.items()
        for scheduler in schedulers
        if scheduler not in seen
    ]


def agree(alone: Outcome, together: Outcome) -> Outcome:
    """Return what a cell gives alone, if it gives the same together with others: bits, draws and verdict. Else the
    cell has failed, whatever its replays say."""
    if alone == together:
        return alone
    parts = [field.name for field in fields(Row) if getattr(alone.row, field.name) != getattr(together.row, field.name)]
    problem = f"alone and together with others it differs in {', '.join(parts) or 'the bits of an output'}"
    return replace(alone, row=replace(alone.row, verdict="", problem=problem))


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


# --- the table ----------------------------------------------------------------------------------------------------


def render(data: dict[str, Any]) -> str:
    """Render table.json as the table of docs/conformance.md."""
    rows = [Row(**{**row, "leaks": tuple(row["leaks"])}) for row in data["rows"]]
    classes = {name for row in rows for name in row.pipeline.split(" + ")}
    schedulers = {name for row in rows for name in row.scheduler.split(", ")}
    exact = sum(row.verdict == "bit-exact" for row in rows)
    lines = [
        f"{exact} of {len(rows)} cells replayed bit-exactly: {len(classes)} pipeline classes, {len(schedulers)} "
        f"scheduler classes, with diffusers {data['diffusers']}, torch {data['torch']}, on {data['date']}.",
        "",
        "Two processes recorded half of the cells each, one cell after the other; two other processes replayed them, "
        f"the last one first. {len(data['alone'])} of the cells were also run and replayed by `repro-track` commands, "
        f"with processes of their own, and had to give the same bits, draws and verdict: {'; '.join(data['alone'])}.",
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


def find_untrue(old: dict[str, Any], new: dict[str, Any], *, is_part: bool = False) -> list[str]:
    """Say which cells are not what table.json says; how far two threads are apart depends on the machine. `is_part`:
    not every cell was run."""

    def index(data: dict[str, Any]) -> dict[tuple[str, str], list[Any]]:
        found: dict[tuple[str, str], list[Any]] = {}  # a pipeline with and without adapters is several cells
        for row in data["rows"]:
            found.setdefault((row["pipeline"], row["scheduler"]), []).append((list(row["leaks"]), row["verdict"]))
        return found

    left, right = index(old), index(new)
    keys = right if is_part else {**left, **right}
    return [f"{key}: {left.get(key)} -> {right.get(key)}" for key in keys if left.get(key) != right.get(key)]


def main() -> int:
    """Run all of it."""
    import datetime
    import importlib.metadata

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with table.json instead of rewriting it")
    parser.add_argument("--sample", default=str(len(SAMPLE)), help="how many cells are run alone as well, or all")
    parser.add_argument("--each", type=int, default=1, help="with --check: of the variants every second, third, ...")
    given = parser.parse_args()
    if given.each != 1 and not given.check:
        parser.error("--each goes with --check: the table has every cell")
    sample = None if given.sample == "all" else SAMPLE[: int(given.sample)]
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        measured = run_all(Path(folder), sample=sample, each=given.each)
    data = {
        "diffusers": importlib.metadata.version("diffusers"),
        "torch": importlib.metadata.version("torch"),
        "date": datetime.date.today().isoformat(),
        "alone": measured.alone,
        "rows": [asdict(row) for row in measured.rows],
        "idle": list_idle(),
    }
    missing = [
        Row(name, one, "", (), "", problem="drives it, and is not in DRIVERS") for one, name in measured.driving.items()
    ]
    rows = [*measured.rows, *missing]
    failed = [row for row in rows if row.verdict != "bit-exact"]
    for row in failed:
        print(f"FAILED {row.pipeline} {row.scheduler}: {row.verdict} {row.problem}")
    untrue = []
    if given.check:
        untrue = find_untrue(json.loads(TABLE.read_text()), data, is_part=given.each > 1)
    for line in untrue:
        print(f"CHANGED {line}")
    if not given.check:
        TABLE.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        write_page(render(data))
    print(f"{len(rows) - len(failed)} passed, {len(failed) + len(untrue)} failed")
    return 1 if failed or untrue else 0


if __name__ == "__main__":
    sys.exit(main())
