"""What a call is given: kept by content, and put back on a replay.

It never keeps code: a function, an open file or any other object that bytes do not describe is left to the code that
made it, and named. It never changes a value.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from repro_track.errors import RecordError, ReplayError, first_line
from repro_track.record.schema import Input
from repro_track.tensors.digests import digest_tensor
from repro_track.tensors.host import (
    HostTensor,
    is_channels_last,
    is_torch_tensor,
    load_tensors,
    name_unfiled,
    save_tensors,
    to_host,
    to_torch,
)

FOLDER = "inputs"
_VALUE = "value"


_DEEPEST = 50
"""What lies deeper is one value without parts, and so is what contains itself."""


def walk_leaves(value: Any, place: str, *, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Walk through lists, tuples, dicts, sets and dataclasses; return every other value with its place."""
    depth += 1
    if depth > _DEEPEST:
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from walk_leaves(item, f"{place}.{key}" if place else str(key), depth=depth)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from walk_leaves(item, f"{place}.{index}", depth=depth)
    elif isinstance(value, (set, frozenset)):
        for item in value:
            yield from walk_leaves(item, place, depth=depth)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from walk_leaves(getattr(value, field.name), f"{place}.{field.name}", depth=depth)
    else:
        yield place, value


def keep_inputs(arguments: Mapping[str, Any], *, folder: Path, origins: Mapping[str, str]) -> tuple[Input, ...]:
    """Keep every picture, array and tensor of a call, each content once.

    Args:
        arguments: those that the call was given, without its generators.
        folder: the run's folder; files go to `inputs/` in it.
        origins: where values were loaded from, by place.
    """
    kept = []
    for place, value in walk_leaves(arguments, ""):
        if _name_unstorable(value) is not None:
            continue
        if is_torch_tensor(value) or isinstance(value, (np.ndarray, Image.Image)):
            origin = origins.get(place) or next(
                (text for of, text in origins.items() if place.startswith(f"{of}.")), None
            )
            kept.append(_keep(place, value, folder=folder, origin=origin))
    return tuple(kept)


_PLAIN = (type(None), bool, int, float, str, Path, enum.Enum, np.generic, np.ndarray, Image.Image)


def list_unstorable(arguments: Mapping[str, Any]) -> list[str]:
    """List in sentences the arguments that bytes do not describe: functions, open files, other objects. A replay has
    them from the code that makes them, and only from that."""
    return [
        f"The argument {place} is {found}, which is not stored with the run: a replay has it from the code alone."
        for place, value in walk_leaves(arguments, "")
        if (found := _name_unstorable(value)) is not None
    ]


def _name_unstorable(value: Any) -> str | None:
    if is_torch_tensor(value) or isinstance(value, np.ndarray):
        return name_unfiled(value)
    if isinstance(value, _PLAIN) or type(value).__module__ == "torch":
        return None  # the last: a dtype, a device, a memory format
    if callable(value) and (name := _get(value, "__name__")):
        return f"the function {name}"
    if _get(value, "read") and _get(value, "close"):
        return f"an open file ({_get(value, 'name') or type(value).__name__})"
    return f"a {type(value).__module__}.{type(value).__qualname__}"


def _get(value: Any, name: str) -> Any:
    """Return an attribute; `None`: there is none, or asking fails: an object's own code may do anything."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def _keep(place: str, value: Any, *, folder: Path, origin: str | None) -> Input:
    if isinstance(value, Image.Image):
        return _keep_picture(place, value, folder=folder, origin=origin)
    host = to_host(value)
    digest = digest_tensor(host)
    file = f"{FOLDER}/{digest[:32]}.safetensors"
    if not (folder / file).exists():
        save_tensors(folder / file, {_VALUE: host})
    is_tensor = is_torch_tensor(value)
    return Input(
        name=place,
        kind="tensor" if is_tensor else "array",
        dtype=host.dtype,
        shape=host.shape,
        sha256=digest,
        file=file,
        device=str(value.device) if is_tensor else None,
        channels_last=is_tensor and is_channels_last(value),
        origin=origin,
    )


def _keep_picture(place: str, picture: Image.Image, *, folder: Path, origin: str | None) -> Input:
    """Keep a picture as PNG where that gives the same mode and bytes back, else as its bytes."""
    host = to_host(picture)
    digest = digest_picture(picture)
    path = folder / FOLDER / f"{digest[:32]}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        try:
            _strip(picture).save(path, format="PNG", compress_level=1)
            with Image.open(path) as back:
                is_exact = back.mode == picture.mode and digest_picture(back) == digest
        except (OSError, ValueError, KeyError):  # a mode that PNG does not have
            is_exact = False
        if not is_exact:
            path.unlink(missing_ok=True)
            path = path.with_suffix(".safetensors")
            save_tensors(path, {_VALUE: np.frombuffer(picture.tobytes(), dtype=np.uint8)})
    return Input(
        name=place,
        kind="picture",
        dtype=host.dtype,
        shape=(picture.height, picture.width, *host.shape[2:]),
        sha256=digest,
        file=f"{FOLDER}/{path.name}",
        mode=picture.mode,
        origin=origin,
    )


def _strip(picture: Image.Image) -> Image.Image:
    """Return the picture without what hangs on it: EXIF with places, prompts of other programs. The palette stays."""
    bare = Image.frombytes(picture.mode, picture.size, picture.tobytes())
    if picture.mode == "P":
        bare.putpalette(picture.getpalette("RGB") or [])
    return bare


def digest_picture(picture: Image.Image) -> str:
    """Return the sha256 of a picture's values; of one with a palette, of the colours that they stand for."""
    return digest_tensor(picture.convert("RGBA") if picture.mode == "P" else picture)


