"""Whether the stored artifacts of a run are those that were written: every file, and every tensor of the record.

It runs nothing and changes nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from repro_track.capture.checkout import list_kept_digests
from repro_track.errors import RecordError, ReproTrackError
from repro_track.lookup.found import FoundRun
from repro_track.media.inputs import read_input
from repro_track.media.kinds import get_kind
from repro_track.record.names import MANIFEST_NAME, OUTPUT_TENSORS_NAME, RECORD_NAME
from repro_track.record.schema import RunRecord
from repro_track.store import ledger
from repro_track.store.manifest import compare_manifest, parse_manifest
from repro_track.tensors.digests import digest_file, digest_tensor
from repro_track.tensors.host import load_tensors


def verify_run(found: FoundRun) -> list[str]:
    """Compute the digests of a run's stored artifacts again; return what was altered, is missing or was added, in
    words."""
    with tempfile.TemporaryDirectory() as target:
        folder = found.load_all(Path(target))
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        actual = {path.relative_to(folder).as_posix(): digest_file(path) for path in files}
        wrong = [
            *_check_manifest(found, folder, actual),
            *compare_manifest(_list_recorded(found.record), actual, ignore_added=True),
            *_check_tensors(found.record, folder),
            *_check_inputs(found.record, folder),
        ]
    local = ledger.recall(found.run_id) if found.run_id else None
    if local is not None and local != found.record:
        wrong.append(f"{RECORD_NAME}: not what this machine logged")
    return list(dict.fromkeys(wrong))


def _check_manifest(found: FoundRun, folder: Path, actual: Mapping[str, str]) -> list[str]:
    """Compare with the list of all files. A run of an earlier version has none: then only the record speaks."""
    wanted = found.stored.manifest_sha256 if found.stored else None
    if MANIFEST_NAME not in actual:
        return [f"{MANIFEST_NAME}: missing"] if wanted else []
    if wanted and wanted != actual[MANIFEST_NAME]:
        return [f"{MANIFEST_NAME}: altered"]
    try:
        expected = parse_manifest((folder / MANIFEST_NAME).read_text(encoding="utf-8", errors="replace"))
    except RecordError as error:
        return [error.found]
    return compare_manifest(expected, {path: digest for path, digest in actual.items() if path != MANIFEST_NAME})


def _list_recorded(record: RunRecord) -> dict[str, str]:
    """List the files whose digest is in the record itself."""
    outputs = {one.file: one.file_sha256 for one in record.outputs if one.file and one.file_sha256}
    return {**outputs, **list_kept_digests(record.source)}


def _check_tensors(record: RunRecord, folder: Path) -> list[str]:
    path = folder / OUTPUT_TENSORS_NAME
    try:
        tensors = load_tensors(path) if path.is_file() else {}
    except RecordError as error:
        return [error.found]
    wrong = []
    for output in record.outputs:
        if not get_kind(output.kind).has_tensor:
            continue
        tensor = tensors.get(output.name)
        if tensor is None:
            wrong.append(f"{output.name}: not in {OUTPUT_TENSORS_NAME}")
        elif digest_tensor(tensor) != output.sha256:
            wrong.append(f"{output.name}: the tensor in {OUTPUT_TENSORS_NAME} was altered")
    return wrong


def _check_inputs(record: RunRecord, folder: Path) -> list[str]:
    wrong = []
    for part in {part.file: part for call in record.calls for part in call.inputs}.values():
        if not (folder / part.file).is_file():
            wrong.append(f"{part.file}: missing")
            continue
        try:
            read_input(part, folder=folder)
        except ReproTrackError:
            wrong.append(f"{part.file}: altered")
    return wrong
