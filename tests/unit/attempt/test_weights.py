"""Promises of weights.py: recorded weight files are found by their bytes, or said to be lost before anything runs."""

from pathlib import Path

import pytest

from repro_track.attempt.weights import MISSING, digest_present, list_weights, plan_weights
from repro_track.capture.checkout import SourcePlan
from repro_track.errors import ReplayError
from repro_track.record.choice import make_choice
from repro_track.record.reading import read_record
from repro_track.record.schema import WeightFile
from repro_track.tensors.weight_files import digest_weight_file

RECORDS = Path(__file__).parents[2] / "data" / "records"
SHIPPED, SCRIPT = read_record(RECORDS / "v1.json"), read_record(RECORDS / "v2.json")
RESTORE = make_choice(code="restore", env="current", numerics="restore", weights="restore")
LEAVE = make_choice(code="restore", env="current", numerics="restore", weights="current")


def make_record(file, *, sha256):
    """A record whose only weights are an adapter's file."""
    weight = WeightFile(path=str(file), sha256=sha256, size_bytes=1, origin="computed")
    call = SHIPPED.calls[0].model_copy(update={"components": (), "adapter_files": (weight,)})
    return SHIPPED.model_copy(update={"calls": (call,)})


def test_weights_of_the_package_are_found_where_it_is():
    """A record names the folder of another installation: what ships with the package is looked for in this one."""
    (weight,) = list_weights(SHIPPED)
    assert weight.path.is_file()
    assert digest_present(weight.path) == weight.weight.sha256
    assert plan_weights(SHIPPED, code=None, choice=RESTORE) == ()


def test_a_moved_file_is_found_by_its_bytes(tmp_path):
    """A file that was seen elsewhere stands for the recorded one that is gone; its label is that of its place."""
    other = tmp_path / "moved.safetensors"
    other.write_bytes(b"the same bytes")
    digest, _ = digest_weight_file(other)
    (plan,) = plan_weights(make_record(tmp_path / "gone.safetensors", sha256=digest), code=None, choice=RESTORE)
    assert (plan.source, plan.actual) == (str(other), MISSING)
    assert plan.place == f"calls.0.adapter_files.{tmp_path / 'gone.safetensors'}.sha256"


def test_a_lost_file_is_an_error_unless_weights_are_left(tmp_path):
    """A file with other bytes, which nothing brings back, ends the plan; with `--weights current` it is a
    difference."""
    file = tmp_path / "changed.safetensors"
    file.write_bytes(b"other bytes")
    record = make_record(file, sha256="0" * 64)
    with pytest.raises(ReplayError, match="are not the recorded ones"):
        plan_weights(record, code=None, choice=RESTORE)
    (plan,) = plan_weights(record, code=None, choice=LEAVE)
    assert (plan.source, plan.expected, plan.actual) == (None, "0" * 64, digest_present(file))


def make_script_record(weight, *, kind="script", repository="/nowhere"):
    """A record of a script with one file of weights that was opened besides its components."""
    call = SCRIPT.calls[0].model_copy(update={"components": (), "adapter_files": (), "other_weights": (weight,)})
    source = SCRIPT.source.model_copy(update={"repository": str(repository)})
    command = SCRIPT.command.model_copy(update={"kind": kind})
    return SCRIPT.model_copy(update={"calls": (call,), "source": source, "command": command})


@pytest.fixture
def moved(tmp_path):
    """A file that was seen, and what a record says of it where it was before."""
    other = tmp_path / "elsewhere" / "x.safetensors"
    other.parent.mkdir()
    other.write_bytes(b"bytes of no other test")
    digest, _ = digest_weight_file(other)
    folder = str(tmp_path / "clone" / "models")
    return other, WeightFile(path="x.safetensors", sha256=digest, size_bytes=1, origin="computed", folder=folder)


def test_a_script_finds_its_weights_where_it_looks(tmp_path, moved):
    """A script's file that has moved is put back into its restored clone; outside of it, the error says where its bytes
    are."""
    other, weight = moved
    code = SourcePlan("c" * 40, "t" * 40, {}, (), "clone", str(tmp_path), None, None)
    inside = make_script_record(weight, repository=tmp_path / "clone")
    (plan,) = plan_weights(inside, code=code, choice=RESTORE)
    assert (plan.source, plan.place) == (str(other), "calls.0.other_weights.x.safetensors.sha256")
    with pytest.raises(ReplayError, match="are not the recorded ones") as raised:
        plan_weights(make_script_record(weight), code=code, choice=RESTORE)
    assert f"{other} has its bytes" in str(raised.value)
    (plan,) = plan_weights(make_script_record(weight), code=code, choice=LEAVE)
    assert plan.source is None


def test_what_the_program_writes_is_not_asked_for(tmp_path, moved):
    """A file that a script itself had written is not to be there before it runs; a config writes none."""
    _, weight = moved
    made = weight.model_copy(update={"made_by_run": True, "sha256": "0" * 64})
    assert plan_weights(make_script_record(made), code=None, choice=RESTORE) == ()
    with pytest.raises(ReplayError):
        plan_weights(make_script_record(made, kind="config"), code=None, choice=RESTORE)


def test_a_file_of_the_hub_is_looked_for_in_this_cache(tmp_path, monkeypatch):
    """A file of another machine's Hub cache is looked for in this one; where it is not, the Hub has it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    commit = "a" * 40
    inside = f"models--someone--tiny/snapshots/{commit}/unet"
    weight = WeightFile(
        path="x.safetensors", sha256="0" * 64, size_bytes=1, origin="hub", folder=f"/other/machine/{inside}",
        repo_id="someone/tiny", commit=commit,
    )  # fmt: skip
    (plan,) = plan_weights(make_script_record(weight), code=None, choice=RESTORE)
    assert (plan.path, plan.source) == (str(tmp_path / inside / "x.safetensors"), f"the Hub, commit {commit}")
