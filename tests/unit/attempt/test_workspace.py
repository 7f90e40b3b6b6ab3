"""Promises of workspace.py: an attempt has a folder of its own, which goes; what killed ones left is swept, later."""

import os
import time
from pathlib import Path

import pytest

from repro_track.attempt.log import render_changes
from repro_track.attempt.workspace import prepared, sweep_workspaces
from repro_track.lookup.found import FoundRun
from repro_track.record.choice import make_choice
from repro_track.record.handover import Settings
from repro_track.record.reading import read_record

RECORD = read_record(Path(__file__).parents[2] / "data" / "records" / "v1.json")
CHOICE = make_choice(code="restore", env="current", numerics="restore", weights="current")


@pytest.fixture
def replays(home):
    return home / "replays"


def leave_behind(replays, *, days):
    folder = replays / f"replay-{days}"
    folder.mkdir(parents=True)
    then = time.time() - days * 24 * 3600
    os.utime(folder, (then, then))
    return folder


def test_the_folder_goes(replays):
    """The folder is there inside the block, and gone after it, also after an error."""
    with pytest.raises(ZeroDivisionError), prepared(FoundRun(RECORD), choice=CHOICE) as attempt:
        folder = attempt.handover.folder
        assert folder.parent == replays
        assert folder.is_dir()
        raise ZeroDivisionError
    assert not folder.exists()


def test_changes_are_words_of_a_hydra_app_alone():
    """A Hydra app is given the changes as overrides; a config gets them written into it, and has no such words."""
    change = "call.num_inference_steps=3"
    with prepared(FoundRun(RECORD), choice=CHOICE, settings=Settings(changes=(change,))) as attempt:
        assert change not in attempt.plan.argv
        assert attempt.handover.settings.changes == (change,)
    command = RECORD.command.model_copy(update={"kind": "hydra", "script": __file__})
    app = RECORD.model_copy(update={"command": command})
    with prepared(FoundRun(app), choice=CHOICE, settings=Settings(changes=(change,))) as attempt:
        assert attempt.plan.argv[-1] == change


def test_only_what_is_old_is_swept(replays):
    """What a killed replay left goes after a week; what may belong to a running one stays."""
    old, young = leave_behind(replays, days=8), leave_behind(replays, days=6)
    assert sweep_workspaces() == [old]
    assert not old.exists()
    assert young.is_dir()


def test_preparing_sweeps_nothing(replays):
    """An attempt is made many times for one command: it leaves other folders alone."""
    old = leave_behind(replays, days=8)
    with prepared(FoundRun(RECORD), choice=CHOICE):
        assert old.is_dir()


def test_nothing_to_sweep_is_no_error():
    """Before the first replay there is no folder of replays."""
    assert sweep_workspaces() == []


def test_what_a_variation_was_given_as_a_secret_is_not_said():
    """The name and the tags of a variation have the key of a secret that it was given, not its value."""
    settings = Settings(changes=("hub.token=planted", "seed=3"))
    assert render_changes(settings) == "hub.token=***withheld*** seed=3"
