"""Pictures of a run's latents, step by step, for people to watch the denoising.

Made after the pipeline was called, from copies: it never takes part in the run, draws no random number and changes no
component.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from repro_track.media.picture import make_contact_sheet
from repro_track.tensors.host import HostTensor, to_pixels, to_torch

MOST_IMAGES = 4
"""So many images of a batch are shown, side by side."""

_TILE = 256


def make_previews(pipe: Any, samples: Sequence[HostTensor]) -> Iterator[Any]:
    """Return a PIL picture of each step's latents.

    A model of pixels is shown as it is, latents go through the pipeline's own decoder; where there is none that takes
    them, the first three channels are shown, stretched to the full range. Latents that are no pictures (packed, of
    sound, of videos) give nothing.

    Args:
        pipe: the pipeline that was called.
        samples: the latents after each step, shape (images, channels, height, width).
    """
    if not all(len(sample.shape) == 4 for sample in samples):
        return
    for sample in samples:
        values = sample.to_numpy()[:MOST_IMAGES].astype(np.float32)
        if values.shape[1] in (1, 3):
            pictures = values / 2 + 0.5
        elif _can_decode(pipe, channels=values.shape[1]):
            pictures = _decode(pipe, sample)[:MOST_IMAGES] / 2 + 0.5
        else:
            shown = values[:, :3] if values.shape[1] >= 3 else values[:, :1]
            low, high = np.nanpercentile(shown, (1, 99))
            pictures = (shown - low) / max(float(high - low), 1e-6)
        pixels = [to_pixels(np.ascontiguousarray(one.transpose(1, 2, 0))) for one in pictures]
        sheet = make_contact_sheet(pixels, side=_TILE // 2)
        sheet.thumbnail((_TILE * MOST_IMAGES, _TILE))
        yield sheet


def _can_decode(pipe: Any, *, channels: int) -> bool:
    vae = getattr(pipe, "vae", None)
    return vae is not None and hasattr(vae, "decode") and getattr(vae.config, "latent_channels", None) == channels


def _decode(pipe: Any, sample: HostTensor) -> np.ndarray:
    """Decode latents with the pipeline's own autoencoder, as its last step would; shape (images, channels, height,
    width)."""
    import torch

    vae = pipe.vae
    scaling = getattr(vae.config, "scaling_factor", None) or 1.0
    shift = getattr(vae.config, "shift_factor", None) or 0.0
    with torch.no_grad():
        latents = to_torch(sample)[:MOST_IMAGES].to(vae.dtype)
        with contextlib.suppress(AttributeError):  # where offloading hooks will have the model
            latents = latents.to(pipe._execution_device)
        decoded = vae.decode(latents / scaling + shift, return_dict=False)[0]
    return decoded.float().cpu().numpy()
