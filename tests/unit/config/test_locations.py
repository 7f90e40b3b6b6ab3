"""Promises of locations.py: every place follows from a variable, and no other variable enters a record."""

from pathlib import Path

import pytest

from repro_track.config import locations
from repro_track.config.locations import default_store_uri, resolve_store_uri
from repro_track.errors import UsageError


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """An environment in which nothing says where things are."""
    for name in (locations.HOME, locations.TRACKING_URI, locations.REPLAY, "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_data_folder_follows_the_variables(environment, tmp_path):
    """Our own variable goes before the XDG standard's, which goes before the home folder."""
    assert locations.data_folder() == Path.home() / ".local" / "share" / "repro_track"
    environment.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert locations.data_folder() == tmp_path / "xdg" / "repro_track"
    environment.setenv(locations.HOME, str(tmp_path / "ours"))
    assert locations.data_folder() == tmp_path / "ours"


def test_no_place_is_made(environment, tmp_path):
    """Asking for a place does not make it."""
    environment.setenv(locations.HOME, str(tmp_path / "ours"))
    locations.list_written_paths(locations.default_store_uri())
    assert not (tmp_path / "ours").exists()


def test_the_store_is_the_variables_then_the_configs_then_our_own(environment, tmp_path):
    """MLflow's variable goes before what is configured, and that before the embedded store in the data folder."""
    environment.setenv(locations.HOME, str(tmp_path))
    assert locations.resolve_store_uri() == f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert locations.resolve_store_uri("http://a:1") == "http://a:1"
    environment.setenv(locations.TRACKING_URI, "http://b:2")
    assert locations.resolve_store_uri("http://a:1") == "http://b:2"


def test_a_relative_store_does_not_move_with_the_working_directory(environment, tmp_path):
    """A relative SQLite path is made absolute where it is first seen; an absolute one stays."""
    environment.chdir(tmp_path)
    uri = locations.resolve_store_uri("sqlite:///here.db")
    assert uri == f"sqlite:///{tmp_path / 'here.db'}"
    assert locations.resolve_store_uri(uri) == uri


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns", "mlruns"])
def test_a_store_of_files_is_refused(uri):
    """MLflow 3 opens no folder of files: it is refused with what would do."""
    with pytest.raises(UsageError) as refused:
        locations.resolve_store_uri(uri)
    assert "database" in refused.value.expected
    assert locations.TRACKING_URI in refused.value.advice


def test_what_runs_write_is_no_part_of_the_source(environment, tmp_path):
    """The data folder, and a SQLite store's file, lock and artifacts, are written by runs; a server's are not here."""
    environment.setenv(locations.HOME, str(tmp_path / "home"))
    paths = locations.list_written_paths(f"sqlite:///{tmp_path}/x.db")
    assert paths == [tmp_path / "home", tmp_path / "x.db", tmp_path / "x.db.lock", tmp_path / "artifacts"]
    assert locations.list_written_paths("http://a:1") == [tmp_path / "home"]


def test_only_a_replays_child_has_a_hand_over(environment, tmp_path):
    """The hand-over's folder is that of the variable; without it there is none."""
    assert locations.replay_folder() is None
    environment.setenv(locations.REPLAY, str(tmp_path))
    assert locations.replay_folder() == tmp_path


def test_only_listed_variables_are_recorded(environment):
    """A variable of the list is recorded, as not set where it is not; no other one is read."""
    environment.setenv("OMP_NUM_THREADS", "3")
    environment.delenv("MKL_CBWR", raising=False)
    environment.setenv("MY_TOKEN", "secret")
    recorded = locations.read_recorded_variables()
    assert (recorded["OMP_NUM_THREADS"], recorded["MKL_CBWR"]) == ("3", None)
    assert set(recorded) == set(locations.RECORDED_VARIABLES)
    assert "MY_TOKEN" not in recorded


def test_the_environment_names_the_store_first(monkeypatch):
    """MLFLOW_TRACKING_URI goes before the config, and the config before the embedded store."""
    assert resolve_store_uri() == default_store_uri()
    assert resolve_store_uri("http://a:5000") == "http://a:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://b:5000")
    assert resolve_store_uri("http://a:5000") == "http://b:5000"


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns"])
def test_a_file_store_is_refused(uri):
    """MLflow 3 raises on file stores with a long text: we say what to do."""
    with pytest.raises(UsageError, match="a folder of files"):
        resolve_store_uri(uri)
