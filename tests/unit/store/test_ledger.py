"""Promises of store/ledger.py: what this machine logged comes out as it went in, and nothing else does."""

import json
from pathlib import Path

import pytest

from repro_track.errors import RecordError
from repro_track.record.reading import parse_record
from repro_track.store import ledger

RECORDS = Path(__file__).parents[2] / "data" / "records"
RUN, OTHER = "0" * 32, "1" * 32


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_TRACK_HOME", str(tmp_path))
    return tmp_path / "ledger"


@pytest.fixture
def record():
    return parse_record((RECORDS / "v3.json").read_bytes(), origin="v3.json")


def test_a_record_is_recalled_by_its_run(record):
    """What was remembered is recalled, by exactly that run id; of any other run there is nothing."""
    assert ledger.recall(RUN) is None
    ledger.remember(RUN, record)
    assert ledger.recall(RUN) == record
    assert ledger.recall(RUN) != record.model_copy(update={"name": "another"})
    assert ledger.recall(OTHER) is None
    assert ledger.recall_sweep(RUN) is None


def test_a_record_that_is_logged_again_goes_before(record):
    """The last one logged under an id is the one that is recalled."""
    ledger.remember(RUN, record)
    changed = record.model_copy(update={"name": "another"})
    ledger.remember(RUN, changed)
    assert ledger.recall(RUN) == changed


def test_a_sweep_is_recalled_by_its_run(record):
    """A sweep's command is kept apart from records: the one is never taken for the other."""
    data = {"words": ["-m", "seed=1,2"], "cwd": "/home/me"}
    ledger.remember_sweep(RUN, data)
    assert ledger.recall_sweep(RUN) == data
    assert ledger.recall_sweep(RUN) != {**data, "cwd": "/"}
    assert ledger.recall_sweep(OTHER) is None
    assert ledger.recall(RUN) is None


def test_entries_are_whole_files(record, folder):
    """After writing, nothing but the entries is there, and no half file that could stay under an entry's name."""
    ledger.remember(RUN, record)
    ledger.remember_sweep(OTHER, {"words": []})
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == [f"{RUN}.json", f"sweeps/{OTHER}.json"]
    assert json.loads((folder / f"{RUN}.json").read_text(encoding="utf-8"))["record_id"] == record.record_id


def test_a_damaged_entry_is_no_record(record, folder):
    """An entry that was damaged is an error with its path, never a record that may be replayed unasked."""
    ledger.remember(RUN, record)
    path = folder / f"{RUN}.json"
    path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8")
    with pytest.raises(RecordError, match=RUN):
        ledger.recall(RUN)
