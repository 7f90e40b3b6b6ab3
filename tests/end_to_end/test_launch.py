"""What was started is recorded and started again: flags of Hydra, modules, launchers, options, console scripts."""

import sys
from pathlib import Path

import pytest

from repro_track.record.reading import read_record

BIN = Path(sys.executable).parent
CONFIG = "seed: 3\nnumber: ${hydra:job.num}\n"
APP = """
import hydra
import torch

import repro_track as rt
from .inner import scale


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    with rt.track(seed=cfg.seed, determinism="fast", num_threads=1) as run:
        value = torch.rand(2, generator=torch.Generator().manual_seed(cfg.seed)) * scale * cfg.get("more", 1)
        run.add_output("value", value)
    print("run", run.run_id, flush=True)


if __name__ == "__main__":
    main()
"""
RANKS = """
import os
import sys

import torch

import repro_track as rt

torch.distributed.init_process_group("gloo")
with rt.track(seed=int(os.environ["RANK"]), determinism="fast", num_threads=1) as run:
    value = torch.full((2,), float(os.environ["RANK"]) + 1)
    torch.distributed.all_reduce(value)
    run.add_output("value", value + float(sys.argv[1]))
print("run", run.run_id, flush=True)
torch.distributed.destroy_process_group()
"""

pytestmark = [pytest.mark.restore, pytest.mark.xdist_group("launch")]


def read_ids(result):
    assert result.code == 0, result.err
    return [line.split()[1] for line in result.out.splitlines() if line.startswith("run ")]


@pytest.fixture
def project(git):
    """A repository with a package that is a Hydra app, and a script for several processes."""
    package = git.root / "package"
    (package / "conf").mkdir(parents=True)
    for name, text in {"__init__.py": "", "app.py": APP, "inner.py": "scale = 2\n", "conf/config.yaml": CONFIG}.items():
        (package / name).write_text(text)
    (package / "conf" / "__init__.py").touch()
    (git.root / "ranks.py").write_text(RANKS)
    git("add", "--all")
    git("commit", "--quiet", "-m", "an app")
    return git


def test_a_job_of_joblibs_is_the_app_that_was_started(project, python, cli, artifacts, tmp_path):
    """`python -m package.app -cn other -m`, with joblib's processes: the record names the app's file, module and
    repository, and one member replays alone, restored, although the code and the config have changed since, also that
    of a folder elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "other.yaml").write_text("seed: 5\nmore: 3\n")
    words = ["-m", "--config-dir", tmp_path / "elsewhere", "-cn", "other", "seed=6,7", "hydra/launcher=joblib"]
    swept = python("-m", "package.app", *words, cwd=project.root)
    _, run = read_ids(swept)
    record = read_record(artifacts(run) / "record.json")
    assert (record.command.script, record.command.module) == (str(project.root / "package" / "app.py"), "package.app")
    assert record.source.repository == str(project.root)
    assert record.replayable.yes, record.replayable.reasons
    assert record.config.resolved == {"seed": record.seeds.root, "more": 3}
    (project.root / "package" / "inner.py").write_text("scale = 1\n")
    (tmp_path / "elsewhere" / "other.yaml").write_text("seed: 5\nmore: 4\n")
    replayed = cli("replay", run)
    assert replayed.out.strip() == "bit-exact", replayed.err


def test_every_rank_is_a_run_and_a_replay_starts_all(project, start, cli, artifacts):
    """`python -O` and `torchrun` with two processes: each is a run, both under one, and one replays with both started
    again."""
    from mlflow import MlflowClient

    from repro_track.config.locations import default_store_uri

    words = ["--nproc_per_node=2", "ranks.py", "1"]
    runs = read_ids(start(sys.executable, "-O", BIN / "torchrun", *words, cwd=project.root))
    found = {read_record(artifacts(run) / "record.json").command.process: run for run in runs}
    assert set(found) == {"rank 0", "rank 1"}
    client = MlflowClient(tracking_uri=default_store_uri())
    parents = {client.get_run(run).data.tags["mlflow.parentRunId"] for run in runs}
    assert len(parents) == 1
    parent = client.get_run(*parents)
    assert (parent.info.status, parent.data.tags["repro_track.sweep"]) == ("FINISHED", "2")
    assert cli("replay", found["rank 1"]).out.strip() == "bit-exact"


ORDER = """
import torch

import repro_track as rt

with rt.track(seed=1, determinism="fast", num_threads=1) as run:
    order = list({"a", "bc", "def", "ghij", "klmno", "pqrstu", "v", "wxyz"})
    run.add_output("order", torch.tensor([len(word) for word in order] + [ord(word[0]) for word in order]))
print("run", run.run_id)
"""


def test_the_random_order_of_a_set_is_said_and_proven(python, cli, artifacts, tmp_path):
    """A script that goes through a set: the record says in which line, the replay falls short and names it as possible,
    `--explain` proves it."""
    (tmp_path / "order.py").write_text(ORDER)
    [run] = read_ids(python("order.py", cwd=tmp_path, env={"PYTHONHASHSEED": None}))
    record = read_record(artifacts(run) / "record.json")
    [caution] = record.cautions
    assert "order.py:7" in caution
    replayed = cli("replay", run, "--explain", env={"PYTHONHASHSEED": None})
    assert (replayed.code, replayed.out.strip()) == (1, "diverged"), replayed.err
    assert "a possible cause: PYTHONHASHSEED was not set" in " ".join(replayed.err.split())
    assert "proven cause, in 3 trials: the order of sets" in " ".join(replayed.err.split())
