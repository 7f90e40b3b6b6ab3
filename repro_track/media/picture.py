"""Pictures as files: written with the id of their record, read back, put on one sheet.

The record id, the digest of the pixels, the name of the output and its seed are embedded; settings only where they
are given. It never changes a
pixel, except where a JPEG has to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageDraw, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from repro_track.errors import UsageError

RECORD_KEY = "repro_track:record_id"
PIXELS_KEY = "repro_track:pixels_sha256"
SETTINGS_KEY = "repro_track:settings"
OUTPUT_KEY = "repro_track:output"
SEED_KEY = "repro_track:seed"
FORMATS = ("png", "webp", "jpeg")
"""What pictures are written as; WebP without loss, JPEG with what its best quality loses."""

_EXIF_LIMIT = 60_000  # a JPEG's EXIF has 64 KiB


@dataclass(frozen=True)
class FoundPicture:
    """A picture that was read: its pixels, shape (height, width, channels), and what is embedded in it; `output` is its
    name among the outputs of the run, such as `images.4`."""

    image: Image.Image
    record_id: str | None
    pixels_sha256: str | None
    settings: Mapping[str, Any] | None = None
    output: str | None = None
    seed: str | None = None

    @property
    def pixels(self) -> np.ndarray:
        """The 8-bit pixels as they are in the file."""
        return _to_array(self.image)

    def list_variants(self) -> Iterator[np.ndarray]:
        """List the pixels in every layout that a lossless encoder may have turned them into or from: as they are,
        without an opaque alpha channel, as one grey channel, as three and four."""
        seen = set()
        colours = self.image.convert("RGBA")
        values = np.asarray(colours)
        layouts = [self.pixels]
        if bool((values[..., 3] == 255).all()):
            layouts.append(values[..., :3])
            if bool((values[..., :1] == values[..., :3]).all()):
                layouts.append(values[..., :1])
        layouts.append(values)
        for pixels in layouts:
            if pixels.shape not in seen:
                seen.add(pixels.shape)
                yield np.ascontiguousarray(pixels)


def _to_array(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def to_picture(pixels: np.ndarray) -> Image.Image:
    """Make a PIL picture of 8-bit pixels, shape (height, width, channels) with 1 to 4 channels."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def write_picture(
    pixels: np.ndarray,
    path: Path,
    *,
    record_id: str,
    pixels_sha256: str,
    settings: Mapping[str, Any] | None = None,
    output: str | None = None,
    seed: int | None = None,
) -> None:
    """Write 8-bit pixels as a file that names its record.

    Args:
        pixels: shape (height, width, channels).
        path: its suffix, one of `FORMATS`, chooses the format.
        record_id: of the run.
        pixels_sha256: the digest of the pixels.
        settings: what else is embedded, as JSON: in a PNG's text, in the EXIF description of the others.
        output: its name among the outputs of the run.
        seed: that it was made from.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    image = to_picture(pixels)
    entries: dict[str, Any] = {RECORD_KEY: record_id, PIXELS_KEY: pixels_sha256}
    named = {OUTPUT_KEY: output, SEED_KEY: None if seed is None else str(seed)}
    entries |= {key: value for key, value in named.items() if value is not None}
    if settings is not None:
        entries[SETTINGS_KEY] = settings
    if path.suffix == ".png":
        text = PngInfo()
        for key, value in entries.items():
            if isinstance(value, str):
                text.add_text(key, value)
            else:
                text.add_itxt(key, _to_json(value))
        # level 1: half the time of the default for a few per cent more bytes
        image.save(path, format="PNG", pnginfo=text, compress_level=1)
        return
    description = json.dumps(entries)
    if len(description) > _EXIF_LIMIT:
        entries[SETTINGS_KEY] = {"left out": f"{len(description)} bytes do not fit into EXIF"}
        description = json.dumps(entries)
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = description
    if path.suffix == ".webp":
        image.save(path, format="WEBP", lossless=True, exact=True, exif=exif)
    else:
        opaque = image.convert("RGB") if image.mode == "RGBA" else image
        opaque.save(path, format="JPEG", quality=95, subsampling=0, exif=exif)


def _to_json(value: Any) -> str:
    """Return JSON that people can read; where UTF-8 has no form for it (half of a letter), all of it is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def read_picture(path: Path) -> FoundPicture:
    """Read a picture with what is embedded in it.

    Raises:
        UsageError: the file is not there or is not a picture.
    """
    try:
        with Image.open(path) as image:
            image.load()
            entries = _read_entries(image)
            return FoundPicture(
                image.convert("RGB") if image.mode in ("P", "CMYK", "YCbCr") else image.copy(),
                _to_text(entries.get(RECORD_KEY)),
                _to_text(entries.get(PIXELS_KEY)),
                entries.get(SETTINGS_KEY),
                _to_text(entries.get(OUTPUT_KEY)),
                _to_text(entries.get(SEED_KEY)),
            )
    except (OSError, UnidentifiedImageError) as error:
        raise UsageError(f"{path} is not a picture that can be read", expected="a PNG, WebP or JPEG file") from error


