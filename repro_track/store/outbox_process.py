"""The process that logs a run's folder to MLflow: opens the store, starts the run, logs it.

It outlives the run's own process: when that is killed, it logs the record as far as it got, marked so. It never logs a
run twice, and never runs anything of the run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO

from repro_track.errors import ReproTrackError
from repro_track.record.names import RECORD_NAME
from repro_track.record.reading import read_record, render_record
from repro_track.record.schema import Replayable
from repro_track.store.client import Store
from repro_track.store.filing import log_folder
from repro_track.store.launches import end_parent, find_parent
from repro_track.store.messages import (
    Address,
    Done,
    Failed,
    Log,
    Message,
    Open,
    Start,
    Started,
    make_order_error,
    read_message,
    write_message,
)
from repro_track.store.stored_run import StoredRun


def serve(stream: IO[str], *, reply: Callable[[Message], None]) -> None:
    """Open the store, start the run and log it, each when a message says so; log it as killed when none comes any more.

    Args:
        stream: where the messages of the run's process come from.
        reply: tells that process something.

    Raises:
        StoreError: a message is damaged or not the one that is due, or the store cannot be used.
    """
    match read_message(stream):
        case Open(address):
            store = Store(address.uri)
        case None:
            return
        case other:
            raise make_order_error(other, expected=Open)
    match read_message(stream):
        case Start():
            parent_id = find_parent(store, address)
            run = _start_run(store, address, parent_id=parent_id)
            reply(Started(run))
        case None:  # it ended before there was anything to show
            return
        case other:
            raise make_order_error(other, expected=Start)
    import imagehash  # noqa: F401  now, while the run computes: at the end somebody waits for it

    match read_message(stream):
        case Log(description):
            log_folder(store, run, folder=Path(address.folder), description=description, takes_name=True)
            if parent_id is not None:
                end_parent(store, address, parent_id=parent_id)
            reply(Done())
        case None:  # our run's process is gone
            log_as_killed(store, run, folder=Path(address.folder))
            if parent_id is not None:
                end_parent(store, address, parent_id=parent_id)
        case other:
            raise make_order_error(other, expected=Log)


def _start_run(store: Store, address: Address, *, parent_id: str | None) -> StoredRun:
    return store.start_run(
        experiment=address.experiment,
        name=address.name,
        user=address.user,
        source=address.source,
        parent_id=parent_id,
    )


def log_as_killed(store: Store, run: StoredRun, *, folder: Path) -> None:
    """Log what a run left that ended without a word, and remove the folder; nothing if there is no record in it.

    A record that still says "running" is marked as killed; one that came to its end is logged as it is.
    """
    path = folder / RECORD_NAME
    if not path.is_file():
        return
    record = read_record(path)
    if record.status == "running":
        changes = {
            "status": "killed",
            "replayable": Replayable(yes=False, reasons=("the run was killed",)),
            "error": "the process ended without a word: killed, or the machine stopped it",
        }
        record = record.model_copy(update=changes)
        path.write_text(render_record(record), encoding="utf-8")
    log_folder(store, run, folder=folder, description=f"**{record.status}**: {record.error}")
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Serve one run, and tell every failure in one message."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # replies have stdout for themselves, whatever a library prints

    def reply(message: Message) -> None:
        with contextlib.suppress(BrokenPipeError):
            write_message(replies, message)

    try:
        serve(sys.stdin, reply=reply)
    except ReproTrackError as error:
        reply(Failed.from_error(error))
    except Exception:
        traceback.print_exc()  # its last line is what the other side quotes
    sys.stderr.flush()
    # everything is committed: taking MLflow and its database engine down in order would cost the run another second
    os._exit(0)


if __name__ == "__main__":
    main()
