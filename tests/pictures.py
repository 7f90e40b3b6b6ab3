"""Pictures of noise, for tests that need one to give to a pipeline or to keep."""

import numpy as np
from PIL import Image


def make_picture(size: int = 32, mode: str = "RGB") -> Image.Image:
    """Make a picture of noise in any mode of Pillow, always the same."""
    channels = 4 if mode in ("RGBA", "LA") else 3
    pixels = np.random.default_rng(5).integers(0, 256, (size, size, channels), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 250)
    if mode == "F":
        return Image.fromarray(pixels[:, :, 0].astype(np.float32) / 3)
    if mode == "P":
        return Image.fromarray(pixels).quantize(16)
    return Image.fromarray(pixels).convert(mode)
