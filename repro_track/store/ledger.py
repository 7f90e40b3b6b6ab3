"""The records of the runs that this machine logged, and the commands of its sweeps: one file each, by MLflow's run id.

They decide what a replay may start without being asked: a record in a store may be anybody's, one here was written by a
process of this user's. They are also how a run is found while its store cannot be reached. The ledger itself never
looks into a store, and never gets an entry of a run that came from elsewhere.
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


def _keep(text: str, path: Path) -> None:
    """Write a file that is there as a whole or not at all, whenever this process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.{os.getpid()}.part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def remember(run_id: str, record: RunRecord) -> None:
    """Keep the record of a run that this process has logged, in place of an earlier one."""
    _keep(render_record(record), _folder() / f"{run_id}.json")


def remember_sweep(run_id: str, data: dict[str, Any]) -> None:
    """Keep the command of a sweep that this process has begun: its words, and where it was begun."""
    _keep(json.dumps(data), _folder() / "sweeps" / f"{run_id}.json")


def recall_sweep(run_id: str) -> dict[str, Any] | None:
    """Return the command of a sweep if it was begun on this machine, else `None`."""
    path = _folder() / "sweeps" / f"{run_id}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def recall(run_id: str) -> RunRecord | None:
    """Return the record of a run if this machine logged it, else `None`.

    Raises:
        RecordError: the entry is damaged.
    """
    path = _folder() / f"{run_id}.json"
    return read_record(path) if path.is_file() else None
