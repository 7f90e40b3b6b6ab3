"""What a replay puts back in the run of its child process: seeds, settings, inputs, schedulers, states of generators.

It never decides what is restored: the plan did. For an ordinary run there is a `Replayed` that restores nothing, so
that nobody else has to ask whether a run is replayed.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_track.config.locations import data_folder, replay_folder
from repro_track.determinism import numerics
from repro_track.determinism.generators import draw_seed, is_drawn_from_entropy, restore_state
from repro_track.determinism.global_generators import restore_globals
from repro_track.errors import ReplayError
from repro_track.media.inputs import restore_inputs
from repro_track.pipelines.build import build_recorded_scheduler
from repro_track.record.handover import Handover, SecondCall, Settings
from repro_track.record.names import RECORD_NAME, name_call, name_global
from repro_track.record.places import name_numeric
from repro_track.record.reading import read_record
from repro_track.record.schema import Component, SeedOrigin, Source, WeightFile
from repro_track.record.seeds import list_call_generators
from repro_track.tensors.host import load_tensors
from repro_track.tracking.options import Options

if TYPE_CHECKING:
    import torch


class Replayed:
    """What is put back in an ordinary run: nothing. Everything is as the caller gives it.

    Attributes:
        settings: what a replay looks at besides; here nothing.
        replay_of: the record that is replayed, by its id; here none.
        is_replay: whether this process is the child of a replay, which logs nothing itself: the replay does, with the
            verdict.
    """

    settings: Settings = Settings()
    replay_of: str | None = None
    is_replay: bool = False

    def choose_folder(self, *, record_id: str) -> Path:
        """Choose where the run's files are collected: a staging folder of its own."""
        return data_folder() / "staging" / record_id

    def adjust(self, options: Options) -> Options:
        """Return the options with what a replay decides in their place."""
        return options

    def choose_root(self) -> tuple[int, SeedOrigin]:
        """Choose the root seed of a run that was given none, and say where it comes from: here from entropy."""
        return draw_seed(), "entropy"

    def restore_numerics(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Impose recorded numeric settings.

        Args:
            state: the settings that are in force.

        Returns:
            those that are in force then.
        """
        return state

    def restore_arguments(self, given: Mapping[str, Any], *, call: int) -> dict[str, Any]:
        """Return a call's arguments with its recorded inputs."""
        return dict(given)

    @contextlib.contextmanager
    def restored_schedulers(self, pipe: Any, *, call: int) -> Iterator[None]:
        """Let a pipeline have its recorded schedulers for one call."""
        yield

    def check_weights(
        self,
        components: Sequence[Component],
        adapter_files: Sequence[WeightFile],
        *,
        call: int,
        others: Sequence[WeightFile] = (),
    ) -> None:
        """Check, before the pipeline runs, that the weight files it was loaded from are the recorded ones."""

    def restore_globals(self, *, call: int) -> None:
        """Put the global generators back to where they were when the recorded call began."""

    def list_drawn(self, *, call: int) -> tuple[str, ...]:
        """List the global generators that the recorded call drew from, whose lines are looked for while it is made
        again: watching every line is slow, and a call is never made twice for it."""
        return ()

    def restore_generators(self, generators: Sequence[torch.Generator], *, call: int) -> None:
        """Put generators back to the recorded states that no seed explains."""

    def list_foreign_code(self, source: Source) -> list[str]:
        """Describe the code that is not of the source that was to run, a sentence each.

        Args:
            source: what was seen of the code that ran.
        """
        return []

    def list_videos(self) -> tuple[str, ...]:
        """List the outputs that were recorded as videos, so that the same pictures are one again."""
        return ()

    def leave_second_calls(self, calls: Sequence[SecondCall]) -> None:
        """Leave what the second calls gave, for the replay to compare."""


class OtherBlock(Replayed):
    """Another `track()` block than the replayed one, in the child of a replay: it runs as it did, and leaves its files
    to be thrown away."""

    is_replay = True

    def __init__(self, folder: Path, *, root: int | None = None) -> None:
        self._folder = folder
        self._root = root

    def choose_root(self) -> tuple[int, SeedOrigin]:
        """Choose the seed that the block drew when it was recorded, where the record knows it."""
        return (draw_seed() if self._root is None else self._root), "entropy"

    def choose_folder(self, *, record_id: str) -> Path:
        """Choose a folder inside the replay's own."""
        return self._folder


class ReplayedBlock(Replayed):
    """The `track()` block that is replayed: what is put back is what the hand-over of its replay says."""

    is_replay = True

    def __init__(self, handover: Handover) -> None:
        self._handover = handover
        self.settings = handover.settings
        self.replay_of = handover.replay_of

    def choose_folder(self, *, record_id: str) -> Path:
        """Choose the folder in which the replay looks for what its child left."""
        return self._handover.result_folder

    def adjust(self, options: Options) -> Options:
        """Return the options with the replay's trace level, without previews, and with the recorded seeds where those
        are to be restored."""
        options = dataclasses.replace(options, trace=self.settings.trace or options.trace, previews=False)
        if not self._handover.choice.restores("seeds"):
            return options
        seeds = self._handover.expected.seeds
        # those that were made for the last call that needed any; the code brings its own again
        made = [one for one in seeds.generators if one.made_by == "repro_track"]
        last = made[-1].name.partition(".")[0] if made else ""
        images = (
            tuple(one.initial_seed for one in list_call_generators(made, last)) if seeds.generators else seeds.images
        )
        counted = tuple(range(seeds.root, seeds.root + len(images)))
        return dataclasses.replace(options, seed=seeds.root, seeds=None if images == counted else images)

    def choose_root(self) -> tuple[int, SeedOrigin]:
        """Choose the recorded root seed, which came from where the record says."""
        return self._handover.expected.seeds.root, self._handover.expected.seeds.origin

    def restore_numerics(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Impose the recorded numeric settings that are to be restored."""
        recorded = self._handover.expected.numerics.state
        wanted = {name: value for name, value in recorded.items() if self._handover.choice.restores(name_numeric(name))}
        if not wanted:
            return state
        numerics.restore_state(wanted)
        return numerics.capture_state()

    def _recorded_components(self, call: int) -> dict[str, Component]:
        recorded = self._handover.find_call(call)
        return {part.name: part for part in recorded.components} if recorded else {}

    def restore_arguments(self, given: Mapping[str, Any], *, call: int) -> dict[str, Any]:
        """Return a call's arguments with its recorded inputs.

        What was loaded from a path or URL always comes from the record, so that the file is not needed. What the code
        made itself is as it makes it now, unless inputs are to be restored, or this call is replayed alone.

        Raises:
            ReplayError: an input's file is missing or altered.
        """
        recorded = self._handover.find_call(call)
        if recorded is None:
            return dict(given)
        every = self._handover.choice.restores("inputs") or self.settings.focus.call == call
        changed = {change.partition("=")[0].removeprefix("call.") for change in self.settings.changes}
        return restore_inputs(
            given,
            # before schema 4 what was behind **kwargs stood in an argument of that name
            recorded={**(recorded.arguments.get("kwargs") or {}), **recorded.arguments},
            inputs=recorded.inputs,
            folder=self._handover.folder,
            wanted=lambda one: (every or one.origin is not None) and one.name.partition(".")[0] not in changed,
        )

    @contextlib.contextmanager
    def restored_schedulers(self, pipe: Any, *, call: int) -> Iterator[None]:
        """Let a pipeline have its recorded schedulers for one call, where those are to be restored."""
        former = {}
        for name, part in self._recorded_components(call).items():
            if name.endswith("scheduler") and self._handover.choice.restores(f"pipeline:{name}"):
                former[name] = getattr(pipe, name)
                setattr(pipe, name, build_recorded_scheduler(part))
        try:
            yield
        finally:
            for name, scheduler in former.items():
                setattr(pipe, name, scheduler)

    def check_weights(
        self,
        components: Sequence[Component],
        adapter_files: Sequence[WeightFile],
        *,
        call: int,
        others: Sequence[WeightFile] = (),
    ) -> None:
        """Check, before the pipeline runs, that the weight files it was loaded from are the recorded ones.

        Raises:
            ReplayError: one is not, and weights are to be restored.
        """
        if not self._handover.choice.restores("weights"):
            return
        recorded = self._handover.find_call(call)
        if recorded is None:
            return
        wanted = _key_weights(recorded.components, recorded.adapter_files, recorded.other_weights)
        wrong = _find_wrong(wanted, _key_weights(components, adapter_files, others))
        if wrong:
            shown, expected, actual = wrong
            raise ReplayError(
                f"the weights {shown} are not the recorded ones: {_render_digest(actual)}",
                expected=_render_digest(expected),
                advice="bring the file back, or replay with what is there: --weights current",
            )

    def list_foreign_code(self, source: Source) -> list[str]:
        """Describe the code that ran and is not what was recorded, although code was to be restored, a sentence each.

        Of a record that does not say what ran from outside of the source it is that from the clone.
        """
        if source.outside is None or not self._handover.choice.restores("code"):
            return []
        recorded, clone = self._handover.expected.source.outside, self.settings.foreign
        digests = {one.name: one.sha256 for one in recorded or ()}
        return [
            f"{one.name} was run from {one.path}, not from the restored source"
            for one in source.outside
            if digests.get(one.name) != one.sha256
            and (recorded is not None or (clone is not None and Path(one.path).is_relative_to(clone)))
        ]

    def restore_globals(self, *, call: int) -> None:
        """Put back the global generators as they were when the call began, where no code of the run's own is between
        its calls: in the run of a config, whose loading of pipelines may draw otherwise elsewhere, and for a call that
        is replayed alone."""
        is_config = self._handover.expected.command.is_config and not self.settings.changes
        if not (is_config or self.settings.focus.call == call) or not self._handover.states_path.is_file():
            return
        prefix = name_global(call, "")
        states = {name: state.to_numpy() for name, state in load_tensors(self._handover.states_path).items()}
        restore_globals({name.removeprefix(prefix): state for name, state in states.items() if name.startswith(prefix)})

    def list_drawn(self, *, call: int) -> tuple[str, ...]:
        """List the global generators that the recorded call drew from."""
        recorded = self._handover.find_call(call)
        return recorded.drawn if recorded else ()

    def restore_generators(self, generators: Sequence[torch.Generator], *, call: int) -> None:
        """Put back the recorded state of generators that were seeded from entropy: the script cannot repeat those.

        A generator with a seed of its own is left alone, because another seed in the code is a difference to be found;
        unless seeds are restored, to see whether it is they that make the difference, or the call is replayed alone.
        """
        prefix = name_call(call)
        every = self._handover.choice.restores("seeds") or self.settings.focus.call == call
        drawn = [index for index, one in enumerate(generators) if every or is_drawn_from_entropy(one)]
        if not drawn or not self._handover.states_path.is_file():
            return
        states = load_tensors(self._handover.states_path)
        for index in drawn:
            state = states.get(f"{prefix}.generator{index}.before")
            if state is not None:
                restore_state(generators[index], state.to_numpy())

    def list_videos(self) -> tuple[str, ...]:
        """List the outputs that were recorded as videos."""
        return tuple(one.name for one in self._handover.expected.outputs if one.kind == "video")

    def leave_second_calls(self, calls: Sequence[SecondCall]) -> None:
        """Leave what the second calls gave, where there were any, for the replay to compare."""
        if calls:
            self._handover.leave_second_calls(calls)


def find_replayed(*, ordinal: int, process: str | None = None) -> Replayed:
    """Find out whether a `track()` block is replayed, and return what puts back what was recorded of it.

    Args:
        ordinal: which block of the process this is, from 0.
        process: which of the processes of the command this is, as `Command.process` has it.
    """
    folder = replay_folder()
    if folder is None:
        return Replayed()
    handover = Handover.find(folder, ordinal=ordinal, process=process)
    name = "-".join(["other-block", *(process or "").split(), str(ordinal)])
    if handover:
        return ReplayedBlock(handover)
    return OtherBlock(folder / name, root=read_record(folder / RECORD_NAME).seeds.earlier.get(str(ordinal)))


def _key_weights(
    components: Sequence[Component], adapter_files: Sequence[WeightFile], others: Sequence[WeightFile]
) -> dict[tuple[str, str], tuple[str, WeightFile]]:
    """Return weight files by what they are for, with their paths: a component's by its name and theirs, an adapter's by
    its place in the order, because a cache names the file otherwise elsewhere, any other one by its name."""
    keyed = {
        (part.name, Path(weight.path).name): (f"{weight.folder or part.location}/{weight.path}", weight)
        for part in components
        for weight in part.weights
    }
    keyed |= {("adapter", str(index)): (weight.path, weight) for index, weight in enumerate(adapter_files)}
    for weight in others:
        number = sum(1 for owner, name in keyed if owner.startswith("other") and name == weight.path)
        keyed["other" + "'" * number, weight.path] = (f"{weight.folder}/{weight.path}", weight)
    return keyed


def _find_wrong(
    wanted: Mapping[tuple[str, str], tuple[str, WeightFile]], present: Mapping[tuple[str, str], tuple[str, WeightFile]]
) -> tuple[str, WeightFile, WeightFile] | None:
    """Find a weight file that is not the recorded one: its path, the recorded one, and it. A component whose files have
    other names is wrong where it has none of the recorded ones."""
    for key, (shown, weight) in present.items():
        if key in wanted and weight.sha256 != wanted[key][1].sha256:
            return shown, wanted[key][1], weight
    for owner in {owner for owner, _ in present if not owner.startswith("other")}:
        recorded = [weight for (name, _), (_, weight) in wanted.items() if name == owner]
        actual = [(shown, weight) for (name, _), (shown, weight) in present.items() if name == owner]
        if recorded and not {one.sha256 for one in recorded} & {weight.sha256 for _, weight in actual}:
            return actual[0][0], recorded[0], actual[0][1]
    return None


def _render_digest(weight: WeightFile) -> str:
    return f"sha256 {weight.sha256}" + (f", commit {weight.commit} of {weight.repo_id}" if weight.commit else "")
