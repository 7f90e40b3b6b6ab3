"""A sweep of `repro-track run -m` as one run in MLflow: its members are shown under it, their pictures on one sheet.

Hydra's callback begins it, so that nothing is begun for a command that Hydra refuses; `run_hydra` ends it, because
Hydra tells nobody when a job has failed. It never runs a member itself.
"""

from __future__ import annotations

import json
import re
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback

from repro_track.capture.hydra import list_words
from repro_track.capture.machine import read_user
from repro_track.config.locations import resolve_store_uri
from repro_track.config.schema import check_experiment, leave_out_sweep
from repro_track.errors import RefusedError, ReproTrackError, UsageError
from repro_track.lookup.found import open_store
from repro_track.media.picture import make_contact_sheet, read_picture
from repro_track.record.names import PREVIEW_NAME, SHEET_NAME, SWEEP_NAME
from repro_track.record.redaction import WITHHELD, redact_text, redact_words
from repro_track.report.markdown import render_sweep_description
from repro_track.report.text import to_printable
from repro_track.store import ledger
from repro_track.store.client import Store
from repro_track.store.stored_run import StoredRun
from repro_track.store.tags import make_ended_sweep_tags, make_sweep_tags
from repro_track.tensors.digests import digest_bytes

if TYPE_CHECKING:
    from omegaconf import DictConfig

_MOST_PICTURES = 400


@dataclass(frozen=True)
class Sweep:
    """A sweep that was begun: its own run, and the words of the command."""

    store: Store
    run: StoredRun
    words: tuple[str, ...]


# Hydra makes the callback itself, and only warns where it fails: this is how its sweep comes back to us, or its failure
_begun: list[Sweep] = []
_failed: list[ReproTrackError] = []


