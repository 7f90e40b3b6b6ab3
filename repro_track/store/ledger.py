"""The records that this machine made: what may be replayed without a question, and found without a server.

A store's record is somebody's word; an entry here was written by this user's own process. It is never written for a
run that came from elsewhere.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from repro_track.config.locations import data_folder
from repro_track.record.reading import read_record, render_record
from repro_track.record.schema import RunRecord


def _folder() -> Path:
    return data_folder() / "ledger"


def remember(run_id: str, record: RunRecord) -> None:
    """Keep the record of a run that this process has logged."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{run_id}.{os.getpid()}.part"
    partial.write_text(render_record(record), encoding="utf-8")
    partial.replace(folder / f"{run_id}.json")


def remember_sweep(run_id: str, data: dict[str, Any]) -> None:
    """Keep the command of a sweep that this process has begun."""
    path = _folder() / "sweeps" / f"{run_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")


def recall_sweep(run_id: str) -> dict[str, Any] | None:
    """Return the command of a sweep if it was begun on this machine."""
    path = _folder() / "sweeps" / f"{run_id}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def recall(run_id: str) -> RunRecord | None:
    """Return the record of a run if this machine made it."""
    path = _folder() / f"{run_id}.json"
    return read_record(path) if path.is_file() else None
