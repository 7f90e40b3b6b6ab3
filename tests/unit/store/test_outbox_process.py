"""Promises of store/outbox_process.py that need no store. What it logs is tested on real ones."""

import io

import pytest

from repro_track.errors import StoreError
from repro_track.store.messages import Address, Log, Open, Start, write_message
from repro_track.store.outbox_process import log_as_killed, serve

ADDRESS = Address("sqlite:////nowhere/mlflow.db", "cats", "a name", "me", "repro-track run", "/nowhere")


def serve_messages(*given):
    stream, replies = io.StringIO(), []
    for message in given:
        write_message(stream, message)
    stream.seek(0)
    serve(stream, reply=replies.append)
    return replies


def test_who_says_nothing_wants_nothing():
    """A run's process that is gone before its first message leaves no trace: no store is opened, nothing is told."""
    assert serve_messages() == []


@pytest.mark.parametrize("first", [Start(), Log("text")], ids=["Start", "Log"])
def test_the_first_message_opens(first):
    """Nothing is started or logged before the store is open: what comes instead of `Open` is refused by name."""
    with pytest.raises(StoreError, match=type(first).__name__) as caught:
        serve_messages(first, Open(ADDRESS))
    assert caught.value.expected == "Open"


def test_a_killed_run_without_a_record_is_left_alone(tmp_path):
    """Where there is no record there is nothing to log: the store is not asked, and the folder stays as it is."""
    (tmp_path / "note.txt").write_text("kept")
    log_as_killed(None, None, folder=tmp_path)
    assert (tmp_path / "note.txt").read_text() == "kept"
