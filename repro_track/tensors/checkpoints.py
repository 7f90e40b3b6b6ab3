"""The tensors in a file of weights, one by one: their names, their sizes, the values of those that are asked for.

It reads safetensors, GGUF and torch's own format, runs no code that a file holds, and never reads a whole file where
its format lets it read a part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro_track.tensors.opened import unwatched

_WHOLE_LIMIT_BYTES = 1 << 31
"""The largest file of torch's former format that is looked into: it can only be read as a whole."""


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights that is looked into: how many values each tensor has, by its name.

    `read` gives one tensor's values. GGUF's quantized tensors are left out: their values are in no component.
    """

    sizes: Mapping[str, int]
    read: Callable[[str], Any]
    by_size: dict[int, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, size in self.sizes.items():
            self.by_size.setdefault(size, []).append(name)


def open_checkpoint(path: Path) -> Checkpoint | None:
    """Look into a file of weights; `None`: it cannot be read here, or not without running code that it holds."""
    try:
        with unwatched():
            with path.open("rb") as file:
                start = file.read(16)
            if start.startswith(b"GGUF"):
                return _open_gguf(path)
            if start[8:9] == b"{":
                return _open_safetensors(path)
            return _open_torch(path, is_mapped=start.startswith(b"PK"))
    except Exception:  # a damaged file, a library that is not there: whatever it is, nothing is known of the file
        return None


def _open_safetensors(path: Path) -> Checkpoint:
    import json

    from safetensors import safe_open

    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__", None)

    opened = safe_open(str(path), framework="pt").__enter__()  # mapped: there is nothing to be closed
    return Checkpoint({name: _count(entry["shape"]) for name, entry in header.items()}, opened.get_tensor)


def _open_gguf(path: Path) -> Checkpoint:
    import gguf
    import torch

    plain = {gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16}
    tensors = {one.name: one for one in gguf.GGUFReader(str(path)).tensors if one.tensor_type in plain}
    return Checkpoint(
        {name: int(one.n_elements) for name, one in tensors.items()},
        lambda name: torch.from_numpy(tensors[name].data.copy()),
    )


def _open_torch(path: Path, *, is_mapped: bool) -> Checkpoint | None:
    import torch

    if not is_mapped and path.stat().st_size > _WHOLE_LIMIT_BYTES:
        return None
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)
    tensors = dict(_flatten(content))
    return Checkpoint({name: tensor.numel() for name, tensor in tensors.items()}, tensors.__getitem__)


def _flatten(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Walk through nested dicts, as training programs save them: `state_dict`, `ema`, an optimizer's state."""
    import torch

    if isinstance(value, torch.Tensor):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flatten(item, f"{place}.{key}" if place else str(key))


def _count(shape: list[int]) -> int:
    number = 1
    for length in shape:
        number *= length
    return number
