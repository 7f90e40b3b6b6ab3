"""Promises of distance.py: distances do not cancel, NaN is counted, similarity is that of another implementation."""

import math

import numpy as np
import pytest

from repro_track.tensors.distance import Distance, measure_distance


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
