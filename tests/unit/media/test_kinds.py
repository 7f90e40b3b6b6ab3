"""Promises of kinds.py: the table has every kind of output, and a new kind is one row and one writer: then it is kept,
previewed, compared and reported."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest

from repro_track.compare.comparison import compare_runs
from repro_track.compare.outputs import Exact
from repro_track.compare.verdict import Tolerance
from repro_track.media import kinds
from repro_track.media.kinds import KINDS, Kind, Leaf, Written, get_kind
from repro_track.media.outputs import RawOutput, get_preview, keep_output, list_outputs, to_exact
from repro_track.record.reading import parse_record, read_record, render_record
from repro_track.record.schema import Output, OutputKind, RunRecord
from repro_track.report.markdown import render_description
from repro_track.report.page import render_run_page
from repro_track.store.tags import make_metrics
from repro_track.tensors.digests import digest_file, digest_tensor
from repro_track.tensors.host import to_host

RECORD = read_record(Path(__file__).parents[2] / "data" / "records" / "v3.json")
PROFILE = Tolerance("test", {}, {"float32": 1e-4})


def test_the_table_has_every_kind_of_the_record():
    """Each kind that a record can name has one row, and no other has."""
    assert sorted(kind.name for kind in KINDS) == sorted(get_args(OutputKind))


@pytest.mark.parametrize(
    ("name", "value", "kind", "count"),
    [
        ("images", np.zeros((2, 8, 8, 3)), "image", "batch"),
        ("images.0", np.zeros((8, 8, 3)), "image", "one"),
        ("images", np.zeros((2, 8, 8, 7)), "tensor", "batch"),
        ("frames", np.zeros((1, 4, 8, 8, 3)), "video", "batch"),
        ("frames.0", np.zeros((4, 8, 8, 3)), "video", "one"),
        ("audios", np.zeros((2, 99)), "audio", "batch"),
        ("audios.0", np.zeros((2, 99)), "audio", "one"),
        ("embeddings", np.zeros((2, 8, 8, 3)), "tensor", "one"),
        ("text", "a cat", "tensor", "one"),
        ("number", np.float32(1.5), "tensor", "one"),
        ("thing", object(), None, None),
        ("path", Path("x"), None, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_first_row_that_recognises_a_value_decides(name, value, kind, count):
    """A value is of the kind that its field and shape say, once or several times; what no row knows is none."""
    rows = [(row.name, found) for row in KINDS if (found := row.recognise(Leaf(name, value)))]
    assert (rows or [(None, None)])[0] == (kind, count)


def test_latents_are_numbers():
    """Where a call asked for latents, an array is of no other kind than numbers."""
    leaf = Leaf("images", np.zeros((2, 8, 8, 3)), is_latent=True)
    assert [row.name for row in KINDS if row.recognise(leaf)] == ["tensor"]


def test_each_kind_answers_what_others_ask():
    """Pictures are shown and measured; sounds have samples; a file has no tensor; a sound has nothing to look at."""
    answers = {kind.name: (kind.is_picture, kind.has_tensor, kind.preview is not None, kind.decoded) for kind in KINDS}
    assert answers == {
        "image": (True, True, True, "pixels"),
        "video": (False, True, True, "pixels"),
        "audio": (False, True, False, "samples"),
        "tensor": (False, True, False, "pixels"),
        "file": (False, False, False, "pixels"),
    }


@pytest.mark.parametrize("value", [np.float32(1.5), np.float64(2.5), np.int64(3), np.bool_(True)], ids=repr)
def test_a_number_of_numpy_is_kept(value, tmp_path):
    """A number of NumPy in a result is an output like any other, with its own type: it does not end the run."""
    (raw,) = list_outputs({"score": value})
    kept = keep_output(raw, folder=tmp_path, record_id="r")
    assert (kept.name, kept.kind, kept.dtype, kept.shape) == ("score", "tensor", value.dtype.name, ())
    assert to_exact(raw).to_numpy() == value
    (other,) = list_outputs({"score": type(value)(0)})
    assert keep_output(other, folder=tmp_path, record_id="r").sha256 != kept.sha256


# --- a kind that there is not: one row, one writer ----------------------------------------------------------------


@dataclass
class Mesh:
    corners: np.ndarray  # (corners, 3)
    faces: np.ndarray  # (faces, 3), numbers of corners


def recognise_mesh(leaf):
    return "one" if isinstance(leaf.value, Mesh) else None


def write_obj(value, target):
    path = target.find_path(".obj")
    lines = [f"v {x} {y} {z}" for x, y, z in value.corners] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in value.faces]
    path.write_text("\n".join(lines), encoding="utf-8")
    return Written(path, {})


MESH = Kind(
    "mesh",
    recognise_mesh,
    lambda value: to_host(value.corners[value.faces]),
    write_obj,
    preview=lambda value: np.full((8, 8, 3), 200, dtype=np.uint8),
)


@pytest.fixture
def with_mesh(monkeypatch):
    """The table with one more row, and the record with one more word."""
    field = Output.model_fields["kind"]
    former = field.annotation
    monkeypatch.setattr(kinds, "KINDS", (MESH, *KINDS))

    def allow(words):
        field.annotation = words
        Output.model_rebuild(force=True)
        RunRecord.model_rebuild(force=True)

    allow(Literal[(*get_args(former), "mesh")])
    yield
    allow(former)


def make_mesh(height=1.0):
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, height]], dtype=np.float32)
    return Mesh(corners, np.array([[0, 1, 2], [0, 1, 3]]))


def record_of(folder, mesh):
    """Return a record with one mesh as its output, as a run keeps it, and its exact tensors."""
    (raw,) = list_outputs({"meshes": [mesh]})
    kept = keep_output(raw, folder=folder / "outputs", record_id="r" * 32)
    return RECORD.model_copy(update={"outputs": (kept,)}), Exact({raw.name: to_exact(raw)})


def judge(expected, actual):
    left, right = expected, actual
    return compare_runs(left[0], right[0], expected_exact=left[1], actual_exact=right[1], tolerance=PROFILE)


def test_a_new_kind_is_kept_with_its_own_file(with_mesh, tmp_path):
    """A mesh is one output of its kind, by its exact triangles, in the file that its writer wrote."""
    record, _ = record_of(tmp_path, make_mesh())
    (kept,) = record.outputs
    assert (kept.name, kept.kind, kept.shape, kept.file) == ("meshes.0", "mesh", (2, 3, 3), "outputs/meshes.0.obj")
    assert kept.file_sha256 == digest_file(tmp_path / "outputs" / "meshes.0.obj")
    assert kept.sha256 == digest_tensor(make_mesh().corners[make_mesh().faces])
    assert parse_record(render_record(record), origin="a mesh").outputs == record.outputs


def test_without_its_row_a_mesh_is_its_arrays():
    """The same value without the row is walked to its parts: it is the row that makes the kind."""
    assert [(raw.name, raw.kind) for raw in list_outputs({"meshes": [make_mesh()]})] == [
        ("meshes.0.corners", "tensor"),
        ("meshes.0.faces", "tensor"),
    ]


def test_a_new_kind_has_a_preview_and_is_no_picture(with_mesh, tmp_path):
    """Its preview is what the row makes; its file is not put on a page as a picture, and does not count as one."""
    assert get_preview(RawOutput("meshes.0", "mesh", make_mesh())).shape == (8, 8, 3)
    record, _ = record_of(tmp_path, make_mesh())
    assert "![pictures]" in render_description(record, run_id="1")
    page = render_run_page(record, run_id="1", folder=tmp_path)
    assert "meshes.0" in page
    assert "data:image" not in page
    assert "output.abs_sum" not in make_metrics(record)
    assert "output.abs_sum" in make_metrics(RECORD)


@pytest.mark.parametrize(("height", "verdict"), [(1.0, "bit-exact"), (1.00005, "within-tolerance"), (2.0, "diverged")])
def test_a_new_kind_is_compared(with_mesh, tmp_path, height, verdict):
    """Equal meshes are bit-exact; one that is off is measured by its exact triangles, and not as a picture."""
    comparison = judge(record_of(tmp_path / "a", make_mesh()), record_of(tmp_path / "b", make_mesh(height)))
    assert comparison.verdict == verdict
    (one,) = comparison.outputs
    assert (one.distance is None) == (verdict == "bit-exact")
    assert one.distance is None or one.distance.ssim is None
    assert get_kind("mesh").has_tensor
