"""Many replays at once: an experiment, a filter, JUnit for CI, the pytest plugin; each with the run that falls
short."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

pytestmark = [pytest.mark.lookup, pytest.mark.xdist_group("many")]

STEPS = "call.num_inference_steps=2"
UNLIKE = {"ATEN_CPU_CAPABILITY": "default"}


@pytest.fixture(scope="module")
def golden(cli, env):
    """Two runs of an experiment, one that failed, and a run of another experiment."""
    place = "store.experiment_name=golden"
    runs = [cli("run", f"seed={seed}", STEPS, place, env=env).run_id for seed in (1, 2)]
    assert cli("run", "call.num_inference_steps=0", place, env=env).code == 3
    cli("run", "seed=1", STEPS, env=env)
    return runs


def test_every_run_of_an_experiment(cli, env, golden, tmp_path):
    """Every finished run is replayed, failed ones and replays are not; a line each, a table, JUnit, exit code 0."""
    report = tmp_path / "junit.xml"
    result = cli("replay", "--experiment", "golden", "--junit", report, env=env)
    assert result.code == 0, result.err
    assert result.out.split() == [word for run in golden for word in (run, "bit-exact")]
    assert "2 bit-exact" in result.err
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert (suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("errors")) == (
        "golden",
        "2",
        "0",
        "0",
    )
    again = cli("replay", "--experiment", "golden", "--json", env=env)
    assert [row["run_id"] for row in json.loads(again.out)] == golden  # the replays just logged are not replayed


def test_a_filter_is_mlflows(cli, env, golden):
    """`--filter` takes what MLflow's search box takes; one that it does not understand is one message, exit code 2."""
    result = cli("replay", "--experiment", "golden", "--filter", "params.seed = '2'", env=env)
    assert result.out.split()[::2] == golden[1:]
    for words, said in (
        (["--experiment", "golden", "--filter", "seed is 2"], "does not understand"),
        (["--experiment", "golden", "--filter", "params.seed = '7'"], "no finished run"),
        (["--experiment", "golder"], "no experiment 'golder'"),
        (["--filter", "params.seed = '2'", golden[0]], "without --experiment"),
        (["--experiment", "golden", "--junit", "none/such.xml"], "its folder is not there"),
        ([], "given nothing"),
        (["--experiment", "golden", golden[0]], "given both"),
    ):
        refused = cli("replay", *words, env=env)
        assert refused.code == 2, words
        assert said in refused.err
        assert "Traceback" not in refused.err


def test_one_that_falls_short_fails_the_whole(cli, env, golden, tmp_path):
    """In another instruction set the runs fall short: exit code 1, and JUnit names the verdict, the step and the
    cause."""
    report = tmp_path / "junit.xml"
    result = cli("replay", *golden, "--numerics", "current", "--junit", report, env={**env, **UNLIKE})
    assert result.code == 1
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite.get("failures") == "2"
    failure = suite.find("testcase/failure")
    assert "required bit-exact" in failure.get("message")
    assert "cpu_capability" in failure.text
    lowered = cli("replay", *golden, "--numerics", "current", "--require", "within-tolerance", env={**env, **UNLIKE})
    assert lowered.code == 0


def test_several_can_be_varied(cli, env, golden):
    """`--set` with several runs varies each; what has no verdict is not called a failure."""
    result = cli("replay", *golden, "--set", "call.num_inference_steps=3", env=env)
    assert result.code == 0, result.err
    assert result.out.split() == [word for run in golden for word in (run, "varied")]


def test_one_that_cannot_be_run_does_not_stop_the_others(cli, env, golden, tmp_path):
    """A run that is not there is an error in the table and in JUnit; the others are replayed all the same."""
    report = tmp_path / "junit.xml"
    result = cli("replay", "0123456789", golden[0], "--junit", report, env=env)
    assert result.code == 2
    assert result.out.split() == ["0123456789", "not-run", golden[0], "bit-exact"]
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite.get("errors") == "1"
    assert "no run begins with" in suite.find("testcase/error").text


def run_pytest(folder, env, text):
    (folder / "test_golden.py").write_text(text)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_golden.py"]
    return subprocess.run(words, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, check=False)


def test_the_pytest_plugin(env, golden, tmp_path):
    """`assert_replays` passes where the run comes out, fails with verdict and cause where it does not, and needs no
    import."""
    text = f"""
def test_good(assert_replays):
    assert_replays("{golden[0]}")
    assert_replays("{golden[1]}", require="within-tolerance", numerics="current")

def test_bad(assert_replays):
    assert_replays("{golden[0]}", numerics="current")

def test_missing(assert_replays):
    assert_replays("0123456789")
"""
    done = run_pytest(tmp_path, {**env, **UNLIKE}, text)
    assert "1 passed" in done.stdout, done.stdout
    assert "2 failed" in done.stdout
    assert "required bit-exact" in done.stdout
    assert "cpu_capability" in done.stdout
    assert "no run begins with" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_plugin_loads_nothing(tmp_path, env):
    """In a session that does not use it the plugin leaves torch, mlflow and all that runs or replays unloaded."""
    text = """
import sys

def test_nothing():
    assert not {"torch", "mlflow", "numpy", "pydantic"} & set(sys.modules)
    ours = {name.split(".")[1] for name in sys.modules if name.startswith("repro_track.")}
    assert ours <= {"pytest_plugin", "version", "errors", "capture", "config", "tensors"}
"""
    done = run_pytest(tmp_path, env, text)
    assert "1 passed" in done.stdout, done.stdout
