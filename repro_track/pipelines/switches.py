"""The switches of a pipeline: what `enable_…` methods, offloading, attention processors and `torch.compile` set.

Found by looking at what is there, put back by calling diffusers' own methods: there is no list of switches here. It
never calls a method that is not a switch.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import xxhash

from repro_track.errors import PipelineError, UsageError, first_line

_SWITCH = ("enable_", "disable_", "fuse_", "unfuse_", "set_")
_OTHER_SWITCHES = ("compile", "to")
_PLAIN = (bool, int, float, str, type(None))


# --- capture ------------------------------------------------------------------------------------------------------


def capture_switches(part: Any) -> dict[str, Any]:
    """Read the plain settings found on a component that its config does not have.

    For a model also: its attention processors (class, settings and how many), the names of the hooks of offloading and
    caching, and whether it is compiled. For a tokenizer: the words that were added to it, and a digest of its
    vocabulary.
    """
    config = getattr(part, "config", None)
    known = set(config) if isinstance(config, Mapping) else set()
    if not hasattr(part, "named_modules"):
        return _read_tokenizer(part)
    found: dict[str, Any] = {
        name: value for name, value in _list_plain(part) if name not in known and not name.startswith("_")
    }
    found.pop("training", None)
    modules = list(part.named_modules())
    processors = Counter(_name_processor(module.processor) for _, module in modules if hasattr(module, "processor"))
    hooks = Counter(hook for _, module in modules for hook in _list_hooks(module))
    for name, counted in (("attention", processors), ("hooks", hooks)):
        if counted:
            found[name] = {key: counted[key] for key in sorted(counted)}
    if any(_is_compiled(module) for _, module in modules):
        found["compiled"] = sorted(path for path, module in modules if _is_compiled(module))[:8]
    return found


def capture_hooks(part: Any) -> dict[str, Any] | None:
    """Read the settings of the hooks of offloading, casting and caching on a model's modules, by the hook's name.

    They are what a hook's own constructor is given, as far as it is data; what a hook keeps while it runs is none. A
    setting that differs from module to module is the list of its values, at most eight of them. `None`: no model.
    """
    if not hasattr(part, "named_modules"):
        return None
    seen: dict[str, dict[str, list[Any]]] = {}
    for _, module in part.named_modules():
        for name, hook in _walk_hooks(module):
            for key, value in _read_settings(hook).items():
                values = seen.setdefault(name, {}).setdefault(key, [])
                if value not in values:
                    values.append(value)
    return {
        name: {key: values[0] if len(values) == 1 else values[:8] for key, values in settings.items()}
        for name, settings in sorted(seen.items())
    }


def digest_switches(model: Any) -> str:
    """Return one xxh3_128 over the class and plain settings of every module of a model, so that none is overlooked."""
    hasher = xxhash.xxh3_128()
    for path, module in model.named_modules():
        settings = [f"{name}={value!r}" for name, value in sorted(_list_plain(module)) if name != "training"]
        if hasattr(module, "processor"):
            settings.append(_name_processor(module.processor))
        hasher.update("|".join([path, type(module).__name__, *settings, *_list_hooks(module)]).encode() + b"\n")
    return hasher.hexdigest()


def _list_plain(thing: Any) -> Iterator[tuple[str, Any]]:
    """List the attributes of an object that are numbers, text, or lists and dicts of them."""
    for name, value in vars(thing).items():
        if _is_plain(value):
            yield name, dict(value) if isinstance(value, Mapping) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) <= 64 and all(isinstance(item, _PLAIN) for item in value)
    if isinstance(value, dict):
        return 0 < len(value) <= 64 and all(isinstance(item, _PLAIN) for item in (*value, *value.values()))
    return isinstance(value, _PLAIN)


def _name_processor(processor: Any) -> str:
    settings = ", ".join(f"{name}={value!r}" for name, value in sorted(_list_plain(processor)) if name != "training")
    return f"{type(processor).__name__}({settings})"


def _list_hooks(module: Any) -> list[str]:
    """List the hooks that accelerate and diffusers put on a module: offloading, casting, caching."""
    return [name for name, _ in _walk_hooks(module)]


def _walk_hooks(module: Any) -> Iterator[tuple[str, Any]]:
    if hook := getattr(module, "_hf_hook", None):
        yield type(hook).__name__, hook
    registry = getattr(module, "_diffusers_hook", None)
    for name, one in getattr(registry, "hooks", {}).items():
        yield f"{type(one).__name__}:{name}", one


def _read_settings(thing: Any) -> dict[str, Any]:
    """Read of an object what its constructor was given, as far as it is data: plain values, torch's constants, and
    objects of such, as a dataclass is."""
    settings = {}
    for name in inspect.signature(type(thing).__init__).parameters:
        value = getattr(thing, name, None)
        if isinstance(value, enum.Enum):
            value = value.value
        if _is_plain(value) and value is not None:
            settings[name] = value
        elif type(value).__module__ == "torch" and not hasattr(value, "shape"):  # a dtype, a device, a memory format
            settings[name] = str(value)
        elif dataclasses.is_dataclass(value):
            settings[name] = _read_settings(value)
        elif isinstance(value, (list, tuple)) and value and all(hasattr(one, "pre_forward") for one in value):
            settings[name] = [{type(one).__name__: _read_settings(one)} for one in value]  # hooks of a hook
    return settings


def _is_compiled(module: Any) -> bool:
    return getattr(module, "_compiled_call_impl", None) is not None or type(module).__name__ == "OptimizedModule"


def _read_tokenizer(part: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if hasattr(part, "get_added_vocab"):
        found["added_words"] = sorted(part.get_added_vocab())
    if hasattr(part, "get_vocab"):
        vocabulary = sorted(part.get_vocab().items(), key=lambda item: (item[1], item[0]))
        found["vocabulary_xxh3"] = xxhash.xxh3_128(repr(vocabulary).encode()).hexdigest()
    return found


# --- put back -----------------------------------------------------------------------------------------------------


def apply_switches(pipe: Any, wanted: Mapping[str, Any]) -> None:
    """Call the methods of a pipeline or its components that are named, in their order.

    Args:
        pipe: the pipeline.
        wanted: `enable_vae_tiling: true`, or of a component `vae.enable_tiling: true`, with what the method is given:
            true for nothing, a mapping for named arguments, a list for several, anything else for one; a mapping with
            the name of one of diffusers' config classes for an object of it
            (`transformer.enable_cache: {FirstBlockCacheConfig: {threshold: 0.1}}`). False: not called.

    Raises:
        UsageError: there is no such switch.
        PipelineError: it refused.
    """
    for key, given in _flatten_switches(wanted):
        if given is False:
            continue
        owner, name = _find_owner(pipe, key)
        method = getattr(owner, name)
        positional, named = _split_arguments(_make_config(pipe, given))
        try:
            method(
                *(_to_torch(value) for value in positional), **{key: _to_torch(value) for key, value in named.items()}
            )
        except Exception as error:  # a method of diffusers, torch or accelerate: whatever it raises is one message
            raise PipelineError(
                f"switches.{key} failed: {type(error).__name__}: {first_line(error)}",
                expected=f"{name}{inspect.signature(method)}",
            ) from error


def _flatten_switches(wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield switches by dotted names: Hydra makes nested mappings of `switches.vae.enable_tiling=true`."""
    for key, value in wanted.items():
        if isinstance(value, Mapping) and not _is_switch(key.rpartition(".")[2]):
            yield from ((f"{key}.{inner}", given) for inner, given in value.items())
        else:
            yield key, value


