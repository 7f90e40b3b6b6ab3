"""Sweeps: one run for all, members by their own ids, replayed as a whole, gone on with where they broke off."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

pytestmark = [pytest.mark.lookup, pytest.mark.xdist_group("sweep")]

STEPS = "call.num_inference_steps=2"


def find_sweep(result):
    """Find the id of the sweep in what a person reads."""
    return next(line.split()[1].rstrip(":") for line in result.err.splitlines() if line.startswith("sweep "))


def find_artifact(env, run_id, name):
    return next(Path(env["REPRO_TRACK_HOME"]).glob(f"artifacts/*/{run_id}/artifacts/{name}"))


@pytest.fixture(scope="module")
def swept(cli, env):
    return cli("run", "-m", "seed=10,2", "call.num_inference_steps=2,3", env=env)


def test_members_are_under_one_run(swept, env, client):
    """Each member's id is a line on stdout; all are under the sweep, named by their overrides."""
    members = swept.out.split()
    assert len(members) == 4
    sweep = find_sweep(swept)
    for member in members:
        assert client.get_run(member).data.tags["mlflow.parentRunId"] == sweep
    assert client.get_run(members[0]).info.run_name == "digits seed=10 call.num_inference_steps=2"
    run = client.get_run(sweep)
    assert run.info.status == "FINISHED"
    assert run.data.tags["repro_track.sweep"] == "4"
    assert all(member in run.data.tags["mlflow.note.content"] for member in members)


def test_the_sheet_has_every_picture_in_order(swept, env):
    """One sheet: a row for each seed by number (2 before 10), a column for each number of steps, each picture a
    member's."""
    later, earlier = swept.out.split()[:2], swept.out.split()[2:]
    members = [*earlier, *later]
    with Image.open(find_artifact(env, find_sweep(swept), "contact_sheet.png")) as sheet:
        sheet.load()
    with Image.open(find_artifact(env, members[0], "preview.png")) as first:
        side = first.width
    width = (sheet.width + 4) // 2
    for index, member in enumerate(members):
        left, top = index % 2 * width, index // 2 * (side + 14 + 4)
        with Image.open(find_artifact(env, member, "preview.png")) as picture:
            assert sheet.crop((left, top, left + side, top + side)).tobytes() == picture.convert("RGB").tobytes()


def test_no_copy_of_the_whole_config_is_left(swept, env):
    """Hydra's own copy of a sweep's config, with every secret of the command in clear, is not in the data folder."""
    assert not list(Path(env["REPRO_TRACK_HOME"]).rglob("multirun.yaml"))


def test_a_member_replays_alone(swept, cli, env):
    """A member is a run like any other, by its own id."""
    assert cli("replay", swept.out.split()[3], env=env).out.strip() == "bit-exact"


def test_the_sweep_replays_as_a_whole(swept, cli, env):
    """The sweep's id stands for its members: a verdict each, and a non-zero exit code where one falls short."""
    sweep, members = find_sweep(swept), swept.out.split()
    replayed = cli("replay", sweep, env=env)
    assert replayed.code == 0, replayed.err
    assert replayed.out.split() == [word for member in members for word in (member, "bit-exact")]
    assert "4 bit-exact" in replayed.err
    unlike = cli("replay", sweep, "--numerics", "current", env={**env, "ATEN_CPU_CAPABILITY": "default"})
    assert unlike.code == 1
    assert cli("verify", sweep, env=env).code == 0


def test_a_refused_command_leaves_no_sweep(cli, env, client):
    """A typo in an override begins nothing."""
    before = len(client.search_runs(["1"]))
    assert cli("run", "-m", "seeed=1,2", env=env).code == 2
    assert len(client.search_runs(["1"])) == before


def test_what_is_missing_is_made(cli, env, client, tmp_path):
    """A sweep whose process was killed goes on by its id alone: what is there is not made again, and the sheet is
    whole."""
    program = Path(sys.executable).parent / "repro-track"
    words = ["run", "-m", "seed=5,6,7", STEPS]
    process = subprocess.Popen(
        [program, *words],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    first = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    process.wait()
    sweep = client.get_run(first).data.tags["mlflow.parentRunId"]
    for _ in range(100):  # what the killed process was at is logged as killed by its helper
        if all(
            run.info.status != "RUNNING" for run in client.search_runs(["1"], f"tags.mlflow.parentRunId = '{sweep}'")
        ):
            break
        time.sleep(0.2)
    assert client.get_run(sweep).info.status == "RUNNING"
    resumed = cli("run", f"sweep.run={sweep}", env=env)
    assert resumed.code == 0, resumed.err
    members = resumed.out.split()
    assert members[0] == first
    assert len(set(members)) == 3
    run = client.get_run(sweep)
    assert (run.info.status, run.data.tags["repro_track.sweep"]) == ("FINISHED", "3")
    assert cli("replay", sweep, env=env).out.split()[::2] == members


def test_a_failed_member_does_not_hide_the_others(cli, env, client):
    """A member that fails is shown as failed; the sweep is marked failed, keeps the sheet, and is gone on with."""
    failed = cli("run", "-m", f"{STEPS.replace('2', '2,0,3')}", env=env)
    assert failed.code != 0
    sweep = find_sweep(failed)
    assert client.get_run(sweep).info.status == "FAILED"
    assert find_artifact(env, sweep, "contact_sheet.png").is_file()
    shown = cli("replay", sweep, env=env)  # the finished ones
    assert shown.code == 0, shown.err
    assert len(shown.out.splitlines()) == len(set(failed.out.split()))
    statuses = [run.info.status for run in client.search_runs(["1"], f"tags.mlflow.parentRunId = '{sweep}'")]
    assert "FAILED" in statuses


def test_a_launcher_with_processes(cli, env, client):
    """joblib's worker processes put their runs under the same sweep, and each replays."""
    swept = cli("run", "-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=11,12", STEPS, env=env)
    assert swept.code == 0, swept.err
    sweep = find_sweep(swept)
    members = client.search_runs(["1"], f"tags.mlflow.parentRunId = '{sweep}'")
    assert len(members) == 2
    replayed = cli("replay", sweep, "--json", env=env)
    assert [row["verdict"] for row in json.loads(replayed.out)] == ["bit-exact", "bit-exact"], replayed.err


def test_a_sweep_of_somebody_else_is_not_run(cli, env, swept, tmp_path):
    """A command in a store is somebody's code: where this machine did not begin the sweep, its id alone starts nothing;
    the whole command, typed, does."""
    sweep, store = find_sweep(swept), f"sqlite:///{env['REPRO_TRACK_HOME']}/mlflow.db"
    other = {"REPRO_TRACK_HOME": str(tmp_path), "MLFLOW_TRACKING_URI": store}
    refused = cli("run", f"sweep.run={sweep}", env=other)
    assert (refused.code, refused.out) == (4, "")
    assert "not begun by this user" in refused.err
    typed = cli("run", "-m", "seed=10,2", "call.num_inference_steps=2,3", f"sweep.run={sweep}", env=other)
    assert typed.out.split() == swept.out.split()


def test_a_run_that_is_no_sweep(cli, env, swept):
    """`sweep.run` of an ordinary run is refused; `show` of a sweep says where its records are."""
    for words in ([], ["-m", "seed=1,2"]):
        refused = cli("run", *words, f"sweep.run={swept.out.split()[0]}", env=env)
        assert refused.code == 2
        assert "is no sweep" in refused.err
    shown = cli("show", find_sweep(swept), env=env)
    assert shown.code == 2
    assert "its members have records" in shown.err
