"""The Hub as it was: in the child of a replay, a repository that the record has the commit of is loaded at that commit.

A script says a branch, or nothing, and a branch moves. It pins what the record knows and nothing else, never where the
present weights are wanted, and does nothing in a process that is no replay's child.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wrapt

from repro_track.config.locations import replay_folder
from repro_track.errors import ReproTrackError
from repro_track.record.handover import read_choice
from repro_track.record.names import RECORD_NAME
from repro_track.record.reading import read_record
from repro_track.record.schema import RunRecord
from repro_track.tensors.opened import replace_function

_LOADERS = {
    "huggingface_hub.file_download": ("hf_hub_download", "try_to_load_from_cache"),
    "huggingface_hub._snapshot_download": ("snapshot_download",),
    "huggingface_hub.hf_api": (
        "HfApi.model_info", "HfApi.repo_info", "HfApi.resolve_revision", "model_info", "repo_info", "resolve_revision",
    ),
}  # fmt: skip
"""What asks the Hub, or its cache, for a revision: everything else is built on these. Not all are in every version."""


def list_pins(record: RunRecord) -> dict[str, str]:
    """List the repositories of the Hub that a record's weights came from, each with its commit; one that was loaded at
    several commits is not pinned."""
    commits: dict[str, set[str]] = {}
    for call in record.calls:
        owners: list[Any] = [one for part in call.components for one in (part, *part.weights)]
        for one in (*owners, *call.adapter_files, *call.other_weights):
            if one.repo_id and one.commit:
                commits.setdefault(one.repo_id, set()).add(one.commit)
    return {repository: found.pop() for repository, found in commits.items() if len(found) == 1}


def pin_revision(arguments: Mapping[str, Any], *, pins: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of a loader with the pinned commit in the place of a branch; a commit that is asked for by
    its hash stays.

    >>> pin_revision({"repo_id": "a/b", "revision": "main"}, pins={"a/b": "0" * 40})["revision"] == "0" * 40
    True
    >>> pin_revision({"repo_id": "c/d"}, pins={"a/b": "0" * 40})
    {'repo_id': 'c/d'}
    """
    commit = pins.get(str(arguments.get("repo_id")))
    asked = arguments.get("revision")
    if commit is None or (isinstance(asked, str) and re.fullmatch(r"[0-9a-f]{40}", asked)):
        return dict(arguments)
    return {**arguments, "revision": commit}


@functools.cache
def _read_pins(folder: Path) -> dict[str, str]:
    try:
        return list_pins(read_record(folder / RECORD_NAME)) if read_choice(folder).restores("weights") else {}
    except ReproTrackError:
        return {}  # the block that is replayed says what is wrong with it


@functools.cache
def pin_hub() -> None:
    """Load from the Hub what the record of the replay says, from here on; in any other process this does nothing."""
    if replay_folder() is not None:
        for module in _LOADERS:
            wrapt.register_post_import_hook(_pin_module, module)


def _pin_module(module: Any) -> None:
    for path in _LOADERS[module.__name__]:
        owner, _, name = path.rpartition(".")
        original = getattr(getattr(module, owner) if owner else module, name, None)
        if original is None:
            continue
        pinned = wrapt.FunctionWrapper(original, _make_pinned(inspect.signature(original)))
        if owner:
            setattr(getattr(module, owner), name, pinned)
        else:
            replace_function(name, original, pinned)


def _make_pinned(signature: inspect.Signature) -> Any:
    is_method = "self" in signature.parameters

    def load(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        folder = replay_folder()
        if folder is None:
            return wrapped(*args, **kwargs)
        try:
            bound = signature.bind_partial(*((instance,) if is_method else ()), *args, **kwargs)
        except TypeError:
            return wrapped(*args, **kwargs)  # which says what is wrong better than we could
        pinned = pin_revision(bound.arguments, pins=_read_pins(folder))
        if pinned.get("revision") == bound.arguments.get("revision"):
            return wrapped(*args, **kwargs)
        bound.arguments["revision"] = pinned["revision"]
        return wrapped(*bound.args[is_method:], **bound.kwargs)

    return load
