"""Promises of request.py: what is asked is consistent, and the exit code follows from what came of it."""

import json
from pathlib import Path

import pytest

from repro_track.compare.comparison import compare_runs
from repro_track.compare.findings import Findings, Leak
from repro_track.compare.outputs import Exact
from repro_track.compare.verdict import Tolerance
from repro_track.errors import ExitCode, UsageError
from repro_track.lookup.found import FoundRun
from repro_track.record.reading import read_record
from repro_track.replay.request import ReplayResult, Request, check_changes, choose_image, make_focus
from repro_track.store.stored_run import StoredRun

RECORDS = Path(__file__).parents[2] / "data" / "records"
RECORD = read_record(RECORDS / "v3.json")
WORDS = {
    "require": "bit-exact", "code": "restore", "env": "current", "numerics": "restore", "weights": "restore",
    "trust": False, "allow": (),
}  # fmt: skip


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "given nothing"),
        ({"runs": ("latest",), "experiment": "golden"}, "given both"),
        ({"runs": ("latest",), "filter_string": "params.seed = '1'"}, "without --experiment"),
        ({"runs": ("latest",), "junit": "/no/such/folder/file.xml"}, "its folder is not there"),
        ({"runs": ("latest",), "changes": ("seed=1",), "stage": "base"}, "a run of its own"),
        ({"runs": ("latest",), "changes": ("seed=1",), "times": 2}, "a run of its own"),
        ({"runs": ("latest",), "changes": ("seed=1",), "explain": True}, "a run of its own"),
        ({"runs": ("latest",), "changes": ("seed=1",), "localize": True}, "a run of its own"),
    ],
)
def test_what_is_inconsistent_is_refused(options, said):
    """Options that exclude each other, or need another, are wrong usage before anything is looked up or run."""
    with pytest.raises(UsageError, match=said):
        Request(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"runs": ("latest", "0123456")},
        {"experiment": "golden", "filter_string": "params.seed = '1'", "junit": "file.xml"},
        {"runs": ("latest",), "changes": ("seed=1",), "twice": True},
        {"runs": ("latest",), "changes": ("seed=1",), "image": 0},
        {"runs": ("latest",), "stage": "base", "image": 0, "times": 2, "explain": True},
    ],
)
def test_what_is_consistent_is_taken(options):
    """The same options where they belong together make a request."""
    request = Request(**options)
    assert {name: getattr(request, name) for name in options} == options


def test_the_words_of_the_command_become_a_request():
    """Each of the four groups says what is left as it is now; the other options are fields by the same name."""
    request = Request.from_options(**{**WORDS, "env": "restore", "code": "current"}, runs=("latest",), times=3)
    assert (request.required, request.times, request.trusted) == ("bit-exact", 3, False)
    assert not request.choice.restores("code")
    assert request.choice.restores("env")
    assert Request.from_options(**WORDS, runs=("latest",)).choice.restores("code")
    assert Request.from_options(**{**WORDS, "allow": ["mine"]}, runs=("latest",)).allowed == ("mine",)


def test_a_summary_is_for_an_experiment_or_ci():
    """One run of an experiment, or for JUnit, is a table of one row; a run alone is shown whole."""
    assert Request(experiment="golden").wants_summary
    assert Request(runs=("latest",), junit="file.xml").wants_summary
    assert not Request(runs=("latest",)).wants_summary


def test_an_option_that_is_empty_is_none():
    """`--junit ""` and `--experiment ""`, as a script gives them whose variable is empty, ask for no table."""
    assert not Request(runs=("latest",), junit="", experiment="").wants_summary


def make_result(worst, *, required="bit-exact", findings=None):
    exact = {"expected_exact": Exact(), "actual_exact": Exact(), "tolerance": Tolerance("none", {}, {})}
    comparison = compare_runs(RECORD, RECORD, **exact)
    run = StoredRun("a" * 32, "1", "file:///nowhere", "http://127.0.0.1")
    return ReplayResult(FoundRun(RECORD), run, comparison, findings or Findings(), (), worst, required)


@pytest.mark.parametrize(
    ("worst", "required", "code"),
    [
        ("bit-exact", "bit-exact", ExitCode.SUCCESS),
        ("pixel-exact", "bit-exact", ExitCode.FELL_SHORT),
        ("pixel-exact", "within-tolerance", ExitCode.SUCCESS),
        ("diverged", "within-tolerance", ExitCode.FELL_SHORT),
        (None, "bit-exact", ExitCode.SUCCESS),
    ],
)
def test_the_exit_code_is_that_of_the_worst_verdict(worst, required, code):
    """A verdict at or above the required level is success, one below fell short; a variation has none to fall short."""
    assert make_result(worst, required=required).code == code


