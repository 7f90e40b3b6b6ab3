"""Promises of host.py: what comes to host memory, into a file or into pixels is what it was."""

import numpy as np
import pytest
import torch

from repro_track.errors import RecordError
from repro_track.tensors.digests import digest_tensor
from repro_track.tensors.host import load_tensors, save_tensors, to_host, to_pixels

ALL_DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool,
]  # fmt: skip


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
