"""The numerics policy: apply it, read back what is in force, put the former state back.

What is recorded is always what torch answers, never what was asked for. A setting that cannot be read is
`Unavailable` with torch's own message. Order and getters: NUMERICS.md.

torch is imported inside the functions: `apply_variables` has to run before it is loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from repro_track.errors import DeterminismError, first_line
from repro_track.record.schema import Unavailable


@dataclass(frozen=True)
class Setting:
    """One numeric setting: how it is read and, if that is possible, written."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object] | None = None


def _attribute(path: str, *, root: str = "torch.backends") -> Setting:
    """A plain attribute such as `cudnn.deterministic`, read and written as it is."""
    place, _, attribute = f"{root}.{path}".rpartition(".")

    def owner() -> Any:
        node: Any = sys.modules["torch"]
        for part in place.split(".")[1:]:
            node = getattr(node, part)
        return node

    return Setting(path, lambda: getattr(owner(), attribute), lambda value: setattr(owner(), attribute, value))


def _list_settings() -> tuple[Setting, ...]:
    """List every setting in the only order in which restoring works (NUMERICS.md): legacy precision flags, the new
    precision settings from general to specific, everything else."""
    import torch

    cuda = torch.backends.cuda
    legacy = (
        _attribute("cudnn.allow_tf32"),
        _attribute("cuda.matmul.allow_tf32"),
        Setting("float32_matmul_precision", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    )
    precision = tuple(
        _attribute(path)
        for path in (
            "fp32_precision",
            "cudnn.fp32_precision",
            "cuda.matmul.fp32_precision",
            "mkldnn.fp32_precision",
            "cudnn.conv.fp32_precision",
            "cudnn.rnn.fp32_precision",
            "mkldnn.matmul.fp32_precision",
            "mkldnn.conv.fp32_precision",
            "mkldnn.rnn.fp32_precision",
        )
    )
    attributes = tuple(
        _attribute(path)
        for path in (
            "cudnn.enabled",
            "cudnn.deterministic",
            "cudnn.benchmark",
            "cudnn.benchmark_limit",
            "cuda.matmul.allow_fp16_reduced_precision_reduction",
            "cuda.matmul.allow_bf16_reduced_precision_reduction",
            "cuda.matmul.allow_fp16_accumulation",
            "mkldnn.enabled",
            "mkldnn.deterministic",
            "opt_einsum.enabled",
            "opt_einsum.strategy",
            "quantized.engine",
            "miopen.immediate",
        )
    )
    # never written: None, its default, cannot be set again
    read_only = (Setting("mkldnn.allow_tf32", _attribute("mkldnn.allow_tf32").read),)
    functions = (
        Setting(
            "deterministic_algorithms",
            torch.are_deterministic_algorithms_enabled,
            lambda mode: torch.use_deterministic_algorithms(
                mode, warn_only=torch.is_deterministic_algorithms_warn_only_enabled()
            ),
        ),
        Setting(
            "deterministic_algorithms_warn_only",
            torch.is_deterministic_algorithms_warn_only_enabled,
            lambda warn: torch.use_deterministic_algorithms(
                torch.are_deterministic_algorithms_enabled(), warn_only=warn
            ),
        ),
        _attribute("fill_uninitialized_memory", root="torch.utils.deterministic"),
        Setting("sdp_flash", cuda.flash_sdp_enabled, cuda.enable_flash_sdp),
        Setting("sdp_mem_efficient", cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp),
        Setting("sdp_math", cuda.math_sdp_enabled, cuda.enable_math_sdp),
        Setting("sdp_cudnn", cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp),
        Setting(
            "fp16_bf16_reduction_math_sdp",
            cuda.fp16_bf16_reduction_math_sdp_allowed,
            cuda.allow_fp16_bf16_reduction_math_sdp,
        ),
        Setting("mha_fastpath", torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
        Setting("preferred_linalg_library", lambda: _read_enum(cuda.preferred_linalg_library()), _write_linalg_library),
        Setting("preferred_blas_library", lambda: _read_enum(cuda.preferred_blas_library()), _write_blas_library),
        Setting("nnpack", torch._C._get_nnpack_enabled, torch.backends.nnpack.set_flags),
        Setting("num_threads", torch.get_num_threads, torch.set_num_threads),
        Setting("num_interop_threads", torch.get_num_interop_threads),
        Setting(
            "default_dtype",
            lambda: _name_dtype(torch.get_default_dtype()),
            lambda v: torch.set_default_dtype(_find_dtype(v)),
        ),
        Setting("default_device", lambda: str(torch.get_default_device()), _write_default_device),
        *(setting for device in ("cpu", "cuda") for setting in _list_autocast_settings(device)),
        Setting("autocast_cache", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
        Setting("grad_enabled", torch.is_grad_enabled, torch.set_grad_enabled),
        Setting("inference_mode", torch.is_inference_mode_enabled),
        Setting("flush_denormal", _probe_flush_denormal, torch.set_flush_denormal),
        Setting("cpu_capability", torch.backends.cpu.get_cpu_capability),
        Setting("compile_settings", _read_compile_settings),
    )
    return (*legacy, *precision, *attributes, *read_only, *functions)


def _list_autocast_settings(device: str) -> tuple[Setting, Setting]:
    import torch

    return (
        Setting(
            f"autocast_enabled.{device}",
            lambda: torch.is_autocast_enabled(device),
            lambda value: torch.set_autocast_enabled(device, value),
        ),
        Setting(
            f"autocast_dtype.{device}",
            lambda: _name_dtype(torch.get_autocast_dtype(device)),
            lambda value: torch.set_autocast_dtype(device, _find_dtype(value)),
        ),
    )


def _read_enum(member: Any) -> str:
    return member.name.lower()


def _name_dtype(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _find_dtype(name: str) -> Any:
    return getattr(sys.modules["torch"], name)


def _write_default_device(device: str) -> None:
    import torch

    # None is torch's "nothing set", which reads back as cpu: a device mode would slow every call down
    torch.set_default_device(None if device == "cpu" else device)


def _write_linalg_library(name: str) -> None:
    import torch

    torch.backends.cuda.preferred_linalg_library(name)


def _write_blas_library(name: str) -> None:
    import torch

    torch.backends.cuda.preferred_blas_library(name)


def _probe_flush_denormal() -> bool:
    """torch has no getter: a denormal number times one is zero where denormals are flushed."""
    import torch

    return torch.tensor([1e-40]).mul(1.0).item() == 0


def _read_compile_settings() -> str:
    """Return one digest of the inductor and dynamo configs: hundreds of keys, private names, used by torch.compile
    only.

    diffusers loads both anyway. Records before schema 4 have it as `compile_config`, with folders in it: it was another
    one in every working directory.
    """
    from torch._dynamo import config as dynamo
    from torch._inductor import config as inductor

    return digest_settings({"inductor": inductor.save_config_portable(), "dynamo": dynamo.save_config_portable()})


def digest_settings(settings: Mapping[str, Any]) -> str:
    """Return a digest of nested settings that is the same in every folder and every process: what is the path of a
    file or folder is left out, and of a function or class its name counts.

    >>> digest_settings({"level": 1, "debug_dir": "/a/b"}) == digest_settings({"level": 1, "debug_dir": "/c"})
    True
    >>> digest_settings({"level": 1}) == digest_settings({"level": 2})
    False
    """
    return hashlib.sha256(json.dumps(_leave_places_out(settings), sort_keys=True).encode()).hexdigest()


def _leave_places_out(value: Any) -> Any:
    """Return a setting as plain data, with `<path>` in the place of each absolute path."""
    if isinstance(value, Mapping):
        return {str(key): _leave_places_out(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):  # the order of a set of strings changes with every process
        return sorted((_leave_places_out(item) for item in value), key=repr)
    if isinstance(value, (list, tuple)):
        return [_leave_places_out(item) for item in value]
    if isinstance(value, (str, PurePath)):
        return "<path>" if PurePath(value).is_absolute() else str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def capture_state() -> dict[str, Any]:
    """Read every numeric setting that is in force now; what cannot be read is an `Unavailable` with torch's message."""
    state: dict[str, Any] = {}
    for setting in _list_settings():
        try:
            state[setting.name] = setting.read()
        except (RuntimeError, AttributeError, ImportError) as error:
            state[setting.name] = Unavailable(unavailable=first_line(error))
    return state


def _is_unavailable(value: Any) -> bool:
    return isinstance(value, Unavailable) or (isinstance(value, Mapping) and "unavailable" in value)


def restore_state(wanted: Mapping[str, Any]) -> None:
    """Write the settings that differ from `wanted`, in the order that works. Those that cannot be written are left.

    Raises:
        DeterminismError: torch refuses a value.
    """
    for setting in _list_settings():
        value = wanted.get(setting.name)
        if setting.write is None or setting.name not in wanted or _is_unavailable(value):
            continue
        try:
            if setting.read() == value:
                continue
        except (RuntimeError, AttributeError):
            pass  # unreadable now, readable then: writing is the only way to find out
        try:
            setting.write(value)
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise DeterminismError(
                f"torch refuses {setting.name} = {value!r}: {first_line(error)}",
                advice="replay with --numerics current, or change the policy",
            ) from error


def list_contradictions(requested: Mapping[str, Any], state: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """List what was asked for and is not in force: (name, requested, in force). Asked for by nobody: not compared."""
    return [(name, value, state.get(name)) for name, value in requested.items() if state.get(name) != value]


def apply_variables(variables: Mapping[str, str | None]) -> None:
    """Set environment variables (`None`: unset) that torch reads once for the whole process.

    They stay set: taking them away afterwards would only hide what is in force.

    Raises:
        DeterminismError: torch is loaded already and a variable that it has read by now has another value.
    """
    late = {name: value for name, value in variables.items() if os.environ.get(name) != value}
    if late and "torch" in sys.modules:
        late = {name: value for name, value in late.items() if not _may_still_be_set(name)}
    if late and "torch" in sys.modules:
        name, value = next(iter(late.items()))
        raise DeterminismError(
            f"{name} is {os.environ.get(name)!r}, and torch has read it already",
            expected=f"{name}={value} before torch is imported, or for cuBLAS before the GPU is used",
            advice=f"start the program with {name}={value} in its environment, open track() earlier, "
            "or choose determinism=fast",
        )
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _may_still_be_set(name: str) -> bool:
    """cuBLAS reads its workspace when CUDA starts; everything else is read at torch's import or first operation."""
    import torch

    return name == "CUBLAS_WORKSPACE_CONFIG" and not torch.cuda.is_initialized()


_CAPS = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


def make_isa_caps(
    capability: Any, variables: Mapping[str, str | None], *, present_isa: Sequence[str]
) -> dict[str, str | None]:
    """Make the variables that hold this machine's kernels down to the instruction set that a run was recorded on.

    Not `MKL_CBWR`: it would change MKL's results on the recorded machine, too. A set that this machine lacks cannot be
    brought back.

    Args:
        capability: the recorded `cpu_capability`.
        variables: the recorded ones; what they set stays.
        present_isa: this machine's instruction sets, as in `Machine.cpu_isa`.

    >>> make_isa_caps("AVX2", {}, present_isa=["avx2"])
    {}
    >>> sorted(make_isa_caps("AVX2", {}, present_isa=["avx2", "avx512f"]))
    ['ATEN_CPU_CAPABILITY', 'MKL_ENABLE_INSTRUCTIONS', 'ONEDNN_MAX_CPU_ISA']
    """
    if capability != "AVX2" or "avx512f" not in present_isa or variables.get("ATEN_CPU_CAPABILITY") is not None:
        return {}
    return {name: value for name, value in _CAPS.items() if variables.get(name) is None}


@contextlib.contextmanager
def applied(
    flags: Mapping[str, Any], *, num_threads: int | None = None, policy: str
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Apply a policy, read back what is in force, and put the former state back at the end.

    Args:
        flags: settings by name, as `capture_state` names them.
        num_threads: `None` keeps what torch chose.
        policy: its name, for messages.

    Yields:
        what was requested, and the state read back.

    Raises:
        DeterminismError: a flag is unknown, or what is in force contradicts what was asked for.
    """
    requested = dict(flags)
    if num_threads is not None:
        requested["num_threads"] = num_threads
    former = capture_state()
    if unknown := sorted(set(requested) - set(former)):
        raise DeterminismError(
            f"determinism={policy} asks for {unknown[0]!r}, which is no numeric setting",
            expected="one of " + ", ".join(sorted(former)),
        )
    try:
        restore_state(requested)
        state = capture_state()
        if contradictions := list_contradictions(requested, state):
            name, wanted, found = contradictions[0]
            raise DeterminismError(
                f"{name} is {found!r} after determinism={policy} was applied",
                expected=f"{name} = {wanted!r}",
                advice="see what else sets it, or choose determinism=fast, which records and asks for nothing",
            )
        yield requested, state
    finally:
        restore_state(former)
