"""Promises of find.py that need no MLflow: files, the ledger, and a name that is looked up once."""

import shutil
from pathlib import Path

import pytest

from repro_track.errors import UsageError
from repro_track.lookup import find
from repro_track.lookup.find import NamedRun, expand_name, find_run, recall_run
from repro_track.record.reading import read_record
from repro_track.store import ledger
from repro_track.store.stored_run import StoredRun
from repro_track.store.tags import RECORD_ID, STATUS, SWEEP

RECORD_PATH = Path(__file__).parents[2] / "data" / "records" / "v1.json"
RECORD = read_record(RECORD_PATH)
RUN, SWEPT, MEMBERS = "a" * 32, "b" * 32, ["c" * 32, "d" * 32]


def make_run(run_id, **tags):
    return StoredRun(run_id, "1", "file:///nowhere", f"http://127.0.0.1/{run_id}", tags=tags)


class Searched:
    """Stands for MLflow's store, and counts how often a run is looked up by its name."""

    def __init__(self):
        self.lookups = []
        self.members = [make_run(one, **{STATUS: "finished"}) for one in MEMBERS]
        self.runs = [make_run(RUN, **{RECORD_ID: RECORD.record_id}), make_run(SWEPT, **{SWEEP: "2"})]

    def find_run(self, text):
        self.lookups.append(text)
        for run in self.runs:
            if run.run_id.startswith(text):
                return run
        raise UsageError(f"no run begins with {text!r}")

    def find_members(self, run_id):
        return [*self.members, make_run("e" * 32, **{STATUS: "failed"})]

    def load_record(self, run):
        return RECORD


@pytest.fixture
def store(monkeypatch, tmp_path):
    monkeypatch.setenv("REPRO_TRACK_HOME", str(tmp_path / "home"))
    store = Searched()
    monkeypatch.setattr(find, "open_store", lambda: store)
    return store


def test_a_record_json_is_a_run_in_its_folder(tmp_path):
    """A path to a record.json is read, its artifacts are beside it; no store is opened. One that is not there is no
    run."""
    shutil.copyfile(RECORD_PATH, tmp_path / "record.json")
    found = find_run(str(tmp_path / "record.json"))
    assert (found.record, found.folder, found.run_id) == (RECORD, tmp_path, None)


def test_a_path_that_is_not_there_is_said(store):
    """A name with a slash is a path, and no run of the store is looked up for it."""
    with pytest.raises(UsageError, match="is not there"):
        find_run("some/folder/aaaaaaaa.png")
    (named,) = expand_name("some/folder/aaaaaaaa.png")
    with pytest.raises(UsageError, match="is not there"):
        named.find()
    assert store.lookups == []


def test_a_prefix_is_looked_up_once(store):
    """What a prefix stands for goes with the name: finding its record asks for no run again."""
    (named,) = expand_name(RUN[:8])
    found = named.find()
    assert (named.text, found.run_id, found.record) == (RUN[:8], RUN, RECORD)
    assert store.lookups == [RUN[:8]]


def test_one_that_is_not_there_is_told_by_whoever_looks(store):
    """A prefix of nothing is one name, whose error comes when it is found, without a second look."""
    (named,) = expand_name("0123456789")
    with pytest.raises(UsageError, match="no run begins with"):
        named.find()
    assert store.lookups == ["0123456789"]


def test_a_sweep_stands_for_its_finished_members(store):
    """A sweep's id gives its finished members by their own ids; it is no run itself, and without any is an error."""
    assert [named.text for named in expand_name(SWEPT[:10])] == MEMBERS
    with pytest.raises(UsageError, match="is a sweep"):
        find_run(SWEPT)
    store.members = []
    with pytest.raises(UsageError, match="no finished member"):
        expand_name(SWEPT)


def test_the_ledger_knows_whole_ids_alone(store):
    """A run that this machine logged is recalled by its whole id, without a store; by a prefix, or another id, it is
    not."""
    ledger.remember(RUN, RECORD)
    assert recall_run(RUN).record == RECORD
    assert recall_run(RUN[:8]) is None
    assert recall_run(SWEPT) is None
    assert expand_name(RUN) == [NamedRun(RUN)]
    assert store.lookups == []
