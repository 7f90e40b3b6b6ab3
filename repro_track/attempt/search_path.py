"""The search path of a child: which folders of PYTHONPATH are code, which comes back with the code, and which hold
packages, which come back with those.

It reads what is in the folders, and writes nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from repro_track.capture.command import Move
from repro_track.capture.packages import PROGRAM, UNKNOWN_VERSION, EnvironmentPlan, holds_packages
from repro_track.compare.differences import Difference
from repro_track.errors import ReplayError
from repro_track.record.choice import Choice
from repro_track.record.places import name_numeric
from repro_track.record.schema import RunRecord


def plan_search_path(
    record: RunRecord, *, choice: Choice, move: Move | None, packages: EnvironmentPlan | None
) -> dict[str, str | None]:
    """Return the child's PYTHONPATH as a variable to set (`None`: unset); nothing where it is ours.

    Folders of code are the recorded ones where code comes back, where they are then; folders of packages (a module
    system's, `pip install --target`) are the present ones, and none where recorded packages come back in an environment
    of their own.

    Args:
        record: what is to be replayed.
        choice: what is left as it is now.
        move: where the recorded folder of the code will be.
        packages: the environment that is restored; `None`: the present packages are used.
    """
    recorded = record.environment.variables
    now, then = _split(os.environ.get("PYTHONPATH")), _split(recorded.get("PYTHONPATH"))
    imported = {one.imported_from for one in record.environment.packages if one.name != PROGRAM}
    of_code = [entry for entry in then if (move and move.find(entry) != entry) or entry not in imported]
    of_code = [entry for entry in of_code if not holds_packages(Path(entry))]
    of_packages = [] if packages else [entry for entry in now if holds_packages(Path(entry))]
    if "PYTHONPATH" not in recorded or not choice.restores(name_numeric("PYTHONPATH")):
        entries = [entry for entry in now if entry in of_packages or not holds_packages(Path(entry))]
        if entries == now:
            return {}
    else:
        of_packages += [] if packages else [entry for entry in now if entry in imported and entry not in of_packages]
        moved = [move.find(entry) if move else entry for entry in of_code]
        # packages that were found before the code are so again
        is_first = bool(then) and bool(of_packages) and then[0] not in of_code
        entries = [*of_packages, *moved] if is_first else [*moved, *of_packages]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(entries)) or None}


def _split(path: str | None) -> list[str]:
    return [entry for entry in (path or "").split(os.pathsep) if entry]


def list_search_path(pythonpath: str | None, *, first: Sequence[str]) -> list[str]:
    """List where the child of a replay in the present packages imports from: as we do, but for PYTHONPATH, and for the
    folder of the program that was started.

    Args:
        pythonpath: the child's.
        first: the folder of its script.
    """
    ours = sys.path if sys.flags.safe_path else sys.path[1:]
    inherited = {str(Path(entry).absolute()) for entry in _split(os.environ.get("PYTHONPATH"))}
    rest = [entry for entry in ours if str(Path(entry).absolute()) not in inherited]
    return [*first, *_split(pythonpath), *rest]


def list_folders_of_code(record: RunRecord) -> list[str]:
    """List the folders of packages that the recorded code put on the search path itself (`sys.path.insert`): it does so
    again. They are no interpreter's own, and were not in PYTHONPATH."""
    then = {str(Path(entry).absolute()) for entry in _split(record.environment.variables.get("PYTHONPATH"))}
    found = dict.fromkeys(one.imported_from for one in record.environment.packages if one.imported_from)
    return [
        folder
        for folder in found
        if Path(folder).name not in ("site-packages", "dist-packages")
        and folder not in then
        and holds_packages(Path(folder))
    ]


def check_packages_ran(expected: RunRecord, actual: RunRecord, *, staying: Sequence[Difference]) -> None:
    """Check that the packages that a child imported are those that its plan promised: the verdict is about them.

    Args:
        expected: the recorded run.
        actual: the child's.
        staying: the differences that the plan did not bring back.

    Raises:
        ReplayError: one is of another version.
    """
    promised = {f"environment.packages.{one.name}.version": one.version for one in expected.environment.packages}
    promised |= {one.place: one.actual for one in staying if one.place in promised}
    for one in actual.environment.packages:
        wanted = promised.get(f"environment.packages.{one.name}.version", one.version)
        if one.imported_from is None or one.name == PROGRAM or one.version in (wanted, UNKNOWN_VERSION):
            continue
        raise ReplayError(
            f"the replay ran with {one.name} {one.version}, from {one.imported_from}",
            expected=f"{one.name} {wanted}, as planned" if wanted else f"no {one.name}, as planned",
            advice="see what puts that folder first: PYTHONPATH, a .pth file, or the code itself (sys.path)",
        )
