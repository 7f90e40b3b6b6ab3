"""Promises of plan.py: what is restored, what stays, what cannot be had, and what to tell; nothing is restored yet."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from repro_track.attempt.plan import make_plan
from repro_track.errors import ReplayError
from repro_track.record.choice import make_choice
from repro_track.record.names import CHILD_CONFIG_NAME
from repro_track.record.reading import read_record
from repro_track.record.schema import ReferredFile, Unavailable
from repro_track.tensors.digests import digest_file

RECORDS = Path(__file__).parents[2] / "data" / "records"
CONFIG = read_record(RECORDS / "v1.json")
SCRIPT = read_record(RECORDS / "v2.json")


def choose(**options):
    words = {"code": "restore", "env": "current", "numerics": "restore", "weights": "current", **options}
    return make_choice(**words)


def change(record, **parts):
    """Change fields of the record's parts: `command={"kind": "notebook"}`."""
    return record.model_copy(
        update={name: getattr(record, name).model_copy(update=update) for name, update in parts.items()}
    )


def make_script_record(folder, *, recorded=True):
    """A record of a script outside any repository, as it is on disk or as it was before somebody changed it."""
    script = folder / "x.py"
    script.write_text("print()\n")
    digest = digest_file(script)
    if not recorded:
        script.write_text("print(2)\n")
    nowhere = Unavailable(unavailable="not in a git repository")
    source = {"commit": nowhere, "repository": nowhere, "script_sha256": digest, "changes": {}, "tree": nowhere}
    return change(SCRIPT, source=source, command={"script": str(script), "cwd": str(folder)})


def test_a_config_is_the_command(tmp_path):
    """A config is run by the present program, whatever code is asked for."""
    plan = make_plan(CONFIG, folder=tmp_path, choice=choose())
    assert plan.argv == (sys.executable, "-P", "-m", "repro_track.run", str(tmp_path / CHILD_CONFIG_NAME))
    assert (plan.code, plan.script, plan.move) == (None, None, None)


def test_a_changed_script_comes_back_alone(tmp_path):
    """Outside a repository the script alone was recorded: it is restored where it was changed, and this is told; one
    that is as it was, or that is not to be restored, is run where it is."""
    changed = make_script_record(tmp_path, recorded=False)
    plan = make_plan(changed, folder=tmp_path / "replay", choice=choose())
    assert (plan.script, plan.argv[1]) == ("x.py", str(tmp_path / "replay" / "script" / "x.py"))
    assert any("the script alone is restored" in note for note in plan.notes)
    assert str(tmp_path) in plan.import_path
    left = make_plan(changed, folder=tmp_path / "replay", choice=choose(code="current"))
    assert (left.script, left.argv[1], left.notes) == (None, str(tmp_path / "x.py"), ())
    same = make_plan(make_script_record(tmp_path), folder=tmp_path / "replay", choice=choose())
    assert (same.script, same.notes) == (None, ())


def test_an_interpreter_that_ignored_its_variables_gets_none(tmp_path, monkeypatch):
    """Where the run was started with `-E`, those that Python reads are unset in its replay, whether they are set now or
    were then; where it was not, they are as recorded."""
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    record = make_script_record(tmp_path)
    record = change(record, environment={"variables": {"PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1"}})
    plan = make_plan(record, folder=tmp_path / "replay", choice=choose())
    assert (plan.variables["PYTHONHASHSEED"], "PYTHONWARNINGS" in plan.variables) == ("5", False)
    ignoring = change(record, command={"options": ("-E",)})
    plan = make_plan(ignoring, folder=tmp_path / "replay", choice=choose())
    assert (plan.variables["PYTHONHASHSEED"], plan.variables["PYTHONWARNINGS"]) == (None, None)
    assert plan.variables["OMP_NUM_THREADS"] == "1"
    assert "-E" not in plan.argv


def test_a_commit_that_is_here_is_checked_out(tmp_path):
    """The recorded commit, found in its clone, will be a folder of the replay, in which the script is started; one that
    is nowhere is an error before anything is restored."""
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "x.py").write_text("print()\n")
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false"]
    for words in (["init", "--quiet"], ["add", "x.py"], [*identity, "commit", "--quiet", "-m", "first"]):
        subprocess.run(["git", *words], cwd=clone, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, check=True, capture_output=True, text=True).stdout
    source = {"commit": commit.strip(), "repository": str(clone), "changes": {}, "left_out": {"big.bin": "too large"}}
    record = change(SCRIPT, source=source, command={"script": str(clone / "x.py"), "cwd": str(clone)})
    plan = make_plan(record, folder=tmp_path / "replay", choice=choose())
    assert plan.code.origin == "clone"
    assert (plan.argv[1], plan.cwd) == (str(tmp_path / "replay" / "tree" / "x.py"), str(tmp_path / "replay" / "tree"))
    assert "not kept with the run: big.bin (too large)" in plan.notes
    json.dumps(plan.to_json())
    inside_git = make_plan(change(record, command={"cwd": str(clone / ".git")}), folder=tmp_path, choice=choose())
    assert inside_git.cwd == str(tmp_path / "cwd")
    assert any(".git, where the run was started, is not there" in note for note in inside_git.notes)
    (clone / "a.local.yaml").write_text("1\n")
    files = [{"path": name, "sha256": "0" * 64, "size_bytes": 2, "why": "ignored"} for name in ("gone", "a.local.yaml")]
    files[1]["sha256"] = hashlib.sha256(b"1\n").hexdigest()
    source["referred"] = tuple(ReferredFile(**file) for file in files)
    referring = make_plan(change(record, source=source), folder=tmp_path, choice=choose())
    assert [one["source"] for one in json.loads(json.dumps(referring.to_json()))["code"]["referred"]] == [
        None,
        str(clone / "a.local.yaml"),
    ]
    assert any(note.startswith("gone, which git ignores") for note in referring.notes)
    with pytest.raises(ReplayError, match="is not in the clone"):
        make_plan(change(record, source={"commit": "0" * 40}), folder=tmp_path / "replay", choice=choose())


