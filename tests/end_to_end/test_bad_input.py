"""Bad input: one message that says what was found, what was expected and what to do; no traceback, the right exit code,
nothing half-written."""

import json
import subprocess

import pytest

pytestmark = pytest.mark.xdist_group("bad_input")


def check(result, *, code, says):
    assert result.code == code, result.err
    assert result.out == ""
    assert result.err.startswith("error: "), result.err
    assert "Traceback" not in result.err
    for words in says:
        assert words in result.err


@pytest.fixture
def count_runs(home):
    """Count the runs that the store has, and see that no staged folder is left."""

    staged = set((home / "staging").glob("*"))

    def count():
        from mlflow import MlflowClient

        from repro_track.config.locations import default_store_uri

        assert set((home / "staging").glob("*")) <= staged  # what other tests left may go, nothing comes
        client = MlflowClient(tracking_uri=default_store_uri())
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        return len(client.search_runs(experiments))

    return count


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["seed=4294967296"], ["seed is 4294967296", "32 bits"]),
        (["seed=-1"], ["seed is -1"]),
        (["seed=abc"], ["abc", "Integer"]),
        (["seeds=[1,4294967296]"], ["seeds[1]"]),
        (["num_images=0"], ["num_images is 0"]),
        (["sed=3"], ["no key 'sed'", "did you mean seed?"]),
        (["pipeline=nope"], ["pipeline is 'nope'", "ddim_cifar10, digits"]),
        (["determinism=strickt"], ["strickt", "did you mean strict?"]),
        (["pipeline=local"], ["pipeline.path is None", "pipeline.path=DIR"]),
        (["pipeline=local", "pipeline.path=/nope"], ["/nope", "save_pretrained"]),
        (["call.num_inference_step=3"], ["num_inference_step", "did you mean call.num_inference_steps?"]),
        (["trace.level=loud"], ["trace is 'loud'", "off, steps, modules"]),
        (["generator=gpu"], ["generator is 'gpu'"]),
        (["device=cuda:99"], ["device is 'cuda:99'"]),
        (["determinism.num_threads=0"], ["num_threads is 0"]),
        (["call.x=["], ["["]),
    ],
    ids=lambda value: " ".join(value) if value and "=" in value[0] else "",
)
def test_a_wrong_config_is_one_message(cli, count_runs, digits_run, words, says):
    """A wrong config is refused with exit code 2, and neither a run nor a file is left of it."""
    before = count_runs()
    check(cli("run", *words), code=2, says=says)
    assert count_runs() == before


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["show", "xyz"], 2, ["'xyz' names no run", "latest"]),
        (["show", "ffffffffffff"], 2, ["no run begins with", "sqlite:"]),
        (["replay", "f" * 32], 2, ["no run begins with"]),
        (["show", "/nope/record.json"], 2, ["/nope/record.json is not there"]),
        (["find", "nope"], 2, ["neither a file nor a digest"]),
        (["verify", "abc"], 2, ["names no run"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_unknown_run_is_one_message(cli, digits_run, words, code, says):
    """A run that is not there is said with where it was looked for."""
    check(cli(*words), code=code, says=says)


def test_a_run_of_somebody_else_is_said(cli, digits_run):
    """A run in the same store that repro_track did not log is not taken for one of ours."""
    from mlflow import MlflowClient

    from repro_track.config.locations import default_store_uri

    client = MlflowClient(tracking_uri=default_store_uri())
    other = client.create_run(client.get_experiment_by_name("repro_track").experiment_id)
    client.set_terminated(other.info.run_id)
    check(cli("replay", other.info.run_id), code=3, says=["was not logged by repro_track"])


def test_an_ambiguous_prefix_lists_the_runs(home, digits_run):
    """A prefix of two runs is refused with both ids; one character more is enough."""
    import sqlite3

    from repro_track.config.locations import default_store_uri
    from repro_track.errors import UsageError
    from repro_track.store.client import Store

    twin = digits_run.run_id[:8] + "0" * 24
    with sqlite3.connect(home / "mlflow.db") as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(runs)")]
        copied = ", ".join("?" if name == "run_uuid" else name for name in columns)
        database.execute(f"INSERT INTO runs SELECT {copied} FROM runs WHERE run_uuid = ?", (twin, digits_run.run_id))
    try:
        with pytest.raises(UsageError) as caught:
            Store(default_store_uri()).find_run(digits_run.run_id[:8])
        assert twin in caught.value.found
        assert digits_run.run_id in caught.value.found
        assert Store(default_store_uri()).find_run(digits_run.run_id).run_id == digits_run.run_id
    finally:
        with sqlite3.connect(home / "mlflow.db") as database:
            database.execute("DELETE FROM runs WHERE run_uuid = ?", (twin,))


def test_a_newer_record_is_said(cli, artifacts, digits_run, tmp_path):
    """A record of a newer schema is refused with what to do, by `show` and by `replay`."""
    data = json.loads((artifacts(digits_run.run_id) / "record.json").read_text())
    (tmp_path / "record.json").write_text(json.dumps({**data, "schema_version": 99}))
    for command in ("show", "replay"):
        check(cli(command, tmp_path / "record.json"), code=3, says=["schema 99", "upgrade"])


def test_an_unreachable_server_is_said_at_once(cli):
    """Nobody listens at the store's address: exit code 3 before the pipeline has run, and nothing is left."""
    result = cli("run", "call.num_inference_steps=2", env={"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"})
    check(result, code=3, says=["http://127.0.0.1:9", "Connection refused"])
    check(cli("show", "latest", env={"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}), code=3, says=["refused"])


def test_a_database_that_is_none_is_said(cli, tmp_path):
    """A store that is a file, but no database, is one message."""
    (tmp_path / "mlflow.db").write_text("this is no database, and it is long enough to be sure of that" * 20)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    check(cli("show", "latest", env={"MLFLOW_TRACKING_URI": uri}), code=3, says=["mlflow.db"])


def test_a_file_store_is_said(cli):
    """A folder of files as store, MLflow's former default, is refused with what to do."""
    check(cli("show", "latest", env={"MLFLOW_TRACKING_URI": "./mlruns"}), code=2, says=["folder of files", "sqlite:"])


def test_a_failing_pipeline_is_one_message_and_logged(cli, read_record):
    """A pipeline that raises is one message with exit code 3, and the run is logged as failed with the reason."""
    result = cli("run", "call.num_inference_steps=0", "name=planted-failure")
    check(result, code=3, says=["DDIMPipeline failed"])
    from mlflow import MlflowClient

    from repro_track.config.locations import default_store_uri

    client = MlflowClient(tracking_uri=default_store_uri())
    experiment = client.get_experiment_by_name("repro_track").experiment_id
    (run,) = client.search_runs([experiment], "attributes.run_name = 'planted-failure'")
    record = read_record(run.info.run_id)
    assert run.info.status == "FAILED"
    assert record.status == "failed"
    assert not record.replayable.yes
    assert len(record.calls) == 1


def test_a_run_that_this_machine_did_not_log_is_refused(cli, digits_run, artifacts, tmp_path):
    """A record from elsewhere is not started without `--trust`: exit code 4, and what it would have started is
    shown."""
    copy = tmp_path / "elsewhere"
    subprocess.run(["cp", "-r", artifacts(digits_run.run_id), copy], check=True)
    result = cli("replay", copy / "record.json")
    check_refused(result)
    assert cli("replay", copy / "record.json", "--trust").out.strip() == "bit-exact"


def check_refused(result):
    assert result.code == 4, result.err
    assert result.out == ""
    assert "--trust" in result.err
    assert "repro_track.run" in result.err


def test_an_altered_record_is_not_replayed(cli, artifacts):
    """The record in the store was altered after this machine logged it: neither its id nor a prefix starts it."""
    run = cli("run", "seed=5", "call.num_inference_steps=2")
    path = artifacts(run.run_id) / "record.json"
    data = json.loads(path.read_text())
    data["config"]["resolved"]["seed"] = 6
    path.write_text(json.dumps(data))
    check_refused(cli("replay", run.run_id[:12]))
    result = cli("replay", run.run_id)
    assert result.code == 3
    assert "is not the one that this machine logged" in result.err
