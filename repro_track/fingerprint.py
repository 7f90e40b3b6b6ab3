"""Digest and distance of tensors, pictures, files and weights.

Digests of tensors cover dtype, shape and contiguous bytes, never strides. It never falls back to a random or partial
digest, and never imports torch: torch's tensors are recognised by what they can do.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from safetensors import SafetensorError, deserialize

from repro_track.config import data_folder
from repro_track.errors import RecordError
from repro_track.record import WeightOrigin

_CHUNK = 1 << 22


@dataclass(frozen=True)
class HostTensor:
    """A tensor in host memory: dtype by torch's name (`float32`, `bfloat16`), shape, little-endian C-ordered bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    def copy(self) -> HostTensor:
        """Give a tensor of its own memory, which stays as it is whatever happens to the value that it was made of."""
        return HostTensor(self.dtype, self.shape, memoryview(bytes(self.data)))

    def to_numpy(self) -> np.ndarray:
        """Give the values as a NumPy array; bfloat16, which NumPy lacks, is widened exactly to float32."""
        if self.dtype == "bfloat16":
            bits = np.frombuffer(self.data, dtype="<u2").astype("<u4") << 16
            return bits.view("<f4").reshape(self.shape)
        return np.frombuffer(self.data, dtype=np.dtype(self.dtype).newbyteorder("<")).reshape(self.shape)


def is_torch_tensor(value: Any) -> bool:
    """Whether a value is a tensor of torch, told by what it can do: torch need not be loaded to ask."""
    return hasattr(value, "detach") and hasattr(value, "is_quantized")


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


def _feed(hasher: Any, tensor: HostTensor) -> None:
    hasher.update(f"{tensor.dtype}{list(tensor.shape)}\n".encode())
    hasher.update(tensor.data)


def digest_tensor(value: Any) -> str:
    """Give the sha256 over dtype, shape and contiguous bytes.

    >>> a = np.zeros(4, dtype="float32")
    >>> digest_tensor(a) == digest_tensor(a.copy()), digest_tensor(a) == digest_tensor(a.reshape(2, 2))
    (True, False)
    """
    hasher = hashlib.sha256()
    _feed(hasher, to_host(value))
    return hasher.hexdigest()


def digest_tensors_quickly(values: Iterable[Any]) -> str:
    """Give one xxh3_128 over a sequence of tensors: for module traces and weights in memory, compared only with
    each other (24 GB/s against sha256's 1.7; FIELD.md, section 3)."""
    hasher = xxhash.xxh3_128()
    for value in values:
        _feed(hasher, to_host(value))
    return hasher.hexdigest()


def digest_bytes(content: bytes) -> str:
    """Give the sha256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """Give the sha256 of a file, the same that the Hub gives an LFS file."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def digest_many(digests: Iterable[str]) -> str:
    """Give one sha256 over an ordered list of digests.

    >>> digest_many(["a", "b"]) == digest_many(["b", "a"])
    False
    """
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def digest_weight_file(path: Path) -> tuple[str, WeightOrigin]:
    """Give the sha256 of a weight file and where it is from: `hub` or `computed`.

    The Hub's cache names an LFS blob by its sha256; one `readlink` tells it (not `realpath`, which may land in the
    Xet store). That name is a claim: `repro-track verify` computes. Other files are computed once and kept by path,
    size, mtime and inode.
    """
    if path.is_symlink():
        blob = path.readlink().name
        if len(blob) == 64 and all(letter in "0123456789abcdef" for letter in blob):
            return blob, "hub"
    stat = path.stat()
    key = f"{path.absolute()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
    with _opened_digest_cache() as cache:
        row = cache.execute("SELECT sha256 FROM digests WHERE key = ?", (key,)).fetchone()
        if row:
            return row[0], "computed"
        digest = digest_file(path)
        cache.execute("INSERT OR REPLACE INTO digests VALUES (?, ?)", (key, digest))
    return digest, "computed"


def find_file_by_digest(digest: str) -> Path | None:
    """Find a file of this machine whose digest was computed before and that has not changed since."""
    with _opened_digest_cache() as cache:
        rows = cache.execute("SELECT key FROM digests WHERE sha256 = ?", (digest,)).fetchall()
    for (key,) in rows:
        path = Path(key.rsplit("|", 3)[0])
        if path.is_file() and digest_weight_file(path)[0] == digest:
            return path
    return None


