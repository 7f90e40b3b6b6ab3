"""Promises of weights.py: recorded weight files are found by their bytes, or said to be lost before anything runs."""

from pathlib import Path

import pytest

from repro_track.attempt.weights import MISSING, digest_present, list_weights, plan_weights
from repro_track.errors import ReplayError
from repro_track.record.choice import make_choice
from repro_track.record.reading import read_record
from repro_track.record.schema import WeightFile
from repro_track.tensors.weight_files import digest_weight_file

RECORDS = Path(__file__).parents[2] / "data" / "records"
SHIPPED = read_record(RECORDS / "v1.json")
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
