"""One run over those of the processes that a launcher started: begun by the first of them, ended anew by each.

It holds no record: the runs under it do, and `replay` of it replays them. It never waits for a process that has not
come.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from repro_track.config.locations import data_folder
from repro_track.store.client import Store
from repro_track.store.messages import Address
from repro_track.store.tags import make_ended_sweep_tags, make_sweep_tags

_LONGEST_S = 7 * 24 * 3600
"""Longer than any launch takes."""


def find_parent(store: Store, address: Address) -> str | None:
    """Find the run under which a run is shown, by its id: the one that its address names, else that of its launch,
    which is begun by the first of its processes; `None`: there is none."""
    if address.parent_id is not None or address.launch is None:
        return address.parent_id
    from filelock import FileLock

    path = _get_path(address.launch)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if known.get("uri") != address.uri:
            run = store.start_run(
                experiment=address.experiment,
                name=f"{Path(address.source).stem} in several processes",
                user=address.user,
                source=address.source,
                tags=make_sweep_tags(overrides=""),
            )
            known = {"uri": address.uri, "run_id": run.run_id}
            path.write_text(json.dumps(known), encoding="utf-8")
            _sweep(path.parent)
    return str(known["run_id"])


def end_parent(store: Store, address: Address, *, parent_id: str) -> None:
    """End the run of a launch as far as its processes have come: each that ends does so, the last one last."""
    if address.launch is None or address.parent_id is not None:
        return
    from filelock import FileLock

    with FileLock(f"{_get_path(address.launch)}.lock"), tempfile.TemporaryDirectory() as folder:
        members = store.find_members(parent_id)
        lines = [f"- `{one.run_id}` {one.name.replace('`', '')}: {one.status or 'running'}" for one in members]
        about = f"{len(members)} processes of one launch. Replay them: `repro-track replay {parent_id}`"
        store.end_run(
            store.find_run(parent_id),
            folder=Path(folder),
            tags=make_ended_sweep_tags(members=len(members)),
            description="\n".join([about, "", *lines[:50]]),
            is_failed=any(one.status in ("failed", "killed") for one in members),
        )


def _get_path(launch: str) -> Path:
    return data_folder() / "launches" / f"{launch}.json"


def _sweep(folder: Path) -> None:
    """Remove what earlier launches left."""
    for path in folder.glob("*"):
        if time.time() - path.stat().st_mtime > _LONGEST_S:
            path.unlink(missing_ok=True)
