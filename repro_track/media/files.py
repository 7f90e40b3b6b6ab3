"""What a path or URL stands for in a call: a picture, a video, sound or an array, loaded as the pipeline expects it.

It never loads a pickle, and never takes text for a path where the pipeline takes text alone. Where it takes both,
text is a path if there is such a file, or if it is a URL.
"""

from __future__ import annotations

import inspect
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
from PIL import Image, ImageOps

from repro_track.config.locations import is_web_url
from repro_track.errors import RecordError, ReproTrackError, UsageError, first_line
from repro_track.media import sound_and_video
from repro_track.record.redaction import redact_text, redact_url
from repro_track.tensors.host import HostTensor, load_tensors, to_host, to_torch

_MEDIA = re.compile(r"PIL|\bImage\b|PipelineImageInput|Tensor|ndarray")
_MEDIA_NAME = re.compile(r"image|video|mask|audio|latents|embeds")


def load_files(
    arguments: Mapping[str, Any], *, parameters: Mapping[str, inspect.Parameter]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Load what a path or URL stands for, where the pipeline expects a picture, a video, sound or numbers.

    Args:
        arguments: of a call.
        parameters: of the pipeline's own signature: an annotation that names pictures, arrays or tensors and not `str`
            means that text there can only be a path.

    Returns:
        the arguments, and by place (`image.0`) where each loaded value came from.

    Raises:
        UsageError: it is not there, or not what its suffix says.
    """
    origins: dict[str, str] = {}
    loaded = dict(arguments)
    for name, value in arguments.items():
        parameter = parameters.get(name)
        if parameter is not None and takes_files(parameter):
            loaded[name] = _load_each(value, name, parameter, origins)
    return loaded, origins


def takes_files(parameter: inspect.Parameter) -> bool:
    """Whether text given for this parameter can stand for a file.

    >>> def call(image: np.ndarray, prompt: str, strength: float): ...
    >>> [takes_files(one) for one in inspect.signature(call).parameters.values()]
    [True, False, False]
    """
    if parameter.annotation is parameter.empty:
        return _MEDIA_NAME.search(parameter.name) is not None
    text = str(parameter.annotation)
    return "Callable" not in text and _MEDIA.search(text) is not None


@dataclass(frozen=True)
class Wish:
    """How a pipeline wants what a file holds.

    Attributes:
        tensors: it takes tensors.
        arrays: it takes NumPy arrays.
        is_mask: it is a mask, which the pipeline itself makes grey: another program's grey picture stays one.
    """

    tensors: bool = True
    arrays: bool = False
    is_mask: bool = False

    def wants_array(self, shape: Sequence[int], *, is_numpy: bool) -> bool:
        """Whether numbers of a file are wanted as an array. Where both would do, a NumPy file is one if it is a mask,
        or if its last axis can be channels: diffusers' arrays have them there, its tensors before height and width."""
        if not (self.arrays and self.tensors):
            return self.arrays
        return is_numpy and (self.is_mask or len(shape) == 2 or (len(shape) > 2 and shape[-1] in (1, 3, 4)))


def read_wish(parameter: inspect.Parameter) -> Wish:
    """Read how a parameter wants what a file holds; one without an annotation takes both."""
    text, is_mask = str(parameter.annotation), "mask" in parameter.name
    if parameter.annotation is parameter.empty:
        return Wish(arrays=True, is_mask=is_mask)
    return Wish(tensors="Tensor" in text or "ndarray" not in text, arrays="ndarray" in text, is_mask=is_mask)


def _load_each(value: Any, place: str, parameter: inspect.Parameter, origins: dict[str, str]) -> Any:
    if isinstance(value, (list, tuple)):
        items = [_load_each(item, f"{place}.{index}", parameter, origins) for index, item in enumerate(value)]
        return type(value)(items) if type(value) in (list, tuple) else items
    if not isinstance(value, (str, Path)):
        return value
    text = str(value)
    takes_text = re.search(r"\bstr\b", str(parameter.annotation)) is not None
    if takes_text and not (is_web_url(text) or Path(text).expanduser().is_file()):
        return value
    origins[place] = redact_url(text) if is_web_url(text) else str(Path(text).expanduser().absolute())
    return load_file(text, name=place, wish=read_wish(parameter))


def load_file(text: str, *, name: str, wish: Wish = Wish()) -> Any:
    """Load a picture, a video (its frames), sound, or an array, by the suffix of a path or URL.

    Args:
        text: the path or URL. `FILE.safetensors#KEY` chooses one tensor of several.
        name: the argument, for the message.
        wish: how the pipeline wants it.

    Raises:
        UsageError: it is not there, or not what its suffix says.
    """
    path, _, key = text.partition("#")
    suffix = Path(urlsplit(path).path if is_web_url(path) else path).suffix.lower()
    try:
        if is_web_url(text):
            with tempfile.TemporaryDirectory() as folder:
                local = Path(folder) / f"input{suffix}"
                local.write_bytes(_fetch(text))
                return _read(local, key, suffix=suffix, wish=wish)
        local = Path(path).expanduser()
        if not local.is_file():
            raise UsageError(
                f"{name} is {text!r}, and there is no such file",
                expected="the path or URL of a picture, a video, a WAV file, or numbers (.safetensors, .npy)",
                advice="check the path (relative ones start at the working directory)",
            )
        return _read(local, key, suffix=suffix, wish=wish)
    except (OSError, ValueError, RecordError) as error:
        reason = error.found if isinstance(error, ReproTrackError) else redact_text(first_line(error))
        raise UsageError(f"{name} is {redact_text(text)!r}, which cannot be loaded: {reason}") from error


def _fetch(url: str) -> bytes:
    with urlopen(url, timeout=60) as answer:  # http and https only: `is_web_url`; it follows no redirect to a file
        return answer.read()


def _read(path: Path, key: str, *, suffix: str, wish: Wish) -> Any:
    if suffix in sound_and_video.VIDEO_SUFFIXES:
        return sound_and_video.read_frames(path)
    if suffix == ".wav":
        return _to_value(to_host(sound_and_video.read_wav(path)), wish)
    if suffix == ".npy":
        return _to_value(to_host(np.load(path, allow_pickle=False)), wish, is_numpy=True)
    if suffix == ".safetensors":
        tensors = load_tensors(path)
        if key not in tensors and len(tensors) != 1:
            raise ValueError(f"it has {len(tensors)} tensors, {', '.join(sorted(tensors)[:8])}: name one, FILE#NAME")
        return _to_value(tensors[key] if key in tensors else next(iter(tensors.values())), wish)
    from diffusers.utils import load_image

    with Image.open(path) as picture:
        picture.load()
        if wish.is_mask:
            return ImageOps.exif_transpose(picture)
        return load_image(picture)  # as diffusers does: turned upright by its EXIF, and RGB


def _to_value(host: HostTensor, wish: Wish, *, is_numpy: bool = False) -> Any:
    if wish.wants_array(host.shape, is_numpy=is_numpy):
        return host.to_numpy().copy()
    return to_torch(host)
