"""The parts of a run, put together to its record.

Pure: it reads nothing but what it is given, and never captures, writes or waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_track.config.plain import encode_config
from repro_track.record.names import name_call
from repro_track.record.places import walk_tree
from repro_track.record.redaction import WITHHELD, redact_text, redact_tree, redact_words
from repro_track.record.schema import (
    Command,
    Config,
    Cost,
    GlobalGenerator,
    PipelineCall,
    Program,
    Replayable,
    RunRecord,
    Seeds,
    Source,
    Status,
    Unavailable,
)
from repro_track.record.seeds import list_call_generators
from repro_track.record.withheld import list_withheld, withhold_everywhere
from repro_track.tracking.call_recorder import describe_error
from repro_track.tracking.generators import Seeding
from repro_track.tracking.kept import Kept
from repro_track.tracking.options import Options
from repro_track.tracking.surroundings import Seen
from repro_track.version import __version__

NOTHING = "nothing was recorded in the block: no pipeline was called in it, and no output was added"
"""Why a run cannot be replayed of which there is nothing to compare."""

_ELSEWHERE = "outside of the pipelines' calls"


@dataclass(frozen=True)
class Outcome:
    """How far a run has come: its status, and what ended it, in one line."""

    status: Status
    error: str | None = None


RUNNING = Outcome("running")


def read_outcome(error: BaseException | None) -> Outcome:
    """Return how a run ended whose block was left with this exception; `None`: without one."""
    if error is None:
        return Outcome("finished")
    return Outcome("interrupted" if isinstance(error, KeyboardInterrupt) else "failed", describe_error(error))


def name_run(options: Options, *, command: Command, root: int) -> str:
    """Name a run: as it was asked for, else by its script or pipelines and its seed."""
    if options.name:
        return options.name.encode("utf-8", "backslashreplace").decode()
    stem = options.stem or _name_program(command)
    process = f"-{command.process.replace(' ', '')}" if command.process else ""
    return f"{stem}-seed{root}{process}"


def _name_program(command: Command) -> str:
    """Name what was started: a module by the last part of its name, a file by its own."""
    if not isinstance(command.script, str):
        return "run"
    script = Path(command.script)
    return script.parent.name if script.stem == "__main__" and script.parent.name else script.stem


def assemble_record(
    outcome: Outcome,
    *,
    record_id: str,
    created_at: str,
    replay_of: str | None,
    options: Options,
    command: Command,
    seeding: Seeding,
    seen: Seen,
    kept: Kept,
    cost: Cost,
    foreign: Sequence[str],
) -> RunRecord:
    """Put the record of a run together.

    Args:
        outcome: how far the run has come.
        record_id: the record's own.
        created_at: when the run was made, in ISO 8601.
        replay_of: the record that is replayed, by its id.
        options: what the run was told; secrets in its config are withheld.
        command: how it was started.
        seeding: its seeds, as they are now.
        seen: what surrounds it now.
        kept: its calls, outputs and draws so far.
        cost: what it took so far.
        foreign: code that was not of the source that was to run, a sentence each.
    """
    resolved, withheld = redact_tree(encode_config(options.config))
    config = Config(
        resolved=resolved,
        overrides=redact_words(list(options.overrides)),
        withheld=withheld,
        composed_sha256=options.composed_sha256,
        references={place: options.references[place] for place in withheld if place in options.references},
    )
    cautions = [
        *kept.cautions,
        *seen.source.cautions,
        *_list_unrecorded(resolved),
        *_say_withheld(kept.calls, config.references, seen.source),
    ]
    record = RunRecord(
        record_id=record_id,
        status=outcome.status,
        error=outcome.error,
        name=name_run(options, command=command, root=_find_main_seed(seeding, kept=kept)),
        created_at=created_at,
        program=Program(version=__version__),
        command=command,
        config=config,
        seeds=_make_seeds(seeding, seen=seen, kept=kept),
        numerics=seen.numerics,
        environment=seen.environment,
        source=seen.source,
        calls=tuple(kept.calls),
        outputs=tuple(kept.outputs),
        cost=cost,
        replayable=Replayable(yes=False),
        cautions=tuple(dict.fromkeys(cautions)),
        replay_of=replay_of,
    )
    record = withhold_everywhere(record)
    replayable = _judge_replayable(
        command,
        withheld=[place for place in list_withheld(record) if place not in command.withheld],  # cells say so themselves
        source=seen.source,
        unknown=[*dict.fromkeys(kept.unknown), *foreign, *_list_missing(kept, status=outcome.status)],
        status=outcome.status,
    )
    return record.model_copy(update={"replayable": replayable})


def _say_withheld(calls: Sequence[PipelineCall], references: Mapping[str, str], source: Source) -> list[str]:
    """Say what a replay takes from where it is now, and what of the calls it cannot compare."""
    said = [
        f"config.{place} comes from the environment variable {name}, which is not kept: a replay needs it"
        for place, name in references.items()
    ]
    said += [
        f"{name} is not kept ({reason}): a replay uses the one that is there"
        for name, reason in source.left_out.items()
    ]
    for call in calls:
        for place, value in walk_tree(call.arguments):
            if isinstance(value, str) and WITHHELD in value:
                what = f"argument {place} of {name_call(call.index)}"
                said.append(f"{what} has what looks like a secret, which was withheld: no replay compares it")
    return said


def _list_unrecorded(config: Mapping[str, Any]) -> list[str]:
    """List what a config has no value for that could be written down, a sentence each."""
    found = ((place, value) for place, value in walk_tree(config) if isinstance(value, Mapping))
    return [f"config.{place} was not recorded: {value['unavailable']}" for place, value in found]


def _list_missing(kept: Kept, *, status: Status) -> list[str]:
    """Say that there is nothing to compare, of a run that did not end because something failed."""
    return [NOTHING] if status == "finished" and not kept.calls and not kept.outputs else []


def _make_seeds(seeding: Seeding, *, seen: Seen, kept: Kept) -> Seeds:
    """Return the part on randomness: of each global generator that moved, who drew.

    What is drawn between the calls reaches a call as an argument, which is recorded, or as weights, which are digested:
    it leaves the run open only where it may be in an output of the run's own.
    """
    return Seeds(
        root=seeding.root,
        origin=seeding.origin,
        images=list_seeds(seeding, kept=kept),
        earlier=dict(seeding.earlier),
        generators=tuple(kept.generators),
        global_generators=tuple(_say_who_drew(one, kept) for one in seen.global_generators),
        closed=not any(one.moved and (one.name in kept.draws or kept.has_own) for one in seen.global_generators),
    )


def list_seeds(seeding: Seeding, *, kept: Kept) -> tuple[int, ...]:
    """List the seeds of the last call's generators, whoever made them; before a call, that of the first image."""
    if not kept.generators:
        return seeding.images
    last = kept.generators[-1].name.partition(".")[0]
    return tuple(one.initial_seed for one in list_call_generators(kept.generators, last))


