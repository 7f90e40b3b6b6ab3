"""What a run is in MLflow: its ids, where its artifacts are, its link and its tags.

A value as it was when it was read: it never asks the store again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from repro_track.config.locations import is_web_url
from repro_track.record.redaction import redact_url
from repro_track.store.tags import MANIFEST, RECORD_ID, STATUS, SWEEP

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class StoredRun:
    """Where a run is in MLflow. `link` opens it in MLflow's UI (for an embedded store: while `repro-track ui` runs)."""

    run_id: str
    experiment_id: str
    artifact_uri: str
    link: str

    name: str = ""
    end_ms: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def artifact_folder(self) -> Path | None:
        """The artifacts' folder, if it is on this machine."""
        return Path(self.artifact_uri.removeprefix("file://")) if self.artifact_uri.startswith("file://") else None

    @property
    def record_id(self) -> str | None:
        """The record's own id; `None` for a run without one."""
        return self.tags.get(RECORD_ID)

    @property
    def status(self) -> str | None:
        """The status in its record; `None` as long as there is none."""
        return self.tags.get(STATUS)

    @property
    def is_finished(self) -> bool:
        """Whether its record says that it came to its end."""
        return self.status == "finished"

    @property
    def manifest_sha256(self) -> str | None:
        """The digest of its list of files; `None`: an earlier version logged it, which had no such list."""
        return self.tags.get(MANIFEST)

    @property
    def is_sweep(self) -> bool:
        """Whether this is a sweep's own run, which has no record: its members have."""
        return SWEEP in self.tags


def make_stored_run(run: Run, *, uri: str) -> StoredRun:
    """Make our value of MLflow's own one.

    Args:
        run: as MLflow's client returned it.
        uri: the store it is in. If that is no server, the link is one of `repro-track ui` on its usual port.
    """
    info = run.info
    base = redact_url(uri if is_web_url(uri) else "http://127.0.0.1:5000").rstrip("/")
    page = f"experiments/{quote(info.experiment_id)}/runs/{info.run_id}?workflowType=machine_learning"
    return StoredRun(
        run_id=info.run_id,
        experiment_id=info.experiment_id,
        artifact_uri=info.artifact_uri,
        link=f"{base}/#/{page}",
        name=info.run_name or "",
        end_ms=info.end_time,
        tags=dict(run.data.tags),
    )
