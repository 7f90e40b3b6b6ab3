"""A connection to MLflow's store: opened once, with its failures as one message each.

The only place that sets MLflow's variables. It never lets MLflow try for minutes to reach a server that does not
answer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from repro_track.config.locations import is_web_url
from repro_track.errors import ReproTrackError, StoreError
from repro_track.record.redaction import redact_text, redact_url

if TYPE_CHECKING:
    from mlflow import MlflowClient


def open_client(uri: str) -> MlflowClient:
    """Open MLflow's client on a store, and make the store's database if it is not there yet.

    Raises:
        StoreError: the store cannot be reached or opened.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # it would print links on stdout, which is for data
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # MLflow's own default is seven tries over four minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    if is_web_url(uri):
        _check_reachable(uri)
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)  # after MLflow has set up its own
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with reported(uri), _locked(uri):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    return client


def _locked(uri: str) -> contextlib.AbstractContextManager[Any]:
    """Hold the lock beside a SQLite file: of four processes that open a fresh one, three fail in MLflow's
    migrations."""
    if not uri.startswith("sqlite:///"):
        return contextlib.nullcontext()
    from filelock import FileLock

    database = Path(uri.removeprefix("sqlite:///"))
    database.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{database}.lock")


def become_server(uri: str, *, port: int) -> NoReturn:
    """Turn this process into MLflow's server on a store, on this machine's own address; it never returns."""
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # 1.6 GB and 8 s for nothing that we use
    server = ["mlflow", "server", "--backend-store-uri", uri, "--port", str(port), "--workers", "1"]
    os.execv(sys.executable, [sys.executable, "-P", "-m", *server])


def _check_reachable(url: str) -> None:
    """Open a connection and close it, in ten seconds at most: MLflow's own retries take much longer.

    Raises:
        StoreError: nobody listens there.
    """
    parts = urlsplit(url)
    with (
        reported(url),
        socket.create_connection((parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)), timeout=10),
    ):
        pass


@contextlib.contextmanager
def reported(uri: str, *, what: str | None = None) -> Iterator[None]:
    """Turn every failure of MLflow, its database driver or the network into one message; our own errors pass.

    Args:
        uri: the store, for the message.
        what: what is being loaded from it; `None`: the store itself is used.

    Raises:
        StoreError: the block failed.
    """
    try:
        yield
    except ReproTrackError:
        raise
    except Exception as error:  # MLflow lets through what SQLAlchemy, requests, psycopg and the disk raise
        first = find_reason(error)
        if what is not None:
            raise StoreError(
                f"{what} cannot be loaded from {redact_url(uri)}: {first}",
                expected="the artifacts as they were logged",
                advice="check that the run was not deleted and that its artifact location can be reached from here",
            ) from error
        if "error code 401" in str(error):
            raise StoreError(
                f"the MLflow server {redact_url(uri)} does not know who you are",
                expected="a user name and password",
                advice="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            ) from error
        raise StoreError(
            f"the MLflow store {redact_url(uri)} cannot be used: {first}",
            expected="a database that can be written, or a running MLflow server",
            advice="check MLFLOW_TRACKING_URI (or store.uri), and that the server is up",
        ) from error


def find_reason(error: Exception) -> str:
    """Find the short reason in what a network or database library says at length."""
    text = str(error).strip() or type(error).__name__
    errno = re.search(r"\[Errno -?\d+\] [\w ]+", text)
    return errno[0] if errno else redact_text(text.splitlines()[0][:200])
