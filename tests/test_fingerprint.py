"""Promises of fingerprint.py: a digest covers dtype, shape and bytes, nothing else; distances do not cancel."""

import math

import numpy as np
import pytest
import torch

from repro_track.errors import RecordError
from repro_track.tensors.digests import digest_file, digest_tensor
from repro_track.tensors.distance import Distance, measure_distance
from repro_track.tensors.host import load_tensors, save_tensors, to_host, to_pixels
from repro_track.tensors.weight_files import digest_weight_file

ALL_DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool,
]  # fmt: skip


def test_numpy_and_torch_agree():
    """The same values have the same digest in NumPy and in torch."""
    values = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    assert digest_tensor(values) == digest_tensor(values.numpy())


def test_strides_do_not_count():
    """A transposed view and its contiguous copy have one digest; the untransposed tensor another."""
    values = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    assert digest_tensor(values.T) == digest_tensor(values.T.contiguous())
    assert digest_tensor(values.T) != digest_tensor(values)
    assert digest_tensor(np.asfortranarray(values.numpy())) == digest_tensor(values)
    assert digest_tensor(values.numpy().astype(">f4")) == digest_tensor(values)


def test_dtype_shape_and_every_bit_count():
    """Zeros of another dtype or shape, one unit in the last place, and minus zero: all are other digests."""
    zeros = np.zeros(4, dtype=np.float32)
    ulp = zeros.copy()
    ulp[2] = np.nextafter(np.float32(0), np.float32(1))
    others = [zeros.astype(np.int32), zeros.reshape(2, 2), np.zeros(5, dtype=np.float32), ulp, -zeros]
    assert len({digest_tensor(array) for array in [zeros, *others]}) == 6


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)], ids=str)
def test_safetensors_and_back_is_the_same_digest(tmp_path, dtype, shape):
    """A tensor written to safetensors and read back without torch has the digest that it had."""
    values = (torch.randn(shape) * 3).to(dtype)
    save_tensors(tmp_path / "t.safetensors", {"a": values})
    back = load_tensors(tmp_path / "t.safetensors")["a"]
    assert digest_tensor(back) == digest_tensor(values)
    assert back.to_numpy().shape == shape


def test_a_damaged_tensor_file_is_one_message(tmp_path):
    """A file that is no safetensors, or is not there, is refused by its name."""
    (tmp_path / "t.safetensors").write_bytes(b"no tensors here")
    for name in ("t.safetensors", "missing.safetensors"):
        with pytest.raises(RecordError, match=name):
            load_tensors(tmp_path / name)


def test_bfloat16_is_widened_exactly():
    """bfloat16 values come to NumPy as the same numbers in float32."""
    values = torch.randn(64).to(torch.bfloat16)
    assert np.array_equal(to_host(values).to_numpy(), values.float().numpy())


def test_what_has_no_bytes_is_refused():
    """Objects are refused; there is no digest of a guess."""
    for value in ("text", None, np.array([object()])):
        with pytest.raises(TypeError):
            digest_tensor(value)


def test_float_pixels_are_those_of_diffusers():
    """Floats become the same 8-bit pixels as in diffusers' own conversion."""
    from diffusers.image_processor import VaeImageProcessor

    floats = np.random.default_rng(0).random((1, 8, 8, 3), dtype=np.float32)
    theirs = np.asarray(VaeImageProcessor.numpy_to_pil(floats)[0])
    assert np.array_equal(to_pixels(floats[0]), theirs)
    assert np.array_equal(to_pixels(torch.from_numpy(floats[0].transpose(2, 0, 1).copy())), theirs)


def test_nan_has_pixels_and_is_not_hidden():
    """NaN becomes pixel 0 without a warning; the tensor's digest still tells it from 0."""
    zeros = np.zeros((2, 2, 3), dtype=np.float32)
    nans = np.full_like(zeros, np.nan)
    assert to_pixels(nans).max() == 0
    assert digest_tensor(zeros) != digest_tensor(nans)


def test_distances_do_not_cancel():
    """Opposite errors add up, they do not cancel; equal arrays have none."""
    zeros = np.zeros(4)
    distance = measure_distance(zeros, np.array([0.5, -0.5, 0.0, 0.0]))
    assert (distance.max_abs, distance.mean_abs, distance.share_different) == (0.5, 0.25, 0.5)
    assert measure_distance(zeros, zeros) == Distance(0.0, 0.0, 0.0, math.inf, 0)


def test_nan_is_counted_as_different():
    """A NaN on one side is a difference and is counted; NaN on both sides is equal and still counted."""
    one = measure_distance(np.zeros(2), np.array([np.nan, 0.0]))
    both = measure_distance(np.array([np.nan, 0.0]), np.array([np.nan, 0.0]))
    assert (one.nonfinite, one.share_different) == (1, 0.5)
    assert (both.nonfinite, both.share_different) == (1, 0.0)


def test_the_hub_cache_names_its_digest(tmp_path):
    """A file of the Hub's cache gives the digest in its blob's name, with one readlink; any other is computed."""
    digest = "ab" * 32
    blob = tmp_path / "blobs" / digest
    blob.parent.mkdir()
    blob.write_bytes(b"weights")
    link = tmp_path / "model.safetensors"
    link.symlink_to(f"blobs/{digest}")
    assert digest_weight_file(link) == (digest, "hub")
    assert digest_weight_file(blob) == (digest_file(blob), "computed")
    assert digest_file(blob) != digest


def test_a_changed_file_is_computed_again(tmp_path):
    """The kept digest of a file is not used once the file has changed, even with its size kept."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"a" * 100)
    first = digest_weight_file(path)
    assert digest_weight_file(path) == first
    path.write_bytes(b"b" * 100)
    assert digest_weight_file(path) != first


@pytest.mark.parametrize("shape", [(64, 48, 3), (32, 32, 1), (11, 40, 4)])
def test_structural_similarity_is_that_of_scikit_image(shape):
    """The structural similarity agrees with another implementation's, to rounding."""
    from skimage.metrics import structural_similarity

    from repro_track.tensors.distance import measure_ssim

    random = np.random.default_rng(0)
    left = random.integers(0, 256, shape, dtype=np.uint8)
    right = np.clip(left.astype(int) + random.integers(-40, 40, shape), 0, 255).astype(np.uint8)
    expected = structural_similarity(
        left, right, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert measure_ssim(left, right) == pytest.approx(expected, abs=1e-12)
    assert measure_ssim(left, left) == pytest.approx(1.0)


def test_small_pictures_have_a_similarity(tmp_path):
    """Pictures smaller than the window are measured with a smaller one: 1 for equal ones, less for others."""
    from repro_track.tensors.distance import measure_pictures

    left = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    right = left.copy()
    right[0, 0, 0] = 255
    assert measure_pictures(left, left) == (1.0, 0.0)
    similarity, share = measure_pictures(left, right)
    assert similarity < 1
    assert share == 1 / 64


def test_a_file_is_found_by_its_digest_until_it_changes(tmp_path, home):
    """A file whose digest was computed is found by it wherever it is; changed or gone, it is not."""
    from repro_track.tensors.weight_files import digest_weight_file, find_file_by_digest

    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"some weights that no other test has")
    digest, _ = digest_weight_file(path)
    assert find_file_by_digest(digest) == path
    path.write_bytes(b"other")
    assert find_file_by_digest(digest) is None