def _read_entries(image: Image.Image) -> dict[str, Any]:
    """Read what is embedded, wherever the format keeps it; nothing where it is not ours."""
    if RECORD_KEY in image.info:
        entries = {key: image.info.get(key) for key in (RECORD_KEY, PIXELS_KEY, OUTPUT_KEY, SEED_KEY)}
        return {**entries, SETTINGS_KEY: _parse(image.info.get(SETTINGS_KEY))}
    comment = image.info.get("comment")
    if image.format == "GIF" and isinstance(comment, bytes) and comment.isalnum():
        return {RECORD_KEY: comment.decode()}
    return _parse(image.getexif().get(ExifTags.Base.ImageDescription)) or {}


def _parse(text: Any) -> dict[str, Any] | None:
    try:
        data = json.loads(text)
    except (TypeError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def _to_text(value: Any) -> str | None:
    return str(value) if value else None


def enlarge(pixels: np.ndarray, *, side: int = 64) -> Image.Image:
    """Enlarge a picture by a whole factor (nearest pixel) to at least `side` pixels high: an 8x8 picture is a dot."""
    tile = to_picture(pixels)
    factor = max(1, -(-side // tile.height))
    return tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.NEAREST).convert("RGB")


def make_contact_sheet(
    pictures: Sequence[np.ndarray], *, labels: Sequence[str] = (), columns: int | None = None, side: int = 64
) -> Image.Image:
    """Put pictures on one sheet, for people to look at; MLflow folds a description below some 60 pixels.

    Args:
        pictures: 8-bit pixels each, enlarged to at least `side` pixels high.
        labels: a line of text under each; none: no lines.
        columns: how many there are side by side; `None`: all.
        side: the least height of a tile.
    """
    tiles = [enlarge(pixels, side=side) for pixels in pictures]
    columns = columns or len(tiles)
    gap, line = 4, 14 if labels else 0
    # a letter of Pillow's own font is some 6 pixels wide
    width = max([*(tile.width for tile in tiles), *(6 * len(label) + gap for label in labels)])
    if not labels and columns == len(tiles):
        lefts = np.cumsum([0, *(tile.width + gap for tile in tiles)])
    else:
        lefts = np.arange(columns + 1) * (width + gap)
    height = max(tile.height for tile in tiles) + line
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (int(lefts[min(columns, len(tiles))]) - gap, rows * (height + gap) - gap), "white")
    draw = ImageDraw.Draw(sheet)
    for index, tile in enumerate(tiles):
        left, top = int(lefts[index % columns]), index // columns * (height + gap)
        sheet.paste(tile, (left, top))
        if labels:
            draw.text((left, top + height - line + 1), labels[index], fill="black")
    return sheet
