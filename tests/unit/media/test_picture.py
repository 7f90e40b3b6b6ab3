"""Promises of picture.py: pixels survive exactly, the id is read back from every format, nothing else is embedded."""

import json

import numpy as np
import pytest
from PIL import Image

from repro_track.errors import UsageError
from repro_track.media.picture import FORMATS, PIXELS_KEY, RECORD_KEY, make_contact_sheet, read_picture, write_picture
from repro_track.tensors.digests import digest_tensor


def make_pixels(channels, *, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (9, 7, channels), dtype=np.uint8)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_id_comes_back_from_every_format(tmp_path, suffix, channels):
    """The record id and the digest are read back from PNG, WebP and JPEG; PNG and WebP also give the pixels exactly."""
    pixels = make_pixels(channels)
    write_picture(pixels, tmp_path / f"a.{suffix}", record_id="r" * 32, pixels_sha256="d" * 64)
    found = read_picture(tmp_path / f"a.{suffix}")
    assert (found.record_id, found.pixels_sha256, found.settings) == ("r" * 32, "d" * 64, None)
    digests = {digest_tensor(variant) for variant in found.list_variants()}
    assert (digest_tensor(pixels) in digests) == (suffix != "jpeg")
    assert digest_tensor(255 - pixels) not in digests


@pytest.mark.parametrize("encode", ["palette", "rgb", "rgba", "bmp", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_encoders_keep_the_pixels(tmp_path, encode, channels):
    """Whatever layout a lossless encoder chooses, one of the variants is what was recorded; a changed pixel is not."""
    pixels = make_pixels(channels) & 0xC0  # few colours, for a palette
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    path = tmp_path / ("a.bmp" if encode == "bmp" else "a.webp" if encode == "webp" else "a.png")
    modes = {"palette": "P", "rgb": "RGB", "rgba": "RGBA"}
    changed = (
        image.convert("RGB").quantize(256) if encode == "palette" else image.convert(modes.get(encode, image.mode))
    )
    changed.save(path, **({"lossless": True} if encode == "webp" else {}))
    assert digest_tensor(pixels) in {digest_tensor(variant) for variant in read_picture(path).list_variants()}
    pixels[0, 0] ^= 0x40
    assert digest_tensor(pixels) not in {digest_tensor(variant) for variant in read_picture(path).list_variants()}


def test_a_stripped_picture_has_no_id(tmp_path):
    """A picture that was saved again without its text has the pixels and no id."""
    pixels = make_pixels(3)
    Image.fromarray(pixels).save(tmp_path / "b.png")
    found = read_picture(tmp_path / "b.png")
    assert found.record_id is None
    assert np.array_equal(found.pixels, pixels)


def test_only_two_entries_are_embedded(tmp_path):
    """No prompt, path or setting travels in the file; with `full`, what was given does, in every format."""
    pixels = make_pixels(3)
    write_picture(pixels, tmp_path / "a.png", record_id="r", pixels_sha256="d")
    with Image.open(tmp_path / "a.png") as picture:
        assert set(picture.info) == {RECORD_KEY, PIXELS_KEY}
    write_picture(pixels, tmp_path / "a.jpeg", record_id="r", pixels_sha256="d")
    with Image.open(tmp_path / "a.jpeg") as picture:
        assert set(json.loads(picture.getexif()[0x010E])) == {RECORD_KEY, PIXELS_KEY}
    settings = {"arguments": {"prompt": "a cat, très «net»"}}
    for suffix in FORMATS:
        path = tmp_path / f"full.{suffix}"
        write_picture(pixels, path, record_id="r", pixels_sha256="d", settings=settings)
        assert read_picture(path).settings == settings


def test_settings_that_do_not_fit_are_said_to(tmp_path):
    """A JPEG's EXIF has 64 KiB: larger settings are left out, the file says so, and the id is still there."""
    write_picture(
        make_pixels(3), tmp_path / "a.jpeg", record_id="r", pixels_sha256="d", settings={"prompt": "x" * 70_000}
    )
    found = read_picture(tmp_path / "a.jpeg")
    assert found.record_id == "r"
    assert "do not fit" in found.settings["left out"]


def test_what_is_no_picture_is_refused(tmp_path):
    """A text file and a missing file are refused with one message."""
    (tmp_path / "a.png").write_text("no picture")
    for path in (tmp_path / "a.png", tmp_path / "missing.png"):
        with pytest.raises(UsageError, match="not a picture"):
            read_picture(path)


def test_foreign_exif_is_nothing(tmp_path):
    """A description that is not ours, or JSON that is none, gives no id and no error."""
    for text in ("a holiday", '["list"]', '{"other": 1}'):
        exif = Image.Exif()
        exif[0x010E] = text
        Image.fromarray(make_pixels(3)).save(tmp_path / "a.jpeg", exif=exif)
        assert read_picture(tmp_path / "a.jpeg").record_id is None


def test_a_contact_sheet_enlarges_by_whole_pixels():
    """A small picture is enlarged so that it can be seen, each pixel to a square of one colour."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 1), dtype=np.uint8)
    sheet = np.asarray(make_contact_sheet([pixels, pixels]))
    assert sheet.shape == (64, 132, 3)
    assert np.array_equal(sheet[::8, :64:8, 0], pixels[:, :, 0])


def test_a_labelled_sheet_has_rows_and_columns():
    """With labels and columns every picture is whole, in its place, with its line of text below."""
    pictures = [np.full((64, 64, 1), 40 * (index + 1), dtype=np.uint8) for index in range(5)]
    sheet = np.asarray(make_contact_sheet(pictures, labels=[f"seed={index}" for index in range(5)], columns=2))
    assert sheet.shape == (3 * (64 + 14 + 4) - 4, 2 * 68 - 4, 3)
    for index in range(5):
        top, left = index // 2 * 82, index % 2 * 68
        assert (sheet[top : top + 64, left : left + 64] == 40 * (index + 1)).all()
        assert (sheet[top + 64 : top + 78, left : left + 64] < 128).any()  # black letters


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpeg"])
def test_a_picture_says_which_of_its_run_it_is(tmp_path, suffix):
    """Its name among the outputs and its seed are in the file, under whatever name it is kept; also beside settings
    that no UTF-8 can hold."""
    path = tmp_path / f"renamed{suffix}"
    settings = {"prompt": "half \ud800 and \u00e9", "scale": float("inf")}
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    for given in (None, settings):
        write_picture(
            pixels, path, record_id="a" * 32, pixels_sha256="b" * 64, settings=given, output="images.4", seed=44
        )
        found = read_picture(path)
        assert (found.record_id, found.output, found.seed, found.settings) == ("a" * 32, "images.4", "44", given)
    write_picture(pixels, path, record_id="a" * 32, pixels_sha256="b" * 64)
    assert (read_picture(path).output, read_picture(path).seed) == (None, None)
