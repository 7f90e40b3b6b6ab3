"""Promises of pytest_plugin.py: what cannot be replayed fails the test that asks for it, and says why."""

import inspect
import subprocess
import sys

import pytest

from repro_track import pytest_plugin


def test_a_level_that_there_is_not_is_a_mistake_of_the_test(assert_replays, records):
    """An unknown level is a ValueError with those that there are: the test is wrong, not the run."""
    with pytest.raises(ValueError, match="expected one of bit-exact, pixel-exact"):
        assert_replays(str(records / "v3.json"), require="perfect")


def test_a_run_that_is_not_trusted_fails_the_test(assert_replays, records):
    """A record that this machine did not log is not started unless the test says so: the test fails with the reason."""
    path = records / "v3-digits.json"
    with pytest.raises(pytest.fail.Exception) as failed:
        assert_replays(str(path))
    assert f"run {path} could not be replayed" in str(failed.value)
    assert "trust" in str(failed.value)


def test_a_damaged_record_fails_the_test(assert_replays, tmp_path):
    """What is no record fails the test by its name."""
    (tmp_path / "record.json").write_text("{}")
    with pytest.raises(pytest.fail.Exception, match="could not be replayed"):
        assert_replays(str(tmp_path / "record.json"))


def test_the_words_have_the_defaults_of_the_command(assert_replays):
    """A golden run is replayed as `repro-track replay` would by itself."""
    from repro_track.cli import main

    defaults = main.commands["replay"].make_context("replay", ["latest"]).params
    parameters = inspect.signature(assert_replays).parameters
    for name in ("require", "code", "env", "numerics", "weights", "trust"):
        assert parameters[name].default == defaults[name]


@pytest.mark.starts(sys.executable.rpartition("/")[2])
def test_a_session_that_does_not_use_it_loads_little():
    """pytest loads the plugin in every session: by itself it brings in what notes which files are opened, read and
    executed, for which it has to be there early, and nothing else: no torch, no MLflow, no numpy."""
    script = f"import sys, {pytest_plugin.__name__}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    ours = {name for name in loaded if name.startswith("repro_track.") and name.count(".") == 2}
    watching = {f"repro_track.{name}" for name in ("capture.executed", "capture.standard_input", "tensors.opened")}
    assert ours == watching | {"repro_track.config.locations"}
    assert not {"torch", "mlflow", "numpy", "pydantic", "diffusers"} & loaded