def test_a_missing_directory_is_told(tmp_path):
    """An empty folder stands for a working directory that is gone, and a script's plan says so; a config's need not:
    its paths are absolute."""
    record = change(make_script_record(tmp_path), command={"cwd": "/no/such/folder"})
    plan = make_plan(record, folder=tmp_path / "replay", choice=choose())
    assert plan.cwd == str(tmp_path / "replay" / "cwd")
    assert any("/no/such/folder" in note for note in plan.notes)
    config = make_plan(change(CONFIG, command={"cwd": "/no/such/folder"}), folder=tmp_path / "replay", choice=choose())
    assert (config.cwd, config.notes) == (plan.cwd, ())
    there = make_plan(change(CONFIG, command={"cwd": str(tmp_path)}), folder=tmp_path / "replay", choice=choose())
    assert there.cwd == str(tmp_path)


def test_kernels_are_held_down_to_the_recorded_ones(tmp_path, monkeypatch):
    """A run of a machine without AVX-512 is replayed without it where numerics are restored, and the plan says so."""
    machine = CONFIG.environment.machine.model_copy(update={"cpu_isa": ("avx2", "avx512f")})
    present = CONFIG.environment.model_copy(update={"machine": machine})
    monkeypatch.setattr("repro_track.attempt.plan.capture_environment", lambda torch_build: present)
    state = {**CONFIG.numerics.state, "cpu_capability": "AVX2"}
    record = change(CONFIG, numerics={"state": state}, environment={"variables": {}})
    plan = make_plan(record, folder=tmp_path, choice=choose())
    assert plan.variables["ATEN_CPU_CAPABILITY"] == "avx2"
    assert any("its kernels are held down" in note for note in plan.notes)
    left = make_plan(record, folder=tmp_path, choice=choose(numerics="current"))
    assert (left.variables, left.notes) == ({}, ())


def test_what_differs_is_restored_or_stays(tmp_path):
    """A variable that is another one now is brought back with the numerics, and stays without; never both."""
    record = change(CONFIG, environment={"variables": {"MKL_CBWR": "COMPATIBLE"}})
    place = "environment.variables.MKL_CBWR"
    plan = make_plan(record, folder=tmp_path, choice=choose())
    left = make_plan(record, folder=tmp_path, choice=choose(numerics="current"))
    assert plan.variables["MKL_CBWR"] == "COMPATIBLE"
    for one, restored in ((plan, True), (left, False)):
        assert (place in [difference.place for difference in one.restored]) == restored
        assert (place in [difference.place for difference in one.differences]) != restored


def test_a_hub_pipeline_is_pinned(tmp_path):
    """The recorded commit stands for a branch, which moves; not where weights are left as they are now."""
    pipeline = {**CONFIG.config.resolved["pipeline"], "repo_id": "owner/name", "path": None, "revision": "main"}
    call = CONFIG.calls[0].model_copy(update={"commit": "c" * 40})
    record = change(CONFIG, config={"resolved": {**CONFIG.config.resolved, "pipeline": pipeline}})
    record = record.model_copy(update={"calls": (call,)})
    assert make_plan(record, folder=tmp_path, choice=choose()).pipelines[""]["revision"] == "main"
    pinned = make_plan(record, folder=tmp_path, choice=choose(weights="restore"))
    assert pinned.pipelines[""]["revision"] == "c" * 40


def test_a_missing_device_is_said(tmp_path, monkeypatch):
    """A run of a GPU cannot run where there is no driver: the plan says so first."""
    present = CONFIG.environment.model_copy(update={"gpu_driver": Unavailable(unavailable="no NVIDIA driver")})
    monkeypatch.setattr("repro_track.attempt.plan.capture_environment", lambda torch_build: present)
    parts = tuple(part.model_copy(update={"device": "cuda:0"}) for part in CONFIG.calls[0].components)
    record = CONFIG.model_copy(update={"calls": (CONFIG.calls[0].model_copy(update={"components": parts}),)})
    assert "cannot run" in make_plan(record, folder=tmp_path, choice=choose()).because[0]
    assert not any("cannot run" in one for one in make_plan(CONFIG, folder=tmp_path, choice=choose()).because)