def to_plain(value: Any, *, depth: int = 0) -> Any:
    """Return a JSON value for anything: tensors, arrays and pictures by digest, other objects by class and name."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()  # half of a surrogate pair is in no file
    depth += 1
    if depth > _DEEPEST:
        return _name_object(value)
    if isinstance(value, Mapping):
        return {to_plain(str(key)): to_plain(item, depth=depth) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item, depth=depth) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((to_plain(item, depth=depth) for item in value), key=repr)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name), depth=depth) for field in dataclasses.fields(value)}
    if isinstance(value, np.generic):
        item = value.item()
        return item if isinstance(item, (bool, int, float)) else to_plain(str(value))
    if isinstance(value, Path) or (type(value).__module__ == "torch" and not is_torch_tensor(value)):
        return to_plain(str(value))
    if isinstance(value, enum.Enum):
        return to_plain(value.value, depth=depth)
    if isinstance(value, Image.Image):
        return {"sha256": digest_picture(value), "type": type(value).__name__, "shape": list(value.size)}
    if is_torch_tensor(value) or isinstance(value, np.ndarray):
        kind = type(value).__name__
        if (found := name_unfiled(value)) is not None:
            return {"unavailable": found, "type": kind}
        return {"sha256": digest_tensor(value), "type": kind, "shape": list(value.shape)}
    return _name_object(value)


def _name_object(value: Any) -> str:
    named = _get(value, "__qualname__")
    owner = value if isinstance(named, str) and isinstance(_get(value, "__module__"), str) else type(value)
    return f"{owner.__module__}.{owner.__qualname__}"


def restore_inputs(
    given: Mapping[str, Any],
    *,
    recorded: Mapping[str, Any],
    inputs: Sequence[Input],
    folder: Path,
    wanted: Callable[[Input], bool],
) -> dict[str, Any]:
    """Return a call's arguments with recorded values in the place of those that are wanted back.

    Args:
        given: the arguments as they are now.
        recorded: the record's arguments: where in lists and dicts each input belongs.
        inputs: the record's.
        folder: where their files are.
        wanted: which of them to put back.

    Raises:
        ReplayError: a file is missing, or its content is not the recorded one.
    """
    chosen = {one.name: one for one in inputs if wanted(one)}
    restored = dict(given)
    for name in {place.partition(".")[0] for place in chosen}:
        restored[name] = _rebuild(given.get(name), recorded.get(name), name, chosen, folder)
    return restored


def _rebuild(given: Any, recorded: Any, place: str, chosen: Mapping[str, Input], folder: Path) -> Any:
    if place in chosen:
        return load_input(chosen[place], folder=folder)
    if not any(name.startswith(f"{place}.") for name in chosen):
        return recorded if given is None else given

    def rebuild(key: Any, was: Any, item: Any) -> Any:
        return _rebuild(was, item, f"{place}.{key}", chosen, folder)

    if isinstance(recorded, Mapping):
        if dataclasses.is_dataclass(given) and not isinstance(given, type):
            changed = {key: rebuild(key, getattr(given, key), item) for key, item in recorded.items()}
            return dataclasses.replace(given, **changed)
        former = given if isinstance(given, Mapping) else {}
        return {key: rebuild(key, former.get(key), item) for key, item in recorded.items()}
    items = given if isinstance(given, (list, tuple)) and len(given) == len(recorded) else [None] * len(recorded)
    rebuilt = [rebuild(index, was, item) for index, (was, item) in enumerate(zip(items, recorded, strict=True))]
    return tuple(rebuilt) if isinstance(given, tuple) else rebuilt


def read_input(part: Input, *, folder: Path) -> Image.Image | HostTensor:
    """Read one recorded input, without torch, and check that its content is the recorded one.

    Raises:
        ReplayError: its file is missing, or its content is not the recorded one.
    """
    path = folder / part.file
    value: Image.Image | HostTensor
    try:
        if path.suffix == ".png":
            with Image.open(path) as file:
                file.load()
                value = file.copy()
        elif part.kind == "picture":
            height, width = part.shape[:2]
            value = Image.frombytes(str(part.mode), (width, height), bytes(load_tensors(path)[_VALUE].data))
        else:
            value = load_tensors(path)[_VALUE]
        actual = digest_picture(value) if isinstance(value, Image.Image) else digest_tensor(value)
    except (OSError, ValueError, KeyError, RecordError, Image.DecompressionBombError) as error:
        raise ReplayError(
            f"the input {part.name} cannot be loaded from {part.file}: {first_line(error)}",
            expected="the artifact as it was logged",
            advice="repro-track verify says what else was altered",
        ) from error
    if actual != part.sha256:
        raise ReplayError(
            f"the input {part.name} in {part.file} is not the recorded one: sha256 {actual}",
            expected=f"sha256 {part.sha256}",
            advice="restore the artifact; repro-track verify says what else was altered",
        )
    return value


def load_input(part: Input, *, folder: Path) -> Any:
    """Load one recorded input, of the kind and on the device that it was.

    Raises:
        ReplayError: as `read_input`.
    """
    value = read_input(part, folder=folder)
    if isinstance(value, Image.Image):
        return value
    if part.kind == "array":
        return value.to_numpy().copy()
    import torch

    tensor = to_torch(value)
    if part.channels_last:
        tensor = tensor.contiguous(memory_format=torch.channels_last)
    return tensor.to(part.device) if part.device else tensor
