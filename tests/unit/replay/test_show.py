"""Promises of show.py: the plan says what is restored, what is as it is here, and nothing hostile gets through."""

from dataclasses import replace
from pathlib import Path

import pytest

from repro_track.attempt.plan import make_plan
from repro_track.attempt.workspace import Attempt
from repro_track.capture.packages import make_environment_plan
from repro_track.lookup.found import FoundRun
from repro_track.record.choice import make_choice
from repro_track.record.handover import Handover
from repro_track.record.reading import read_record
from repro_track.replay.show import list_what_would_run, render_command, render_plan

RECORD = read_record(Path(__file__).parents[2] / "data" / "records" / "v1.json")
CHOICE = make_choice(code="restore", env="current", numerics="restore", weights="current")


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_TRACK_HOME", str(tmp_path / "home"))
    return make_plan(RECORD, folder=tmp_path / "replay", choice=CHOICE)


def find_line(lines, word):
    return next(line for line in lines if line.split()[0] == word)


def test_the_plan_says_what_is_restored(plan):
    """Numerics that are restored are named with the recorded threads; those that are not are as they are here."""
    restored = find_line(render_plan(plan, RECORD, choice=CHOICE), "numerics")
    assert f"restored: {RECORD.numerics.state['num_threads']} threads" in restored
    left = make_choice(code="restore", env="current", numerics="current", weights="current")
    assert find_line(render_plan(plan, RECORD, choice=left), "numerics").endswith("as they are here")


def test_packages_are_named_where_they_are_restored(plan, tmp_path):
    """An environment is installed, or was made before: its mark in the cache says which."""
    packages = replace(make_environment_plan("3.11.7", RECORD.environment.packages), folder=str(tmp_path))
    lines = render_plan(replace(plan, packages=packages), RECORD, choice=CHOICE)
    assert find_line(lines, "packages").endswith("to be installed with uv")
    (tmp_path / "repro_track.complete").touch()
    lines = render_plan(replace(plan, packages=packages), RECORD, choice=CHOICE)
    assert find_line(lines, "packages").endswith("made before")
    assert "as they are here" in find_line(render_plan(plan, RECORD, choice=CHOICE), "packages")


def test_the_reasons_follow_the_expected_verdict(plan):
    """Three reasons are named, more are counted; without any the verdict stands alone."""
    bare = replace(plan, expected_verdict="bit-exact", because=())
    assert render_plan(bare, RECORD, choice=CHOICE)[-1] == "  expected  bit-exact at best"
    blamed = replace(plan, expected_verdict="diverged", because=("a", "b", "c", "d"))
    assert render_plan(blamed, RECORD, choice=CHOICE)[-1] == (
        "  expected  diverged at best, because of a, b, c and 1 more"
    )


def test_hostile_text_is_shown_as_text(plan):
    """A control character in a record's name is spelled out, in the plan and in what would run."""
    hostile = RECORD.model_copy(update={"name": "cat\x1b[31m"})
    assert "\\x1b" in render_plan(plan, hostile, choice=CHOICE)[0]
    attempt = Attempt(FoundRun(hostile), Handover(Path(plan.folder), hostile, CHOICE), replace(plan, argv=("x\x1b",)))
    lines = list(list_what_would_run(attempt))
    assert "\\x1b" in find_line(lines, "command")
    assert not any("\x1b" in line for line in lines)


def test_the_command_can_be_typed(plan):
    """A word with a space is quoted as a shell needs it, any other is not."""
    assert render_command(replace(plan, argv=("python", "a b.py", "c"))) == "python 'a b.py' c"
