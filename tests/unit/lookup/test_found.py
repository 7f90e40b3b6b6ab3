"""Promises of found.py: a record in a folder needs no store, and what cannot be had is empty or an error, never
guessed."""

from pathlib import Path

import pytest

from repro_track.errors import StoreError
from repro_track.lookup.found import FoundRun
from repro_track.record.reading import read_record

RECORD = read_record(Path(__file__).parents[2] / "data" / "records" / "v1.json")
RUN_ID = "a" * 32


def test_a_run_is_named_by_mlflow_or_by_its_record():
    """MLflow's run id where it is in a store, else the record's own."""
    assert FoundRun(RECORD, run_id=RUN_ID).address == RUN_ID
    assert FoundRun(RECORD).address == RECORD.record_id


def test_a_run_in_a_folder_is_open_already(tmp_path):
    """What lies in a folder, or has no run id, is not looked up in any store."""
    for found in (FoundRun(RECORD, folder=tmp_path), FoundRun(RECORD)):
        assert found.open() is found


def test_artifacts_come_from_the_folder(tmp_path):
    """A file that is there is returned where it lies; one that is not is None, and tensors without a file are none."""
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "a.txt").write_text("a")
    found = FoundRun(RECORD, folder=tmp_path)
    assert found.load_artifact("outputs/a.txt", tmp_path / "target") == tmp_path / "outputs" / "a.txt"
    assert found.load_artifact("outputs/b.txt", tmp_path / "target") is None
    assert found.load_all(tmp_path / "target") == tmp_path
    exact = found.load_exact(tmp_path / "target")
    assert (exact.outputs, exact.latents) == ({}, {})


def test_a_run_without_a_place_has_no_artifacts(tmp_path):
    """A record alone has no artifact, and asking for all of them is an error."""
    assert FoundRun(RECORD).load_artifact("record.json", tmp_path) is None
    with pytest.raises(StoreError, match="in no store"):
        FoundRun(RECORD).load_all(tmp_path)
