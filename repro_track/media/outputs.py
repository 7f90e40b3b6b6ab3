"""What a pipeline gave, as a flat list of outputs: each with its digests, its exact tensor and a file to open.

It never changes a value, and never leaves a leaf of a result out silently: what it cannot keep is kind `unknown`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from repro_track.media import sound_and_video
from repro_track.media.picture import write_picture
from repro_track.record.schema import Output, OutputKind
from repro_track.tensors.digests import digest_file, digest_tensor
from repro_track.tensors.host import HostTensor, to_host, to_pixels

_PICTURES = ("images", "image")
_VIDEOS = ("frames", "videos", "video")
_SOUNDS = ("audios", "audio")


@dataclass(frozen=True)
class RawOutput:
    """One leaf of a pipeline's result, by kind:

    `image`: a PIL picture, (height, width, channels), or torch's (channels, height, width). `video`: a list of PIL
    pictures, (frames, height, width, channels), or torch's (frames, channels, height, width). `audio`: (samples,) or
    (channels, samples).
    """

    name: str
    kind: OutputKind | Literal["unknown"]
    value: Any


@dataclass(frozen=True)
class Rates:
    """Of sound in Hz, of video in frames a second; `None`: not known."""

    sampling_hz: int | None = None
    frames_hz: float | None = None


UNKNOWN_RATES = Rates()


def list_outputs(result: Any, *, latent: bool = False) -> list[RawOutput]:
    """List the leaves of a result by name, in order; a batch is one leaf for each picture, video or sound.

    Args:
        result: what the pipeline returned: an output object, a tuple, nested lists.
        latent: the call asked for latents: nothing in it is a picture, a video or a sound.

    >>> [out.name for out in list_outputs({"images": np.zeros((2, 8, 8, 3), dtype="float32")})]
    ['images.0', 'images.1']
    """
    outputs: list[RawOutput] = []

    def walk(name: str, value: Any) -> None:
        if value is None:
            return
        if isinstance(value, Mapping):
            for key, item in value.items():
                walk(f"{name}.{key}" if name else str(key), item)
        elif isinstance(value, (list, tuple)):
            if _is_video(name, value):
                outputs.append(RawOutput(name, "video", value))
                return
            for index, item in enumerate(value):
                walk(f"{name}.{index}" if name else str(index), item)
        elif hasattr(value, "getbands"):
            outputs.append(RawOutput(name, "image", value))
        elif hasattr(value, "ndim") and hasattr(value, "shape"):
            kind: OutputKind
            kind, is_batch = ("tensor", False) if latent else _choose_kind(name, value)
            items = (
                [(f"{name}.{index}", value[index]) for index in range(value.shape[0])] if is_batch else [(name, value)]
            )
            for item_name, item in items:
                is_odd = kind == "image" and not _is_picture(item)
                outputs.append(RawOutput(item_name, "tensor" if is_odd else kind, item))
        elif isinstance(value, str):
            outputs.append(RawOutput(name, "tensor", np.frombuffer(value.encode(), dtype=np.uint8)))
        elif isinstance(value, (bool, int, float, np.generic)):
            outputs.append(RawOutput(name, "tensor", np.asarray(value)))
        elif is_dataclass(value) and not isinstance(value, type):
            walk(name, {field.name: getattr(value, field.name) for field in fields(value)})
        else:
            outputs.append(RawOutput(name, "unknown", value))

    walk("", result)
    return outputs


def _is_video(name: str, value: Sequence[Any]) -> bool:
    """Whether a list is the frames of one video: pictures in a list that is itself one of several, or in a video's
    field."""
    if not value or not all(hasattr(item, "getbands") and item.size == value[0].size for item in value):
        return False
    field, _, rest = name.partition(".")
    return field in _VIDEOS or bool(rest)


def join_results(results: Sequence[Any]) -> Any:
    """Join what a pipeline gave for single images into one result: lists and arrays are put end to end, field by field.

    A `None` stands for an image that was not made; the others keep their places. A field that is neither is the
    first's.

    >>> join_results([{"images": np.zeros((1, 2)), "n": 1}, {"images": np.ones((1, 2)), "n": 1}])["images"].shape
    (2, 2)
    """
    first: Any = next((result for result in results if result is not None), None)
    if isinstance(first, Mapping):
        joined = {key: join_results([None if one is None else one[key] for one in results]) for key in first}
        return type(first)(**joined)
    if isinstance(first, tuple):
        return tuple(
            join_results([None if one is None else one[index] for one in results]) for index in range(len(first))
        )
    if isinstance(first, list):
        return [item for one in results for item in ([None] * len(first) if one is None else one)]
    if hasattr(first, "ndim") and first.ndim:
        if any(one is None for one in results):
            return [row for one in results for row in ([None] * len(first) if one is None else one)]
        if hasattr(first, "detach"):
            import torch

            return torch.cat(list(results))
        return np.concatenate(results)
    return first


def _choose_kind(name: str, value: Any) -> tuple[OutputKind, bool]:
    """Choose the kind of an array by its field and rank, and say whether it is a batch of that kind."""
    field, _, rest = name.partition(".")
    if value.ndim == 5 and field in (*_PICTURES, *_VIDEOS):
        return "video", True
    if value.ndim == 4 and field in _VIDEOS:
        return "video", False
    if value.ndim in (3, 4) and field in _PICTURES:
        return "image", value.ndim == 4
    if value.ndim in (1, 2, 3) and field in _SOUNDS:
        # a pipeline gives (batch, samples) or (batch, channels, samples), or a list of single ones
        return "audio", not rest and value.ndim > 1
    return "tensor", False


def _is_picture(value: Any) -> bool:
    channels = value.shape[0] if hasattr(value, "detach") else value.shape[-1]
    return value.ndim == 3 and channels in (1, 3, 4)


def to_exact(raw: RawOutput) -> HostTensor:
    """Return the exact values of an output as one tensor; the frames of a list are stacked."""
    if raw.kind == "video" and isinstance(raw.value, (list, tuple)):
        return to_host(np.stack([np.asarray(frame) for frame in raw.value]))
    return to_host(raw.value)


def keep_output(
    raw: RawOutput,
    *,
    folder: Path,
    record_id: str,
    rates: Rates = Rates(),
    picture_format: str = "png",
    settings: Mapping[str, Any] | None = None,
) -> Output:
    """Fingerprint one output, and write a file that a person can open into `folder`.

    A picture is written as PNG unless another format is asked for, a video as MP4 (GIF without PyAV), a sound whose
    rate is known as WAV, anything else as NumPy's own format.

    Args:
        raw: one leaf, not of kind `unknown`.
        folder: the run's `outputs` folder.
        record_id: the id that goes into a picture or video.
        rates: of sound and video.
        picture_format: one of `picture.FORMATS`.
        settings: what else goes into a picture.
    """
    host = to_exact(raw)
    values = host.to_numpy()
    measured = values.astype(np.float32) / 255 if values.dtype == np.uint8 else values
    is_float = measured.dtype.kind == "f"
    output = Output(
        name=raw.name,
        kind="tensor" if raw.kind == "unknown" else raw.kind,
        dtype=host.dtype,
        shape=host.shape,
        sha256=digest_tensor(host),
        # in the values' own dtype, as the guide's np.abs(image).sum()
        abs_sum=float(np.abs(measured).sum()) if is_float else None,
        nonfinite=int((~np.isfinite(measured)).sum()) if is_float else 0,
    )
    found: dict[str, Any] = {}
    if raw.kind == "image":
        path = folder / f"{raw.name}.{picture_format}"
        pixels = to_pixels(raw.value)
        found["pixels_sha256"] = digest_tensor(pixels)
        write_picture(pixels, path, record_id=record_id, pixels_sha256=found["pixels_sha256"], settings=settings)
    elif raw.kind == "video":
        path = folder / f"{raw.name}{sound_and_video.choose_video_suffix()}"
        pixels = np.stack([to_pixels(frame) for frame in raw.value])
        found |= {"pixels_sha256": digest_tensor(pixels), "rate_hz": rates.frames_hz or sound_and_video.FRAMES_PER_S}
        sound_and_video.write_video(pixels, path, rate_hz=found["rate_hz"], record_id=record_id)
    elif raw.kind == "audio" and rates.sampling_hz is not None:
        path = folder / f"{raw.name}.wav"
        samples = sound_and_video.to_samples(values)
        found |= {"samples_sha256": digest_tensor(samples), "rate_hz": float(rates.sampling_hz)}
        sound_and_video.write_wav(samples, path, rate_hz=rates.sampling_hz)
    else:
        path = folder / f"{raw.name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, values, allow_pickle=False)
    return output.model_copy(update={**found, "file": f"outputs/{path.name}", "file_sha256": digest_file(path)})


def get_preview(raw: RawOutput) -> np.ndarray | None:
    """Return 8-bit pixels that stand for an output on a page: a picture, or a video's middle frame; `None` for the
    rest."""
    if raw.kind == "image":
        return to_pixels(raw.value)
    if raw.kind == "video":
        return to_pixels(raw.value[len(raw.value) // 2])
    return None


def keep_file(name: str, path: Path, *, folder: Path) -> Output:
    """Fingerprint a file that a run made, and copy it into `folder`."""
    kept = folder / f"{name}{path.suffix}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, kept)
    digest = digest_file(kept)
    size = kept.stat().st_size
    return Output(
        name=name,
        kind="file",
        dtype="bytes",
        shape=(size,),
        sha256=digest,
        file=f"outputs/{kept.name}",
        file_sha256=digest,
    )
