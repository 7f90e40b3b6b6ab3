"""Promises of perceptual_hash.py: what a chat app does to a picture stays near, another picture is far away."""

import io

import numpy as np
import pytest
from PIL import Image

from repro_track.media.perceptual_hash import BITS, LIMIT, hash_picture, hash_views, measure_distances


def make_photo(seed):
    """Soft shapes of many sizes, 256x256: what low frequencies are made for."""
    source = np.random.default_rng(seed)
    layers = [
        np.asarray(Image.fromarray(source.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize((256, 256), 3))
        for side in (3, 6, 12, 40)
    ]
    return Image.fromarray(np.mean(layers, axis=0).astype(np.uint8))


def compress(image, quality):
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue()))


def frame(image):
    """A screenshot: the picture on a page of one colour."""
    page = Image.new("RGB", (600, 500), (250, 250, 250))
    page.paste(image, (70, 90))
    return page


CHANGES = {
    "jpeg": lambda image: compress(image, 30),
    "smaller": lambda image: image.resize((90, 90), Image.Resampling.LANCZOS),
    "larger": lambda image: image.resize((700, 700), Image.Resampling.BICUBIC),
    "both": lambda image: compress(image.resize((120, 120)), 40),
    "grey": lambda image: image.convert("L"),
    "cut": lambda image: image.crop((4, 4, 252, 252)),
    "screenshot": frame,
    "screenshot as jpeg": lambda image: compress(frame(image), 60),
}


def find_distance(image, digest):
    return min(int(measure_distances(view, [digest])[0, 0]) for view in hash_views(image))


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_picture_is_near(name):
    """Re-compressed, resized, in grey, cut a little or on a screenshot: within the limit; another picture is not."""
    image = make_photo(0)
    changed = CHANGES[name](image)
    assert find_distance(changed, hash_picture(image)) <= LIMIT
    assert find_distance(changed, hash_picture(make_photo(1))) > LIMIT


def test_pictures_without_anything_in_common_are_half_the_bits_apart():
    """Fifty other pictures are between a quarter and three quarters of the bits away."""
    digests = [hash_picture(make_photo(seed)) for seed in range(1, 51)]
    distances = measure_distances(hash_picture(make_photo(0)), digests)[:, 0]
    assert distances.min() > BITS / 4
    assert distances.max() < BITS * 3 / 4


def test_what_is_transparent_is_white():
    """A picture with an alpha channel is hashed as a page shows it."""
    image = make_photo(0)
    image.putalpha(255)
    assert hash_picture(image) == hash_picture(make_photo(0))
    image.putalpha(0)
    assert hash_picture(image) == hash_picture(Image.new("RGB", (256, 256), "white"))


def test_an_empty_picture_has_hashes():
    """A picture of one colour can be hashed, with and without its border."""
    assert len(hash_views(Image.new("RGB", (8, 8), "black"))) == 1