class SweepCallback(Callback):
    """Begins a sweep's run before its first job, and tells every job about it, wherever the launcher starts it."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Begin, or go on with the sweep that `sweep.run` names."""
        try:
            self._begin_or_go_on(config)
        except ReproTrackError as error:
            _failed.append(error)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remove the copy of the whole config that Hydra leaves of a sweep, where a secret of the command is in clear.
        Nothing reads it."""
        (Path(config.hydra.sweep.dir) / "multirun.yaml").unlink(missing_ok=True)

    def _begin_or_go_on(self, config: DictConfig) -> None:
        from omegaconf import read_write

        given = [*list_words(config.hydra.overrides.hydra), *list_words(config.hydra.overrides.task)]
        words = tuple(redact_words([word for word in given if not word.startswith("hydra.mode=")]))
        store = Store(resolve_store_uri(config.store.uri))
        done: dict[str, str] = {}
        if config.sweep.run:
            run = find_sweep(store, config.sweep.run)
            done = {
                make_member_key(run_words): member.run_id
                for member, run_words in _list_members(store, run)
                if member.is_finished and re.fullmatch(r"[0-9a-f]{32}", member.run_id)
            }
            store.reopen_run(run)
        else:
            run = _begin_sweep(
                store, words, experiment=check_experiment(config.store.experiment_name), name=config.name
            )
        _begun.append(Sweep(store, run, words))
        more = [f"++sweep.run={run.run_id}", *(f"++sweep.done.{key}={member}" for key, member in done.items())]
        # the launcher composes every job's config with these, in whichever process it runs
        with read_write(config):
            config.hydra.overrides.hydra = [*list_words(config.hydra.overrides.hydra), *more]


def _begin_sweep(store: Store, words: Sequence[str], *, experiment: str, name: str | None) -> StoredRun:
    shown = shlex.join(word for word in words if not word.startswith("hydra."))
    run = store.start_run(
        experiment=experiment,
        name=redact_text(name or f"sweep {shown}"[:200]),
        user=read_user(),
        source="repro-track run",
        tags=make_sweep_tags(overrides=shown),
    )
    with tempfile.TemporaryDirectory() as folder:
        data = {"words": list(words), "cwd": str(Path.cwd())}
        ledger.remember_sweep(run.run_id, data)
        (Path(folder) / SWEEP_NAME).write_text(json.dumps(data, indent=1), encoding="utf-8")
        store.log_files(run, Path(folder))
    return run


def find_sweep(store: Store, text: str) -> StoredRun:
    """Find a sweep's run.

    Raises:
        UsageError: it is no sweep.
    """
    run = store.find_run(text)
    if not run.is_sweep:
        raise UsageError(f"run {run.run_id} is no sweep", expected="the run of repro-track run -m")
    return run


def raise_failure() -> None:
    """Raise what kept the sweep from being begun, before its first job does anything.

    Raises:
        StoreError: as the store said.
    """
    if _failed:
        raise _failed[0]


def complete_words(words: Sequence[str]) -> tuple[list[str], Path | None]:
    """Return the words of a command; for `sweep.run=ID` alone those that the sweep was begun with on this machine, and
    the working directory in which it was begun, if it is still there.

    Raises:
        UsageError: it is no sweep, or its words had a secret.
        RefusedError: somebody else began it: a command can name any code.
    """
    named = next((word for word in words if word.startswith("sweep.run=")), None)
    if named is None:
        return list(words), None
    run = find_sweep(open_store(), named.partition("=")[2])
    if len(words) > 1:
        return list(words), None
    data = ledger.recall_sweep(run.run_id)
    if data is None:
        raise RefusedError(
            f"the sweep {run.run_id} was not begun by this user on this machine; "
            f"its command is on its page, {run.link}",
            expected="a sweep of this machine and user",
            advice=f"if you know the command, type it yourself: repro-track run -m … sweep.run={run.run_id}",
        )
    if any(WITHHELD in word for word in data["words"]):
        raise UsageError(
            "the sweep's command had a secret, which was not kept",
            expected="the whole command again",
            advice=f"repro-track run -m … sweep.run={run.run_id}",
        )
    cwd = Path(data["cwd"])
    return ["-m", *data["words"], f"sweep.run={run.run_id}"], cwd if cwd.is_dir() else None


def make_member_key(words: Sequence[str]) -> str:
    """Make the key of a member: of its overrides, in any order, without those that say where it belongs.

    >>> make_member_key(["a=1", "b=2"]) == make_member_key(["b=2", "sweep.run=x", "a=1"])
    True
    """
    own = sorted(leave_out_sweep(redact_words(list(words))))
    return "m" + digest_bytes("\n".join(own).encode("utf-8", "surrogatepass"))[:16]


def end_sweep(*, is_failed: bool) -> StoredRun | None:
    """End the sweep that was begun in this process: write its contact sheet and its list of members; return its run.
    `None`: none was begun, or no member came of it, and its run is deleted."""
    if not _begun:
        return None
    sweep = _begun.pop()
    members = _list_members(sweep.store, sweep.run)
    if not members:
        sweep.store.delete_run(sweep.run)
        return None
    varied = find_varied([words for _, words in members])
    labelled = sorted(
        ((_make_label(words, varied), words, member) for member, words in members), key=lambda one: _to_natural(one[0])
    )
    rows = [(member.run_id, label, member.status or "running") for label, _, member in labelled]
    words = shlex.join(["-m", *leave_out_sweep(sweep.words)])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_sheet(sweep.store, [(label, member) for label, _, member in labelled], varied, folder=folder)
        sweep.store.end_run(
            sweep.run,
            folder=folder,
            tags=make_ended_sweep_tags(members=len(members)),
            description=render_sweep_description(run_id=sweep.run.run_id, words=words, members=rows),
            is_failed=is_failed,
        )
    return sweep.run


def _list_members(store: Store, run: StoredRun) -> list[tuple[StoredRun, tuple[str, ...]]]:
    """List the members that have a record, with their overrides. A later run of the same overrides stands for an
    earlier one that failed."""
    members: dict[str, tuple[StoredRun, tuple[str, ...]]] = {}
    for member in store.find_members(run.run_id):
        try:
            words = store.load_record(member).config.overrides
        except ReproTrackError:
            continue
        key = make_member_key(words)
        if key not in members or not members[key][0].is_finished:
            members[key] = (member, words)
    return list(members.values())


def find_varied(lists: Sequence[Sequence[str]]) -> list[str]:
    """Find the keys whose values are not the same in all members, in the order of the first.

    >>> find_varied([["a=1", "b=0"], ["a=2", "b=0"]])
    ['a']
    """
    members = [_map_by_key(words) for words in lists]
    keys = dict.fromkeys(key for member in members for key in member)
    return [key for key in keys if len({member.get(key) for member in members}) > 1]


def _map_by_key(words: Sequence[str]) -> dict[str, str]:
    """Return overrides by the keys that they set."""
    return {word.partition("=")[0]: word for word in words}


def _make_label(words: Sequence[str], varied: Sequence[str]) -> str:
    """Return the overrides of a member that vary in its sweep."""
    given = _map_by_key(words)
    return " ".join(given[key] for key in varied if key in given)


def _to_natural(text: str) -> list[tuple[int, float, str]]:
    """Return a key by which `seed=2` comes before `seed=10`."""
    return [
        (0, float(part), "") if re.fullmatch(r"\d+(\.\d+)?", part) else (1, 0.0, part)
        for part in re.split(r"(\d+(?:\.\d+)?)", text)
    ]


def _write_sheet(
    store: Store, members: Sequence[tuple[str, StoredRun]], varied: Sequence[str], *, folder: Path
) -> None:
    """Write the members' pictures on one sheet; where two keys vary, the last one has the columns."""
    pictures, labels = [], []
    for label, member in members[:_MOST_PICTURES]:
        with tempfile.TemporaryDirectory() as name:
            try:
                pictures.append(read_picture(store.load_artifact(member, PREVIEW_NAME, Path(name))).pixels)
            except ReproTrackError:
                continue  # a member without a picture, or one that failed
            labels.append(to_printable(label, limit=40))
    if not pictures:
        return
    last = {label.rpartition(" ")[2] for label, _ in members} if len(varied) == 2 else set()
    columns = len(last) if last and len(pictures) % len(last) == 0 else min(len(pictures), 8)
    make_contact_sheet(pictures, labels=labels, columns=columns).save(folder / SHEET_NAME)
