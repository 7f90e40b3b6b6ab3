"""Log what came of an attempt: a replay, a variation, a failure.

It never changes the recorded run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from repro_track.attempt.perform import Outcome
from repro_track.attempt.restore import load_into
from repro_track.attempt.workspace import Attempt
from repro_track.capture.machine import read_user
from repro_track.compare.comparison import Comparison
from repro_track.compare.findings import Findings
from repro_track.media.kinds import get_kind
from repro_track.media.picture import make_contact_sheet, read_picture
from repro_track.record.choice import render_options
from repro_track.record.handover import Settings
from repro_track.record.names import PREVIEW_NAME, REPORT_NAME, SIDE_BY_SIDE_NAME, find_image
from repro_track.record.redaction import redact_words
from repro_track.record.schema import RunRecord
from repro_track.report.markdown import render_description, render_variation_description
from repro_track.report.page import render_replay_page, render_run_page
from repro_track.report.text import comparison_to_json, to_printable
from repro_track.store.client import Store
from repro_track.store.filing import log_folder
from repro_track.store.stored_run import StoredRun
from repro_track.store.tags import make_distance_metrics, make_replay_tags, make_variation_tags


def start_run(attempt: Attempt, *, store: Store, name: str, parent: StoredRun | None = None) -> StoredRun:
    """Begin the attempt's own run in MLflow, in the experiment of the recorded run; shown under it, or under
    `parent`."""
    stored = attempt.found.open().stored
    above = parent or stored
    return store.start_run(
        experiment="repro_track",
        experiment_id=stored.experiment_id if stored else None,
        name=name,
        user=read_user(),
        source="repro-track replay",
        parent_id=above.run_id if above else None,
    )


def log_replay(outcome: Outcome, run: StoredRun, *, store: Store, findings: Findings, tags: Mapping[str, str]) -> None:
    """Write the report, and log the attempt as a run with the tags of a replay or a trial."""
    found, actual, comparison = outcome.attempt.found, outcome.actual, outcome.comparison
    handover, recorded_folder = outcome.attempt.handover, outcome.attempt.recorded_folder
    first_id, folder = found.address, handover.result_folder
    for output in found.record.outputs:
        if get_kind(output.kind).is_picture and output.file:
            load_into(found, output.file, recorded_folder / output.file)
    page = render_replay_page(
        found.record,
        actual,
        comparison,
        run_id=first_id,
        expected_folder=recorded_folder,
        actual_folder=folder,
        findings=findings,
        exact=outcome.exact,
        options=render_options(handover.choice) + handover.settings.focus.render_options(),
    )
    _write_report(folder, page, comparison, findings)
    log_folder(
        store,
        run,
        folder=folder,
        description=render_description(actual, run_id=first_id, comparison=comparison, findings=findings),
        tags=tags,
        metrics=make_distance_metrics([output.distance for output in comparison.outputs if output.distance]),
    )


def _write_report(folder: Path, page: str, comparison: Comparison, findings: Findings | None = None) -> None:
    (folder / REPORT_NAME).write_text(page, encoding="utf-8")
    data = comparison_to_json(comparison, findings=findings)
    (folder / "comparison.json").write_text(json.dumps(data, indent=1), encoding="utf-8")


def log_variation(outcome: Outcome, run: StoredRun, *, store: Store) -> None:
    """Log a variation as a run of its own that points at the recorded one, with a picture of both side by side."""
    found, folder = outcome.attempt.found, outcome.attempt.handover.result_folder
    first_id, changes = found.address, render_changes(outcome.attempt.handover.settings)
    page = render_run_page(outcome.actual, run_id=run.run_id, folder=folder)
    _write_report(folder, page, outcome.comparison)
    name = _choose_picture(found.record, image=outcome.attempt.handover.settings.focus.image)
    load_into(found, name, outcome.attempt.recorded_folder / name)
    pair = [outcome.attempt.recorded_folder / name, folder / PREVIEW_NAME]
    if all(path.is_file() for path in pair):
        pictures = [read_picture(path).pixels for path in pair]
        sheet = make_contact_sheet(pictures, labels=["recorded", to_printable(changes, limit=60)], columns=1)
        sheet.save(folder / SIDE_BY_SIDE_NAME)
    log_folder(
        store,
        run,
        folder=folder,
        description=render_variation_description(outcome.actual, run_id=run.run_id, of=first_id, changes=changes),
        tags=make_variation_tags(first_id, changes=changes),
    )


def render_changes(settings: Settings) -> str:
    """Render what a variation changes, and of which image alone, as words."""
    return " ".join(
        [*([str(settings.focus)] if settings.focus.image is not None else []), *redact_words(settings.changes)]
    )


def _choose_picture(record: RunRecord, *, image: int | None) -> str:
    """Choose the file of a run that is shown beside its variation: that of the one image, else the sheet of all."""
    files = [
        one.file
        for one in record.outputs
        if one.file and get_kind(one.kind).is_picture and image is not None and find_image(one.name) == image
    ]
    return files[0] if files else PREVIEW_NAME


def log_failure(attempt: Attempt, actual: RunRecord, *, store: Store, run: StoredRun) -> None:
    """Log an attempt whose child failed."""
    first_id = attempt.found.address
    description = render_description(actual, run_id=first_id)
    folder, tags = attempt.handover.result_folder, make_replay_tags(first_id)
    log_folder(store, run, folder=folder, description=description, tags=tags)
