"""Our side of the process that logs a run's folder to MLflow: started at once, asked at the end.

MLflow takes seconds to import and to open: that process does it while ours loads torch and computes. It never blocks
the run before its end, unless somebody asks for MLflow's run id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from queue import Queue
from typing import IO, cast

from repro_track.errors import ReproTrackError, StoreError
from repro_track.record.names import RECORD_NAME
from repro_track.record.reading import read_record
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

_NOT_OURS = ("PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONTRACEMALLOC", "PYTHONSTARTUP")
"""What somebody tells the interpreter of a program of theirs: a warning in MLflow that became an error would end it."""
_PATIENCE_S = 10
"""So long we wait for the last words of a process that has ended: one that it started may hold them open."""


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
            env={name: value for name, value in os.environ.items() if name not in _NOT_OURS},
            start_new_session=True,  # Ctrl-C is for the run: this process has to log that it happened
        )
        self._stdin, self._stdout, self._stderr = (
            cast(IO[str], pipe) for pipe in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        self._replies: Queue[Message | None] = Queue()
        self._noise = ""
        self._stderr_reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._stderr_reader.start()
        threading.Thread(target=self._listen, daemon=True).start()
        self._run: StoredRun | None = None
        self._failure: ReproTrackError | None = None
        self._send(Open(address))

    def _send(self, message: Message) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended: its last reply, or the lack of one, says why
            write_message(self._stdin, message)

    def _listen(self) -> None:
        """Queue what comes; an error ends it, and `None`: the process has ended."""
        with self._stdout:
            try:
                while (message := read_message(self._stdout)) is not None:
                    self._replies.put(message)
            except StoreError as error:
                self._replies.put(Failed.from_error(error))
        self._replies.put(None)

    def _read_stderr(self) -> None:
        with self._stderr:
            self._noise = self._stderr.read()

    def start(self) -> None:
        """Have the run shown in MLflow as running; do not wait for it. Before this, nothing is written there."""
        self._send(Start())

    def check(self) -> None:
        """Raise now if it is known already that the store cannot be used; do not wait.

        Raises:
            StoreError: as the store said.
        """
        if self._run is None and (self._failure is not None or not self._replies.empty()):
            self.wait_started()

    def log(self, *, description: str) -> StoredRun:
        """Log the folder as it is now, wait until it is done, and remove the folder.

        Raises:
            StoreError: as the store said. A folder with a record stays, and the message names it.
        """
        run = self.wait_started()
        self._send(Log(description))
        reply = self._receive()
        if not isinstance(reply, Done):
            raise make_order_error(reply, expected=Done)
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        return run

    def wait_started(self) -> StoredRun:
        """Wait until MLflow has the run.

        Raises:
            StoreError: as the store said.
        """
        if self._run is None:
            reply = self._receive()
            if not isinstance(reply, Started):
                raise make_order_error(reply, expected=Started)
            self._run = reply.run
        return self._run

    def close(self) -> None:
        """End the process. After `start` and without `log` it takes this for our death, and logs what there is."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        self._process.wait()

    def _receive(self) -> Message:
        """Wait for the next reply.

        Raises:
            StoreError: the other side failed, or has ended.
        """
        if self._failure is not None:
            raise self._failure  # it has ended: nothing more will come
        reply = self._replies.get()
        if reply is None:
            self._stderr_reader.join(_PATIENCE_S)
            last = (self._noise.strip() or "it said nothing").splitlines()[-1]
            reply = Failed("StoreError", f"the process that logs to MLflow ended early: {last}")
        if not isinstance(reply, Failed):
            return reply
        advice = None
        path = self._folder / RECORD_NAME
        if path.is_file() and read_record(path).status != "running":
            advice = (
                f"{reply.advice or 'see what it says'}; the run so far is kept: `repro-track replay {path}` works on it"
            )
        self._failure = reply.to_error(advice=advice)
        raise self._failure