def test_a_leak_falls_short():
    """State that leaks into a second call is no success, however exact the first one was."""
    assert make_result("bit-exact", findings=Findings(leak=Leak(False, "it leaks"))).code == ExitCode.FELL_SHORT
    assert make_result("bit-exact", findings=Findings(leak=Leak(True, "no leak"))).code == ExitCode.SUCCESS


def test_a_variation_says_so_in_its_data():
    """A replay's data has the worst verdict and the id of the replay's run, a variation's the id of its own."""
    replayed, varied = make_result("diverged").to_json(), make_result(None).to_json()
    assert (replayed["verdict"], replayed["replay_run_id"]) == ("diverged", "a" * 32)
    assert "variation_run_id" in varied
    assert "replay_run_id" not in varied
    json.dumps(replayed)


def test_what_a_change_replaces_is_not_restored():
    """Another policy leaves numerics, another pipeline or adapter leaves weights; another seed leaves neither."""
    for key, left in (
        ("determinism.num_threads=2", {"numerics"}),
        ("pipeline.variant=fp16", {"weights"}),
        ("seed=4", set()),
    ):
        choice = check_changes(RECORD, request=Request(runs=("latest",), changes=(key,)))
        assert {label for label in ("numerics", "weights", "code") if not choice.restores(label)} == left


def test_only_a_config_is_varied():
    """`--set` needs a config or a Hydra app: for a script it is wrong usage, and nothing changes without it."""
    script = read_record(RECORDS / "v2.json")
    with pytest.raises(UsageError, match="--set changes a config"):
        check_changes(script, request=Request(runs=("latest",), changes=("seed=4",)))
    request = Request(runs=("latest",))
    assert check_changes(script, request=request) == request.choice


def test_a_change_is_one_of_the_config():
    """A key that the recorded config has not is refused before anything runs."""
    with pytest.raises(UsageError):
        check_changes(RECORD, request=Request(runs=("latest",), changes=("sead=4",)))


def test_a_focus_is_a_stage_or_image_of_the_run():
    """A stage is named by its call's number (or its name), an image by its own; what the run has not is refused with
    what it has."""
    assert (make_focus(RECORD, stage="0", image=0).call, make_focus(RECORD, stage=None, image=None).call) == (0, None)
    with pytest.raises(UsageError, match="no stage 'base'") as refused:
        make_focus(RECORD, stage="base", image=None)
    assert refused.value.expected == "one of 0"
    with pytest.raises(UsageError, match="no image 7"):
        make_focus(RECORD, stage=None, image=7)


def test_a_picture_names_the_image_that_is_varied(make_record):
    """Of several images the one whose picture was given; the one that was asked for goes before; a replay without a
    change is of all; a picture that does not say which it is, is one message."""
    record = make_record()
    varied, image_0 = Request(runs=("x",), changes=("seed=1",)), Request(runs=("x",), changes=("seed=1",), image=0)
    by_picture = FoundRun(record, run_id="1", how="by the id in it", output="images.1")
    assert choose_image(by_picture, request=varied) == 1
    assert choose_image(by_picture, request=image_0) == 0
    assert choose_image(by_picture, request=Request(runs=("x",))) is None
    assert choose_image(FoundRun(record, run_id="1"), request=varied) is None
    with pytest.raises(UsageError, match="does not say which image") as refused:
        choose_image(FoundRun(record, run_id="1", how="by likeness"), request=varied)
    assert "--image K" in refused.value.advice
    single = record.model_copy(update={"outputs": record.outputs[:1]})
    for request in (varied, image_0):
        assert choose_image(FoundRun(single, run_id="1", how="by likeness"), request=request) is None


def test_a_change_of_one_image_is_checked_on_its_own_config(make_record):
    """A wrong key is refused; so is an image that has no seed of its own, before anything is started."""
    record = make_record()
    request = Request(runs=("x",), changes=("call.num_inference_steps=2",), image=1)
    assert check_changes(record, request=request, image=1) == request.choice
    shared = record.seeds.model_copy(update={"generators": record.seeds.generators[:1]})
    with pytest.raises(UsageError, match="no seed of its own"):
        check_changes(record.model_copy(update={"seeds": shared}), request=request, image=1)
