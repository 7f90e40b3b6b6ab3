"""What a pipeline is made of: its components by class, config, weights, switches and adapters.

It reads what is there when a pipeline is called, and changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repro_track.errors import first_line
from repro_track.media.inputs import to_plain
from repro_track.pipelines.adapters import capture_adapters
from repro_track.pipelines.switches import capture_hooks, capture_switches, digest_switches
from repro_track.record.redaction import redact_tree
from repro_track.record.schema import Component, Known, Unavailable, WeightFile
from repro_track.tensors.digests import digest_tensors_quickly
from repro_track.tensors.host import is_channels_last
from repro_track.tensors.weight_files import digest_weight_file

_SNAPSHOT = re.compile(r"/snapshots/(?P<commit>[0-9a-f]{40})(?:/|$)")


def describe_components(pipe: Any) -> tuple[Component, ...]:
    """Describe every component: class, config, weights on disk by digest, weights in memory by one digest."""
    return tuple(_describe_component(name, part) for name, part in sorted(pipe.components.items()) if part is not None)


def _describe_component(name: str, part: Any) -> Component:
    location = _find_location(part)
    commit = _SNAPSHOT.search(location or "")
    is_model = hasattr(part, "register_forward_hook")
    return Component(
        name=name,
        class_name=f"{type(part).__module__.split('.')[0]}.{type(part).__name__}",
        config=_read_config(part),
        location=location,
        dtype=str(part.dtype).removeprefix("torch.") if is_model and hasattr(part, "dtype") else None,
        device=str(part.device) if is_model and hasattr(part, "device") else None,
        channels_last=is_model and any(is_channels_last(weight) for weight in part.parameters()),
        commit=commit["commit"] if commit else None,
        weights=_digest_weights(Path(location)) if is_model and location else (),
        memory_xxh3=_digest_memory(part) if is_model else None,
        switches=redact_tree(to_plain(capture_switches(part)))[0],
        switches_xxh3=digest_switches(part) if is_model else None,
        hook_settings=redact_tree(to_plain(capture_hooks(part)))[0] if is_model else None,
        adapters=capture_adapters(part),
    )


def _digest_memory(model: Any) -> Known[str]:
    try:
        return digest_tensors_quickly([*model.parameters(), *model.buffers()])
    except (RuntimeError, TypeError) as error:  # offloaded to the meta device, or a packed dtype without plain bytes
        return Unavailable(unavailable=f"the weights in memory cannot be read: {first_line(error)}")


def _find_location(part: Any) -> str | None:
    """Find the folder that a component was loaded from; `None` for one that was built in Python."""
    config = getattr(part, "config", None)
    location = getattr(part, "name_or_path", None) or getattr(config, "_name_or_path", None)
    if not location and isinstance(config, Mapping):
        location = config.get("_name_or_path")
    return str(Path(str(location)).absolute()) if location and Path(str(location)).is_dir() else None


def _read_config(part: Any) -> dict[str, Any]:
    config: Any = getattr(part, "config", None)
    if config is None and hasattr(part, "to_dict"):  # image processors and feature extractors are their own config
        config = part.to_dict()
    elif hasattr(config, "to_dict"):
        config = config.to_dict()
    if not isinstance(config, Mapping):
        return {}
    public = {key: value for key, value in config.items() if not str(key).startswith("_")}
    return redact_tree(to_plain(public))[0]


def _digest_weights(folder: Path) -> tuple[WeightFile, ...]:
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    weights = []
    for path in files:
        digest, origin = digest_weight_file(path)
        weights.append(WeightFile(path=path.name, sha256=digest, size_bytes=path.stat().st_size, origin=origin))
    return tuple(weights)


def find_commit(components: Sequence[Component]) -> Known[str]:
    """Find the Hub commit that a pipeline was loaded from, by the snapshot folder of its components."""
    commits = {component.commit for component in components if component.commit}
    if len(commits) == 1:
        return commits.pop()
    if commits:
        return Unavailable(unavailable="components come from several commits: see each")
    return Unavailable(unavailable="not loaded from the Hub's cache")
