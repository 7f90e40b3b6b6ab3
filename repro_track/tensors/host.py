"""Tensors in host memory, and safetensors files of them.

It never changes a byte where it is not asked for pixels, and loads torch only where a tensor of torch is asked for or
tensors are saved: torch's own tensors are recognised by what they can do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from repro_track.errors import RecordError
from repro_track.tensors.opened import unwatched


@dataclass(frozen=True)
class HostTensor:
    """A tensor in host memory: dtype by torch's name (`float32`, `bfloat16`), shape, little-endian C-ordered bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    def copy(self) -> HostTensor:
        """Return a tensor of its own memory, which stays as it is whatever happens to the value that it was made of."""
        return HostTensor(self.dtype, self.shape, memoryview(bytes(self.data)))

    def to_numpy(self) -> np.ndarray:
        """Return the values as a NumPy array; bfloat16, which NumPy lacks, is widened exactly to float32."""
        if self.dtype == "bfloat16":
            bits = np.frombuffer(self.data, dtype="<u2").astype("<u4") << 16
            return bits.view("<f4").reshape(self.shape)
        return np.frombuffer(self.data, dtype=np.dtype(self.dtype).newbyteorder("<")).reshape(self.shape)


def is_torch_tensor(value: Any) -> bool:
    """Whether a value is a tensor of torch, told by what it can do: torch need not be loaded to ask."""
    return hasattr(type(value), "detach") and hasattr(type(value), "is_quantized")  # an object's own code is not asked


FILED = frozenset((
    "bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "float16", "bfloat16", "float32", "float64", "complex64",
    "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
))  # fmt: skip
"""The dtypes, by torch's names, whose values a file of safetensors gives back."""


def name_unfiled(value: Any) -> str | None:
    """Name what a tensor or array is that has no plain bytes, or bytes that no file gives back; `None`: it has.

    >>> name_unfiled(np.zeros(2)), name_unfiled(np.array(["a"]))
    (None, 'an array of str32')
    """
    if not is_torch_tensor(value):
        name = value.dtype.name
        return None if name in FILED else f"an array of {'Python objects' if value.dtype.hasobject else name}"
    if value.is_nested or str(value.layout) != "torch.strided":
        return f"a {'nested' if value.is_nested else str(value.layout).removeprefix('torch.')} tensor"
    dtype = str(value.dtype).removeprefix("torch.")
    if value.is_quantized or dtype not in FILED:
        return f"a tensor of {dtype}"
    return "a tensor on the device meta, which has no values" if value.device.type == "meta" else None


def is_channels_last(tensor: Any) -> bool:
    """Whether a tensor of torch lies in memory with its channels last, which chooses other kernels."""
    import torch

    return tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)


def to_host(value: Any) -> HostTensor:
    """Bring a torch tensor, NumPy array or PIL picture to host memory, bytes unchanged.

    Raises:
        TypeError: it is none of these.

    >>> to_host(np.zeros((2, 3), dtype="float32")).shape
    (2, 3)
    """
    if isinstance(value, HostTensor):
        return value
    if is_torch_tensor(value):
        dtype = str(value.dtype).removeprefix("torch.")
        flat = value.detach().cpu().contiguous().reshape(-1)
        import torch  # loaded already: the value is a torch tensor

        if flat.numel() == 1:
            flat = flat.as_strided((1,), (1,))  # one element that was expanded counts as contiguous, with a stride of 0
        raw = flat.view(torch.uint8).numpy()
        return HostTensor(dtype, tuple(value.shape), memoryview(raw))
    if hasattr(value, "getbands") and hasattr(value, "mode"):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{type(value).__name__} is not a tensor, an array or a picture")
    if value.dtype.hasobject:
        raise TypeError("an array of Python objects has no bytes to compare")
    array = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    # ascontiguousarray turns 0-d into 1-d: keep the shape of the value itself
    return HostTensor(value.dtype.name, value.shape, memoryview(array.reshape(-1).view(np.uint8).data))


def to_pixels(value: Any) -> np.ndarray:
    """Return the 8-bit pixels of a picture, shape (height, width, channels), as diffusers converts them.

    Args:
        value: a PIL picture, or float values in [0, 1], or uint8, of shape (height, width[, channels]) for NumPy and
            (channels, height, width) for torch.

    Floats become `round(x * 255)` (diffusers' `numpy_to_pil`); NaN becomes 0 and values outside [0, 1] are cut.
    """
    if hasattr(value, "getbands"):
        pixels = np.asarray(value)
    else:
        pixels = to_host(value).to_numpy()
        if hasattr(value, "detach"):
            pixels = pixels.transpose(1, 2, 0)
        if pixels.dtype != np.uint8:
            scaled = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0)
            pixels = (np.clip(scaled, 0.0, 1.0) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(pixels if pixels.ndim == 3 else pixels[:, :, None])


def to_torch(host: HostTensor) -> Any:
    """Return a tensor of torch with memory of its own."""
    import torch

    dtype = getattr(torch, host.dtype)
    if not len(host.data):
        return torch.empty(host.shape, dtype=dtype)
    return torch.frombuffer(bytearray(host.data), dtype=dtype).reshape(host.shape)


def save_tensors(path: Path, tensors: Mapping[str, Any]) -> None:
    """Write tensors to a safetensors file, bytes unchanged. Through torch, because NumPy has no bfloat16: whoever has
    tensors to save has loaded it."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: to_torch(to_host(value)) for name, value in tensors.items()}, path)


_DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "U16": "uint16", "I32": "int32", "U32": "uint32",
    "I64": "int64", "U64": "uint64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
    "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip


def load_tensors(path: Path) -> dict[str, HostTensor]:
    """Read every tensor of a safetensors file, without torch.

    Raises:
        RecordError: the file cannot be read, or is not safetensors.
    """
    try:
        with unwatched():
            entries = deserialize(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise RecordError(
            f"{path} cannot be read: {error}",
            expected="a safetensors file as it was logged",
            advice="restore the artifact; repro-track verify says what else was altered",
        ) from error
    return {
        name: HostTensor(_DTYPES.get(entry["dtype"], entry["dtype"]), tuple(entry["shape"]), memoryview(entry["data"]))
        for name, entry in entries
    }
