"""Real servers for tests: MLflow's, and a PostgreSQL cluster."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest


def find_free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(url):
    """Wait until a server answers."""
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1)
            return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(url)


class Server:
    """A real MLflow server with an artifact proxy."""

    def __init__(self, folder, *, database=None, words=(), env=None):
        self.url = f"http://127.0.0.1:{find_free_port()}"
        database = database or f"sqlite:///{folder}/server.db"
        words = ["--backend-store-uri", database, "--artifacts-destination", f"{folder}/files", *words]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *words, "--port", self.url.rpartition(":")[2], "--workers", "1"],
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **(env or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(self.url)

    def stop(self):
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Postgres:
    """A cluster of its own; PostgreSQL refuses to run as root, so root lends it to the user `postgres`.

    Its folder is not one of pytest's, which every new session of pytest closes to other users.
    """

    def __init__(self):
        self._folder = Path(tempfile.mkdtemp(prefix="repro_track-postgres-"))
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(shutil.which("initdb") or "").parent]
        self._bin = found[-1]
        if not (self._bin / "initdb").is_file():
            pytest.fail("these tests need PostgreSQL: apt-get install postgresql")
        self._data = self._folder / "data"
        self.port = find_free_port()
        self._user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._user:
            shutil.chown(self._folder, "postgres")
        self._run("initdb", "-D", self._data, "--auth=trust", "--username=repro", "--no-sync")
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder} -c fsync=off"
        self._run("pg_ctl", "-D", self._data, "-o", options, "-l", self._folder / "log", "-w", "start")

    def _run(self, program, *words):
        command = [*self._user, self._bin / program, *words]
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, cwd="/")

    def make_database(self, name):
        self._run(
            "psql", "-h", "127.0.0.1", "-p", self.port, "-U", "repro", "-qc", f"create database {name}", "postgres"
        )
        return f"postgresql+psycopg://repro@127.0.0.1:{self.port}/{name}"

    def stop(self):
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "stop")
        shutil.rmtree(self._folder)
