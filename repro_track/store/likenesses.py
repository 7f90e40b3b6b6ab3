"""The perceptual hashes of all logged pictures, as fast as a store can list them.

MLflow returns runs only whole, some 3 ms each. So a database is asked for that one tag, and what a server once answered
is kept, so that only newer runs have to be listed. It never compares pictures.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_track.config.locations import data_folder, is_web_url
from repro_track.record.redaction import redact_url
from repro_track.store.connection import reported
from repro_track.store.searching import search_runs
from repro_track.store.tags import LIKENESS
from repro_track.tensors.digests import digest_bytes

if TYPE_CHECKING:
    from mlflow import MlflowClient

_CLOCKS_APART_MS = 10 * 60 * 1000
"""By so much the clocks of two machines that log to one server may differ."""


def list_likenesses(client: MlflowClient, *, uri: str) -> dict[str, str]:
    """List the packed perceptual hashes of all runs by run id; runs that were deleted may be among them.

    Raises:
        StoreError: the store cannot be reached.
    """
    return _list_of_server(client, uri=uri) if is_web_url(uri) else _list_of_database(uri)


def _list_of_database(uri: str) -> dict[str, str]:
    import sqlalchemy

    tags = sqlalchemy.table("tags", *(sqlalchemy.column(name) for name in ("run_uuid", "key", "value")))
    query = sqlalchemy.select(tags.c.run_uuid, tags.c.value).where(tags.c.key == LIKENESS)
    engine = sqlalchemy.create_engine(uri)
    with reported(uri), engine.connect() as connection:
        rows = connection.execute(query).all()
    engine.dispose()
    return {row[0]: row[1] for row in rows}


def _list_of_server(client: MlflowClient, *, uri: str) -> dict[str, str]:
    path = data_folder() / "likeness" / f"{digest_bytes(redact_url(uri).rstrip('/').encode())[:16]}.json"
    kept = read_kept(path)
    since_ms = kept["until_ms"] - _CLOCKS_APART_MS
    new = search_runs(client, f"tags.`{LIKENESS}` != '' AND attributes.end_time > {max(since_ms, 0)}", uri=uri)
    runs = {**kept["runs"], **{run.run_id: run.tags[LIKENESS] for run in new}}
    until_ms = max([kept["until_ms"], *(run.end_ms or 0 for run in new)])
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    partial.write_text(json.dumps({"until_ms": until_ms, "runs": runs}), encoding="utf-8")
    partial.replace(path)
    return runs


def read_kept(path: Path) -> dict[str, Any]:
    """Read what a server answered before: `until_ms`, when the newest of those runs ended, and `runs`, the hashes.

    If there is nothing, or it is damaged, everything has to be asked again: nothing is kept until then.
    """
    nothing: dict[str, Any] = {"until_ms": 0, "runs": {}}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return nothing
    is_whole = isinstance(kept, dict) and isinstance(kept.get("until_ms"), int) and isinstance(kept.get("runs"), dict)
    return kept if is_whole else nothing
