"""Seeds, and one torch generator for each image.

It never draws a number that a run would see.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from repro_track.config.schema import SEED_LIMIT, check_seed
from repro_track.errors import UsageError, first_line
from repro_track.record.schema import Generator as GeneratorPart
from repro_track.record.schema import GeneratorMaker
from repro_track.tensors.digests import digest_tensor

if TYPE_CHECKING:
    import torch


def draw_seed() -> int:
    """Draw a root seed from the system's entropy, one that torch keeps whole."""
    return secrets.randbelow(SEED_LIMIT)


def make_image_seeds(root: int, *, num_images: int, seeds: Sequence[int] | None = None) -> tuple[int, ...]:
    """Make the seed of each image: `root + i`, or the explicit list.

    Raises:
        UsageError: a seed beyond 32 bits, or a number of images below one.

    >>> make_image_seeds(3, num_images=2)
    (3, 4)
    """
    if seeds is not None:
        if not seeds:
            raise UsageError("seeds is an empty list", expected="one seed for each image, or null")
        return tuple(check_seed(seed, name=f"seeds[{index}]") for index, seed in enumerate(seeds))
    if num_images < 1:
        raise UsageError(f"num_images is {num_images}", expected="1 or more")
    return tuple(check_seed(root + index, name=f"the seed of image {index}") for index in range(num_images))


def make_generators(seeds: Sequence[int], *, device: str = "cpu") -> list[torch.Generator]:
    """Make one generator for each image.

    Raises:
        UsageError: this torch cannot make a generator on that device.
    """
    import torch

    try:
        return [torch.Generator(device=device).manual_seed(seed) for seed in seeds]
    except RuntimeError as error:
        raise UsageError(
            f"a generator on {device!r} cannot be made here: {first_line(error)}",
            expected="a device that this machine has",
            advice="use generator=cpu, which gives the same noise on every device",
        ) from error


def read_state(generator: torch.Generator) -> np.ndarray:
    """Read a generator's full state as bytes, shape (state size,), uint8."""
    return generator.get_state().cpu().numpy().copy()


def restore_state(generator: torch.Generator, state: np.ndarray) -> None:
    """Put a recorded state back: the stream continues bit for bit, and `initial_seed()` comes back with it."""
    import torch

    generator.set_state(torch.from_numpy(np.array(state, dtype=np.uint8)))


def is_drawn_from_entropy(generator: torch.Generator) -> bool:
    """Whether the generator was seeded by `Generator.seed()`: only that gives seeds beyond 32 bits.

    Such a generator comes out differently each time the script runs; a replay therefore restores its state.
    """
    return generator.initial_seed() >= SEED_LIMIT


def is_advanced(generator: torch.Generator) -> bool | None:
    """Whether somebody has drawn from a generator since it was seeded; `None`: its device makes no other one."""
    import torch

    try:
        fresh = torch.Generator(device=generator.device).manual_seed(generator.initial_seed())
    except (RuntimeError, ValueError, OverflowError):
        return None
    return not np.array_equal(read_state(fresh), read_state(generator))


@dataclass
class GeneratorWatch:
    """Generators as they were given to a pipeline; `finish` reads them again."""

    prefix: str
    generators: list[torch.Generator]
    made_by: GeneratorMaker
    states: dict[str, np.ndarray] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)
    advanced: list[bool | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        for index, generator in enumerate(self.generators):
            self.states[self._name_generator(index)] = read_state(generator)
            self.seeds.append(generator.initial_seed())
            self.advanced.append(is_advanced(generator))

    def _name_generator(self, index: int) -> str:
        return f"{self.prefix}.generator{index}"

    @contextlib.contextmanager
    def rewound(self) -> Iterator[None]:
        """Put every generator back to where `finish` says that the call began, and afterwards to where it ended."""
        states = [self.states[f"{self._name_generator(index)}.before"] for index in range(len(self.generators))]
        ends = [read_state(generator) for generator in self.generators]
        for generator, state in zip(self.generators, states, strict=True):
            restore_state(generator, state)
        try:
            yield
        finally:
            for generator, state in zip(self.generators, ends, strict=True):
                restore_state(generator, state)

    def finish(self) -> tuple[GeneratorPart, ...]:
        """Read the states after the call and return the record's parts; `states` then holds both, for safetensors."""
        parts = []
        for index, generator in enumerate(self.generators):
            name = self._name_generator(index)
            before, after = self.states.pop(name), read_state(generator)
            self.states[f"{name}.before"], self.states[f"{name}.after"] = before, after
            parts.append(
                GeneratorPart(
                    name=name,
                    device=str(generator.device),
                    initial_seed=self.seeds[index],
                    state_before=digest_tensor(before),
                    state_after=digest_tensor(after),
                    made_by=self.made_by,
                    advanced=self.advanced[index],
                )
            )
        return tuple(parts)
