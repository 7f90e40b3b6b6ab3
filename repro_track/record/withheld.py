"""What of a record was withheld and would be used by a replay: it may not run with the mark in the secret's place.

Pure, but for a look at which environment variables are set. It never gives anything back itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from repro_track.errors import RefusedError
from repro_track.record.places import walk_tree
from repro_track.record.redaction import WITHHELD, redact_text
from repro_track.record.schema import PipelineCall, RunRecord

_NOT_USED = ("store", "name", "experiment", "log", "tolerance")
"""Keys of a config that say where a run goes and what it is called: a replay's child has no use for them."""


def withhold_everywhere(record: RunRecord) -> RunRecord:
    """Withhold what looks like a secret at any place of a record; names were looked at where each part was made.

    This is the last door: what comes of a record (pages, tags, params, notes) has passed it, too.
    """
    data = record.model_dump(mode="python")
    texts = [text for place, value in walk_tree(data) for text in (place, value) if isinstance(text, str)]
    joined = "\n".join(texts)
    if redact_text(joined) == joined:
        return record
    return RunRecord.model_validate(_redact_forms(data))


def _redact_forms(value: Any) -> Any:
    if isinstance(value, dict):
        return {redact_text(key) if isinstance(key, str) else key: _redact_forms(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redact_forms(item) for item in value]
    return redact_text(value) if isinstance(value, str) else value


def list_withheld(record: RunRecord) -> tuple[str, ...]:
    """List the places of a record whose text was withheld and would be used by a replay, of whatever version it is:
    the words of a command line, the cells of a notebook, the config where that is the whole command.

    What a config took from an environment variable as a whole is not among them: it comes back from there.
    """
    command, config = record.command, record.config
    places = [*command.withheld] if command.is_notebook else []
    if command.is_config:
        marked = [place for place, value in walk_tree(config.resolved) if _has_mark(value)]
        kept = {*config.references, *_list_kept_addresses(record)}
        used = dict.fromkeys([*config.withheld, *marked])
        places += [place for place in used if place.partition(".")[0] not in _NOT_USED and place not in kept]
    else:
        places += [f"argv.{index}" for index, word in enumerate(command.argv) if WITHHELD in word]
        words = command.launcher.words if command.launcher else ()
        places += [f"launcher.{index}" for index, word in enumerate(words) if WITHHELD in word]
    return (*places, *_list_rebuilt(record))


def _has_mark(value: Any) -> bool:
    return isinstance(value, str) and WITHHELD in value


def _list_kept_addresses(record: RunRecord) -> list[str]:
    """List the places of a config that are the addresses of inputs: those are kept with the run."""
    inputs = ((call, one) for call in record.calls for one in call.inputs if one.origin is not None)
    return [f"{_name_config(call)}.{one.name}" for call, one in inputs]


def _list_rebuilt(record: RunRecord) -> list[str]:
    """List the withheld texts beside an input in one argument: a replay makes that argument of the record."""
    found = []
    for call in record.calls:
        rebuilt = {one.name.partition(".")[0] for one in call.inputs if "." in one.name}
        marked = [place for place, value in walk_tree(call.arguments) if _has_mark(value)]
        found += [f"calls.{call.index}.arguments.{place}" for place in marked if place.partition(".")[0] in rebuilt]
    return found


def _name_config(call: PipelineCall) -> str:
    return f"stages.{call.stage}.call" if call.stage else "call"


def check_withheld(record: RunRecord, *, changes: Iterable[str] = ()) -> None:
    """Refuse a replay that would run with the mark of a withheld text.

    Args:
        record: what is to be replayed.
        changes: `KEY=VALUE` of a variation; what they set is not withheld any more.

    Raises:
        RefusedError: it would; with the places, and how a run is made that can be replayed.
    """
    changes = list(changes)
    places = [place for place in list_withheld(record) if not _is_given(record, place, changes=changes)]
    references = record.config.references.items()
    missing = [name for place, name in references if name not in os.environ and place not in map(get_key, changes)]
    if record.command.is_config and missing:
        raise RefusedError(
            f"the run had secrets from environment variables, which are not kept: {', '.join(dict.fromkeys(missing))}",
            expected="the variables, set as they were",
            advice=f"export {missing[0]}=…, then replay again",
        )
    if not places:
        return
    if record.command.is_config:
        advice = f"give it with --set {places[0]}=VALUE (a variation); "
        advice += f"a run with {places[0]}='${{oc.env:NAME}}' can be replayed"
    elif record.command.is_hydra:
        advice = "give it with --set KEY=VALUE (a variation); a run with KEY='${oc.env:NAME}' can be replayed"
    else:
        advice = "run it again with the secret in an environment variable, which its code reads"
    raise RefusedError(
        "text that looks like a secret was withheld when the run was recorded, and a replay would need it: "
        + ", ".join(_describe(record, place) for place in places),
        expected="a run whose command and config have no secrets",
        advice=advice,
    )


def _is_given(record: RunRecord, place: str, *, changes: Iterable[str]) -> bool:
    if place.startswith("argv."):
        word = record.command.argv[int(place.removeprefix("argv."))]
        return record.command.is_hydra and is_given_back(word, changes=changes)
    return any(place == key or place.startswith(f"{key}.") for key in map(get_key, changes))


def is_given_back(word: str, *, changes: Iterable[str]) -> bool:
    """Whether a word of a Hydra app's command line had its value withheld, and a change of a variation sets it.

    >>> is_given_back("+hub.token=***withheld***", changes=["+hub.token=abc"])
    True
    """
    return WITHHELD in word and get_key(word) in map(get_key, changes)


def get_key(word: str) -> str:
    """Return the key that an override sets.

    >>> get_key("+hub.token=abc")
    'hub.token'
    """
    return word.lstrip("+~").partition("=")[0]


def _describe(record: RunRecord, place: str) -> str:
    """Name a place as a person knows it: a word of the command line by its option."""
    if not place.startswith("argv."):
        return place
    index = int(place.removeprefix("argv."))
    word, before = record.command.argv[index], record.command.argv[index - 1] if index else ""
    name = word.partition("=")[0] if "=" in word else before if before.startswith("-") else ""
    return f"{place} ({name})" if name and WITHHELD not in name else place
