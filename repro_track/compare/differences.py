"""What differs between two records that could have changed the result, the most likely causes first.

It never calls a difference the cause: that takes a trial.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from repro_track.record.schema import Environment, RunRecord, Source


@dataclass(frozen=True)
class Difference:
    """One value that is not as it was. `power` ranks how likely it is to change bits: 0 is the most likely."""

    place: str
    expected: Any
    actual: Any
    kind: str
    power: int


# The first pattern that matches a place decides. No kind: an effect or an address, which explains nothing.
_POWER: tuple[tuple[str, str | None], ...] = (
    (r"schema_version|record_id|status|error|name|created_at|replay_of|cost\..*|outputs\..*|replayable\..*", None),
    (r"calls\.\d+\.trace\..*|seeds\..*state_after.*|seeds\.closed|seeds\..*\.(moved|drawn_at.*)|seeds\..*made_by", None),
    (r"calls\.\d+\.(name_or_path|index|stage)|calls\.\d+\.inputs\..*\.(file|origin)|.*\.location|command\..*|source\.(repository|branch|remote|bundle|dirty).*", None),
    (r"environment\.(machine\.(host|user|release)|interpreter\.executable|container.*|torch\.parallel_info|variables\.PYTHONPATH)", None),
    (r"config\.resolved\.(store|tolerance|name|log|sweep|embed|picture_format)(\..*)?|config\.resolved\.determinism\.name|config\.overrides.*", None),
    (r"seeds\.(root|images.*|.*initial_seed|.*state_before|.*device)|config\.resolved\.(seeds?|num_images|generator)", "seed"),
    (r"calls\.\d+\.components\.\w+\.(weights\..*|memory_xxh3|commit)|calls\.\d+\.(commit|adapter_files\..*sha256)", "weights"),
    (r"calls\.\d+\.(arguments|inputs)\..*|calls\.\d+\.batch|config\.resolved\.(call\..*|batch)", "call"),
    (r"calls\.\d+\.components\..*|calls\.\d+\.class_name|config\.resolved\.(pipeline|scheduler|adapters|switches|stages|dtype|device)\b.*", "pipeline"),
    (r"numerics\..*|environment\.variables\..*|config\.resolved\.determinism.*", "numerics"),
    (r"environment\.(torch.*|gpu_driver.*|machine\.(cpu_model|cpu_isa|architecture|cpu_count).*)", "machine"),
    (r"environment\.packages\.(torch|diffusers|transformers|numpy|accelerate|safetensors|tokenizers|nvidia-.*|triton)\..*", "libraries"),
    (r"config\..*", "config"),
    (r"source\..*", "source"),
    (r"environment\..*|program\..*", "other"),
)  # fmt: skip
_KINDS = tuple(dict.fromkeys(kind for _, kind in _POWER if kind))
_LISTED_BY_NAME = {
    "adapter_files", "adapters", "components", "generators", "global_generators", "inputs", "packages", "submodules", "weights",
}  # fmt: skip


def list_differences(expected: RunRecord, actual: RunRecord) -> tuple[Difference, ...]:
    """List what differs between two records that could have changed the result, the most likely causes first."""
    return _list_differences(expected.model_dump(mode="json"), actual.model_dump(mode="json"))


def list_environment_differences(expected: Environment, actual: Environment) -> tuple[Difference, ...]:
    """List what differs between the recorded environment and this one, torch's own answers (which need torch) aside."""
    left, right = expected.model_dump(mode="json"), actual.model_dump(mode="json")
    return _list_differences(
        {"environment": {**left, "torch": None}},
        {"environment": {**right, "torch": None}},
    )


def list_source_differences(expected: Source, actual: Source) -> tuple[Difference, ...]:
    """List what differs between the recorded source and the present one."""
    return _list_differences({"source": expected.model_dump(mode="json")}, {"source": actual.model_dump(mode="json")})


def make_difference(place: str, expected: Any, actual: Any) -> Difference:
    """Make a difference at a place of the record, with the kind and power that such a place has."""
    kind = _find_kind(place) or "other"
    return Difference(place, expected, actual, kind, _KINDS.index(kind))


def _list_differences(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> tuple[Difference, ...]:
    left, right = dict(_flatten_record(expected)), dict(_flatten_record(actual))
    found = []
    for place in dict.fromkeys([*left, *right]):
        if _find_kind(place) is not None and left.get(place) != right.get(place):
            found.append(make_difference(place, left.get(place), right.get(place)))
    return tuple(sorted(found, key=lambda difference: difference.power))


def _find_kind(place: str) -> str | None:
    return next((kind for pattern, kind in _POWER if re.fullmatch(pattern, place)), "other")


def _flatten_record(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and set(value) != {"unavailable"}:
        for key, item in value.items():
            yield from _flatten_record(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, (list, tuple)):
        field = place.rpartition(".")[2]
        for index, item in enumerate(value):
            label = (
                item.get("name") or item.get("path")
                if field in _LISTED_BY_NAME and isinstance(item, Mapping)
                else index
            )
            yield from _flatten_record(item, f"{place}.{label}")
    else:
        yield place, value
