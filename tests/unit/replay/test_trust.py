"""Promises of trust.py: somebody else's run is not started unasked, and a target comes from known packages."""

from dataclasses import replace
from pathlib import Path

import pytest

from repro_track.attempt.plan import make_plan
from repro_track.attempt.workspace import Attempt
from repro_track.errors import RefusedError
from repro_track.lookup.found import FoundRun
from repro_track.record.choice import make_choice
from repro_track.record.handover import Handover
from repro_track.record.reading import read_record
from repro_track.replay.request import Request
from repro_track.replay.trust import check_trust, list_targets
from repro_track.store import ledger

RECORD = read_record(Path(__file__).parents[2] / "data" / "records" / "v1.json")
RUN_ID = "a" * 32


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_TRACK_HOME", str(tmp_path / "home"))
    choice = make_choice(code="restore", env="current", numerics="restore", weights="current")
    plan = make_plan(RECORD, folder=tmp_path / "replay", choice=choice)
    return Attempt(FoundRun(RECORD, run_id=RUN_ID), Handover(tmp_path / "replay", RECORD, choice), plan)


def check(attempt, **options):
    check_trust(attempt, request=Request(runs=(RUN_ID,), **options), would_run=["command  python x.py"])


def test_only_what_this_machine_logged_runs_unasked(attempt):
    """A run that the ledger does not know is refused with what it would run; once it is known, or trusted, it goes."""
    with pytest.raises(RefusedError, match="was not logged by this user") as refused:
        check(attempt)
    assert "python x.py" in str(refused.value)
    check(attempt, trusted=True)
    ledger.remember(RUN_ID, RECORD)
    check(attempt)


def test_what_was_changed_since_is_refused(attempt):
    """A record that is not the one that this machine logged under the id is refused, too."""
    ledger.remember(RUN_ID, RECORD.model_copy(update={"name": "another"}))
    with pytest.raises(RefusedError, match="was changed after this machine logged it"):
        check(attempt)


def test_a_target_comes_from_known_packages(attempt):
    """Trust alone does not let a config name any class: `--allow` has to name its package."""
    config = RECORD.config.model_copy(update={"resolved": {"scheduler": {"_target_": "mine.tool.Thing"}}})
    hostile = replace(attempt, found=FoundRun(RECORD.model_copy(update={"config": config}), run_id=RUN_ID))
    with pytest.raises(RefusedError, match=r"_target_ mine\.tool\.Thing"):
        check(hostile, trusted=True)
    check(hostile, trusted=True, allowed=("mine",))
    with pytest.raises(RefusedError):
        check(hostile, trusted=True, allowed=("min",))


def test_targets_are_found_however_deep():
    """In nested lists and dicts, and in overrides of either spelling; what is no target is not listed."""
    config = {"a": [{"b": {"_target_": "os.system"}}], "target": "no.target"}
    words = ["a={_target_: x.y, n: 1}", "+b._target_='z.w'", "seed=1"]
    assert list_targets(config, words) == ["os.system", "x.y", "z.w"]
