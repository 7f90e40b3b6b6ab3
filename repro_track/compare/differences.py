"""What differs between two records that could have changed the result, the most likely causes first.

It never calls a difference the cause: that takes a trial.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from repro_track.record.places import KINDS, find_kind, walk_tree
from repro_track.record.schema import Environment, RunRecord, Source


@dataclass(frozen=True)
class Difference:
    """One value that is not as it was. `rank` orders by how likely it is to change bits: 0 is the most likely."""

    place: str
    expected: Any
    actual: Any
    kind: str
    rank: int


def to_data(value: Any) -> dict[str, Any]:
    """Return a dataclass, and all that it holds, as data with the keys of `--json`: a difference's rank is `power`
    there."""
    return asdict(value, dict_factory=_name_keys)


def _name_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {"power" if name == "rank" else name: value for name, value in pairs}


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


def list_cautions(expected: RunRecord, actual: RunRecord) -> tuple[str, ...]:
    """List why a replay is not the run that was recorded although the same was started: another config that the app
    composed, another word of the launcher's to the process."""
    found = []
    digests = (expected.config.composed_sha256, actual.config.composed_sha256)
    if None not in digests and digests[0] != digests[1]:
        found.append("the app composed another config than the recorded one: a file of its config is not as it was")
    then, now = ((one.command.launcher.variables if one.command.launcher else {}) for one in (expected, actual))
    for name in sorted({*then, *now}):
        if name.startswith("ACCELERATE_") and then.get(name) != now.get(name):
            found.append(f"the launcher set {name} to {now.get(name)}, and to {then.get(name)} in the recorded run")
    return tuple(found)


def make_difference(place: str, expected: Any, actual: Any) -> Difference:
    """Make a difference at a place of the record, with the kind and rank that such a place has."""
    kind = find_kind(place) or "other"
    return Difference(place, expected, actual, kind, KINDS.index(kind))


_SETTING = re.compile(r"numerics\.state\.")
_BEFORE = {"config.resolved.noise": "pipeline"}
"""Keys of the config that came later, with the value that stands for what was so before."""
_HOOKS = re.compile(r"calls\.\d+\.components\.[^.]+\.hook_settings")


def _list_differences(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> tuple[Difference, ...]:
    left, right = dict(walk_tree(expected)), dict(walk_tree(actual))
    found = []
    for place in dict.fromkeys([*left, *right]):
        if _SETTING.match(place) and (place in left) != (place in right):
            continue  # a setting that one of two versions of the program does not know says nothing
        hooks = _HOOKS.match(place)
        if hooks and (hooks[0] in left or hooks[0] in right):
            continue  # a record of before schema 4 has `None` there, which says nothing
        if place in _BEFORE and left.get(place, _BEFORE[place]) == right.get(place, _BEFORE[place]):
            continue
        if place.startswith("source.outside.") and ("source.outside" in left or "source.outside" in right):
            continue  # in one of both nobody has looked
        if left.get(place) != right.get(place) and find_kind(place) is not None:
            found.append(make_difference(place, left.get(place), right.get(place)))
    return tuple(sorted(found, key=lambda difference: difference.rank))
