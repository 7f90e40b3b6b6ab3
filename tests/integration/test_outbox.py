"""Promises of store/outbox.py and the process on its other side, with a real one and a real SQLite store."""

import os
import signal
from pathlib import Path

import pytest

from repro_track.errors import StoreError
from repro_track.record.reading import read_record
from repro_track.store.client import Store
from repro_track.store.messages import Address, Log
from repro_track.store.outbox import Outbox

pytestmark = pytest.mark.xdist_group("store")

RECORD = Path(__file__).parents[1] / "data" / "records" / "v3.json"


@pytest.fixture
def address(home, tmp_path):
    """An address on a store of its own, with a folder that has a finished record without pictures."""
    folder = tmp_path / "run"
    folder.mkdir()
    record = read_record(RECORD)
    outputs = tuple(one.model_copy(update={"file": None, "file_sha256": None}) for one in record.outputs)
    text = record.model_copy(update={"outputs": outputs}).model_dump_json()
    (folder / "record.json").write_text(text, encoding="utf-8")
    return Address(f"sqlite:///{tmp_path}/mlflow.db", "outbox", "a name", "me", "a test", str(folder))


def find(address):
    store = Store(address.uri)
    (run,) = store.find_by_tag("repro_track.record_id")
    return store, run


def test_a_run_is_started_logged_and_its_folder_removed(address):
    """Open, start, log: the run is in MLflow with its record, its description and its artifacts, under the name
    that its record has in the end."""
    outbox = Outbox(address)
    outbox.start()
    started = outbox.wait_started()
    outbox.check()
    assert outbox.log(description="a description") == started
    store, run = find(address)
    assert (run.run_id, run.name, run.is_finished) == (started.run_id, read_record(RECORD).name, True)
    assert run.name != address.name
    assert run.tags["mlflow.note.content"] == "a description"
    assert store.load_record(run).record_id == read_record(RECORD).record_id
    assert not Path(address.folder).exists()


def test_who_dies_over_its_last_message_is_logged_as_killed(address):
    """A run's process that is killed in the middle of a message has not sent it: its record is logged all the same."""
    record = Path(address.folder) / "record.json"
    record.write_text(record.read_text().replace('"status":"finished"', '"status":"running"', 1))
    outbox = Outbox(address)
    outbox.start()
    outbox.wait_started()
    outbox._stdin.write('{"message": "Log", "version": 1, "descri')
    outbox.close()
    _, run = find(address)
    assert run.status == "killed"
    assert run.tags["mlflow.note.content"].startswith("**killed**")


def test_a_store_that_cannot_be_used_is_told_in_its_own_words(address, tmp_path):
    """What the other process could not do arrives as the same error at every question, and names the kept run."""
    (tmp_path / "file").write_text("no folder")
    broken = Address(f"sqlite:///{tmp_path}/file/mlflow.db", *list(vars(address).values())[1:])
    outbox = Outbox(broken)
    outbox.start()
    for ask in (outbox.wait_started, outbox.check, lambda: outbox.log(description="d")):
        with pytest.raises(StoreError, match="cannot be used") as caught:
            ask()
        assert "the run so far is kept" in caught.value.advice
    outbox.close()
    assert Path(address.folder).is_dir()


def test_a_process_that_is_killed_is_no_endless_wait(address):
    """If the process that logs is gone, that is said, and the folder stays."""
    outbox = Outbox(address)
    os.kill(outbox._process.pid, signal.SIGKILL)
    outbox.start()
    with pytest.raises(StoreError, match="ended early"):
        outbox.log(description="d")
    outbox.close()
    assert Path(address.folder).is_dir()


def test_a_line_that_is_no_message_is_no_endless_wait(address):
    """What the other process cannot understand it says in one sentence, and nothing is logged."""
    outbox = Outbox(address)
    outbox._stdin.write("hello\n")
    outbox.start()
    with pytest.raises(StoreError, match="message between a run and the process that logs it is damaged"):
        outbox.wait_started()
    outbox.close()
    assert Store(address.uri).find_by_tag("repro_track.record_id") == []


def test_a_message_out_of_turn_is_refused(address):
    """A `Log` before the `Start` is no start: nothing is logged, and both are named."""
    outbox = Outbox(address)
    outbox._send(Log("too early"))
    with pytest.raises(StoreError, match="Log") as caught:
        outbox.wait_started()
    assert caught.value.expected == "Start"
    outbox.close()
    assert Store(address.uri).find_by_tag("repro_track.record_id") == []


def test_what_a_program_is_told_of_warnings_is_not_for_the_process_that_logs(address, monkeypatch):
    """A program whose interpreter makes errors of warnings is logged: MLflow's own warnings would end the process that
    does it."""
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    outbox = Outbox(address)
    outbox.start()
    assert outbox.log(description="a description").run_id == find(address)[1].run_id
    assert outbox._stdout.closed
