"""Log a finished folder under a started run, and remember that this machine logged it.

It never logs a folder without a record, and changes nothing in the folder but its list of files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from repro_track.media.kinds import get_kind
from repro_track.media.perceptual_hash import hash_picture
from repro_track.media.picture import read_picture
from repro_track.record.names import RECORD_NAME
from repro_track.record.reading import read_record
from repro_track.record.schema import RunRecord
from repro_track.store import ledger
from repro_track.store.client import Store
from repro_track.store.manifest import write_manifest
from repro_track.store.stored_run import StoredRun
from repro_track.store.tags import LIKENESS, MANIFEST, pack_likenesses


def log_folder(
    store: Store,
    run: StoredRun,
    *,
    folder: Path,
    description: str,
    tags: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    takes_name: bool = False,
) -> RunRecord:
    """Log a run's folder with the tags of its record, end the run, and put it in this machine's ledger.

    Args:
        store: where to.
        run: the started run.
        folder: the files, with a record.json among them; the list of them is written into it.
        description: the text of the run's page in MLflow, as Markdown.
        tags: more tags; they go before those of the record.
        metrics: more metrics.
        takes_name: the run is called as its record, which may know its seed since.

    Returns:
        The record that was in the folder.

    Raises:
        RecordError: there is no record, or it is damaged; then nothing is logged.
        StoreError: the store cannot be used; then the ledger stays as it is.
    """
    record = read_record(folder / RECORD_NAME)
    all_tags = {MANIFEST: write_manifest(folder), **make_likeness_tag(record, folder), **(tags or {})}
    store.log_run(run, record=record, folder=folder, description=description, tags=all_tags, metrics=metrics or {})
    if takes_name and record.name != run.name:
        store.rename_run(run, name=record.name)
    ledger.remember(run.run_id, record)
    return record


def make_likeness_tag(record: RunRecord, folder: Path) -> dict[str, str]:
    """Make the tag by which a run is found from a picture that only looks like its own; none for a replay, which would
    be found beside its run. A tag holds a hundred hashes: later pictures of a run cannot be found this way."""
    pictures = [output for output in record.outputs if get_kind(output.kind).is_picture]
    files = {output.name: folder / output.file for output in pictures if output.file}
    if record.replay_of or not files:
        return {}
    hashes = {name: hash_picture(read_picture(path).image) for name, path in list(files.items())[:100]}
    return {LIKENESS: pack_likenesses(hashes)}
