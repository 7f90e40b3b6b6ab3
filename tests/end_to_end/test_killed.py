"""A run that is interrupted, killed, or loses its server still leaves its record, marked so."""

import os
import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """
import sys, time
import repro_track as rt
with rt.track(experiment="killed", seed=0, name=sys.argv[1]) as run:
    run.run_id  # wait until MLflow has it
    print("ready", flush=True)
    time.sleep(60)
"""


def start_script(tmp_path, name):
    """Start the script and wait until its run is in MLflow. With SIGINT as on a terminal: a shell's background jobs,
    and so perhaps these tests, have it ignored."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, script, name],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline().strip() == "ready"
    return process


@pytest.fixture
def client(home):
    from mlflow import MlflowClient

    from repro_track.config.locations import default_store_uri

    return MlflowClient(tracking_uri=default_store_uri())


def wait_for_end(client, name, *, timeout_s=60):
    """Wait until the run with this name has ended in MLflow."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        experiment = client.get_experiment_by_name("killed")
        runs = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
        if runs and runs[0].info.status != "RUNNING":
            return runs[0]
        time.sleep(0.2)
    raise TimeoutError(name)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, "killed"), (signal.SIGINT, "interrupted")], ids=["SIGKILL", "SIGINT"]
)
def test_a_dead_run_leaves_its_record(tmp_path, client, read_record, home, number, status):
    """A process that is killed with SIGKILL, or interrupted, leaves a record with its status and what was captured."""
    name = f"dies-by-{number}"
    process = start_script(tmp_path, name)
    os.kill(process.pid, number)
    process.wait()
    run = wait_for_end(client, name)
    record = read_record(run.info.run_id)
    assert run.info.status == "KILLED"
    assert record.status == status
    assert record.seeds.root == 0
    assert record.environment.packages
    assert record.replayable.reasons == (f"the run {'was' if status == 'killed' else 'is'} {status}",)
    assert not (home / "staging" / record.record_id).exists()


def test_a_run_is_shown_while_it_runs(tmp_path, client):
    """MLflow shows a run as running while it runs, not only afterwards."""
    process = start_script(tmp_path, "shown")
    try:
        experiment = client.get_experiment_by_name("killed")
        (run,) = client.search_runs([experiment.experiment_id], "attributes.run_name = 'shown'")
        assert run.info.status == "RUNNING"
    finally:
        process.kill()
        process.wait()
        wait_for_end(client, "shown")
