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

from repro_track.attempt.alone import make_alone, say_alone
from repro_track.attempt.plan import ReplayPlan, make_plan
from repro_track.config.locations import data_folder
from repro_track.lookup.found import FoundRun
from repro_track.record.choice import Choice
from repro_track.record.handover import Handover, Settings
from repro_track.record.withheld import is_given_back

_LONGEST_S = 7 * 24 * 3600
"""Longer than any replay takes."""


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


def _base_folder() -> Path:
    return data_folder() / "replays"


def sweep_workspaces(*, older_than_s: float = _LONGEST_S) -> list[Path]:
    """Remove the folders that killed replays left, and return them; a person's next replay does so.

    Args:
        older_than_s: what was touched since is left alone: its replay may be running.
    """
    swept = []
    for path in _base_folder().glob("*"):
        with contextlib.suppress(FileNotFoundError):  # another replay has ended, and removed its own
            if time.time() - path.stat().st_mtime > older_than_s:
                shutil.rmtree(path, ignore_errors=True)
                swept.append(path)
    return swept


@contextlib.contextmanager
def prepared(found: FoundRun, *, choice: Choice, settings: Settings | None = None) -> Iterator[Attempt]:
    """Plan an attempt in a folder of its own, which is removed afterwards.

    Args:
        found: the recorded run.
        choice: what is left as it is now.
        settings: what the child does beyond running again.

    Raises:
        ReplayError: there is nothing that could be started; the source or a weight file cannot be had.
        RefusedError: a value in the record that git could take for something else.
        UsageError: an image of a batch is to be varied that cannot be made alone.
    """
    base = _base_folder()
    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="replay-", dir=base) as name:
        folder = Path(name)
        settings = settings or Settings()
        plan = make_plan(found.record, folder=folder, choice=choice)
        expected, image = found.record, settings.focus.image
        if settings.changes and image is not None:
            expected = make_alone(found.record, image=image)
            plan = dataclasses.replace(plan, notes=(*plan.notes, say_alone(found.record, image=image)))
        if settings.changes and found.record.command.is_hydra:
            given = [word for word in plan.argv if not is_given_back(word, changes=settings.changes)]
            plan = dataclasses.replace(plan, argv=(*given, *settings.changes))
        if settings.hash_seed is not None:
            variables = {**plan.variables, "PYTHONHASHSEED": str(settings.hash_seed)}
            plan = dataclasses.replace(plan, variables=variables)
        if plan.code:
            settings = dataclasses.replace(settings, foreign=str(found.record.source.repository))
        yield Attempt(found, Handover(folder, expected, choice, settings), plan)
