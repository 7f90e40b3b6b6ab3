"""The Hydra app behind `repro-track run`: compose, run, print, explain errors of the config.

It prints run ids on stdout and nothing else there, and never replays.
"""

from __future__ import annotations

import difflib
import os
import re
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from repro_track.capture.hydra import read_hydra_overrides
from repro_track.config.locations import data_folder
from repro_track.config.references import list_references
from repro_track.config.schema import RunConfig, make_schema
from repro_track.config.typed import make_typed
from repro_track.config.words import MISSING, list_set_keys, quote_texts, shield_texts, unshield_texts
from repro_track.errors import ReproTrackError, UsageError
from repro_track.report.terminal import open_console, print_record
from repro_track.report.text import to_printable
from repro_track.run.from_config import run_config
from repro_track.tracking.run import TrackedRun

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run_hydra(words: Sequence[str]) -> None:
    """Be the Hydra app: compose the config from overrides and flags, run it, print each run id on stdout.

    A sweep that is gone on with by its id alone is made in the working directory in which it was begun.

    Raises:
        UsageError: an override, key or group that is not there.
    """
    from repro_track.run import sweep

    given, cwd = sweep.complete_words(words)
    if cwd is not None:
        os.chdir(cwd)
    is_failed = True
    try:
        _compose(given)
        is_failed = False
    finally:
        ended = sweep.end_sweep(is_failed=is_failed)
        if ended is not None:
            console = open_console()
            console.print(f"sweep {ended.run_id}: {ended.link}", markup=False)
            console.print(f"replay all of it: repro-track replay {ended.run_id}")


def _compose(words: Sequence[str]) -> None:
    """Let Hydra compose the config of a command's words, and run it: once, or for every job of a sweep.

    Raises:
        UsageError: an override, key or group that is not there.
        ReproTrackError: whatever ended the run.
    """
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    ConfigStore.instance().store(name="schema", node=make_schema())
    OmegaConf.register_new_resolver("repro_track.sweep_folder", _make_sweep_folder, replace=True, use_cache=True)
    failures: list[ReproTrackError] = []

    @hydra.main(version_base="1.3", config_path="pkg://repro_track.conf", config_name="config")
    def app(composed: DictConfig) -> str | None:
        try:
            return _run_composed(composed)
        except ReproTrackError as error:
            if HydraConfig.get().mode != RunMode.RUN:
                raise  # perhaps in a worker of the launcher: Hydra has to carry it
            failures.append(error)  # past Hydra, which would add a line of its own
            return None

    # Hydra would print its own traceback and exit with 1; this makes it raise to us
    os.environ["HYDRA_FULL_ERROR"] = "1"
    words = quote_texts(words)
    sys.argv = ["repro-track run", *words]
    check_overrides(words)
    try:
        app()
    except (HydraException, OmegaConfBaseException) as error:
        raise _explain_config_error(error) from error
    except Exception as error:
        if _has_run(error):
            raise
        raise _explain_config_error(error) from error  # Hydra's own, over a word that it did not expect
    for failure in failures:
        raise failure


def check_overrides(words: Sequence[str]) -> None:
    """Check that the overrides among the words of a command can be read.

    Raises:
        UsageError: one cannot.
    """
    from hydra._internal.utils import get_args_parser
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    for word in get_args_parser().parse_known_args(list(words))[0].overrides:
        try:
            key = parser.parse_override(word).key_or_group
        except (HydraException, ValueError):
            key = ""
        if not re.search(r"\w", key):
            raise UsageError(
                f"the word {word!r} is no override",
                expected="KEY=VALUE, +KEY=VALUE, GROUP=NAME or ~KEY",
                advice="a value with spaces, commas, brackets or an = of its own is quoted twice: "
                """'call.prompt="a cat, x=1"'""",
            )


