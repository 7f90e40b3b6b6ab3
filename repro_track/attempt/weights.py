"""Where recorded weight files are now.

It reads files, and never copies or fetches one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from repro_track.capture.checkout import SourcePlan, has_file
from repro_track.config.builtin import find_builtin
from repro_track.errors import ReplayError, ReproTrackError
from repro_track.record.choice import Choice
from repro_track.record.schema import RunRecord, WeightFile
from repro_track.tensors.weight_files import digest_weight_file, find_file_by_digest, find_hub_place, find_in_hub_cache

MISSING = "the file is not there"
"""Stands for the digest of a file that is not there."""


@dataclass(frozen=True)
class WeightPlan:
    """One weight file that is not as recorded where it was: `source` is where the recorded bytes come from, if
    anywhere."""

    place: str
    path: str
    expected: str
    actual: str
    source: str | None


def plan_weights(record: RunRecord, *, code: SourcePlan | None, choice: Choice) -> tuple[WeightPlan, ...]:
    """List the weight files that are not as recorded; the digests are kept between runs, so this is quick.

    Raises:
        ReplayError: weights are to be restored, and a file's recorded bytes are not to be had.
    """
    plans = []
    elsewhere: dict[str, Path] = {}
    root = Path(str(record.source.repository))
    for one in list_weights(record):
        actual = digest_present(one.path)
        if actual == one.weight.sha256:
            continue
        found = None
        if code and one.path.is_relative_to(root) and has_file(code, str(one.path.relative_to(root))):
            found = "the restored source"
        elif (one.weight.repo_id or one.weight.origin == "hub") and actual == MISSING and one.commit:
            found = f"the Hub, commit {one.commit}"
        elif other := find_file_by_digest(one.weight.sha256):
            # what a script loads is found by it alone, but for the files of its restored tree
            is_placed = record.command.is_config or (code and one.path.is_relative_to(root))
            found = str(other) if is_placed else None
            elsewhere[one.place] = other
        plans.append(WeightPlan(one.place, str(one.path), one.weight.sha256, actual, found))
    lost = next((plan for plan in plans if plan.source is None), None)
    if lost and choice.restores("weights"):
        where = elsewhere.get(lost.place)
        back = (
            f"put the file back: {where} has its bytes (cp {where} {lost.path})"
            if where
            else "bring the file back (any place where repro-track has once seen it will do for repro-track run)"
        )
        raise ReplayError(
            f"the weights {lost.path} are not the recorded ones: {lost.actual}",
            expected=f"sha256 {lost.expected}",
            advice=f"{back}, or replay with what is there: --weights current",
        )
    return tuple(plans)


@dataclass(frozen=True)
class PlacedWeight:
    """A recorded weight file, its place in the record, where it is to be looked for on this machine, and the Hub's
    commit that has it."""

    place: str
    path: Path
    weight: WeightFile
    commit: str | None = None


def list_weights(record: RunRecord) -> list[PlacedWeight]:
    """List the recorded weight files of every call: those of the components, those of adapters that a config named, and
    those that were opened besides. What the program itself wrote is not among them: it writes it again."""
    listed = []
    for call in record.calls:
        for part in call.components:
            for weight in part.weights:
                place = f"calls.{call.index}.components.{part.name}.weights.{weight.path}.sha256"
                path = _place_weight(record, weight, location=part.location)
                listed.append(PlacedWeight(place, path, weight, weight.commit or part.commit))
        for weight in call.adapter_files:
            place = f"calls.{call.index}.adapter_files.{weight.path}.sha256"
            listed.append(PlacedWeight(place, Path(weight.path), weight))
        for weight in call.other_weights:
            place = f"calls.{call.index}.other_weights.{weight.path}.sha256"
            listed.append(PlacedWeight(place, _place_weight(record, weight), weight, weight.commit))
    return [one for one in listed if not one.weight.made_by_run or record.command.is_config]


def _place_weight(record: RunRecord, weight: WeightFile, *, location: str | None = None) -> Path:
    """Return where a weight file is on this machine, if it is: in the Hub's cache wherever that is here."""
    folder = Path(record.command.cwd) / _find_shipped(weight.folder or location or "")
    path = folder / weight.path
    place = find_hub_place(str(path))
    if place is None or weight.repo_id is None or path.exists():
        return path
    return find_in_hub_cache(place)


def digest_present(path: Path) -> str:
    """Return the digest of a weight file, or `MISSING` if it is not there."""
    return digest_weight_file(path)[0] if path.is_file() else MISSING


def _find_shipped(location: str) -> str:
    """Return where weights that ship with the package are now; any other location as it is."""
    inside = re.fullmatch(r".*/repro_track/weights/(?P<name>[^/]+)(?P<rest>/.*)?", location)
    try:
        return find_builtin(inside["name"]) + (inside["rest"] or "") if inside else location
    except ReproTrackError:
        return location
