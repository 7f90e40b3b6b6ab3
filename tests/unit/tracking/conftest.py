"""What the tests of tracking share: a record as it was logged, options as `track()` would make them."""

import inspect
from pathlib import Path

import pytest

from repro_track.config.given import freeze_config
from repro_track.record.handover import Handover
from repro_track.record.reading import read_record
from repro_track.tracking.options import Options, read_policy
from repro_track.tracking.replayed import ReplayedBlock
from repro_track.tracking.track import track


@pytest.fixture(scope="session")
def record():
    """A record of a run of the command line: one call, one picture, one global generator that moved."""
    return read_record(next(Path(__file__).parents[2].glob("data/records/v3.json")))


@pytest.fixture
def make_options():
    """Make options with `track()`'s defaults, but for those that are given."""

    def make(**given):
        defaults = {name: one.default for name, one in inspect.signature(track).parameters.items()}
        words = {**defaults, "experiment": "tests", "determinism": "fast", **given}
        policy = read_policy(words.pop("determinism"), num_threads=words.pop("num_threads"))
        return Options(**{**words, "determinism": policy, "config": freeze_config(words["config"])})

    return make


@pytest.fixture
def make_replayed(record, tmp_path):
    """Make what puts back what was recorded, of the record above unless it is given another one."""

    def make(*, expected=record, **details):
        return ReplayedBlock(Handover(tmp_path, expected, **details))

    return make


@pytest.fixture
def unlogged(record, tmp_path, monkeypatch):
    """Be the child of a replay of a block that no test opens: nothing is logged, and no process started."""
    elsewhere = record.model_copy(update={"command": record.command.model_copy(update={"ordinal": -1})})
    Handover(tmp_path, elsewhere).write()
    monkeypatch.setenv("REPRO_TRACK_REPLAY", str(tmp_path))
    return tmp_path
