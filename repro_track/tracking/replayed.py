"""What a replay puts back in the run of its child process: seeds, settings, inputs, schedulers, states of generators.

It never decides what is restored: the plan did. An ordinary run has none of it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_track.determinism.generators import is_drawn_from_entropy, restore_state
from repro_track.determinism.global_generators import restore_globals
from repro_track.errors import ReplayError
from repro_track.media.inputs import restore_inputs
from repro_track.pipelines.build import build_recorded_scheduler
from repro_track.record.handover import Handover
from repro_track.record.names import name_call, name_global
from repro_track.record.places import name_numeric
from repro_track.record.schema import Component, WeightFile
from repro_track.tensors.host import load_tensors

if TYPE_CHECKING:
    import torch


class Replayed(Handover):
    """What a replay's child is to put back, from the hand-over of its replay."""

    def list_settings_to_restore(self) -> dict[str, Any]:
        """List the recorded numeric settings that are to be imposed."""
        state = self.expected.numerics.state
        return {name: value for name, value in state.items() if self.choice.restores(name_numeric(name))}

    def choose_seeds(self) -> tuple[int, tuple[int, ...] | None]:
        """Return the recorded root seed, and the explicit seeds where the run had any."""
        seeds = self.expected.seeds
        counted = tuple(range(seeds.root, seeds.root + len(seeds.images)))
        return seeds.root, None if seeds.images == counted else seeds.images

    def _recorded_components(self, call: int) -> dict[str, Component]:
        recorded = self.find_call(call)
        return {part.name: part for part in recorded.components} if recorded else {}

    def restore_arguments(self, given: Mapping[str, Any], *, call: int) -> dict[str, Any]:
        """Return a call's arguments with its recorded inputs.

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
        return restore_inputs(
            given,
            recorded=recorded.arguments,
            inputs=recorded.inputs,
            folder=self.folder,
            wanted=lambda one: (every or one.origin is not None) and one.name.partition(".")[0] not in changed,
        )

    @contextlib.contextmanager
    def restored_schedulers(self, pipe: Any, *, call: int) -> Iterator[None]:
        """Return a pipeline its recorded schedulers for one call, where those are to be restored."""
        former = {}
        for name, part in self._recorded_components(call).items():
            if name.endswith("scheduler") and self.choice.restores(f"pipeline:{name}"):
                former[name] = getattr(pipe, name)
                setattr(pipe, name, build_recorded_scheduler(part))
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

    def restore_globals(self, *, call: int) -> None:
        """Put back the global generators as they were when a call began that is replayed alone."""
        if self.settings.focus.call != call or not self.states_path.is_file():
            return
        prefix = name_global(call, "")
        states = {name: state.to_numpy() for name, state in load_tensors(self.states_path).items()}
        restore_globals({name.removeprefix(prefix): state for name, state in states.items() if name.startswith(prefix)})

    def restore_generators(self, generators: Sequence[torch.Generator], *, call: int) -> None:
        """Put back the recorded state of generators that were seeded from entropy: the script cannot repeat those.

        A generator with a seed of its own is left alone, because another seed in the code is a difference to be found;
        unless seeds are restored, to see whether it is they that make the difference, or the call is replayed alone.
        """
        prefix = name_call(call)
        every = self.choice.restores("seeds") or self.settings.focus.call == call
        drawn = [index for index, one in enumerate(generators) if every or is_drawn_from_entropy(one)]
        if not drawn or not self.states_path.is_file():
            return
        states = load_tensors(self.states_path)
        for index in drawn:
            state = states.get(f"{prefix}.generator{index}.before")
            if state is not None:
                restore_state(generators[index], state.to_numpy())


def _key_weights(
    components: Sequence[Component], adapter_files: Sequence[WeightFile]
) -> dict[tuple[str, str], tuple[str, WeightFile]]:
    """Return weight files by what they are for, with their paths: a component's by name, an adapter's by its place in
    the order, because a cache names the file otherwise elsewhere."""
    keyed = {
        (part.name, weight.path): (f"{part.location}/{weight.path}", weight)
        for part in components
        for weight in part.weights
    }
    return keyed | {("adapter", str(index)): (weight.path, weight) for index, weight in enumerate(adapter_files)}
