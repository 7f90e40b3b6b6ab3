"""The kinds of outputs, one row each: how one is recognised, its exact values, its file, its picture for a page, and
what it is called where two are compared.

A new kind is one row here with a function that writes its file, and one more word in `record.schema.OutputKind`;
whoever compares, stores, reports or verifies outputs asks the table. It never changes a value.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from repro_track.media import sound_and_video
from repro_track.media.picture import write_picture
from repro_track.record.schema import OutputKind
from repro_track.tensors.digests import digest_bytes, digest_tensor
from repro_track.tensors.host import HostTensor, is_torch_tensor, to_host, to_pixels

_PICTURES = ("images", "image")
_VIDEOS = ("frames", "videos", "video")
_SOUNDS = ("audios", "audio")
_NUMBERS = (bool, int, float, np.generic)

Count = Literal["one", "batch"]
"""Whether a value is one output of a kind, or several along its first axis."""


@dataclass(frozen=True)
class Rates:
    """Of sound in Hz, of video in frames a second; `None`: not known."""

    sampling_hz: int | None = None
    frames_hz: float | None = None


UNKNOWN_RATES = Rates()


@dataclass(frozen=True)
class Leaf:
    """A value somewhere in a result, by its name there (`images.0`).

    `is_latent`: the call asked for latents: no array in the result is a picture, a video or a sound. `makes_frames`:
    pictures in a list that is one of several are the frames of a video; else they are so in a field of videos alone,
    and where `videos` has their name.
    """

    name: str
    value: Any
    is_latent: bool = False
    makes_frames: bool = True
    videos: frozenset[str] = frozenset()

    @property
    def field(self) -> str:
        """The field of the result that it is in.

        >>> Leaf("images.0", None).field, Leaf("images.0", None).is_member
        ('images', True)
        """
        return self.name.partition(".")[0]

    @property
    def is_member(self) -> bool:
        """Whether it is a member of its field, and not the field's whole value."""
        return "." in self.name

    @property
    def is_array(self) -> bool:
        """Whether it is an array or a tensor."""
        kind = type(self.value)  # an object's own code is not asked
        return hasattr(kind, "ndim") and hasattr(kind, "shape") and not issubclass(kind, _NUMBERS)

    def has_rank(self, *ranks: int, fields: tuple[str, ...]) -> bool:
        """Whether it is an array of one of these ranks in one of these fields, and no latents."""
        return self.is_array and not self.is_latent and self.value.ndim in ranks and self.field in fields


@dataclass(frozen=True)
class Target:
    """Where the file of an output goes, and what goes into it.

    `folder` is the run's `outputs` folder, `record_id` goes into a picture or video, `settings` and `seed` into a
    picture;
    `picture_format` is one of `picture.FORMATS`.
    """

    folder: Path
    name: str
    record_id: str
    rates: Rates = UNKNOWN_RATES
    picture_format: str = "png"
    settings: Mapping[str, Any] | None = None
    seed: int | None = None

    def find_path(self, suffix: str) -> Path:
        """Return the path of the file with this suffix, whose folder is there then. A name that is no file's, such as
        one with a slash, has others in the place of such letters, and its digest."""
        self.folder.mkdir(parents=True, exist_ok=True)
        plain = re.sub(r"[^\w.#+ -]", "_", self.name)[:100]
        if plain != self.name:
            plain = f"{plain}-{digest_bytes(self.name.encode(errors='backslashreplace'))[:16]}"
        return self.folder / f"{plain}{suffix}"


@dataclass(frozen=True)
class Written:
    """A file that was written, and what it adds to the record's `Output`: the digest of what a person sees or hears."""

    path: Path
    facts: Mapping[str, Any]


Writer = Callable[[Any, Target], Written]


@dataclass(frozen=True)
class Kind:
    """One kind of output.

    `recognise` says whether a leaf of a result is of this kind; `None`: it is not. `find_exact` returns the exact
    values as one tensor; `None`: a file's bytes are all that there is. `write` makes the file that a person can open.
    `preview` makes 8-bit pixels that stand for it on a page, shape (height, width, channels); `None`: nothing to look
    at. `decoded` names what a person sees or hears of it. `is_picture`: its file is a picture, which can be shown,
    hashed and measured as one.
    """

    name: OutputKind
    recognise: Callable[[Leaf], Count | None]
    find_exact: Callable[[Any], HostTensor] | None
    write: Writer
    preview: Callable[[Any], np.ndarray] | None = None
    decoded: str = "pixels"
    is_picture: bool = False

    @property
    def has_tensor(self) -> bool:
        """Whether its exact values are kept as a tensor beside its file."""
        return self.find_exact is not None


# --- pictures -----------------------------------------------------------------------------------------------------


def _recognise_picture(leaf: Leaf) -> Count | None:
    if is_pil(leaf.value):
        return "one"
    if not leaf.has_rank(3, 4, fields=_PICTURES):
        return None
    channels = leaf.value.shape[-3 if is_torch_tensor(leaf.value) else -1]
    if channels not in (1, 3, 4):
        return None
    return "batch" if leaf.value.ndim == 4 else "one"


