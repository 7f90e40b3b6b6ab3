"""Promises of store/experiments.py: artifacts do not depend on the working directory, nor on who comes first."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from repro_track.store.experiments import choose_artifact_location


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_TRACK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_a_server_knows_its_own_place():
    """For a server no place is chosen; for a database one is."""
    assert choose_artifact_location("cats", uri="http://host:5000") is None
    assert choose_artifact_location("cats", uri="https://host") is None
    assert choose_artifact_location("cats", uri="sqlite:////tmp/x/mlflow.db") is not None


def test_artifacts_are_beside_a_sqlite_file_else_in_our_data_folder(home):
    """A SQLite store is one folder that can be moved; another database has no folder, so ours is taken."""
    beside = choose_artifact_location("cats", uri="sqlite:////tmp/x/mlflow.db")
    assert beside == "file:///tmp/x/artifacts/cats-d936608b"
    ours = choose_artifact_location("cats", uri="postgresql://host/db")
    assert Path(urlsplit(ours).path) == home / "artifacts" / "cats-d936608b"


def test_experiments_never_share_a_folder():
    """Names that differ only in what a file name cannot have get different folders; none leads out of its parent."""
    names = ["a/b", "a b", "a_b", "../a", "a\n", "", "猫", "犬"]
    places = [choose_artifact_location(name, uri="sqlite:////tmp/x/mlflow.db") for name in names]
    assert len(set(places)) == len(names)
    assert {str(Path(urlsplit(place).path).parent) for place in places} == {"/tmp/x/artifacts"}
