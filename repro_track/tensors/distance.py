"""How far two arrays or pictures are apart.

It never sums up differences in a way in which opposite errors could cancel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Distance:
    """How far two arrays of one shape are apart. `psnr_db` is infinite for equal arrays; peak: the expected range.

    For pictures also, on their 8-bit pixels: the structural similarity, and the share of pixels that differ.
    """

    max_abs: float
    mean_abs: float
    share_different: float
    psnr_db: float
    nonfinite: int
    ssim: float | None = None
    share_of_pixels: float | None = None


def measure_distance(expected: np.ndarray, actual: np.ndarray) -> Distance:
    """Measure the element-wise distance of two arrays of one shape, in float64.

    Positions that are not finite in either are counted in `nonfinite`, and count as different unless equal.

    >>> measure_distance(np.zeros(4), np.array([0, 0, 0, 0.5])).max_abs
    0.5
    """
    if expected.size == 0:
        return Distance(0.0, 0.0, 0.0, math.inf, 0)
    left, right = expected.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(left) & np.isfinite(right)
    equal = (left == right) | (np.isnan(left) & np.isnan(right))
    gap = np.abs(left[finite] - right[finite])
    peak = float(np.ptp(left[np.isfinite(left)])) if np.isfinite(left).any() else 0.0
    mean_square = float((gap**2).mean()) if gap.size else math.nan
    psnr = math.inf if mean_square == 0 else 10 * math.log10((peak or 1.0) ** 2 / mean_square) if gap.size else math.nan
    return Distance(
        max_abs=float(gap.max()) if gap.size else math.nan,
        mean_abs=float(gap.mean()) if gap.size else math.nan,
        share_different=float(1 - equal.mean()),
        psnr_db=psnr,
        nonfinite=int((~finite).sum()),
    )


def measure_pictures(expected: np.ndarray, actual: np.ndarray) -> tuple[float, float]:
    """Measure two pictures of 8-bit pixels, shape (height, width, channels): their structural similarity, and the share
    of the pixels that differ in any channel.

    >>> black = np.zeros((16, 16, 3), dtype=np.uint8)
    >>> measure_pictures(black, black)
    (1.0, 0.0)
    """
    return measure_ssim(expected, actual), float((expected != actual).any(axis=-1).mean())


def measure_ssim(expected: np.ndarray, actual: np.ndarray) -> float:
    """Measure the mean structural similarity of two pictures, shape (height, width, channels), 8 bits.

    Wang, Bovik, Sheikh, Simoncelli: "Image quality assessment: from error visibility to structural similarity", 2004:
    Gaussian window of 11 and sigma 1.5 (smaller for pictures that are smaller), K1 = 0.01, K2 = 0.03, whole windows
    only.
    """
    size = min(11, *(side - (side + 1) % 2 for side in expected.shape[:2]))
    offsets = np.arange(size) - size // 2
    window = np.exp(-(offsets**2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(values: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            values = np.lib.stride_tricks.sliding_window_view(values, size, axis=axis) @ window
        return values

    left, right = expected.astype(np.float64), actual.astype(np.float64)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_left, mean_right = blur(left), blur(right)
    variances = blur(left**2) - mean_left**2 + blur(right**2) - mean_right**2
    covariance = blur(left * right) - mean_left * mean_right
    similarity = ((2 * mean_left * mean_right + c1) * (2 * covariance + c2)) / (
        (mean_left**2 + mean_right**2 + c1) * (variances + c2)
    )
    return float(similarity.mean())