def _is_switch(name: str) -> bool:
    return name.startswith(_SWITCH) or name in _OTHER_SWITCHES


def _find_owner(pipe: Any, key: str) -> tuple[Any, str]:
    path, _, name = key.rpartition(".")
    owner = getattr(pipe, path, None) if path in pipe.components else None if path else pipe
    method = getattr(owner, name, None)
    if owner is not None and _is_switch(name) and callable(method):
        return owner, name
    known = [one for one in dir(owner if owner is not None else pipe) if _is_switch(one)]
    prefix = f"{path}." if owner is not None and path else ""
    near = difflib.get_close_matches(name, known, n=1)
    raise UsageError(
        f"switches.{key} is no switch of {type(owner if owner is not None else pipe).__name__}",
        expected="a method of the pipeline, or of a component (vae.enable_tiling): " + ", ".join(known[:12]),
        advice=f"did you mean switches.{prefix}{near[0]}?" if near else None,
    )


def _make_config(pipe: Any, given: Any) -> Any:
    """Make an object of diffusers' config class that a mapping names as its only key; return anything else as it is.

    A cache that asks for the present step is answered by the pipeline.
    """
    import diffusers

    if not isinstance(given, Mapping) or len(given) != 1:
        return given
    name, words = next(iter(given.items()))
    config_class = getattr(diffusers, name, None) if name.endswith("Config") else None
    if not dataclasses.is_dataclass(config_class) or not isinstance(config_class, type):
        return given
    values = {key: _to_torch(value) for key, value in (words or {}).items()}
    if "current_timestep_callback" in {field.name for field in dataclasses.fields(config_class)}:
        values.setdefault("current_timestep_callback", lambda: pipe.current_timestep)
    return [config_class(**values)]


def _split_arguments(given: Any) -> tuple[list[Any], dict[str, Any]]:
    if given is True or given is None:
        return [], {}
    if isinstance(given, Mapping):
        return [], dict(given)
    return (list(given) if isinstance(given, (list, tuple)) else [given]), {}


def _to_torch(value: Any) -> Any:
    """Return torch's own constant for its name in a config (`torch.bfloat16`, `torch.channels_last`); else the
    value."""
    if isinstance(value, str) and value.startswith("torch."):
        import torch

        found = getattr(torch, value.removeprefix("torch."), None)
        return found if isinstance(found, (torch.dtype, torch.memory_format)) else value
    return value
