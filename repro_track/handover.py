"""The folder between a replay and its child process: what is expected goes in, the child's own run comes out.

The process border is the data border: nothing else passes. It never decides what is restored, the plan does.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_track import inputs, pipeline, seeding
from repro_track.compare import Focus
from repro_track.config import replay_folder
from repro_track.errors import ReplayError
from repro_track.factors import DEFAULT, Choice, name_numeric
from repro_track.fingerprint import load_tensors
from repro_track.record import (
    RECORD_NAME,
    Component,
    PipelineCall,
    RunRecord,
    TraceLevel,
    WeightFile,
    read_record,
    render_record,
)

if TYPE_CHECKING:
    import torch

_SETTINGS_NAME = "handover.json"
_SECOND_NAME = "second_calls.json"
_STATES = "generator_states.safetensors"


@dataclass(frozen=True)
class Settings:
    """What the child does beyond running again.

    `trace` goes before the run's own level; `inputs`: modules' inputs are digested too; `twice`: every pipeline is
    called a second time with the same generators; `foreign`: the clone, from which nothing should be imported. `focus`: the
    one call, the one image that is looked at. `changes`: this is no replay but a variation, the run with these `KEY=VALUE`.
    """

    trace: TraceLevel | None = None
    inputs: bool = False
    twice: bool = False
    foreign: str | None = None
    focus: Focus = field(default_factory=Focus)
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SecondCall:
    """A pipeline's second call in one process: its trace, and the digests of its outputs by name."""

    call: PipelineCall
    digests: dict[str, str]


