"""One cell of the matrix, run and replayed: alone, as a person would do it, or together with others.

Alone, every run and every replay is a command with processes of its own. Together, one process records cell after cell,
and another one is the child of all their replays: they run the program's own code, but import it once. What one cell
might leave behind for the next is not the same in both: they take the cells in opposite order.

It never says what a cell should give: the table does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from repro_track.attempt.child import make_child_variables, read_result
from repro_track.attempt.perform import judge
from repro_track.attempt.restore import restore_recorded
from repro_track.attempt.workspace import prepared
from repro_track.config.locations import REPLAY
from repro_track.errors import ReproTrackError
from repro_track.lookup.diff import make_tolerance
from repro_track.lookup.find import recall_run
from repro_track.record.choice import DEFAULT
from repro_track.record.names import OUTPUT_TENSORS_NAME, RECORD_NAME
from repro_track.record.reading import read_record
from repro_track.record.schema import RunRecord
from repro_track.tensors.distance import measure_distance
from repro_track.tensors.host import load_tensors
from tests.conformance import zoo

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).parent / "repro-track"
LIMIT_S = 600
"""So long one command, or one answer of a process, may take."""


@dataclass(frozen=True)
class Row:
    """One line of the table. `leaks`: where the run drew from a global generator; empty: seed-closed. `threads`: the
    largest difference of an output between one thread and two; `None`: not measured; `inf`: another shape."""

    pipeline: str
    scheduler: str
    family: str
    leaks: tuple[str, ...]
    verdict: str
    threads: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell: an entry of the zoo with its own scheduler, run with one thread, and with two where both are compared;
    or with another scheduler, run once. `more` are the words of the command that this needs."""

    name: str
    scheduler: str | None = None
    more: tuple[str, ...] = ()

    @property
    def variants(self) -> tuple[str, ...]:
        """The words in which the runs of this cell differ. The first run is the one that is replayed."""
        if self.scheduler:
            return (f"scheduler.class_name={self.scheduler}",)
        one, two = "determinism.num_threads=1", "determinism.num_threads=2"
        return (one,) if zoo.ZOO[self.name].is_variant else (one, two)

    def make_words(self, folder: Path) -> list[str]:
        """Make the words of `repro-track run` that all runs of this cell have in common."""
        return ["--config-dir", str(folder / "conf"), "pipeline=none", f"+zoo={self.name}", "seed=3", *self.more]

    def fail(self, problem: str) -> Outcome:
        """Return what is known of a cell that did not run."""
        return Outcome(Row(self.name, self.scheduler or "", zoo.ZOO[self.name].family, (), "", problem=problem))

    def __str__(self) -> str:
        return f"{self.name}, {self.scheduler}" if self.scheduler else self.name


