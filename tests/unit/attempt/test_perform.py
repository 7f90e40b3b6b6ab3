"""Promises of perform.py: exact tensors are loaded only where a digest differs, and the verdict is theirs."""

from pathlib import Path

import numpy as np
import pytest

from repro_track.attempt.perform import judge
from repro_track.compare.verdict import Tolerance
from repro_track.record.names import OUTPUT_TENSORS_NAME
from repro_track.record.reading import read_record
from repro_track.tensors.digests import digest_tensor
from repro_track.tensors.host import save_tensors
from tests.unit.attempt.attempts import make_attempt

RECORD = read_record(Path(__file__).parents[2] / "data" / "records" / "v1.json")
PROFILE = Tolerance("mine", {"float32": 0.0}, {"float32": 1e-6}, {})


def make_run(values, folder):
    """A record with one output of these values, whose exact tensor is in the folder."""
    tensor = np.array(values, dtype=np.float32).reshape(2, 2, 3)
    update = {"sha256": digest_tensor(tensor), "shape": (2, 2, 3), "dtype": "float32", "kind": "image"}
    output = RECORD.outputs[0].model_copy(
        update={**update, "pixels_sha256": digest_tensor(tensor), "decoded_sha256": digest_tensor(tensor)}
    )
    if folder:
        (folder / OUTPUT_TENSORS_NAME).parent.mkdir(parents=True, exist_ok=True)
        save_tensors(folder / OUTPUT_TENSORS_NAME, {output.name: tensor})
    return RECORD.model_copy(update={"outputs": (output,)})


@pytest.fixture
def attempt(tmp_path):
    attempt = make_attempt(make_run([0.5] * 12, None), tmp_path)
    make_run([0.5] * 12, tmp_path / "run")
    return attempt


def test_equal_digests_need_no_tensors(attempt):
    """Where all digests agree the verdict is bit-exact, and no tensor is loaded: there is none to be had here."""
    outcome = judge(attempt, make_run([0.5] * 12, None), profile=PROFILE)
    assert (outcome.comparison.verdict, outcome.exact) == ("bit-exact", None)


def test_where_digests_differ_the_tensors_tell_how_far(attempt):
    """One value another one: the exact tensors of both sides give the distance, and it is no bit-exact run."""
    outcome = judge(attempt, make_run([0.75] + [0.5] * 11, attempt.handover.result_folder), profile=PROFILE)
    assert outcome.comparison.verdict == "diverged"
    assert outcome.comparison.outputs[0].distance.max_abs == 0.25
