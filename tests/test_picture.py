"""Promises of png.py: pixels survive exactly, the id is read back, nothing else is embedded."""

import numpy as np
import pytest
from PIL import Image
from repro_track.png import RECORD_KEY, make_contact_sheet, read_picture, write_png

from repro_track.errors import UsageError


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_and_id_come_back(tmp_path, channels):
    """The pixels and the record id are read back exactly; another picture has other pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    write_png(pixels, tmp_path / "a.png", record_id="r" * 32, pixels_sha256="d" * 64)
    back, record_id = read_picture(tmp_path / "a.png")
    assert np.array_equal(back, pixels)
    assert record_id == "r" * 32
    assert not np.array_equal(back, 255 - pixels)


def test_a_stripped_picture_has_no_id(tmp_path):
    """A picture that was saved again without its text has the pixels and no id."""
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    write_png(pixels, tmp_path / "a.png", record_id="r" * 32, pixels_sha256="d" * 64)
    Image.fromarray(pixels).save(tmp_path / "b.png")
    assert read_picture(tmp_path / "b.png")[1] is None


def test_only_two_entries_are_embedded(tmp_path):
    """No prompt, path or setting travels in the file."""
    write_png(np.zeros((4, 4, 3), dtype=np.uint8), tmp_path / "a.png", record_id="r", pixels_sha256="d")
    with Image.open(tmp_path / "a.png") as picture:
        assert set(picture.info) == {RECORD_KEY, "repro_track:pixels_sha256"}


def test_what_is_no_picture_is_refused(tmp_path):
    """A text file and a missing file are refused with one message."""
    (tmp_path / "a.png").write_text("no picture")
    for path in (tmp_path / "a.png", tmp_path / "missing.png"):
        with pytest.raises(UsageError, match="not a picture"):
            read_picture(path)


def test_a_contact_sheet_enlarges_by_whole_pixels():
    """A small picture is enlarged so that it can be seen, each pixel to a square of one colour."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 1), dtype=np.uint8)
    sheet = np.asarray(make_contact_sheet([pixels, pixels]))
    assert sheet.shape == (64, 132, 3)
    assert np.array_equal(sheet[::8, :64:8, 0], pixels[:, :, 0])