@contextlib.contextmanager
def _opened_digest_cache():
    folder = data_folder()
    folder.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(folder / "digests.db", timeout=30)
    try:
        with connection:
            connection.execute("CREATE TABLE IF NOT EXISTS digests (key TEXT PRIMARY KEY, sha256 TEXT)")
            yield connection
    finally:
        connection.close()


def to_pixels(value: Any) -> np.ndarray:
    """Give the 8-bit pixels of a picture, shape (height, width, channels), as diffusers converts them.

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
    """Give a tensor of torch with memory of its own."""
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
}  # fmt: skip


def load_tensors(path: Path) -> dict[str, HostTensor]:
    """Read every tensor of a safetensors file, without torch.

    Raises:
        RecordError: the file cannot be read, or is not safetensors.
    """
    try:
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


@dataclass(frozen=True)
class Distance:
    """How far two arrays of one shape are apart. `psnr_db` is infinite for equal arrays; peak: the expected range.

    For pictures also, on their 8-bit pixels: the structural similarity, and the share of pixels that differ.
    """

    max_abs: float
    mean_abs: float
    share_different: float
    psnr_db: float
    nonfinite: int
    ssim: float | None = None
    share_of_pixels: float | None = None


def measure_distance(expected: np.ndarray, actual: np.ndarray) -> Distance:
    """Measure the element-wise distance of two arrays of one shape, in float64.

    Positions that are not finite in either are counted in `nonfinite`, and count as different unless equal.

    >>> measure_distance(np.zeros(4), np.array([0, 0, 0, 0.5])).max_abs
    0.5
    """
    if expected.size == 0:
        return Distance(0.0, 0.0, 0.0, math.inf, 0)
    left, right = expected.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(left) & np.isfinite(right)
    equal = (left == right) | (np.isnan(left) & np.isnan(right))
    gap = np.abs(left[finite] - right[finite])
    peak = float(np.ptp(left[np.isfinite(left)])) if np.isfinite(left).any() else 0.0
    mean_square = float((gap**2).mean()) if gap.size else math.nan
    psnr = math.inf if mean_square == 0 else 10 * math.log10((peak or 1.0) ** 2 / mean_square) if gap.size else math.nan
    return Distance(
        max_abs=float(gap.max()) if gap.size else math.nan,
        mean_abs=float(gap.mean()) if gap.size else math.nan,
        share_different=float(1 - equal.mean()),
        psnr_db=psnr,
        nonfinite=int((~finite).sum()),
    )


def measure_pictures(expected: np.ndarray, actual: np.ndarray) -> tuple[float, float]:
    """Measure two pictures of 8-bit pixels, shape (height, width, channels): their structural similarity, and the share
    of the pixels that differ in any channel.

    >>> black = np.zeros((16, 16, 3), dtype=np.uint8)
    >>> measure_pictures(black, black)
    (1.0, 0.0)
    """
    return measure_ssim(expected, actual), float((expected != actual).any(axis=-1).mean())


def measure_ssim(expected: np.ndarray, actual: np.ndarray) -> float:
    """Measure the mean structural similarity of two pictures, shape (height, width, channels), 8 bits.

    Wang, Bovik, Sheikh, Simoncelli: "Image quality assessment: from error visibility to structural similarity", 2004:
    Gaussian window of 11 and sigma 1.5 (smaller for pictures that are smaller), K1 = 0.01, K2 = 0.03, whole windows only.
    """
    size = min(11, *(side - (side + 1) % 2 for side in expected.shape[:2]))
    offsets = np.arange(size) - size // 2
    window = np.exp(-(offsets**2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(values: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            values = np.lib.stride_tricks.sliding_window_view(values, size, axis=axis) @ window
        return values

    left, right = expected.astype(np.float64), actual.astype(np.float64)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_left, mean_right = blur(left), blur(right)
    variances = blur(left**2) - mean_left**2 + blur(right**2) - mean_right**2
    covariance = blur(left * right) - mean_left * mean_right
    similarity = ((2 * mean_left * mean_right + c1) * (2 * covariance + c2)) / (
        (mean_left**2 + mean_right**2 + c1) * (variances + c2)
    )
    return float(similarity.mean())