def _has_run(error: BaseException) -> bool:
    """Whether an error comes from a run, and not from composing its config."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is _run_composed.__code__:
            return True
        trace = trace.tb_next
    return False


def _run_composed(composed: DictConfig) -> str:
    from repro_track.run import sweep

    sweep.raise_failure()
    config = read_composed(composed, words=read_hydra_overrides() or [])
    there = config.sweep.done.get(sweep.make_member_key(read_hydra_overrides() or []))
    if there is not None:
        open_console().print(f"the sweep has this member already: run {there}")
        print(there, flush=True)
        return there
    run = run_config(config, references=list_references(composed))
    _print_result(run, is_member=config.sweep.run is not None)
    return run.run_id


def read_composed(composed: DictConfig, *, words: Sequence[str]) -> RunConfig:
    """Return the config that Hydra composed, resolved, with its text as text.

    Args:
        composed: by Hydra.
        words: the overrides of the command line; `???` in one of those is text, in a file it says that a value has to
            be given.

    Raises:
        UsageError: a value has to be given.
    """
    from omegaconf import OmegaConf

    given = list_set_keys(words)
    for place in _list_missing(OmegaConf.to_container(composed)):
        if not any(place == key or place.startswith((f"{key}.", f"{key}[")) for key in given):
            raise UsageError(f"{place} has no value", expected=f"{place}=VALUE on the command line")
        OmegaConf.update(composed, place, shield_texts(MISSING))
    return make_typed(RunConfig, unshield_texts(OmegaConf.to_container(composed, resolve=True)))


def _list_missing(data: Any, place: str = "") -> list[str]:
    """List the places of an unresolved config that have no value, as OmegaConf names them."""
    if isinstance(data, dict):
        items = [(f"{place}.{key}" if place else str(key), item) for key, item in data.items()]
    elif isinstance(data, list):
        items = [(f"{place}[{index}]", item) for index, item in enumerate(data)]
    else:
        return [place] if isinstance(data, str) and data == MISSING else []
    return [found for inner, item in items for found in _list_missing(item, inner)]


def _make_sweep_folder() -> str:
    """A folder of its own for each sweep: Hydra's default has one-second resolution, and two sweeps would share it."""
    return str(data_folder() / "sweeps" / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(3)}")


def _explain_config_error(error: Exception) -> UsageError:
    """Turn Hydra's and OmegaConf's errors into found, expected, do; with the nearest key for a typo."""
    lines: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        lines += [line.strip() for line in str(cause).split("Config search path:")[0].splitlines() if line.strip()]
        cause = cause.__cause__
    text = " ".join(lines)
    if missing := re.search(r"Missing mandatory value: (\S+)", text):
        return UsageError(f"{missing[1]} has no value", expected=f"{missing[1]}=VALUE on the command line")
    if group := re.search(r"Could not find '(\S+)/(\S+)' Available options in '\S+': (.*)", text):
        options = group[3].split()
        return UsageError(
            f"{group[1]} is {group[2]!r}", expected="one of " + ", ".join(options), advice=_suggest(group[2], options)
        )
    if key := re.search(r"Could not override '([^']+)'", text):
        suggestion = _suggest(key[1], _list_keys(asdict(RunConfig())))
        return UsageError(f"the config has no key {key[1]!r}", expected="a key of the config", advice=suggestion)
    return UsageError(
        lines[0] if lines else type(error).__name__, expected=" ".join(lines[1:3]) or None, advice=_suggest("", [])
    )


def _suggest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else "repro-track run --help lists the groups and keys"


def _list_keys(tree: dict[str, Any], place: str = "") -> list[str]:
    keys = []
    for key, value in tree.items():
        inner = f"{place}.{key}" if place else key
        keys += [inner, *(_list_keys(value, inner) if isinstance(value, dict) else [])]
    return keys


def _print_result(run: TrackedRun, *, is_member: bool) -> None:
    """The run id on stdout, for programs; everything for people on stderr, one line for the member of a sweep."""
    if run.stored is None or run.record is None:
        return
    console = open_console()
    if is_member:
        console.print(f"  {run.run_id}  {run.record.status}  {to_printable(run.record.name)}", markup=False)
        print(run.run_id, flush=True)
        return
    print_record(run.record, console=console, link=run.stored.link)
    folder = run.stored.artifact_folder
    for output in run.record.outputs:
        if folder is not None and output.file:
            console.print(f"  {folder / output.file}")
    console.print(f"replay it: repro-track replay {run.run_id}")
    print(run.run_id, flush=True)
