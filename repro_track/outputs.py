"""What a pipeline gave, as a flat list of outputs: each with its digests, its exact tensor and a file to open.

It never changes a value, and never leaves a leaf of a result out silently: what it cannot keep is kind `unknown`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from repro_track.fingerprint import digest_file, digest_tensor, to_host, to_pixels
from repro_track.png import write_png
from repro_track.record import Output, OutputKind


@dataclass(frozen=True)
class RawOutput:
    """One leaf of a pipeline's result; a picture is (height, width, channels), or torch's (channels, height, width)."""

    name: str
    kind: OutputKind | Literal["unknown"]
    value: Any


def list_outputs(result: Any, *, latent: bool = False) -> list[RawOutput]:
    """List the leaves of a result by name, in order; a batch of pictures is one leaf for each picture.

    Args:
        result: what the pipeline returned: an output object, a tuple, nested lists.
        latent: the call asked for latents: nothing in it is a picture.

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
            for index, item in enumerate(value):
                walk(f"{name}.{index}" if name else str(index), item)
        elif hasattr(value, "getbands"):
            outputs.append(RawOutput(name, "image", value))
        elif hasattr(value, "ndim") and hasattr(value, "shape"):
            field = name.split(".")[0]
            if not latent and field in ("images", "image") and value.ndim == 4:
                for index in range(value.shape[0]):
                    walk(f"{name}.{index}", value[index])
                return
            kind: OutputKind = (
                "image" if not latent and field in ("images", "image") and _is_picture(value) else "tensor"
            )
            outputs.append(RawOutput(name, kind, value))
        elif isinstance(value, str):
            outputs.append(RawOutput(name, "tensor", np.frombuffer(value.encode(), dtype=np.uint8)))
        elif isinstance(value, (bool, int, float, np.generic)):
            outputs.append(RawOutput(name, "tensor", np.asarray(value)))
        else:
            outputs.append(RawOutput(name, "unknown", value))

    walk("", result)
    return outputs


def _is_picture(value: Any) -> bool:
    channels = value.shape[0] if hasattr(value, "detach") else value.shape[-1]
    return value.ndim == 3 and channels in (1, 3, 4)


def keep_output(raw: RawOutput, *, folder: Path, record_id: str) -> Output:
    """Fingerprint one output, and write its picture as `NAME.png` into `folder`.

    Args:
        raw: one leaf of kind `image` or `tensor`.
        folder: the run's `outputs` folder.
        record_id: the id that goes into the picture.
    """
    host = to_host(raw.value)
    values = host.to_numpy()
    measured = values.astype(np.float32) / 255 if values.dtype == np.uint8 else values
    is_float = measured.dtype.kind == "f"
    output = Output(
        name=raw.name,
        kind="image" if raw.kind == "image" else "tensor",
        dtype=host.dtype,
        shape=host.shape,
        sha256=digest_tensor(host),
        # in the values' own dtype, as the guide's np.abs(image).sum()
        abs_sum=float(np.abs(measured).sum()) if is_float else None,
        nonfinite=int((~np.isfinite(measured)).sum()) if is_float else 0,
    )
    if raw.kind != "image":
        return output
    pixels = to_pixels(raw.value)
    pixels_sha256 = digest_tensor(pixels)
    path = folder / f"{raw.name}.png"
    write_png(pixels, path, record_id=record_id, pixels_sha256=pixels_sha256)
    return output.model_copy(
        update={"pixels_sha256": pixels_sha256, "file": f"outputs/{path.name}", "file_sha256": digest_file(path)}
    )


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
