"""Hands a run's folder to a process of its own, which logs it to MLflow.

MLflow takes seconds to import and to open: that process does it while ours loads torch and computes. And it outlives
us: when our process is killed, it logs the record as far as it got, marked so. It never changes what is in the folder,
and never logs a run twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue
from typing import IO, Any, cast

from repro_track import errors, ledger
from repro_track.likeness import hash_picture
from repro_track.manifest import write_manifest
from repro_track.picture import read_picture
from repro_track.record import RECORD_NAME, Replayable, RunRecord, read_record, render_record
from repro_track.store import LIKENESS, TAG, Store, StoredRun, pack_likenesses


@dataclass(frozen=True)
class Address:
    """Where a run is to be logged and as what."""

    uri: str
    experiment: str
    name: str
    user: str
    source: str
    folder: str
    parent_id: str | None = None


class Outbox:
    """Our side of the process: started at once, asked at the end."""

    def __init__(self, address: Address) -> None:
        self._folder = Path(address.folder)
        self._process = subprocess.Popen(
            # -P: a file of the working directory must not stand in for a library
            [sys.executable, "-P", "-m", "repro_track.outbox"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the run: this process has to log that it happened
        )
        self._stdin, self._stdout, self._stderr = (
            cast(IO[str], pipe) for pipe in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        self._replies: Queue[dict[str, Any]] = Queue()
        self._noise = ""
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._overhear, daemon=True).start()
        self._run: StoredRun | None = None
        self._failure: errors.ReproTrackError | None = None
        self._send(asdict(address))

    def _send(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended: its last reply, or the lack of one, says why
            self._stdin.write(json.dumps(message) + "\n")
            self._stdin.flush()

    def _listen(self) -> None:
        for line in self._stdout:
            self._replies.put(json.loads(line))
        self._replies.put({"ended": True})

    def _overhear(self) -> None:
        self._noise = self._stderr.read()

    def start(self) -> None:
        """Have the run shown in MLflow as running; do not wait for it. Before this, nothing is written there."""
        self._send({"start": True})

    def check(self) -> None:
        """Raise now if it is known already that the store cannot be used; do not wait.

        Raises:
            StoreError: as the store said.
        """
        if self._run is None and not self._replies.empty():
            self._run = StoredRun(**self._receive()["run"])

    def log(self, *, description: str) -> StoredRun:
        """Log the folder as it is now, wait until it is done, and remove the folder.

        Raises:
            StoreError: as the store said. A folder with a record stays, and the message names it.
        """
        run = self.wait_started()
        self._send({"description": description})
        self._receive()
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        return run

    def wait_started(self) -> StoredRun:
        """Wait until MLflow has the run.

        Raises:
            StoreError: as the store said.
        """
        if self._run is None:
            self._run = StoredRun(**self._receive()["run"])
        return self._run

    def close(self) -> None:
        """End the process. After `start` and without `log` it takes this for our death, and logs what there is."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        self._process.wait()

    def _receive(self) -> dict[str, Any]:
        if self._failure is not None:
            raise self._failure  # it has ended: nothing more will come
        reply = self._replies.get()
        if "ended" in reply:
            last = (self._noise.strip() or "it said nothing").splitlines()[-1]
            reply = {"error": {"kind": "StoreError", "found": f"the process that logs to MLflow ended early: {last}"}}
        if "error" not in reply:
            return reply
        words = reply["error"]
        advice = words.get("advice")
        path = self._folder / RECORD_NAME
        if path.is_file() and read_record(path).status != "running":
            advice = f"{advice or 'see what it says'}; the run so far is kept: `repro-track replay {path}` works on it"
        self._failure = getattr(errors, words["kind"])(words["found"], expected=words.get("expected"), advice=advice)
        raise self._failure


def log_folder(
    store: Store,
    run: StoredRun,
    *,
    folder: Path,
    description: str,
    tags: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> RunRecord:
    """Log a finished folder under a started run, and remember that this machine made it."""
    record = read_record(folder / RECORD_NAME)
    all_tags = {f"{TAG}manifest": write_manifest(folder), **_make_likeness_tag(record, folder), **(tags or {})}
    store.log_run(run, record=record, folder=folder, description=description, tags=all_tags, metrics=metrics or {})
    ledger.remember(run.run_id, record)
    return record


def _make_likeness_tag(record: RunRecord, folder: Path) -> dict[str, str]:
    """Make the tag by which a run is found from a picture that only looks like its own; none for a replay, which would be
    found beside its run. A tag holds a hundred hashes: later pictures of a run cannot be found this way."""
    files = {output.name: folder / output.file for output in record.outputs if output.kind == "image" and output.file}
    if record.replay_of or not files:
        return {}
    hashes = {name: hash_picture(read_picture(path).image) for name, path in list(files.items())[:100]}
    return {LIKENESS: pack_likenesses(hashes)}


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
