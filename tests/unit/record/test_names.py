"""Promises of names.py: names of calls, generators and outputs, and what they say."""

import pytest

from repro_track.record import names


def test_every_place_in_a_runs_folder_has_a_name_of_its_own():
    """No two of the names are the same file, and none leaves the folder."""
    files = [value for name, value in vars(names).items() if name.endswith("_NAME")]
    assert len(files) > 10
    assert len(set(files)) == len(files)
    assert not [file for file in files if file.startswith("/") or ".." in file]


def test_a_global_generators_state_is_named_by_its_call():
    """The state's name begins with the call's, so that those of one call can be found."""
    assert names.name_global(2, "numpy") == "call2.global.numpy"
    assert names.name_global(2, "numpy").startswith(f"{names.name_call(2)}.")
    assert not names.name_global(22, "numpy").startswith(f"{names.name_call(2)}.")


@pytest.mark.parametrize(
    ("output", "call"),
    [
        ("images.0", "call0"),
        ("call1.images.0", "call1"),
        ("call12.latents", "call12"),
        ("caller.0", "call0"),
        ("", "call0"),
    ],
)
def test_an_output_says_its_call(output, call):
    """Only later calls are in the names of their outputs; a field that merely begins so is none."""
    assert names.find_output_call(output) == call


@pytest.mark.parametrize(
    ("output", "image"),
    [
        ("images.2", 2),
        ("call1.frames.0", 0),
        ("call1.images.3.verts", 3),
        ("latents", None),
        ("call1.latents", None),
        ("0", None),
    ],
)
def test_an_output_says_its_image(output, image):
    """The first number below the field is the image's; what has none belongs to no single image."""
    assert names.find_image(output) == image
