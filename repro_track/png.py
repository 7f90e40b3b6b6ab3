"""The record id inside a PNG: write a picture with it, read it back.

Only the id and the digest of the pixels are embedded, never prompts or paths. It never changes a pixel.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from repro_track.errors import UsageError

RECORD_KEY = "repro_track:record_id"
PIXELS_KEY = "repro_track:pixels_sha256"


def to_picture(pixels: np.ndarray) -> Image.Image:
    """Make a PIL picture of 8-bit pixels, shape (height, width, channels) with 1 to 4 channels."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def write_png(pixels: np.ndarray, path: Path, *, record_id: str, pixels_sha256: str) -> None:
    """Write 8-bit pixels, shape (height, width, channels), as a PNG that names its record."""
    text = PngInfo()
    text.add_text(RECORD_KEY, record_id)
    text.add_text(PIXELS_KEY, pixels_sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    # level 1: half the time of the default for a few per cent more bytes (FIELD.md, section 7)
    to_picture(pixels).save(path, format="PNG", pnginfo=text, compress_level=1)


def read_picture(path: Path) -> tuple[np.ndarray, str | None]:
    """Read a picture: its 8-bit pixels, shape (height, width, channels), and the record id in it, if there is one.

    Raises:
        UsageError: the file is not there or is not a picture.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            record_id = picture.info.get(RECORD_KEY)
            pixels = np.asarray(picture)
    except (OSError, UnidentifiedImageError) as error:
        raise UsageError(f"{path} is not a picture that can be read", expected="a PNG, WebP or JPEG file") from error
    return (pixels if pixels.ndim == 3 else pixels[:, :, None]), record_id


def make_contact_sheet(pictures: list[np.ndarray], *, side: int = 64) -> Image.Image:
    """Put pictures side by side, each enlarged by a whole factor (nearest pixel) to at least `side` pixels high.

    For people to look at: an 8x8 picture is a dot on a page, and MLflow folds a description below some 60 pixels.
    """
    tiles = []
    for pixels in pictures:
        tile = to_picture(pixels)
        factor = max(1, -(-side // tile.height))
        tiles.append(tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.NEAREST).convert("RGB"))
    gap = 4
    width = sum(tile.width for tile in tiles) + gap * (len(tiles) - 1)
    sheet = Image.new("RGB", (width, max(tile.height for tile in tiles)), "white")
    left = 0
    for tile in tiles:
        sheet.paste(tile, (left, 0))
        left += tile.width + gap
    return sheet