@dataclass(frozen=True)
class Handover:
    """One hand-over folder."""

    folder: Path
    expected: RunRecord
    choice: Choice = DEFAULT
    settings: Settings = Settings()

    @property
    def result_folder(self) -> Path:
        """Where the child leaves its run, as it would be logged."""
        return self.folder / "result"

    @property
    def states_path(self) -> Path:
        """Where the recorded generator states are."""
        return self.folder / _STATES

    def write(self) -> None:
        """Write what the child needs."""
        (self.folder / RECORD_NAME).write_text(render_record(self.expected), encoding="utf-8")
        settings = {"current": sorted(self.choice.current), "settings": asdict(self.settings)}
        (self.folder / _SETTINGS_NAME).write_text(json.dumps(settings), encoding="utf-8")

    @classmethod
    def find(cls, *, ordinal: int) -> Handover | None:
        """Find the hand-over if this process is a replay's child and this is the `track()` block that is replayed."""
        folder = replay_folder()
        if folder is None:
            return None
        expected = read_record(folder / RECORD_NAME)
        if expected.command.ordinal != ordinal:
            return None
        given: dict[str, Any] = json.loads((folder / _SETTINGS_NAME).read_text(encoding="utf-8"))
        settings = {
            **given["settings"],
            "focus": Focus(**given["settings"]["focus"]),
            "changes": tuple(given["settings"]["changes"]),
        }
        return cls(folder, expected, Choice(frozenset(given["current"])), Settings(**settings))

    @property
    def replay_of(self) -> str | None:
        """The record that is replayed; null for a variation, which is a run of its own."""
        return None if self.settings.changes else self.expected.record_id

    def list_settings_to_restore(self) -> dict[str, Any]:
        """List the recorded numeric settings that are to be imposed."""
        state = self.expected.numerics.state
        return {name: value for name, value in state.items() if self.choice.restores(name_numeric(name))}

    def choose_seeds(self) -> tuple[int, tuple[int, ...] | None]:
        """Give the recorded root seed, and the explicit seeds where the run had any."""
        seeds = self.expected.seeds
        counted = tuple(range(seeds.root, seeds.root + len(seeds.images)))
        return seeds.root, None if seeds.images == counted else seeds.images

    def find_call(self, index: int) -> PipelineCall | None:
        """Find a recorded call; null: the recorded run had none of that number."""
        return next((one for one in self.expected.calls if one.index == index), None)

    def _recorded_components(self, call: int) -> dict[str, Component]:
        recorded = self.find_call(call)
        return {part.name: part for part in recorded.components} if recorded else {}

    def restore_arguments(self, given: Mapping[str, Any], *, call: int) -> dict[str, Any]:
        """Give a call's arguments with its recorded inputs.

        What was loaded from a path or URL always comes from the record, so that the file is not needed. What the code
        made itself is as it makes it now, unless inputs are to be restored, or this call is replayed alone.

        Raises:
            ReplayError: an input's file is missing or altered.
        """
        recorded = self.find_call(call)
        if recorded is None:
            return dict(given)
        every = self.choice.restores("inputs") or self.settings.focus.call == call
        changed = {change.partition("=")[0].removeprefix("call.") for change in self.settings.changes}
        return inputs.restore_inputs(
            given,
            recorded=recorded.arguments,
            inputs=recorded.inputs,
            folder=self.folder,
            wanted=lambda one: (every or one.origin is not None) and one.name.partition(".")[0] not in changed,
        )

    @contextlib.contextmanager
    def restored_schedulers(self, pipe: Any, *, call: int) -> Iterator[None]:
        """Give a pipeline its recorded schedulers for one call, where those are to be restored."""
        former = {}
        for name, part in self._recorded_components(call).items():
            if name.endswith("scheduler") and self.choice.restores(f"pipeline:{name}"):
                former[name] = getattr(pipe, name)
                setattr(pipe, name, pipeline.build_recorded_scheduler(part))
        try:
            yield
        finally:
            for name, scheduler in former.items():
                setattr(pipe, name, scheduler)

    def check_weights(self, components: Sequence[Component], adapter_files: Sequence[WeightFile], *, call: int) -> None:
        """See, before the pipeline runs, that the weight files it was loaded from are the recorded ones.

        Raises:
            ReplayError: one is not, and weights are to be restored.
        """
        if not self.choice.restores("weights"):
            return
        recorded = self.find_call(call)
        if recorded is None:
            return
        wanted = _key_weights(recorded.components, recorded.adapter_files)
        for key, (shown, weight) in _key_weights(components, adapter_files).items():
            if key in wanted and weight.sha256 != wanted[key][1].sha256:
                raise ReplayError(
                    f"the weights {shown} are not the recorded ones: {weight.sha256}",
                    expected=f"sha256 {wanted[key][1].sha256}",
                    advice="bring the file back, or replay with what is there: --weights current",
                )

    def list_foreign_modules(self) -> list[str]:
        """Say which modules came from the clone although its source was restored elsewhere: then it was not that source
        that ran."""
        if self.settings.foreign is None:
            return []
        root = Path(self.settings.foreign)
        files = {name: Path(getattr(module, "__file__", None) or "") for name, module in list(sys.modules.items())}
        # this program itself may be developed in the clone, and an environment may lie in it
        inside = [
            name
            for name, file in files.items()
            if file.is_relative_to(root) and "site-packages" not in file.parts and not name.startswith("repro_track")
        ]
        return [f"{inside[0]} was imported from {root}, not from the restored source"] if inside else []

    def leave_second_calls(self, calls: Sequence[SecondCall]) -> None:
        """Leave what the second calls gave, for the replay to compare."""
        data = [{"call": one.call.model_dump(mode="json"), "digests": one.digests} for one in calls]
        (self.folder / _SECOND_NAME).write_text(json.dumps(data), encoding="utf-8")

    def read_second_calls(self) -> list[SecondCall]:
        """Read what `leave_second_calls` left."""
        path = self.folder / _SECOND_NAME
        data = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        return [SecondCall(PipelineCall.model_validate(one["call"]), one["digests"]) for one in data]

    def restore_globals(self, *, call: int) -> None:
        """Put back the global generators as they were when a call began that is replayed alone."""
        if self.settings.focus.call != call or not self.states_path.is_file():
            return
        prefix = seeding.name_global(call, "")
        states = {name: state.to_numpy() for name, state in load_tensors(self.states_path).items()}
        seeding.restore_globals(
            {name.removeprefix(prefix): state for name, state in states.items() if name.startswith(prefix)}
        )

    def restore_generators(self, generators: Sequence[torch.Generator], *, call: int) -> None:
        """Put back the recorded state of generators that were seeded from entropy: the script cannot repeat those.

        A generator with a seed of its own is left alone, because another seed in the code is a difference to be found;
        unless seeds are restored, to see whether it is they that make the difference, or the call is replayed alone.
        """
        prefix = seeding.name_call(call)
        every = self.choice.restores("seeds") or self.settings.focus.call == call
        drawn = [index for index, one in enumerate(generators) if every or seeding.is_drawn_from_entropy(one)]
        if not drawn or not self.states_path.is_file():
            return
        states = load_tensors(self.states_path)
        for index in drawn:
            state = states.get(f"{prefix}.generator{index}.before")
            if state is not None:
                seeding.restore_state(generators[index], state.to_numpy())


def _key_weights(
    components: Sequence[Component], adapter_files: Sequence[WeightFile]
) -> dict[tuple[str, str], tuple[str, WeightFile]]:
    """Give weight files by what they are for, with their paths: a component's by name, an adapter's by its place in the
    order, because a cache names the file otherwise elsewhere."""
    keyed = {
        (part.name, weight.path): (f"{part.location}/{weight.path}", weight)
        for part in components
        for weight in part.weights
    }
    return keyed | {("adapter", str(index)): (weight.path, weight) for index, weight in enumerate(adapter_files)}
