"""How alike two pictures look: perceptual hashes, for finding a picture that was re-compressed, resized or photographed
off a screen.

It proves nothing: two pictures with equal hashes look alike, no more. The hash is the sign of 256 low frequencies of
the grey picture (pHash, by the ImageHash library).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops

SIDE = 16
LOW_SIDE = 8
BITS = LOW_SIDE * LOW_SIDE
"""Bits of the lowest frequencies, which decide whether pictures are alike; the rest ranks those that are. Two pictures
that have nothing to do with each other differ in about half of them."""

LIMIT = 12
"""The largest distance that counts as alike. Measured on photographs of 512x512: JPEG at quality 20: 1, a fifth of the
size: 0, 5 % cut off on each side: 11; on digits of 8x8, enlarged: 3, JPEG at quality 50: 9; other pictures: from 28
on."""


def hash_picture(image: Image.Image) -> str:
    """Return the perceptual hash of a picture, 64 hexadecimal digits."""
    import imagehash

    return str(imagehash.phash(_on_white(image), hash_size=SIDE))


def hash_views(image: Image.Image) -> list[str]:
    """Return the hashes of a picture as it is, and without a border of one colour, as a screenshot has one."""
    opaque = _on_white(image).convert("RGB")
    background = Image.new("RGB", opaque.size, opaque.getpixel((0, 0)))
    # a difference of 8 is what a JPEG makes of a plain border
    box = ImageChops.difference(opaque, background).convert("L").point(lambda value: 255 * (value > 8)).getbbox()
    hashes = [hash_picture(opaque)]
    if box and box != (0, 0, *opaque.size):
        hashes.append(hash_picture(opaque.crop(box)))
    return hashes


def _on_white(image: Image.Image) -> Image.Image:
    """Put what is transparent on white, as a page does."""
    if image.mode not in ("RGBA", "LA"):
        return image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white.convert("RGB")


def measure_distances(wanted: str, hashes: Sequence[str]) -> np.ndarray:
    """Count the bits in which hashes differ from the one wanted: of the lowest frequencies, and of all; shape (hashes,
    2).

    >>> measure_distances("0" * 64, ["0" * 64, "f" * 64]).tolist()
    [[0, 0], [64, 256]]
    """
    if not hashes:
        return np.zeros((0, 2), dtype=np.int64)
    known = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8).reshape(len(hashes), -1)
    differing = np.unpackbits(known ^ np.frombuffer(bytes.fromhex(wanted), dtype=np.uint8), axis=1)
    grid = differing.reshape(len(hashes), SIDE, SIDE)
    low = grid[:, :LOW_SIDE, :LOW_SIDE].sum(axis=(1, 2), dtype=np.int64)
    return np.stack([low, grid.sum(axis=(1, 2), dtype=np.int64)], axis=1)
