"""An attempt on a record in a folder, planned and not run."""

from dataclasses import replace

from repro_track.attempt.plan import make_plan
from repro_track.attempt.workspace import Attempt
from repro_track.lookup.found import FoundRun
from repro_track.record.choice import make_choice
from repro_track.record.handover import Handover, Settings

CHOICE = make_choice(code="restore", env="current", numerics="restore", weights="current")


def make_attempt(record, folder, *, settings=None, choice=CHOICE, **planned):
    """Plan an attempt in `folder/replay`; the record's artifacts are in `folder/run`. `planned` replaces parts of the
    plan."""
    (folder / "replay").mkdir()
    (folder / "run").mkdir()
    plan = replace(make_plan(record, folder=folder / "replay", choice=choice), **planned)
    handover = Handover(folder / "replay", record, choice, settings or Settings())
    return Attempt(FoundRun(record, folder=folder / "run"), handover, plan)
