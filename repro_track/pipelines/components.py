"""What a pipeline is made of: its components by class, config, weights, switches and adapters.

It reads what is there when a pipeline is called, and changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from repro_track.errors import first_line
from repro_track.media.inputs import to_plain
from repro_track.pipelines.adapters import capture_adapters
from repro_track.pipelines.origins import find_origins, read_origin, take_others
from repro_track.pipelines.switches import capture_hooks, capture_switches, digest_switches
from repro_track.pipelines.values import list_values
from repro_track.record.redaction import redact_tree
from repro_track.record.schema import Component, Known, Unavailable, WeightFile
from repro_track.tensors.digests import digest_tensors_quickly
from repro_track.tensors.host import is_channels_last
from repro_track.tensors.opened import OpenedFile
from repro_track.tensors.weight_files import describe_weight_file, find_hub_place

_NOTHING = digest_tensors_quickly([])
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def describe_components(pipe: Any, *, known: Collection[str] = ()) -> tuple[Component, ...]:
    """Describe every component: class, config, weights on disk by digest, weights in memory by one digest.

    Args:
        pipe: the pipeline.
        known: the paths of weight files that are recorded elsewhere: those of adapters.
    """
    return tuple(
        _describe_component(name, part, known=known)
        for name, part in sorted(pipe.components.items())
        if part is not None
    )


def _describe_component(name: str, part: Any, *, known: Collection[str]) -> Component:
    is_model = hasattr(part, "register_forward_hook")
    memory = _digest_memory(part) if is_model else None
    origins = [file for file in find_origins(part, memory=memory) if file.path not in known] if is_model else []
    location = _find_location(part, origins)
    place = find_hub_place(origins[0].path if origins else location or "")
    return Component(
        name=name,
        class_name=f"{type(part).__module__.split('.')[0]}.{type(part).__name__}",
        config=_read_config(part),
        location=location,
        dtype=str(part.dtype).removeprefix("torch.") if is_model and hasattr(part, "dtype") else None,
        device=str(part.device) if is_model and hasattr(part, "device") else None,
        channels_last=is_model and any(is_channels_last(weight) for weight in part.parameters()),
        repo_id=place.repo_id if place else _find_repository(part, location),
        commit=place.commit if place else _read_commit(part),
        weights=tuple(describe_weight_file(file, location=location) for file in origins),
        memory_xxh3=memory,
        switches=redact_tree(to_plain(capture_switches(part)))[0],
        switches_xxh3=digest_switches(part) if is_model else None,
        hook_settings=redact_tree(to_plain(capture_hooks(part)))[0] if is_model else None,
        adapters=capture_adapters(part),
    )


def _digest_memory(model: Any) -> Known[str]:
    try:
        return digest_tensors_quickly(tensor for _, tensor in list_values(model))
    except Exception as error:  # offloaded to nowhere, or a packed dtype without plain bytes, each with its own error
        return Unavailable(unavailable=f"the weights in memory cannot be read: {first_line(error)}")


def _find_location(part: Any, origins: Sequence[OpenedFile]) -> str | None:
    """Find the folder that a component was loaded from: the one that it names, else that of its weights; `None` for one
    that was built in Python."""
    named = read_origin(part)
    if named and Path(named).is_dir():
        return str(Path(named).absolute())
    return str(Path(origins[0].path).parent) if origins else None


def _find_repository(part: Any, location: str | None) -> str | None:
    """Find the Hub's repository that a component without weights names as its origin."""
    named = read_origin(part)
    return named if named and location is None and _REPOSITORY.fullmatch(named) else None


def _read_commit(part: Any) -> str | None:
    """Read the Hub's commit that transformers notes on what it loads."""
    for owner in (getattr(part, "config", None), part):
        commit = getattr(owner, "_commit_hash", None)
        if isinstance(commit, str):
            return commit
    commit = getattr(part, "init_kwargs", {}).get("_commit_hash")
    return commit if isinstance(commit, str) else None


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


def list_unseen(components: Sequence[Component]) -> list[str]:
    """Say of which components no file of their weights was seen, a sentence each."""
    return [
        f"the weights of {part.name} ({part.class_name}) are in no file that was seen: a replay has what its program "
        "makes of them. Files are seen from `import repro_track` on: import it before models are loaded"
        for part in components
        if part.memory_xxh3 not in (None, _NOTHING) and not part.weights
    ]


def describe_others(
    pipe: Any, components: Sequence[Component], *, known: Collection[str] = ()
) -> tuple[WeightFile, ...]:
    """Describe the weight files that were opened before a pipeline is called and are in none of its components.

    Args:
        pipe: the pipeline.
        components: what `describe_components` gave of it.
        known: the paths of weight files that are recorded elsewhere: those of adapters.
    """
    used = {path for part in components for path in list_weight_paths(part)}
    return tuple(describe_weight_file(file) for file in take_others(pipe, used={*used, *known}) if file.is_unchanged)


def list_weight_paths(part: Component) -> list[str]:
    """List the paths of a component's weight files."""
    return [str(Path(weight.folder or str(part.location)) / weight.path) for weight in part.weights]


def find_commit(components: Sequence[Component]) -> Known[str]:
    """Find the Hub commit that a pipeline was loaded from, by the snapshot folder of its components."""
    commits = {component.commit for component in components if component.commit}
    if len(commits) == 1:
        return commits.pop()
    if commits:
        return Unavailable(unavailable="components come from several commits: see each")
    return Unavailable(unavailable="not loaded from the Hub's cache")
