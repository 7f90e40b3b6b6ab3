"""The environment variables that say where our things are, the places that follow from them (the data folder, the
store), and the variables that enter a record.

It never makes a folder, and never looks whether a place is there.
"""

from __future__ import annotations

import os
from pathlib import Path

from repro_track.errors import UsageError

TRACKING_URI = "MLFLOW_TRACKING_URI"
HOME = "REPRO_TRACK_HOME"
REPLAY = "REPRO_TRACK_REPLAY"
"""Set by `replay` for its child: the folder with what is expected, where the child leaves its own record."""

PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}
"""pip's settings (`PIP_INDEX_URL` and so on, and its files) that restoring packages hands to uv, which ignores them."""

RECORDED_VARIABLES = (
    # before torch is imported
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    # before the first operation
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    # only a GPU can tell
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_VISIBLE_DEVICES",
    "PYTORCH_CUDA_ALLOC_CONF",
    # no effect seen on a CPU, recorded all the same
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "OMP_DYNAMIC",
    "OMP_SCHEDULE",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "KMP_DETERMINISTIC_REDUCTION",
    "PYTHONHASHSEED",
    "GLIBC_TUNABLES",
    # what an option of the interpreter says otherwise (-O, -W, -X dev, -X utf8, -P, -s)
    "PYTHONOPTIMIZE",
    "PYTHONWARNINGS",
    "PYTHONDEVMODE",
    "PYTHONUTF8",
    "PYTHONSAFEPATH",
    "PYTHONNOUSERSITE",
    # which code is imported
    "PYTHONPATH",
)
"""The allow-list of environment variables that enter a record: those that choose kernels, threads or
precision, or the code that is imported. No other one ever does."""


def data_folder() -> Path:
    """The user's folder for everything that we keep: `REPRO_TRACK_HOME`, else as the XDG standard says."""
    if home := os.environ.get(HOME):
        return Path(home).expanduser().absolute()
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "repro_track"


def default_store_uri() -> str:
    """The embedded store: one SQLite file of the user's, the same from every working directory."""
    return f"sqlite:///{data_folder() / 'mlflow.db'}"


def resolve_store_uri(configured: str | None = None) -> str:
    """Return the URI of the store that is meant: `MLFLOW_TRACKING_URI`, else `configured`, else the embedded one.

    A relative SQLite path is made absolute, so that the store does not move with the working directory.

    Raises:
        UsageError: a file store (`./mlruns`), which MLflow 3 no longer opens.
    """
    uri = os.environ.get(TRACKING_URI) or configured or default_store_uri()
    if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
        return f"sqlite:///{Path(uri.removeprefix('sqlite:///')).absolute()}"
    if "://" not in uri or uri.startswith("file:"):
        raise UsageError(
            f"the MLflow store is {uri!r}, a folder of files",
            expected="a database (sqlite:///…, postgresql://…) or a server (http://…): MLflow 3 refuses file stores",
            advice=f"unset {TRACKING_URI} for the embedded store, or set it to sqlite:///PATH/mlflow.db",
        )
    return uri


def is_web_url(text: str) -> bool:
    """Whether a text is the address of something on the web: of a store, that it is a server; of an input, that it has
    to be fetched.

    >>> is_web_url("https://host:5000"), is_web_url("sqlite:////home/me/mlflow.db"), is_web_url("httpd.log")
    (True, False, False)
    """
    return text.startswith(("http://", "https://"))


def list_written_paths(store_uri: str) -> list[Path]:
    """List the files and folders that runs write themselves: ours, and those of a SQLite store. No part of the
    source."""
    written = [data_folder()]
    if store_uri.startswith("sqlite:///"):
        database = Path(store_uri.removeprefix("sqlite:///"))
        written += [database, Path(f"{database}.lock"), database.parent / "artifacts"]
    return written


def replay_folder() -> Path | None:
    """The hand-over folder if this process is the child of a replay."""
    folder = os.environ.get(REPLAY)
    return Path(folder) if folder else None


def read_recorded_variables() -> dict[str, str | None]:
    """Read the allow-listed environment variables; `None`: not set."""
    return {name: os.environ.get(name) for name in RECORDED_VARIABLES}
