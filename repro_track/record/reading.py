"""JSON to a record, of every schema version that was ever released, and back.

It never guesses at what is damaged, and never writes a file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from repro_track.errors import RecordError
from repro_track.record.schema import SCHEMA_VERSION, RunRecord


def _upgrade_1(data: dict[str, Any]) -> dict[str, Any]:
    unproven = {"unavailable": "the record has schema 1, which did not prove it"}
    source = data.get("source")  # where it is missing, the record is damaged: that is said by whoever validates it
    return {**data, "schema_version": 2, "source": {**source, "tree": unproven} if isinstance(source, dict) else source}


def _upgrade_2(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "schema_version": 3}  # what came with 3 has defaults that say that it was not looked at


def _upgrade_3(data: dict[str, Any]) -> dict[str, Any]:
    seeds = data.get("seeds")
    if isinstance(seeds, dict) and isinstance(made := seeds.get("generators"), list):
        # the seeds of a caller's own generators were among the generators only
        names = [str(one.get("name", "")).partition(".")[0] for one in made if isinstance(one, dict)]
        last = [one.get("initial_seed") for one, name in zip(made, names, strict=False) if name == names[-1]]
        seeds = {**seeds, "images": last or seeds.get("images", [])}
    return {**data, "schema_version": 4, "seeds": seeds}


_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _upgrade_1, 2: _upgrade_2, 3: _upgrade_3}
"""From schema version N, a function to N + 1. A version that was once released is read for ever."""


def parse_record(text: str | bytes, *, origin: str) -> RunRecord:
    """Read a record from JSON text, of this or any earlier schema version.

    Args:
        text: the content of a record.json.
        origin: where it came from, for the message.

    Raises:
        RecordError: it is not a record, it is damaged, or a newer version of the program wrote it.
    """
    try:
        data = json.loads(text)
        version = data["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordError(
            f"{origin} is not a record of repro_track",
            expected="a JSON document with a schema_version",
            advice="give the record.json of a run, or its run id",
        ) from error
    if not isinstance(version, int) or version > SCHEMA_VERSION or version < 1:
        raise RecordError(
            f"{origin} has record schema {version}",
            expected=f"1 to {SCHEMA_VERSION}",
            advice="it was written by a newer repro_track: upgrade this one (pip install -U repro_track)",
        )
    for step in range(version, SCHEMA_VERSION):
        data = _UPGRADES[step](data)
    try:
        return RunRecord.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RecordError(
            f"{origin} is damaged: {place}: {first['msg']}",
            expected=f"a record of schema {version}",
            advice="restore the artifact, or check it with repro-track verify",
        ) from error


def read_record(path: Path) -> RunRecord:
    """Read a record.json from disk.

    Raises:
        RecordError: as `parse_record`, or the file cannot be read.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}", expected="a record.json") from error
    return parse_record(text, origin=str(path))


def render_record(record: RunRecord) -> str:
    """Render a record as JSON text: one final newline, keys in the order of the schema."""
    return render_json(record, indent=1) + "\n"


def render_json(part: BaseModel, *, indent: int | None = None) -> str:
    """Render a part of a record, or what holds one, as JSON text. Half of a pair of surrogates, which no file of UTF-8
    can hold (an argument that is no UTF-8 has some), is written as JSON escapes it, and is read as it was."""
    try:
        return part.model_dump_json(indent=indent)
    except PydanticSerializationError:
        return json.dumps(_to_strict(part.model_dump(mode="json")), indent=indent)


def _to_strict(value: Any) -> Any:
    """Return data without the numbers that JSON lacks: as texts, which pydantic writes for them."""
    if isinstance(value, dict):
        return {key: _to_strict(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_to_strict(item) for item in value]
    if isinstance(value, float) and value - value != 0:
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value
