"""What a pipeline gave, as a flat list of outputs: each with its digests, its exact tensor and a file to open.

It never changes a value, and never leaves a leaf of a result out silently: what it cannot keep is kind `unknown`. What
there is to know of a kind is in the table of `kinds`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from repro_track.media import kinds
from repro_track.media.kinds import UNKNOWN_RATES, Leaf, Rates, Target, get_kind
from repro_track.record.schema import Output, OutputKind
from repro_track.tensors.digests import digest_file, digest_tensor
from repro_track.tensors.host import FILED, HostTensor


@dataclass(frozen=True)
class RawOutput:
    """One leaf of a pipeline's result, by kind:

    `image`: a PIL picture, (height, width, channels), or torch's (channels, height, width). `video`: a list of PIL
    pictures, (frames, height, width, channels), or torch's (frames, channels, height, width). `audio`: (samples,) or
    (channels, samples). `tensor`: an array, a number, a text. `unknown`: nothing that could be kept.
    """

    name: str
    kind: OutputKind | Literal["unknown"]
    value: Any

    @property
    def is_known(self) -> bool:
        """Whether it can be kept and compared."""
        return self.kind != "unknown"


def list_outputs(
    result: Any, *, latent: bool = False, makes_frames: bool = True, videos: Iterable[str] = ()
) -> list[RawOutput]:
    """List the leaves of a result by name, in order; a batch is one leaf for each picture, video or sound.

    Args:
        result: what the pipeline returned: an output object, a tuple, nested lists.
        latent: the call asked for latents: nothing in it is a picture, a video or a sound.
        makes_frames: pictures in nested lists are the frames of videos, whatever the field is called.
        videos: names of lists of pictures that are videos all the same.

    >>> [out.name for out in list_outputs({"images": np.zeros((2, 8, 8, 3), dtype="float32")})]
    ['images.0', 'images.1']
    """
    leaf = Leaf("", result, is_latent=latent, makes_frames=makes_frames, videos=frozenset(videos))
    return list(_name_apart(_walk(leaf)))


def _name_apart(listed: Iterable[RawOutput]) -> Iterator[RawOutput]:
    """Give every output a name of its own: `{"a.b": 1, "a": {"b": 2}}` would have two of one name."""
    taken: set[str] = set()
    for raw in listed:
        own = raw.name.encode(errors="backslashreplace").decode()  # half of a surrogate pair is in no file
        names = itertools.chain([own], (f"{own}#{number}" for number in itertools.count(2)))
        name = next(name for name in names if name not in taken)
        taken.add(name)
        yield replace(raw, name=name)


_DEEPEST = 50
"""What lies deeper, as what contains itself does, is one value without parts."""


def _walk(leaf: Leaf, *, depth: int = 0) -> Iterator[RawOutput]:
    """Walk through a result: what a kind recognises is an output, what is made of parts is walked, `None` is none."""
    if leaf.value is None:
        return
    if depth > _DEEPEST:
        yield RawOutput(leaf.name, "unknown", leaf.value)
        return
    for kind in kinds.KINDS:
        count = kind.recognise(leaf)
        if count == "one":
            yield RawOutput(leaf.name, kind.name, leaf.value)
        elif count == "batch":
            for index in range(len(leaf.value)):
                yield RawOutput(_join_name(leaf.name, index), kind.name, leaf.value[index])
        if count is not None:
            return
    parts = _list_parts(leaf.value)
    if parts is None:
        yield RawOutput(leaf.name, "unknown", leaf.value)
    for name, value in parts or ():
        yield from _walk(replace(leaf, name=_join_name(leaf.name, name), value=value), depth=depth + 1)


def _join_name(name: str, part: Any) -> str:
    return f"{name}.{part}" if name else str(part)


def _list_parts(value: Any) -> list[tuple[Any, Any]] | None:
    """List the parts of what is made of parts, by name or number; `None`: it is not."""
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    if is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in fields(value)]
    return None


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
        # an empty field is no key of diffusers' results, and their classes may ask for it all the same
        every: dict[str, Any] = {one.name: None for one in fields(first)} if is_dataclass(first) else {}
        return type(first)(**{**every, **joined})
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


def to_exact(raw: RawOutput) -> HostTensor:
    """Return the exact values of an output as one tensor; the frames of a list are stacked.

    Raises:
        TypeError: its kind has no exact values but its bytes, or it is made of what no file gives back.
    """
    find_exact = get_kind(raw.kind).find_exact
    if find_exact is None:
        raise TypeError(f"an output of kind {raw.kind} has no exact values")
    exact = find_exact(raw.value)
    if exact.dtype not in FILED:
        raise TypeError(f"no file gives values of {exact.dtype} back")
    return exact


def keep_output(
    raw: RawOutput,
    *,
    folder: Path,
    record_id: str,
    rates: Rates = UNKNOWN_RATES,
    picture_format: str = "png",
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
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
        seed: that it was made from.
    """
    kind, exact = get_kind(raw.kind), to_exact(raw)
    target = Target(folder, raw.name, record_id, rates, picture_format, settings, seed)
    written = kind.write(raw.value, target)
    return Output(
        name=raw.name,
        kind=kind.name,
        dtype=exact.dtype,
        shape=exact.shape,
        sha256=digest_tensor(exact),
        **_measure(exact.to_numpy()),
        seed=seed,
        **written.facts,
        file=f"outputs/{written.path.name}",
        file_sha256=digest_file(written.path),
    )


def _measure(values: np.ndarray) -> dict[str, Any]:
    """Measure what the diffusers reproducibility guide prints, in the values' own dtype as its `np.abs(image).sum()`,
    and count what is not finite; 8-bit values count as the floats that they stand for."""
    measured = values.astype(np.float32) / 255 if values.dtype == np.uint8 else values
    if measured.dtype.kind != "f":
        return {}
    return {"abs_sum": float(np.abs(measured).sum()), "nonfinite": int((~np.isfinite(measured)).sum())}


def get_preview(raw: RawOutput) -> np.ndarray | None:
    """Return 8-bit pixels that stand for an output on a page: a picture, or a video's middle frame; `None` for the
    rest."""
    preview = get_kind(raw.kind).preview
    return None if preview is None else preview(raw.value)


def keep_file(name: str, path: Path, *, folder: Path) -> Output:
    """Fingerprint a file that a run made, and copy it into `folder`."""
    kept = get_kind("file").write(path, Target(folder, name, record_id="")).path
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
