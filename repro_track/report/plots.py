"""Pictures of differences: heat maps, and the divergence by step.

Pure: values in, values out; it never draws what was not compared.
"""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

import numpy as np

from repro_track.compare.comparison import Comparison
from repro_track.compare.outputs import Exact, has_channels_first
from repro_track.record.schema import PipelineCall

_RAMP = np.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], dtype=np.float64)
"""Dark to bright, even in lightness, so that it can be read without seeing colours (after matplotlib's inferno)."""


def make_heat_maps(comparison: Comparison, exact: tuple[Exact, Exact]) -> dict[str, tuple[str, float]]:
    """Return, by output name, a picture of where two pictures differ as a data URL, and the value of its brightest
    point."""
    maps = {}
    for output in comparison.outputs:
        left, right = (side.outputs.get(output.name) for side in exact)
        if output.distance is None or output.distance.ssim is None or left is None or right is None:
            continue
        gap = np.abs(left.to_numpy().astype(np.float64) - right.to_numpy().astype(np.float64))
        channels = 0 if has_channels_first(gap) else -1
        flat = np.nan_to_num(gap.max(axis=channels) if gap.ndim == 3 else gap, nan=np.inf)
        brightest = float(flat[np.isfinite(flat)].max(initial=0.0))
        shares = np.clip(flat / (brightest or 1.0), 0.0, 1.0)
        maps[output.name] = (_to_data_url(_colour(shares)), brightest)
    return maps


def _colour(shares: np.ndarray) -> np.ndarray:
    """Return 8-bit colours for values in [0, 1], shape (height, width, 3)."""
    stops = np.linspace(0.0, 1.0, len(_RAMP))
    return np.stack([np.interp(shares, stops, _RAMP[:, channel]) for channel in range(3)], axis=-1).astype(np.uint8)


def _to_data_url(pixels: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


@dataclass(frozen=True)
class PlotPoint:
    """One step in a plot: its place in the drawing, the largest difference of a statistic, whether all bits agree."""

    x: float
    y: float
    step: int
    gap: float
    is_equal: bool


@dataclass(frozen=True)
class Plot:
    """The steps of one call: height is the logarithm of how far the latents' mean, deviation or maximum are apart."""

    call: int
    points: tuple[PlotPoint, ...]
    ticks: tuple[tuple[float, str], ...]
    width: int = 640
    height: int = 180


_PLOT_LOWEST, _PLOT_HIGHEST = -9, 1  # powers of ten


def make_divergence_plot(expected: PipelineCall, actual: PipelineCall) -> Plot | None:
    """Make the plot of a call from what both records hold of every step; `None` where no step can be compared.

    Whether a step's latents are equal is told by their digest; how far apart they are, only by their statistics.
    """
    pairs = list(zip(expected.trace.steps, actual.trace.steps, strict=False))
    if not pairs:
        return None
    plot = Plot(expected.index, (), ())

    def to_y(gap: float) -> float:
        power = _PLOT_LOWEST if gap <= 0 else min(max(math.log10(gap), _PLOT_LOWEST), _PLOT_HIGHEST)
        return round(10 + (plot.height - 20) * (_PLOT_HIGHEST - power) / (_PLOT_HIGHEST - _PLOT_LOWEST), 1)

    points = []
    for number, (left, right) in enumerate(pairs):
        gaps = [abs(getattr(left, name) - getattr(right, name)) for name in ("mean", "std", "abs_max")]
        gap = max((one for one in gaps if math.isfinite(one)), default=math.inf)
        x = round(50 + (plot.width - 70) * number / max(len(pairs) - 1, 1), 1)
        points.append(PlotPoint(x, to_y(gap), left.index, gap, left.latents == right.latents))
    ticks = tuple((to_y(10.0**power), f"1e{power}") for power in range(_PLOT_LOWEST + 1, _PLOT_HIGHEST + 1, 2))
    return Plot(expected.index, tuple(points), ticks)
