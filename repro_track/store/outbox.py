"""Our side of the process that logs a run's folder to MLflow: started at once, asked at the end.

MLflow takes seconds to import and to open: that process does it while ours loads torch and computes. It never blocks
the run before its end.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue
from typing import IO, Any, cast

from repro_track import errors
from repro_track.record.names import RECORD_NAME
from repro_track.record.reading import read_record
from repro_track.store.client import StoredRun


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
            [sys.executable, "-P", "-m", "repro_track.store.outbox_process"],
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
