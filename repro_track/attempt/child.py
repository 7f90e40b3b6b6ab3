"""The child process of an attempt: its variables, its life, what it left.

It never lets the child outlive us.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from repro_track.attempt.plan import ReplayPlan
from repro_track.attempt.workspace import Attempt
from repro_track.capture.packages import copy_program, make_import_path
from repro_track.capture.redirect import STARTUP_FOLDER
from repro_track.config.locations import REPLAY
from repro_track.errors import ExitCode, ReplayError, UsageError
from repro_track.record.names import RECORD_NAME
from repro_track.record.reading import read_record
from repro_track.record.schema import RunRecord
from repro_track.report.text import to_printable

_CHILD_LOG = "child.log"


@contextlib.contextmanager
def started_child(attempt: Attempt, *, quiet: bool) -> Iterator[subprocess.Popen[bytes]]:
    """Start the plan's command; it ends with the block at the latest, whatever ends that.

    What it prints goes to stderr, because our stdout is for data.

    Args:
        attempt: restored already.
        quiet: what it prints goes to a file in the attempt's folder instead.
    """
    plan = attempt.plan
    program = copy_program() if plan.packages else None
    variables = {**make_child_variables(plan, program=program), REPLAY: plan.folder}
    argv = [plan.argv[0], *(_relocate(word, attempt) for word in plan.argv[1:])]
    with contextlib.ExitStack() as stack:
        target = stack.enter_context((Path(plan.folder) / _CHILD_LOG).open("wb")) if quiet else sys.stderr
        child = subprocess.Popen(
            argv,
            cwd=plan.cwd,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=target.fileno(),
            stderr=target.fileno(),
        )
        try:
            yield child
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()


def _relocate(word: str, attempt: Attempt) -> str:
    """Return an argument that names a file of the recorded source by its restored place; any other as it is."""
    return attempt.plan.move.find_in(word) if attempt.plan.move else word


def read_result(attempt: Attempt, *, code: int) -> RunRecord:
    """Read the record that the child left.

    Raises:
        ReplayError: it left none.
        UsageError: it left none because it was changed into what cannot be run.
    """
    path = attempt.handover.result_folder / RECORD_NAME
    if not path.is_file():
        log = Path(attempt.plan.folder) / _CHILD_LOG
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
        advice = f"its last words: {to_printable(lines[-1], limit=200)}" if lines else "see its output above"
        changes = attempt.handover.settings.changes
        if changes and code == ExitCode.WRONG_USAGE:
            raise UsageError(f"the run cannot be varied by {' '.join(changes)}", advice=advice)
        if attempt.plan.code:
            advice += "; what git ignores is not part of the restored source: --code current runs where the clone is"
        raise ReplayError(
            f"the replay's process ended with code {code} and left no record",
            expected="the same track() block as in the recorded run",
            advice=advice,
        )
    return read_record(path)


def make_child_variables(plan: ReplayPlan, *, program: Path | None) -> dict[str, str]:
    """Make all environment variables of the child: ours, with the planned ones and the planned import path.

    Args:
        plan: of the attempt.
        program: a copy of this program to import, for an environment that does not have it.
    """
    variables = dict(os.environ)
    if plan.code:  # of a git that called us: they would lead the child to another repository
        variables = {name: value for name, value in variables.items() if not name.startswith("GIT_")}
    for name, value in plan.variables.items():
        variables.pop(name, None)
        if value is not None:
            variables[name] = value
    startup = Path(plan.folder) / STARTUP_FOLDER
    folders = [str(one) for one in (startup if startup.is_dir() else None, program) if one]
    folders += make_import_path(plan.import_path)
    if folders:
        variables["PYTHONPATH"] = os.pathsep.join([*folders, *filter(None, [variables.get("PYTHONPATH")])])
    return variables
