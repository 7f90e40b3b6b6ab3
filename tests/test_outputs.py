"""Promises of outputs.py: every leaf of a result is an output with its own digests, and none is left out silently."""

import numpy as np
import torch
from diffusers.utils import BaseOutput
from PIL import Image

from repro_track.fingerprint import digest_tensor
from repro_track.outputs import RawOutput, keep_file, keep_output, list_outputs
from repro_track.png import read_picture

PIXELS = np.random.default_rng(0).random((2, 8, 8, 3), dtype=np.float32)


def names(result, **words):
    return [(raw.name, raw.kind) for raw in list_outputs(result, **words)]


def test_a_batch_is_one_output_for_each_picture():
    """A batch as one array, as one tensor, and as a list of pictures: the same names."""
    expected = [("images.0", "image"), ("images.1", "image")]
    pictures = [Image.fromarray((one * 255).astype("uint8")) for one in PIXELS]
    assert names({"images": PIXELS}) == expected
    assert names({"images": torch.from_numpy(PIXELS.transpose(0, 3, 1, 2).copy())}) == expected
    assert names({"images": pictures}) == expected


def test_latents_are_no_pictures():
    """Four channels of latents are not taken for a picture with transparency."""
    latents = torch.zeros(1, 4, 8, 8)
    assert names({"images": latents}, latent=True) == [("images", "tensor")]


def test_nested_results_are_walked():
    """Lists, tuples, dicts, numbers and text all become outputs; None is nothing."""
    result = ({"a": [1, 2.5]}, None, "text", torch.zeros(3))
    assert [name for name, _ in names(result)] == ["0.a.0", "0.a.1", "2", "3"]


def test_an_empty_list_has_no_outputs():
    """A pipeline that gives nothing has no outputs: the comparison will say so."""
    assert names({"images": []}) == []
    assert names({"images": PIXELS[:0]}) == []


def test_what_cannot_be_kept_is_named():
    """An object that is no tensor is listed as unknown, not left out."""
    assert names({"mesh": object()}) == [("mesh", "unknown")]


def test_output_objects_of_diffusers_are_walked():
    """diffusers' own output class is walked by its fields."""

    class Output(BaseOutput):
        images: np.ndarray

    assert names(Output(images=PIXELS)) == [("images.0", "image"), ("images.1", "image")]


def test_a_picture_is_kept_with_three_digests(tmp_path):
    """Tensor, pixels and file have digests of their own, and the file holds the pixels and the id."""
    output = keep_output(RawOutput("images.0", "image", PIXELS[0]), folder=tmp_path, record_id="r" * 32)
    pixels, record_id = read_picture(tmp_path / "images.0.png")
    assert output.sha256 == digest_tensor(PIXELS[0])
    assert output.pixels_sha256 == digest_tensor(pixels)
    assert record_id == "r" * 32
    assert len({output.sha256, output.pixels_sha256, output.file_sha256}) == 3


def test_the_statistic_is_the_guides(tmp_path):
    """`abs_sum` is `np.abs(image).sum()` in the array's own precision; NaN is counted."""
    output = keep_output(RawOutput("images.0", "image", PIXELS[0]), folder=tmp_path, record_id="r")
    assert output.abs_sum == float(np.abs(PIXELS[0]).sum())
    broken = PIXELS[0].copy()
    broken[0, 0, 0] = np.nan
    assert keep_output(RawOutput("images.1", "image", broken), folder=tmp_path, record_id="r").nonfinite == 1


def test_a_file_is_kept_by_its_bytes(tmp_path):
    """A file output has the digest of its bytes and is copied."""
    (tmp_path / "a.bin").write_bytes(b"abc")
    output = keep_file("weights", tmp_path / "a.bin", folder=tmp_path / "outputs")
    assert output.sha256 == output.file_sha256
    assert (tmp_path / "outputs" / "weights.bin").read_bytes() == b"abc"
