"""Promises of outputs.py: for each level an equal and an unequal twin; what is extra, missing or swapped is named."""

import numpy as np
import pytest

from repro_track.compare.outputs import compare_outputs
from repro_track.compare.verdict import Tolerance
from repro_track.record.schema import Output
from repro_track.tensors.digests import digest_tensor
from repro_track.tensors.host import to_host, to_pixels

PROFILE = Tolerance("test", {"float32": 0.0}, {"float32": 1e-4})


IMAGE = np.linspace(0, 1, 192, dtype=np.float32).reshape(8, 8, 3)


def make_output(name, values):
    return Output(
        name=name,
        kind="image",
        dtype=str(values.dtype),
        shape=values.shape,
        sha256=digest_tensor(values),
        nonfinite=int((~np.isfinite(values)).sum()),
        pixels_sha256=digest_tensor(to_pixels(values)),
        file=f"outputs/{name}.png",
        file_sha256=digest_tensor(to_pixels(values)),
    )


def judge(expected, actual, profile=PROFILE):
    """Compare two dicts of arrays by name."""
    left, right = ({name: to_host(values) for name, values in side.items()} for side in (expected, actual))
    outputs = [tuple(make_output(name, values) for name, values in side.items()) for side in (expected, actual)]
    return compare_outputs(*outputs, expected_tensors=left, actual_tensors=right, tolerance=profile)


def nudge(values, amount):
    changed = values.copy()
    changed[3, 3, 1] += np.float32(amount)
    return changed


@pytest.mark.parametrize(
    ("actual", "verdict"),
    [
        (IMAGE.copy(), "bit-exact"),
        (nudge(IMAGE, 1e-6), "pixel-exact"),
        (nudge(IMAGE, 9e-5), "within-tolerance"),
        (nudge(IMAGE, 0.1), "diverged"),
        (IMAGE[:4].copy(), "not-comparable"),
        (IMAGE.astype(np.float64), "not-comparable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_level_and_its_twin(actual, verdict):
    """The lowest level that agrees is the verdict: from equal bytes to another shape or dtype."""
    # a value on the edge between two pixel values, so that a change of 9e-5 is seen in the pixels
    expected = IMAGE.copy()
    if verdict == "within-tolerance":
        expected[3, 3, 1] = actual[3, 3, 1] = np.float32(100.49999 / 255)
        actual[3, 3, 1] += np.float32(9e-5)
    (one,) = judge({"images.0": expected}, {"images.0": actual})
    assert one.verdict == verdict


def test_nan_is_named_and_never_within_tolerance():
    """NaN in the output is a divergence that says how many values are affected; the same NaN twice is bit-exact."""
    broken = nudge(IMAGE, np.nan)
    (one,) = judge({"images.0": IMAGE}, {"images.0": broken}, Tolerance("all", {}, {"float32": 1e30}))
    assert one.verdict != "within-tolerance"
    assert "1 of 192 values are NaN" in " ".join(one.notes)
    black = np.zeros_like(IMAGE)
    assert judge({"images.0": black}, {"images.0": nudge(black, np.nan)})[0].verdict == "diverged"  # NaN's pixel is 0
    assert judge({"images.0": broken}, {"images.0": broken})[0].verdict == "bit-exact"


def test_extra_and_missing_images():
    """An extra and a missing image are not comparable, each by its name; the common ones are still compared."""
    pair, single = {"images.0": IMAGE, "images.1": nudge(IMAGE, 0.1)}, {"images.0": IMAGE}
    extra, missing = judge(single, pair), judge(pair, single)
    assert [one.verdict for one in extra] == [one.verdict for one in missing] == ["bit-exact", "not-comparable"]
    assert "extra" in extra[1].notes[0]
    assert "missing" in missing[1].notes[0]


def test_an_output_where_there_was_none_is_not_comparable():
    """An output against an empty run is extra, not equal to nothing."""
    assert judge({}, {"images.0": IMAGE})[0].verdict == "not-comparable"


def test_swapped_images_are_named():
    """Two images that changed places are found, and each is told which one it equals."""
    other = nudge(IMAGE, 0.1)
    swapped = judge({"images.0": IMAGE, "images.1": other}, {"images.0": other, "images.1": IMAGE})
    assert [one.verdict for one in swapped] == ["diverged", "diverged"]
    assert "equals the recorded images.1: swapped" in swapped[0].notes


def test_same_pixels_other_bytes_is_said():
    """Equal pixels in another file are bit-exact by their tensors, and the file's difference is not hidden."""
    left = make_output("images.0", IMAGE)
    right = left.model_copy(update={"file_sha256": "0" * 64})
    (one,) = compare_outputs((left,), (right,), expected_tensors={}, actual_tensors={}, tolerance=PROFILE)
    assert one.verdict == "bit-exact"
    assert one.notes == ("same pixels, other file bytes",)


@pytest.mark.parametrize(
    ("kind", "change", "verdict", "note"),
    [
        ("audio", {"file_sha256": "f" * 64}, "bit-exact", "same samples, other file bytes"),
        ("video", {"file_sha256": "f" * 64}, "bit-exact", "same pixels, other file bytes"),
        ("audio", {"sha256": "e" * 64}, "pixel-exact", None),
        ("audio", {"sha256": "e" * 64, "samples_sha256": "d" * 64}, "diverged", None),
        ("video", {"sha256": "e" * 64, "pixels_sha256": "d" * 64}, "diverged", None),
    ],
)
def test_what_is_heard_or_seen_decides_not_the_encoder(kind, change, verdict, note):
    """A video or sound of the same content in another file agrees, and the file is said to differ; other content does
    not."""
    field = "samples_sha256" if kind == "audio" else "pixels_sha256"
    common = {"name": "x.0", "kind": kind, "dtype": "float32", "shape": (4,), "sha256": "a" * 64, field: "b" * 64}
    expected = Output(**common, file="outputs/x.0.bin", file_sha256="c" * 64)
    actual = expected.model_copy(update=change)
    tensors = {"x.0": to_host(np.zeros(4, np.float32))}
    far = {"x.0": to_host(np.ones(4, np.float32))}
    (one,) = compare_outputs((expected,), (actual,), expected_tensors=tensors, actual_tensors=far, tolerance=PROFILE)
    assert one.verdict == verdict
    assert (note is None) or note in one.notes
