"""Adapters: LoRA weights, IP-adapters, textual inversions. Loaded as a config says, captured as found on the pipeline.

Only safetensors files are loaded, never a pickle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from repro_track.config.schema import AdapterConfig, AdaptersConfig
from repro_track.errors import PipelineError, UsageError, first_line
from repro_track.record.schema import Adapter, WeightFile
from repro_track.tensors.weight_files import digest_weight_file

# --- capture ------------------------------------------------------------------------------------------------------


def capture_adapters(part: Any) -> tuple[Adapter, ...]:
    """Read the adapters in a component, in the order in which they were loaded, from what PEFT left in its layers."""
    configs = getattr(part, "peft_config", None)
    if not isinstance(configs, Mapping) or not hasattr(part, "named_modules"):
        return ()
    layers = [module for _, module in part.named_modules() if isinstance(getattr(module, "scaling", None), Mapping)]
    return tuple(
        Adapter(
            name=name,
            kind=str(getattr(config.peft_type, "value", config.peft_type)),
            rank=getattr(config, "r", None),
            scales=tuple(sorted({float(layer.scaling[name]) for layer in layers if name in layer.scaling})),
            is_active=any(
                name in layer.active_adapters and not layer.disable_adapters
                for layer in layers
                if name in layer.scaling
            ),
        )
        for name, config in configs.items()
    )


# --- loading ------------------------------------------------------------------------------------------------------


def load_adapters(pipe: Any, config: AdaptersConfig) -> tuple[WeightFile, ...]:
    """Load the adapters that a config names, in its order; return their files with digests.

    Raises:
        UsageError: a file is not there or not safetensors, or the pipeline takes no such adapter.
        PipelineError: diffusers cannot load it.
    """
    loaders = (
        ("lora", config.lora, _load_loras, "load_lora_weights"),
        ("ip_adapter", config.ip_adapter, _load_ip_adapters, "load_ip_adapter"),
        ("textual_inversion", config.textual_inversion, _load_textual_inversions, "load_textual_inversion"),
    )
    files: list[WeightFile] = []
    for kind, wanted, load, method in loaders:
        if not wanted:
            continue
        if not hasattr(pipe, method):
            raise UsageError(f"adapters.{kind} is given, and {type(pipe).__name__} has no {method}")
        for name, one in wanted.items():
            _check_adapter(one, place=f"adapters.{kind}.{name}")
        try:
            load(pipe, wanted)
        except Exception as error:  # diffusers, PEFT and transformers raise what they like: it is one message
            raise PipelineError(
                f"adapters.{kind} cannot be loaded: {type(error).__name__}: {first_line(error)}",
                expected=f"weights for a {type(pipe).__name__}",
                advice="LoRA needs peft: pip install 'repro_track[transformers]'" if kind == "lora" else None,
            ) from error
        files += _digest_files(wanted)
    return tuple(files)


def resolve_adapter(one: AdapterConfig) -> AdapterConfig:
    """Name the file itself where an adapter is on this machine, so that a replay may start elsewhere; what is on the
    Hub stays."""
    file = find_adapter_file(one)
    if file is None or not Path(str(one.path)).expanduser().exists():
        return one
    return AdapterConfig(str(file), scale=one.scale)


def _load_loras(pipe: Any, wanted: Mapping[str, AdapterConfig]) -> None:
    for name, one in wanted.items():
        pipe.load_lora_weights(one.path, adapter_name=name, use_safetensors=True, **_name_file(one))
    pipe.set_adapters(list(wanted), [one.scale for one in wanted.values()])


def _load_ip_adapters(pipe: Any, wanted: Mapping[str, AdapterConfig]) -> None:
    several = list(wanted.values())
    files = [Path(str(one.path)) if Path(str(one.path)).is_file() else None for one in several]
    # a file stands for itself; in a repository the picture's encoder is beside it, where diffusers looks by default
    named = {"image_encoder_folder": None} if all(files) else {}
    pipe.load_ip_adapter(
        [str(file.parent) if file else one.path for file, one in zip(files, several, strict=True)],
        subfolder=[one.subfolder or "" for one in several],
        weight_name=[file.name if file else one.weight_name for file, one in zip(files, several, strict=True)],
        **named,
    )
    pipe.set_ip_adapter_scale([one.scale for one in several] if len(several) > 1 else several[0].scale)


def _load_textual_inversions(pipe: Any, wanted: Mapping[str, AdapterConfig]) -> None:
    for token, one in wanted.items():
        pipe.load_textual_inversion(one.path, token=token, use_safetensors=True, **_name_file(one))


def _name_file(one: AdapterConfig) -> dict[str, str]:
    named = {"weight_name": one.weight_name, "subfolder": one.subfolder}
    return {name: value for name, value in named.items() if value is not None}


def _check_adapter(one: AdapterConfig, *, place: str) -> None:
    """Check that an adapter is a safetensors file that is there, or is on the Hub.

    Raises:
        UsageError: it is not.
    """
    if one.path is None:
        raise UsageError(
            f"{place}.path has no value", expected="a safetensors file, a folder with one, or a Hub repository"
        )
    for name in (one.weight_name, one.path if Path(one.path).is_file() else None):
        if name is not None and not name.endswith(".safetensors"):
            raise UsageError(f"{place} is {name}", expected="a safetensors file: other formats can hold code")
    if find_adapter_file(one) is None and (Path(one.path).is_absolute() or one.path.startswith((".", "~"))):
        raise UsageError(f"{place}.path is {one.path}, and there is no such file", expected="a safetensors file")


def _digest_files(wanted: Mapping[str, AdapterConfig]) -> Iterator[WeightFile]:
    """Digest the files of adapters after they were loaded: those of the Hub are in its cache then."""
    for one in wanted.values():
        file = find_adapter_file(one)
        if file is not None:
            digest, origin = digest_weight_file(file)
            yield WeightFile(path=str(file), sha256=digest, size_bytes=file.stat().st_size, origin=origin)


def find_adapter_file(one: AdapterConfig) -> Path | None:
    """Find the file of an adapter on this machine; `None`: it is not here (yet)."""
    local = Path(str(one.path)).expanduser()
    if local.is_file():
        return local.absolute()
    inside = Path(one.subfolder or "") / (one.weight_name or "")
    if local.is_dir():
        found = [local / inside] if one.weight_name else sorted((local / inside).glob("*.safetensors"))
        return found[0].absolute() if len(found) == 1 and found[0].is_file() else None
    if one.weight_name is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(str(one.path), str(inside))
    return Path(cached) if isinstance(cached, str) else None
