"""The process that logs a run's folder to MLflow: opens the store, starts the run, logs it.

It outlives the run's own process: when that is killed, it logs the record as far as it got, marked so. It never changes
what is in the folder otherwise, and never logs a run twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from repro_track import errors
from repro_track.record.names import RECORD_NAME
from repro_track.record.reading import read_record, render_record
from repro_track.record.schema import Replayable
from repro_track.store.client import Store
from repro_track.store.filing import log_folder
from repro_track.store.outbox import Address


def _serve(reply: Callable[[Mapping[str, Any]], None]) -> None:
    """The other side: open the store, start the run, log it. Silence before the last word means a death."""
    address = Address(**json.loads(sys.stdin.readline()))
    store = Store(address.uri)
    if not sys.stdin.readline():
        return
    run = store.start_run(
        experiment=address.experiment,
        name=address.name,
        user=address.user,
        source=address.source,
        parent_id=address.parent_id,
    )
    reply({"run": asdict(run)})
    import imagehash  # noqa: F401  now, while the run computes: at the end somebody waits for it

    folder = Path(address.folder)
    word = sys.stdin.readline()
    if word:
        log_folder(store, run, folder=folder, description=json.loads(word)["description"])
        reply({"done": True})
    elif (folder / RECORD_NAME).is_file():
        left = read_record(folder / RECORD_NAME)
        if left.status == "running":
            left = left.model_copy(
                update={
                    "status": "killed",
                    "replayable": Replayable(yes=False, reasons=("the run was killed",)),
                    "error": "the process ended without a word: killed, or the machine stopped it",
                }
            )
            (folder / RECORD_NAME).write_text(render_record(left), encoding="utf-8")
        log_folder(store, run, folder=folder, description=f"**{left.status}**: {left.error}")
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Serve one run, and tell every failure in one message."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # replies have stdout for themselves, whatever a library prints

    def reply(message: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(message), file=replies, flush=True)

    try:
        _serve(reply)
    except errors.ReproTrackError as error:
        words = {"found": error.found, "expected": error.expected, "advice": error.advice}
        reply({"error": {"kind": type(error).__name__, **words}})
    except Exception:
        traceback.print_exc()  # its last line is what the other side quotes
    sys.stderr.flush()
    # everything is committed: taking MLflow and its database engine down in order would cost the run another second
    os._exit(0)


if __name__ == "__main__":
    main()
