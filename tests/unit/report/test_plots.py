"""Promises of plots.py: a heat map is bright where the values differ."""

import io

from repro_track.report.plots import make_heat_maps
from tests.unit.report.comparisons import make_diverged


def test_the_brightest_point_of_a_heat_map_is_the_difference(make_record):
    """The heat map is bright exactly where the values differ, and dark elsewhere."""
    import base64

    import numpy as np
    from PIL import Image

    _, _, comparison, exact = make_diverged(make_record)
    url, brightest = make_heat_maps(comparison, exact)["images.0"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("L"))
    assert brightest == 0.25
    assert np.argwhere(pixels > 128).tolist() == [[2, 3]]