@dataclass(frozen=True)
class Outcome:
    """What came of a cell: its row, and the digests of the outputs of the run that was replayed. Two are equal if a
    cell gives the same bits, the same draws and the same verdict."""

    row: Row
    digests: tuple[str, ...] = field(default=(), repr=False)


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
        call[argument] = str(save_file(make(), folder / "files" / f"{name}-{argument}"))
    stage = {
        "pipeline": {"path": str(folder / "models" / name)}
        | ({"class_name": entry.class_name} if entry.class_name else {}),
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


def save_file(value: Any, stem: Path) -> Path:
    """Save a picture or a tensor that a call is given; return the file's path."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    if hasattr(value, "save"):
        path = stem.with_suffix(".png")
        value.save(path)
    else:
        path = stem.with_suffix(".npy")
        np.save(path, value.numpy())
    return path


def try_schedulers(name: str, schedulers: Sequence[str]) -> list[str]:
    """Try schedulers with the pipeline of one entry, in this process; return those that do drive it."""
    import diffusers
    import torch

    entry = zoo.ZOO[name]
    pipe = entry.build()
    if not hasattr(pipe, "scheduler"):
        return []
    pipe.set_progress_bar_config(disable=True)
    own = pipe.scheduler.config
    call = {**entry.call, **{argument: make() for argument, make in entry.files.items()}}
    call.pop("ip_adapter_image", None)
    if entry.family == "3D":
        call["output_type"] = "latent"
    driving = []
    for scheduler in schedulers:
        try:
            pipe.scheduler = getattr(diffusers.schedulers, scheduler).from_config(own)
            pipe(**call, generator=torch.Generator().manual_seed(0))
        except Exception:  # whatever a pipeline and a scheduler that do not fit raise
            continue
        driving.append(scheduler)
    return driving


# --- what both ways have in common --------------------------------------------------------------------------------


def make_variables() -> dict[str, str]:
    """Make the environment of every process: ours, without the number of threads that tests have, and without the
    Hub."""
    # passive: a thread that waits for another one leaves it the core, which it needs where two processes share two
    more = {"HF_HUB_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_WAIT_POLICY": "passive"}
    variables = {**os.environ, **more}
    variables.pop("OMP_NUM_THREADS", None)
    return variables


def _find_artifacts(run: str) -> Path:
    return next((Path(os.environ["REPRO_TRACK_HOME"]) / "artifacts").glob(f"*/{run}/artifacts"))


def _conclude(
    cell: Cell, runs: Sequence[str], *, verdict: str, problem: str, replayed: RunRecord | None = None
) -> Outcome:
    """Put a cell's row together from the record of the run that was replayed, the outputs of both, and the record of
    the replay, which has the lines that drew."""
    record = read_record(_find_artifacts(runs[0]) / RECORD_NAME)
    seeds = (replayed or record).seeds
    leaks = tuple(f"{one.name}: {place}" for one in seeds.global_generators if one.moved for place in one.drawn_at)
    parts = [part.class_name.rpartition(".")[2] for call in record.calls for part in call.components]
    schedulers = dict.fromkeys(name for name in parts if name.endswith("Scheduler"))
    classes = " + ".join(call.class_name for call in record.calls)
    threads = _measure(*runs) if len(runs) == 2 else None
    row = Row(classes, ", ".join(schedulers), zoo.ZOO[cell.name].family, leaks, verdict, threads, problem)
    return Outcome(row, tuple(output.sha256 for output in record.outputs))


def _measure(one: str, other: str) -> float:
    """Return the largest difference of any output of two runs; 0: the same bits, infinity: another shape."""
    left, right = (load_tensors(_find_artifacts(run) / OUTPUT_TENSORS_NAME) for run in (one, other))
    if {name: tensor.shape for name, tensor in left.items()} != {name: tensor.shape for name, tensor in right.items()}:
        return float("inf")
    return max(measure_distance(left[name].to_numpy(), right[name].to_numpy()).max_abs for name in left)


# --- alone --------------------------------------------------------------------------------------------------------


def start(*words: str) -> subprocess.CompletedProcess[str]:
    """Run repro-track as a person would, with the home that REPRO_TRACK_HOME names."""
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [str(PROGRAM), *words],
            cwd=folder,
            env=make_variables(),
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )


def run_alone(cell: Cell, folder: Path) -> Outcome:
    """Run a cell and replay it, each by a command: processes of its own, nothing in them but this cell.

    Args:
        cell: its model is under `folder`.
        folder: where models and configs are.
    """
    key = cell.variants[0].partition("=")[0]
    swept = f"{key}=" + ",".join(word.partition("=")[2] for word in cell.variants)
    ran = start("run", "-m", *cell.make_words(folder), swept)
    runs = ran.stdout.split()
    if len(runs) < len(cell.variants):
        lines = ran.stderr.strip().splitlines() or ["it said nothing"]
        return cell.fail(next((line for line in reversed(lines) if "error" in line.lower()), lines[-1]))
    replayed = start("replay", runs[0], "--json")
    if not replayed.stdout:
        return _conclude(cell, runs, verdict="", problem=(replayed.stderr.strip().splitlines() or ["silence"])[-1])
    result = json.loads(replayed.stdout)
    again = read_record(_find_artifacts(result["replay_run_id"]) / RECORD_NAME)
    return _conclude(cell, runs, verdict=result["verdict"], problem="", replayed=again)


# --- together -----------------------------------------------------------------------------------------------------


class Worker:
    """A process that does one thing for cell after cell: `build`, `record` or `replay` of worker.py."""

    def __init__(self, verb: str, *, folder: Path, variables: Mapping[str, str]) -> None:
        self.variables, self._verb = variables, verb
        self._cwd = tempfile.TemporaryDirectory(dir=folder)  # of no repository: there is no source to be captured
        self._log = (folder / f"{verb}.log").open("a")
        self._process = subprocess.Popen(
            # -P: what lies beside worker.py must not stand in for a library
            [sys.executable, "-P", str(Path(__file__).with_name("worker.py")), verb],
            cwd=self._cwd.name,
            env=dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def ask(self, **message: Any) -> dict[str, Any]:
        """Have one thing done; return the answer, which has a `problem` if it was not done."""
        assert self._process.stdin and self._process.stdout
        timer = threading.Timer(LIMIT_S, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if line:
            return json.loads(line)
        return {"problem": f"the process of `{self._verb}` ended with code {self._process.wait()}"}

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()
        self._cwd.cleanup()


class Together:
    """Some cells, run together: call `build`, `record` (as often as there are more cells) and `replay`, in this
    order."""

    def __init__(self, folder: Path, *, name: str) -> None:
        self._folder, self._own = folder, folder / name
        self._own.mkdir()
        self._recorder: Worker | None = None
        self._child: Worker | None = None
        self._recorded: list[tuple[Cell, list[str]]] = []
        self._failed: dict[Cell, Outcome] = {}

    def build(self, names: Sequence[str], *, idle: Sequence[str] = ()) -> dict[str, str]:
        """Build models. Also try `idle` schedulers with those that are no variants; return those that do drive one, and
        which.

        Raises:
            RuntimeError: a model cannot be built.
        """
        builder = Worker("build", folder=self._own, variables={**make_variables(), "PYTHONPATH": str(ROOT)})
        driving: dict[str, str] = {}
        try:
            for name in names:
                tried = [] if zoo.ZOO[name].is_variant else list(idle)
                reply = builder.ask(name=name, folder=str(self._folder), idle=tried)
                if "problem" in reply:
                    raise RuntimeError(f"{name} cannot be built: {reply['problem']}")
                driving |= dict.fromkeys(reply["drives"], name)
        finally:
            builder.close()
        return driving

    def record(self, cells: Sequence[Cell]) -> set[str]:
        """Run cells whose models are built, one after the other in one process; return the classes of their
        schedulers."""
        self._recorder = self._recorder or Worker("record", folder=self._own, variables=make_variables())
        seen: set[str] = set()
        for cell in cells:
            replies = [self._recorder.ask(words=[*cell.make_words(self._folder), word]) for word in cell.variants]
            if problem := next((reply["problem"] for reply in replies if "problem" in reply), None):
                self._failed[cell] = cell.fail(problem)
                continue
            runs = [reply["run"] for reply in replies]
            self._recorded.append((cell, runs))
            record = read_record(_find_artifacts(runs[0]) / RECORD_NAME)
            seen |= {part.class_name.rpartition(".")[2] for call in record.calls for part in call.components}
        return {name for name in seen if name.endswith("Scheduler")}

    def replay(self) -> dict[Cell, Outcome]:
        """Replay all runs in one other process, the last one first; return what came of every cell."""
        if self._recorder:
            self._recorder.close()
            self._recorder = None
        outcomes = dict(self._failed)
        try:
            for cell, runs in reversed(self._recorded):
                verdict, problem, replayed = "", "", None
                try:
                    verdict, replayed = self._replay_run(runs[0])
                except ReproTrackError as error:
                    problem = str(error)
                outcomes[cell] = _conclude(cell, runs, verdict=verdict, problem=problem, replayed=replayed)
        finally:
            if self._child:
                self._child.close()
                self._child = None
        return outcomes

    def _replay_run(self, run: str) -> tuple[str, RunRecord]:
        """Replay one run as `repro-track replay` does, but in the child that is there, if it was started with the
        variables that the plan wants; return the verdict and the record of the replay.

        Raises:
            ReproTrackError: the run cannot be replayed, or the replay failed.
        """
        found = recall_run(run)
        assert found is not None, f"{run} was not logged here"
        with prepared(found, choice=DEFAULT) as planned:
            restore_recorded(planned)
            plan = planned.plan
            variables = make_child_variables(plan, program=None)
            if self._child is None or self._child.variables != variables:
                if self._child:
                    self._child.close()
                self._child = Worker("replay", folder=self._own, variables=variables)
            words = {"argv": plan.argv, "cwd": plan.cwd, "variable": REPLAY, "folder": plan.folder}
            reply = self._child.ask(**words, log=f"{plan.folder}/child.log")
            actual = read_result(planned, code=reply.get("code", -1))
            if actual.status != "finished":
                raise ReproTrackError(f"the replay is {actual.status}: {actual.error}")
            profile = make_tolerance(None, recorded=found.record)
            return judge(planned, actual, profile=profile).comparison.verdict, actual
