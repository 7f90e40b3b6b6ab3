"""Promises of diff.py that need no store: two record.json are compared, each by its own tolerance or a named one."""

from pathlib import Path

import pytest

from repro_track.errors import UsageError
from repro_track.lookup.diff import compare_logged, make_tolerance
from repro_track.record.reading import read_record, render_record

RECORD = read_record(Path(__file__).parents[2] / "data" / "records" / "v3.json")


def write(folder, record):
    folder.mkdir()
    (folder / "record.json").write_text(render_record(record))
    return str(folder / "record.json")


def test_only_what_differs_is_found(tmp_path):
    """Two equal records have no difference; another root seed is one, in its place, expected first."""
    seeds = RECORD.seeds.model_copy(update={"root": RECORD.seeds.root + 1})
    first, second = write(tmp_path / "a", RECORD), write(tmp_path / "b", RECORD.model_copy(update={"seeds": seeds}))
    assert compare_logged(first, first).differences == ()
    (found,) = compare_logged(first, second).differences
    assert (found.place, found.expected, found.actual) == ("seeds.root", RECORD.seeds.root, RECORD.seeds.root + 1)


def test_a_tolerance_is_the_named_one_or_the_runs_own():
    """Without a name the run's own profile counts, and for a run without one the default; no such name is an error."""
    profile = {"name": "mine", "rtol": {"float32": 0.5}, "atol": {"float32": 0.25}}
    config = RECORD.config.model_copy(update={"resolved": {"tolerance": profile}})
    own = make_tolerance(None, recorded=RECORD.model_copy(update={"config": config}))
    assert (own.name, own.rtol, own.atol) == ("mine", profile["rtol"], profile["atol"])
    bare = RECORD.model_copy(update={"config": config.model_copy(update={"resolved": {}})})
    assert make_tolerance(None, recorded=bare).name == "same_device"
    with pytest.raises(UsageError):
        make_tolerance("no_such_profile", recorded=RECORD)