def _find_main_seed(seeding: Seeding, *, kept: Kept) -> int:
    """Find the seed that a run is named by: that of the caller's own generator where the first call had one."""
    first = next(iter(kept.generators), None)
    return first.initial_seed if first is not None and first.made_by == "caller" else seeding.root


def _say_who_drew(one: GlobalGenerator, kept: Kept) -> GlobalGenerator:
    while_loading = one.name in kept.loading_draws
    places = kept.draws.get(one.name) or ([] if while_loading else [_ELSEWHERE])
    return one.model_copy(update={"drawn_at": tuple(places) if one.moved else (), "while_loading": while_loading})


def _judge_replayable(
    command: Command, *, withheld: Sequence[str], source: Source, unknown: Sequence[str], status: Status
) -> Replayable:
    """Judge whether the run can be replayed, and if not, name every reason."""
    reasons = [*unknown, *command.obstacles]
    if status != "finished":
        reasons.append(f"the run is {status}")
    if command.is_interactive and isinstance(command.script, Unavailable):
        reasons.append(command.script.unavailable)
    if withheld:
        reasons.append("it has what looks like secrets, which were withheld: " + ", ".join(withheld))
    if not command.is_config and isinstance(source.repository, str) and isinstance(source.tree, Unavailable):
        reasons.append(f"its source does not come back: {source.tree.unavailable}")
    reasons += [
        f"its code {one.name} ran from {one.path} and is not kept: {one.left_out}"
        for one in source.outside or ()
        if one.left_out
    ]
    return Replayable(yes=not reasons, reasons=tuple(map(redact_text, reasons)))
