"""The folder of one attempt: made, removed, and old ones swept.

It never touches anything beside its own folders.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repro_track.attempt.plan import ReplayPlan, make_plan
from repro_track.config.locations import data_folder
from repro_track.lookup.found import FoundRun
from repro_track.record.choice import Choice
from repro_track.record.handover import Handover, Settings


@dataclass(frozen=True)
class Attempt:
    """A planned attempt and the folder between us and its child."""

    found: FoundRun
    handover: Handover
    plan: ReplayPlan

    @property
    def recorded_folder(self) -> Path:
        """Where artifacts of the recorded run are put."""
        return self.handover.folder / "recorded"


@contextlib.contextmanager
def prepared(found: FoundRun, *, choice: Choice, settings: Settings | None = None) -> Iterator[Attempt]:
    """Plan an attempt in a folder of its own, which is removed afterwards.

    Raises:
        ReplayError, RefusedError: as `make_plan`.
    """
    base = data_folder() / "replays"
    base.mkdir(parents=True, exist_ok=True)
    for left in base.iterdir():  # by a replay that was killed: a week is longer than any replay takes
        if time.time() - left.stat().st_mtime > 7 * 24 * 3600:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="replay-", dir=base) as name:
        folder = Path(name)
        settings = settings or Settings()
        plan = make_plan(found.record, folder=folder, choice=choice)
        if settings.changes and found.record.command.kind == "hydra":
            plan = dataclasses.replace(plan, argv=(*plan.argv, *settings.changes))
        if plan.code:
            settings = dataclasses.replace(settings, foreign=str(found.record.source.repository))
        yield Attempt(found, Handover(folder, found.record, choice, settings), plan)
