"""A data folder of its own for each test: attempts are made in it, and nothing of this machine is known there."""

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The data folder, not there yet."""
    folder = tmp_path / "home"
    monkeypatch.setenv("REPRO_TRACK_HOME", str(folder))
    return folder
