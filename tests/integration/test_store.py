"""Promises of store/, on real stores: SQLite, a real MLflow server, a server that is stopped while a run goes on."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from repro_track.config.locations import default_store_uri
from repro_track.store.client import Store
from tests.servers import Server

pytestmark = pytest.mark.xdist_group("store")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


def test_a_run_on_a_server_replays(cli, server):
    """With MLFLOW_TRACKING_URI set, a run goes to the server, artifacts through its proxy, and replays from there."""
    env = {"MLFLOW_TRACKING_URI": server.url}
    run = cli("run", "seed=3", "call.num_inference_steps=2", env=env)
    assert run.code == 0, run.err
    assert f"{server.url}/#/experiments/" in run.err
    assert cli("replay", run.run_id[:10], env=env).out.strip() == "bit-exact"
    assert cli("show", run.run_id).code == 2  # and it is not in the embedded store


def test_a_server_that_stops_during_a_run(cli, python, tmp_path):
    """The server dies while the run computes: exit with a message that names the folder where the run is kept, and the
    kept record replays."""
    running = Server(tmp_path)
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, sys\n"
        "from diffusers import DDIMPipeline\n"
        "import repro_track as rt\n"
        "pipe = DDIMPipeline.from_pretrained(rt.find_builtin('digits'))\n"
        "with rt.track(seed=0) as run:\n"
        "    run.run_id\n"
        "    if not run.is_replay:\n"
        "        os.killpg(int(sys.argv[1]), signal.SIGKILL)\n"
        "    run(pipe, num_inference_steps=2, output_type='np')\n"
    )
    result = python(script, running._process.pid, env={"MLFLOW_TRACKING_URI": running.url})
    assert result.code != 0
    assert "the run so far is kept" in result.err
    kept = result.err.rpartition("replay ")[2].split("`")[0]
    assert cli("replay", kept).out.strip() == "bit-exact"


def test_a_fresh_store_takes_four_runs_at_once(python, tmp_path):
    """Four processes on a database that does not exist yet all log their run."""
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy, repro_track as rt\n"
        "with rt.track(seed=0, trace='off') as run:\n"
        "    run.add_output('x', numpy.zeros(2))\n"
        "print(run.run_id)\n"
    )
    env = {"REPRO_TRACK_HOME": str(tmp_path / "home")}
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: python(script, env=env), range(4)))
    assert [result.code for result in results] == [0] * 4, results[0].err
    assert len({result.run_id for result in results}) == 4


def test_a_run_is_sent_in_a_handful_of_calls(server, make_record, tmp_path, monkeypatch):
    """Everything of one run goes to MLflow in few calls, however much it is: counted at the HTTP client."""
    from mlflow.utils import rest_utils

    opened = Store(server.url)
    calls = []
    real = rest_utils.http_request
    monkeypatch.setattr("mlflow.utils.rest_utils.http_request", lambda *a, **k: calls.append(k) or real(*a, **k))
    (tmp_path / "record.json").write_text("{}")
    run = opened.start_run(experiment="calls", name="n", user="u", source="s")
    opened.log_run(run, record=make_record(), folder=tmp_path, description="d", tags={}, metrics={})
    assert 3 <= len(calls) <= 10


def test_the_embedded_store_does_not_depend_on_the_folder(cli, digits_run, tmp_path):
    """A run is found from any working directory, and none gets an mlruns folder or a database."""
    assert cli("show", digits_run.run_id, cwd=tmp_path).code == 0
    assert list(tmp_path.iterdir()) == []
    assert default_store_uri().startswith("sqlite:////")
