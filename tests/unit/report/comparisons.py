"""Comparisons to report on, and text that must not get through."""

import numpy as np

from repro_track.compare.comparison import compare_runs
from repro_track.compare.outputs import Exact
from repro_track.compare.verdict import Tolerance
from repro_track.tensors.host import to_host

HOSTILE = "<script>alert(1)</script>\x1b[31m'\"&"


def compare(left, right):
    return compare_runs(left, right, expected_exact=Exact(), actual_exact=Exact(), tolerance=Tolerance("t", {}, {}))


def make_diverged(make_record):
    """Make a comparison of two pictures, with all that a report can show of it."""
    picture = np.zeros((8, 8, 1), dtype="float32")
    other = picture.copy()
    other[2, 3, 0] = 0.25
    expected = make_record()
    actual = make_record(
        {"outputs.0.sha256": "0" * 64, "outputs.0.pixels_sha256": "0" * 64, "calls.0.trace.steps.1.latents": "0" * 64}
    )
    exact = (Exact({"images.0": to_host(picture)}), Exact({"images.0": to_host(other)}))
    comparison = compare_runs(
        expected, actual, expected_exact=exact[0], actual_exact=exact[1], tolerance=Tolerance("t", {}, {})
    )
    return expected, actual, comparison, exact
