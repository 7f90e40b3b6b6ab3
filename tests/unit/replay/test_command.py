"""Promises of command.py that need no child process: a plan is shown, and nothing is run or left behind."""

import json
from pathlib import Path

import pytest

from repro_track.errors import ExitCode, ReplayError
from repro_track.lookup.find import NamedRun
from repro_track.replay.command import show_plan
from repro_track.replay.many import replay_requested
from repro_track.replay.request import Request

RECORDS = Path(__file__).parents[2] / "data" / "records"
PLANNED = str(RECORDS / "v1.json")
"""Its weights ship with the package."""
LOST = str(RECORDS / "v3.json")
"""Its weights are nowhere here."""


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_TRACK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_plan_is_data_or_text(capsys, data_folder):
    """`--json` prints the plan on stdout; else stdout stays empty and the plan is text on stderr. Its folder goes."""
    show_plan(NamedRun(PLANNED), request=Request(runs=(PLANNED,), dry_run=True, as_json=True))
    plan = json.loads(capsys.readouterr().out)
    assert plan["argv"][1:4] == ["-P", "-m", "repro_track.run"]
    show_plan(NamedRun(PLANNED), request=Request(runs=(PLANNED,), dry_run=True))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "replaying" in shown.err
    assert list((data_folder / "replays").iterdir()) == []


def test_one_that_cannot_be_planned_keeps_nobody_from_the_others(capsys):
    """Of several runs each is planned: the error of one is said, and its exit code is the whole command's."""
    code = replay_requested(Request(runs=(LOST, PLANNED), dry_run=True, as_json=True))
    shown = capsys.readouterr()
    assert code == ExitCode.NOT_RUN
    assert "error: the weights" in shown.err
    assert json.loads(shown.out)["argv"]
    assert replay_requested(Request(runs=(PLANNED, PLANNED), dry_run=True)) == ExitCode.SUCCESS


def test_one_alone_that_cannot_be_planned_is_an_error():
    """The only run's error ends the command, as everywhere."""
    with pytest.raises(ReplayError, match="the weights"):
        replay_requested(Request(runs=(LOST,), dry_run=True))
