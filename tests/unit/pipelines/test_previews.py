"""Promises of previews.py: a picture for each step, of pixels, decoded latents or bare channels; never of what is
none."""

import numpy as np
import pytest
import torch

from repro_track.pipelines.previews import MOST_IMAGES, make_previews
from repro_track.tensors.host import to_host


def make_samples(*shape, number=3):
    return [to_host(torch.randn(shape, generator=torch.Generator().manual_seed(step))) for step in range(number)]


class Pixels:
    """A pipeline without an autoencoder."""


def test_pixels_are_shown_as_they_are():
    """A model of pixels: value -1 is black, 1 is white, each pixel a square; at most four images side by side."""
    sample = torch.ones(6, 3, 8, 8)
    sample[1] = -1
    [preview] = make_previews(Pixels(), [to_host(sample)])
    values = np.asarray(preview)
    assert preview.width == MOST_IMAGES * 128 + (MOST_IMAGES - 1) * 4
    assert (values[:, :128] == 255).all()
    assert (values[:, 132:260] == 0).all()


def test_latents_go_through_the_decoder():
    """Latents that the pipeline's autoencoder takes are decoded as its last step does; another step is another
    picture."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    pipe = Pixels()
    pipe.vae = AutoencoderKL(
        block_out_channels=(4, 8), norm_num_groups=4, latent_channels=4,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
    )  # fmt: skip
    samples = make_samples(1, 4, 8, 8)
    previews = [np.asarray(one) for one in make_previews(pipe, samples)]
    assert len(previews) == 3
    assert not np.array_equal(previews[0], previews[1])
    with torch.no_grad():
        decoded = pipe.vae.decode(torch.tensor(samples[0].to_numpy()) / pipe.vae.config.scaling_factor).sample
    wanted = ((decoded[0].permute(1, 2, 0) / 2 + 0.5).clamp(0, 1) * 255).round().numpy().astype(np.uint8)
    factor = 128 // wanted.shape[0]
    assert np.array_equal(previews[0][::factor, ::factor], wanted)


def test_latents_without_a_decoder_are_stretched():
    """Sixteen channels and nothing that takes them: the first three, from black to white."""
    [preview] = make_previews(Pixels(), make_samples(1, 16, 8, 8, number=1))
    values = np.asarray(preview)
    assert values.min() == 0
    assert values.max() == 255


@pytest.mark.parametrize("shape", [(1, 64, 16), (1, 4, 3, 8, 8), (8,)], ids=["packed", "video", "vector"])
def test_what_is_no_picture_gives_nothing(shape):
    """Packed latents, videos and vectors have no previews, and no error."""
    assert list(make_previews(Pixels(), make_samples(*shape))) == []
