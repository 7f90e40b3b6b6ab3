"""Promises of verify.py that need no store: a folder is as it was written, or what is not is named."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from repro_track.lookup.found import FoundRun
from repro_track.lookup.verify import verify_run
from repro_track.record.names import MANIFEST_NAME, OUTPUT_TENSORS_NAME
from repro_track.record.reading import read_record
from repro_track.store import ledger
from repro_track.store.manifest import write_manifest
from repro_track.tensors.digests import digest_file, digest_tensor
from repro_track.tensors.host import save_tensors

RECORD_PATH = Path(__file__).parents[2] / "data" / "records" / "v1.json"
RUN_ID = "a" * 32


@pytest.fixture
def found(tmp_path, monkeypatch):
    """A run's folder: one picture, its tensor, the record, the list of all files."""
    monkeypatch.setenv("REPRO_TRACK_HOME", str(tmp_path / "home"))
    folder = tmp_path / "run"
    (folder / "outputs").mkdir(parents=True)
    (folder / "outputs" / "0.png").write_bytes(b"pixels")
    tensor = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    record = read_record(RECORD_PATH)
    update = {"file": "outputs/0.png", "file_sha256": digest_file(folder / "outputs" / "0.png")}
    output = record.outputs[0].model_copy(update={**update, "sha256": digest_tensor(tensor)})
    save_tensors(folder / OUTPUT_TENSORS_NAME, {output.name: tensor})
    shutil.copyfile(RECORD_PATH, folder / "record.json")
    write_manifest(folder)
    return FoundRun(record.model_copy(update={"outputs": (output,)}), run_id=RUN_ID, folder=folder)


def test_what_was_not_touched_is_as_logged(found):
    """Nothing is named of a folder as it was written."""
    assert verify_run(found) == []


def test_an_altered_file_is_named(found):
    """A byte more in a picture is named once, though two lists know its digest; a missing and an added one, too."""
    (found.folder / "outputs" / "0.png").write_bytes(b"pixels!")
    assert verify_run(found) == ["outputs/0.png: altered"]
    (found.folder / "outputs" / "0.png").unlink()
    (found.folder / "extra.txt").write_text("new")
    assert sorted(verify_run(found)) == ["extra.txt: added", "outputs/0.png: missing"]


def test_an_altered_tensor_is_named_without_a_list(found):
    """Of a run without a list of files the record still knows its tensors and pictures."""
    (found.folder / MANIFEST_NAME).unlink()
    assert verify_run(found) == []
    name = found.record.outputs[0].name
    save_tensors(found.folder / OUTPUT_TENSORS_NAME, {name: np.zeros((2, 2, 3), dtype=np.float32)})
    assert f"{name}: the tensor in {OUTPUT_TENSORS_NAME} was altered" in verify_run(found)


def test_another_record_than_this_machine_logged_is_named(found):
    """The ledger is this machine's own word: a record that differs from it was altered, even if all digests agree."""
    ledger.remember(RUN_ID, found.record)
    assert verify_run(found) == []
    ledger.remember(RUN_ID, found.record.model_copy(update={"name": "another"}))
    assert verify_run(found) == ["record.json: not what this machine logged"]
