"""Find a logged run by any of its names.

It never runs a logged run, and never loads torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from repro_track.config.locations import is_web_url
from repro_track.errors import ReproTrackError, UsageError
from repro_track.lookup.found import FoundRun, open_store
from repro_track.lookup.from_picture import find_picture, identify_output
from repro_track.record.reading import read_record
from repro_track.store import ledger
from repro_track.store.client import Store
from repro_track.store.stored_run import StoredRun


@dataclass(frozen=True)
class NamedRun:
    """A run as a person named it, looked up in the store at most once; `find` loads its record.

    `text` is the name, for a member of a sweep or experiment its run id. `stored` is where the run is, `error` why it
    was not found; both `None`: it was not looked up yet.
    """

    text: str
    stored: StoredRun | None = None
    error: ReproTrackError | None = None

    def find(self) -> FoundRun:
        """Return the run with its record, from the store or from a file.

        Raises:
            UsageError: there is none, or several, or it is a sweep.
            StoreError: it is not ours, or the store cannot be reached.
            RecordError: its record cannot be read.
        """
        if self.error is not None:
            raise self.error
        return find_run(self.text) if self.stored is None else _load(self.stored, store=open_store())


def find_run(text: str) -> FoundRun:
    """Find a run by MLflow's run id or a prefix, a link, a picture, a record.json, or `latest`.

    Raises:
        UsageError: there is none, or several, or it is a sweep.
        StoreError: it is not ours, or the store cannot be reached.
        RecordError: its record cannot be read.
    """
    path = Path(text)
    if path.suffix == ".json" and path.is_file():
        return FoundRun(read_record(path), folder=path.absolute().parent)
    store = open_store()
    if path.suffix and path.is_file():  # a picture
        best = find_picture(text)[0]
        found = _load(best.run, store=store, how=best.how)
        return replace(found, output=identify_output(found.record, best, path=path))
    if "/" in text and not is_web_url(text):
        raise UsageError(f"{text} is not there", expected="a picture or a record.json")
    stored = store.find_run(text)
    if stored.is_sweep:
        raise UsageError(
            f"run {stored.run_id} is a sweep: its members have records, it has none",
            expected="a member, by its own id",
            advice=f"they are listed on its page, {stored.link}; replay and verify take the sweep itself, too",
        )
    return _load(stored, store=store)


def _load(stored: StoredRun, *, store: Store, how: str | None = None) -> FoundRun:
    record = store.load_record(stored)
    return FoundRun(record, run_id=stored.run_id, link=stored.link, store=store, stored=stored, how=how)


def expand_name(text: str) -> list[NamedRun]:
    """Return the runs that a name stands for: the finished members of a sweep, else the one run of that name. One that
    is not there is among them, too: its `find` raises the reason.

    Raises:
        UsageError: the sweep has no finished member.
        StoreError: the store cannot be opened.
    """
    is_path = Path(text).is_file() or ("/" in text and not is_web_url(text))
    if is_path or not re.search(r"[0-9a-f]{6,}", text) or recall_run(text):
        return [NamedRun(text)]
    store = open_store()
    try:
        run = store.find_run(text)
    except ReproTrackError as error:
        return [NamedRun(text, error=error)]
    if not run.is_sweep:
        return [NamedRun(text, run)]
    members = [NamedRun(member.run_id, member) for member in store.find_members(run.run_id) if member.is_finished]
    if not members:
        raise UsageError(
            f"the sweep {run.run_id} has no finished member yet", advice=f"repro-track run sweep.run={run.run_id}"
        )
    return members


def recall_run(text: str) -> FoundRun | None:
    """Find a run by its whole id among those that this machine logged, without opening the store; `None`: it is none of
    them."""
    record = ledger.recall(text) if re.fullmatch(r"[0-9a-f]{32}", text) else None
    return FoundRun(record, run_id=text) if record else None