def is_pil(value: Any) -> bool:
    """Whether a value is a picture of PIL."""
    return hasattr(type(value), "getbands")


def _write_picture(value: Any, target: Target) -> Written:
    path, pixels = target.find_path(f".{target.picture_format}"), to_pixels(value)
    digest = digest_tensor(pixels)
    write_picture(
        pixels,
        path,
        record_id=target.record_id,
        pixels_sha256=digest,
        settings=target.settings,
        output=target.name,
        seed=target.seed,
    )
    return Written(path, {"pixels_sha256": digest})


# --- videos -------------------------------------------------------------------------------------------------------


def _recognise_video(leaf: Leaf) -> Count | None:
    if isinstance(leaf.value, (list, tuple)):
        return "one" if _is_frames(leaf) else None
    if leaf.has_rank(5, fields=(*_PICTURES, *_VIDEOS)):
        return "batch"
    return "one" if leaf.has_rank(4, fields=_VIDEOS) else None


def _is_frames(leaf: Leaf) -> bool:
    """Whether a list is the frames of one video: pictures of one size in a video's field, or in a list that is itself
    one of several, where the call makes frames."""
    frames = leaf.value
    if not frames or not all(is_pil(item) and item.size == frames[0].size for item in frames):
        return False
    if leaf.field in _VIDEOS or leaf.name in leaf.videos:
        return True
    return leaf.is_member and leaf.makes_frames


def _find_exact_frames(value: Any) -> HostTensor:
    return to_host(np.stack([np.asarray(frame) for frame in value]) if isinstance(value, (list, tuple)) else value)


def _write_video(value: Any, target: Target) -> Written:
    path = target.find_path(sound_and_video.choose_video_suffix())
    pixels = np.stack([to_pixels(frame) for frame in value])
    rate_hz = target.rates.frames_hz or sound_and_video.FRAMES_PER_S
    sound_and_video.write_video(pixels, path, rate_hz=rate_hz, record_id=target.record_id)
    return Written(path, {"pixels_sha256": digest_tensor(pixels), "rate_hz": rate_hz})


def _make_middle_frame(value: Any) -> np.ndarray:
    return to_pixels(value[len(value) // 2])


# --- sounds -------------------------------------------------------------------------------------------------------


def _recognise_sound(leaf: Leaf) -> Count | None:
    if not leaf.has_rank(1, 2, 3, fields=_SOUNDS):
        return None
    # a pipeline gives (batch, samples) or (batch, channels, samples), or a list of single ones
    return "batch" if not leaf.is_member and leaf.value.ndim > 1 else "one"


def _write_sound(value: Any, target: Target) -> Written:
    """Write a WAV file; without a rate nobody could play it, and it is an array like any other."""
    if target.rates.sampling_hz is None:
        return _write_array(value, target)
    path, samples = target.find_path(".wav"), sound_and_video.to_samples(to_host(value).to_numpy())
    sound_and_video.write_wav(samples, path, rate_hz=target.rates.sampling_hz)
    return Written(path, {"samples_sha256": digest_tensor(samples), "rate_hz": float(target.rates.sampling_hz)})


# --- everything else ----------------------------------------------------------------------------------------------


def _recognise_numbers(leaf: Leaf) -> Count | None:
    """Recognise numbers and text. A batch that would be pictures, had it as many channels, is one output each, too."""
    if leaf.is_array:
        return "batch" if leaf.has_rank(4, fields=_PICTURES) else "one"
    return "one" if isinstance(leaf.value, (str, *_NUMBERS)) else None


def _find_exact_numbers(value: Any) -> HostTensor:
    if isinstance(value, str):
        return to_host(np.frombuffer(value.encode(errors="surrogatepass"), dtype=np.uint8))
    return to_host(np.asarray(value) if isinstance(value, _NUMBERS) else value)


def _write_array(value: Any, target: Target) -> Written:
    path = target.find_path(".npy")
    np.save(path, _find_exact_numbers(value).to_numpy(), allow_pickle=False)
    return Written(path, {})


def _copy_file(value: Any, target: Target) -> Written:
    path = target.find_path(value.suffix)
    shutil.copyfile(value, path)
    return Written(path, {})


def _recognise_nothing(leaf: Leaf) -> Count | None:
    """A file is an output only where the run says so: `add_output(NAME, PATH)`."""
    return None


KINDS: tuple[Kind, ...] = (
    Kind("video", _recognise_video, _find_exact_frames, _write_video, _make_middle_frame),
    Kind("image", _recognise_picture, to_host, _write_picture, to_pixels, is_picture=True),
    Kind("audio", _recognise_sound, to_host, _write_sound, decoded="samples"),
    Kind("tensor", _recognise_numbers, _find_exact_numbers, _write_array),
    Kind("file", _recognise_nothing, None, _copy_file),
)
"""The one table of kinds. The first row that recognises a value decides."""


def get_kind(name: str) -> Kind:
    """Return the row of a kind.

    >>> get_kind("image").is_picture, get_kind("audio").decoded
    (True, 'samples')
    """
    rows: dict[str, Kind] = {kind.name: kind for kind in KINDS}
    return rows[name]
