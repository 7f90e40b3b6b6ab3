"""Promises of child.py: the child has the planned variables, leaves a record or says why not, and never outlives us."""

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from repro_track.attempt.child import make_child_variables, read_result, started_child
from repro_track.errors import ReplayError, UsageError
from repro_track.record.handover import Settings
from repro_track.record.reading import read_record
from tests.unit.attempt.attempts import make_attempt

RECORD_PATH = Path(__file__).parents[2] / "data" / "records" / "v1.json"
RECORD = read_record(RECORD_PATH)


@pytest.fixture
def attempt(tmp_path):
    return make_attempt(RECORD, tmp_path, cwd=str(tmp_path))


def test_planned_variables_are_set_or_taken_away(attempt, monkeypatch, tmp_path):
    """A value is set, `None` unset, everything else is ours; packages of the plan go before our import path."""
    monkeypatch.setenv("GONE", "1")
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("PYTHONPATH", "/ours")
    (tmp_path / "src").mkdir()
    plan = replace(attempt.plan, variables={"GONE": None, "NEW": "2"}, import_path=(str(tmp_path),))
    variables = make_child_variables(plan, program=None)
    assert (variables.get("GONE"), variables["NEW"], variables["KEPT"]) == (None, "2", "1")
    assert variables["PYTHONPATH"] == os.pathsep.join([str(tmp_path / "src"), str(tmp_path), "/ours"])
    bare = make_child_variables(replace(plan, import_path=()), program=None)
    assert bare["PYTHONPATH"] == "/ours"


@pytest.mark.starts(Path(sys.executable).name)
def test_the_child_does_not_outlive_the_block(attempt):
    """Whatever ends the block ends the child."""
    attempt = replace(attempt, plan=replace(attempt.plan, argv=(sys.executable, "-c", "import time; time.sleep(60)")))
    with pytest.raises(ZeroDivisionError), started_child(attempt, quiet=True) as child:
        assert child.poll() is None
        raise ZeroDivisionError
    assert child.poll() is not None


@pytest.mark.starts(Path(sys.executable).name)
def test_a_child_without_a_record_is_an_error_with_its_last_words(attempt):
    """What a quiet child printed last is in the message, spelled out; a record that it left is returned."""
    code = "print('one'); print('the last \\x1b word')"
    attempt = replace(attempt, plan=replace(attempt.plan, argv=(sys.executable, "-c", code)))
    with started_child(attempt, quiet=True) as child:
        child.wait()
    with pytest.raises(ReplayError, match="left no record") as failed:
        read_result(attempt, code=child.returncode)
    assert "its last words: the last \\x1b word" in failed.value.advice
    attempt.handover.result_folder.mkdir()
    shutil.copyfile(RECORD_PATH, attempt.handover.result_folder / "record.json")
    assert read_result(attempt, code=0) == RECORD


def test_a_change_that_cannot_be_run_is_wrong_usage(tmp_path):
    """A child that refuses its changed config leaves no record: exit code 2; one that fails otherwise is no usage."""
    varied = make_attempt(RECORD, tmp_path, settings=Settings(changes=("call.num_inference_steps=[1]",)))
    with pytest.raises(UsageError, match=r"cannot be varied by call\.num_inference_steps=\[1\]"):
        read_result(varied, code=2)
    with pytest.raises(ReplayError, match="ended with code 3") as failed:
        read_result(varied, code=3)
    assert failed.value.exit_code == 3
