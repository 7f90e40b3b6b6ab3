"""What a run has kept so far: its calls, outputs, draws. It only grows.

It never changes what it was given, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from repro_track.record.handover import SecondCall
from repro_track.record.names import name_call
from repro_track.record.schema import Generator, Output, PipelineCall, Unavailable
from repro_track.tensors.host import HostTensor
from repro_track.tracking.call_recorder import Draw, RecordedCall
from repro_track.tracking.folder import SHEET_LIMIT, KeptOutput


@dataclass
class Kept:
    """Everything that a run has kept, in the order in which it came.

    Attributes:
        calls: parts of the record.
        generators: parts of the record, of all calls.
        outputs: parts of the record, of all calls and the run's own.
        draws: places by global generator, each place once, in the order in which they were first seen.
        loading_draws: the global generators that were drawn from while a pipeline was loaded.
        has_own: whether there is an output that no call made.
        unknown: why the run cannot be replayed or an output not be compared, a sentence each.
        cautions: what may make a replay differ, a sentence each.
        tensors: the exact values of outputs by name.
        states: of generators by name.
        latents: the last ones by the name of the call.
        second_calls: what pipelines gave when they were called again.
        pictures: those on the sheet, (height, width, channels).
        picture_seeds: their seeds.
    """

    calls: list[PipelineCall] = field(default_factory=list)
    generators: list[Generator] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    draws: dict[str, list[str]] = field(default_factory=dict)
    loading_draws: set[str] = field(default_factory=set)
    has_own: bool = False
    unknown: list[str] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    tensors: dict[str, HostTensor] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    latents: dict[str, HostTensor] = field(default_factory=dict)
    second_calls: list[SecondCall] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)
    picture_seeds: list[int | None] = field(default_factory=list)

    def add_call(self, recorded: RecordedCall) -> None:
        """Add what is known of a call, with its outputs and draws."""
        self.generators.extend(recorded.generators)
        self.states.update(recorded.states)
        if recorded.part is not None:
            self.calls.append(recorded.part)
            if recorded.latents is not None:
                self.latents[name_call(recorded.part.index)] = recorded.latents
        if recorded.second is not None:
            self.second_calls.append(recorded.second)
        self.cautions.extend(recorded.cautions)
        self.unknown.extend(recorded.unknown)
        self.add_draws(recorded.draws)
        self.add_outputs(recorded.outputs)

    def add_own(self, kept: KeptOutput) -> None:
        """Add an output that no call made."""
        self.has_own = True
        self.add_outputs([kept])

    def add_outputs(self, kept: Iterable[KeptOutput]) -> None:
        """Add outputs of a call; of those that cannot be compared, the reason."""
        for one in kept:
            if isinstance(one.part, Unavailable):
                self.unknown.append(one.part.unavailable)
                continue
            self.outputs.append(one.part)
            if one.tensor is not None:
                self.tensors[one.part.name] = one.tensor
            if one.picture is not None and len(self.pictures) < SHEET_LIMIT:
                self.pictures.append(one.picture)
                self.picture_seeds.append(one.part.seed)

    def add_draws(self, draws: Iterable[Draw]) -> None:
        """Add draws from global generators."""
        for one in draws:
            places = self.draws.setdefault(one.generator, [])
            if one.place not in places:
                places.append(one.place)
