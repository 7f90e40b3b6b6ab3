"""Promises of store/client.py that need no store. What it logs, finds and loads is tested on real ones."""

from typing import get_args

from repro_track.record.schema import Status
from repro_track.store.client import STATUSES


def test_every_status_of_a_record_is_one_of_mlflow():
    """A run that was killed or interrupted is no finished one in MLflow, and every status of a record has its own."""
    assert set(STATUSES) == set(get_args(Status))
    assert set(STATUSES.values()) <= {"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"}  # MLflow's own
    assert [name for name, value in STATUSES.items() if value == "FINISHED"] == ["finished"]
