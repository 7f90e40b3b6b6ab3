"""Promises of digests.py: a digest covers dtype, shape and bytes, nothing else."""

import numpy as np
import pytest
import torch

from repro_track.tensors.digests import digest_tensor


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


def test_what_has_no_bytes_is_refused():
    """Objects are refused; there is no digest of a guess."""
    for value in ("text", None, np.array([object()])):
        with pytest.raises(TypeError):
            digest_tensor(value)
