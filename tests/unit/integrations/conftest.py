"""Runs that log nothing: other blocks in the child of a replay, so that no process is started."""

import pytest

from repro_track.record.handover import Handover


@pytest.fixture
def child(make_record, tmp_path, monkeypatch):
    """Be the child of a replay of a block that no test opens; return the folder that runs are in."""
    Handover(tmp_path, make_record({"command.ordinal": -1})).write()
    monkeypatch.setenv("REPRO_TRACK_REPLAY", str(tmp_path))
    return tmp_path
