"""Find a logged run by any of its names.

It never runs a logged run, and never loads torch.
"""

from __future__ import annotations

import re
from pathlib import Path

from repro_track.config.locations import is_web_url
from repro_track.errors import ReproTrackError, UsageError
from repro_track.lookup.found import FoundRun, open_store
from repro_track.lookup.from_picture import find_picture
from repro_track.record.reading import read_record
from repro_track.store import ledger


def find_run(text: str) -> FoundRun:
    """Find a run by MLflow's run id or a prefix, a link, a picture, a record.json, or `latest`.

    Raises:
        UsageError: there is none, or several.
        StoreError: it is not ours, or the store cannot be reached.
        RecordError: its record cannot be read.
    """
    path = Path(text)
    if path.suffix == ".json" and path.is_file():
        return FoundRun(read_record(path), None, None, None, None, path.absolute().parent)
    store = open_store()
    if path.suffix and path.is_file():  # a picture
        best = find_picture(text)[0]
        return FoundRun(store.load_record(best.run), best.run.run_id, best.run.link, store, best.run, None, best.how)
    if "/" in text and not is_web_url(text):
        raise UsageError(f"{text} is not there", expected="a picture or a record.json")
    stored = store.find_run(text)
    if stored.is_sweep:
        raise UsageError(
            f"run {stored.run_id} is a sweep: its members have records, it has none",
            expected="a member, by its own id",
            advice=f"they are listed on its page, {stored.link}; replay and verify take the sweep itself, too",
        )
    return FoundRun(store.load_record(stored), stored.run_id, stored.link, store, stored, None)


def expand_name(text: str) -> list[str]:
    """Return the runs that a name stands for: the finished members of a sweep, else itself, also where there is no such
    run.

    Raises:
        UsageError: the sweep has none.
    """
    if not re.search(r"[0-9a-f]{6,}", text) or Path(text).is_file() or recall_run(text):
        return [text]
    store = open_store()
    try:
        run = store.find_run(text)
    except ReproTrackError:
        return [text]  # whoever looks at it says so
    if not run.is_sweep:
        return [text]
    members = [member.run_id for member in store.find_members(run.run_id) if member.is_finished]
    if not members:
        raise UsageError(
            f"the sweep {run.run_id} has no finished member yet", advice=f"repro-track run sweep.run={run.run_id}"
        )
    return members


def recall_run(text: str) -> FoundRun | None:
    """Find a run by its whole id among those that this machine logged, without opening the store."""
    record = ledger.recall(text) if re.fullmatch(r"[0-9a-f]{32}", text) else None
    return FoundRun(record, text, None, None, None, None) if record else None
