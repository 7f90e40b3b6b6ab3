"""Compare two logged runs.

It never runs either of them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from repro_track.compare.comparison import Comparison, compare_runs
from repro_track.compare.verdict import Tolerance
from repro_track.config.presets import read_preset
from repro_track.lookup.find import find_run
from repro_track.record.schema import RunRecord


def make_tolerance(name: str | None, *, recorded: RunRecord) -> Tolerance:
    """Make a tolerance profile: the one of `conf/tolerance` that is named, else the one that the run was made with.

    Raises:
        UsageError: there is no profile of that name.
    """
    preset = recorded.config.resolved.get("tolerance") if name is None else None
    if not isinstance(preset, dict) or not {"name", "rtol", "atol"} <= set(preset):
        preset = read_preset("tolerance", name or "same_device")
    return Tolerance(preset["name"], preset["rtol"], preset["atol"], preset.get("decoded_atol", {}))


def compare_logged(expected: str, actual: str) -> Comparison:
    """Compare two logged runs, each given by any of its names, with the tolerance that the expected one was made with.

    Raises:
        UsageError: there is no such run.
        StoreError: one is not ours, or the store cannot be reached.
        RecordError: a record cannot be read.
    """
    left, right = find_run(expected), find_run(actual)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        return compare_runs(
            left.record,
            right.record,
            expected_exact=left.load_exact(Path(one)),
            actual_exact=right.load_exact(Path(other)),
            tolerance=make_tolerance(None, recorded=left.record),
        )
