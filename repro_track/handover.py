"""The folder between a replay and its child process: what is expected goes in, the child's own run comes out.

The process border is the data border: nothing else passes. It never decides what is restored, the plan does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro_track import seeding
from repro_track.config import replay_folder
from repro_track.fingerprint import load_tensors
from repro_track.record import CONFIG_NAME, RECORD_NAME, RunRecord, read_record, render_record

if TYPE_CHECKING:
    import torch

_SETTINGS_NAME = "handover.json"
_STATES = "generator_states.safetensors"


@dataclass(frozen=True)
class Handover:
    """One hand-over folder."""

    folder: Path
    expected: RunRecord
    restores_numerics: bool

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
        import yaml

        (self.folder / RECORD_NAME).write_text(render_record(self.expected), encoding="utf-8")
        resolved = self.expected.config.resolved
        (self.folder / CONFIG_NAME).write_text(yaml.safe_dump(resolved, sort_keys=False), encoding="utf-8")
        settings = {"restores_numerics": self.restores_numerics}
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
        settings: dict[str, Any] = json.loads((folder / _SETTINGS_NAME).read_text(encoding="utf-8"))
        return cls(folder, expected, settings["restores_numerics"])

    def restore_generators(self, generators: Sequence[torch.Generator], *, prefix: str) -> None:
        """Put back the recorded state of generators that were seeded from entropy: the script cannot repeat those.

        A generator with a seed of its own is left alone: another seed in the code is a difference to be found.
        """
        drawn = [index for index, generator in enumerate(generators) if seeding.is_drawn_from_entropy(generator)]
        if not drawn or not self.states_path.is_file():
            return
        states = load_tensors(self.states_path)
        for index in drawn:
            state = states.get(f"{prefix}.generator{index}.before")
            if state is not None:
                seeding.restore_state(generators[index], state.to_numpy())
