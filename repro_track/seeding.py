"""Seeds, one CPU generator per image, generator states, and the guard on the global generators.

It never draws a number that a run would see, and leaves every global generator as it found it.
"""

from __future__ import annotations

import contextlib
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from repro_track.config import SEED_LIMIT, check_seed
from repro_track.errors import UsageError, first_line
from repro_track.fingerprint import digest_tensor
from repro_track.record import Generator as GeneratorPart
from repro_track.record import GeneratorMaker, GlobalGenerator, Unavailable

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


def name_call(index: int) -> str:
    """Name a call, as its generators' names begin in a record."""
    return f"call{index}"


def name_global(call: int, generator: str) -> str:
    """Name the state of a global generator when a call began.

    >>> name_global(0, "torch")
    'call0.global.torch'
    """
    return f"{name_call(call)}.global.{generator}"


@dataclass
class GeneratorWatch:
    """Generators as they were given to a pipeline; `finish` reads them again."""

    prefix: str
    generators: list[torch.Generator]
    made_by: GeneratorMaker
    states: dict[str, np.ndarray] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        for index, generator in enumerate(self.generators):
            self.states[self._name(index)] = read_state(generator)
            self.seeds.append(generator.initial_seed())

    def _name(self, index: int) -> str:
        return f"{self.prefix}.generator{index}"

    @contextlib.contextmanager
    def rewound(self) -> Iterator[None]:
        """Put every generator back to where `finish` says that the call began, and afterwards to where it ended."""
        states = [self.states[f"{self._name(index)}.before"] for index in range(len(self.generators))]
        ends = [read_state(generator) for generator in self.generators]
        for generator, state in zip(self.generators, states, strict=True):
            restore_state(generator, state)
        try:
            yield
        finally:
            for generator, state in zip(self.generators, ends, strict=True):
                restore_state(generator, state)

    def finish(self) -> tuple[GeneratorPart, ...]:
        """Read the states after the call and give the record's parts; `states` then holds both, for safetensors."""
        parts = []
        for index, generator in enumerate(self.generators):
            name = self._name(index)
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
                )
            )
        return tuple(parts)


# --- the global generators ----------------------------------------------------------------------------------------


def read_globals() -> dict[str, Any]:
    """Read the state of every global generator of this process: Python's, NumPy's, torch's, one per GPU in use."""
    import torch

    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        for index, state in enumerate(torch.cuda.get_rng_state_all()):
            states[f"cuda:{index}"] = state
    return states


def is_same_state(one: Any, other: Any) -> bool:
    """Whether two states of one kind, as `read_globals` gives them, are equal.

    >>> is_same_state(random.getstate(), random.getstate()), is_same_state(None, random.getstate())
    (True, False)
    """
    if one is None or other is None:
        return one is other
    if hasattr(one, "equal"):
        return bool(one.equal(other))
    # NumPy's is a tuple with an array in it, Python's one of numbers
    return len(one) == len(other) and all(np.array_equal(left, right) for left, right in zip(one, other, strict=True))


def list_moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """List the global generators whose state is another one now; a GPU's that came into use meanwhile is not known."""
    return [name for name in before if name in after and not is_same_state(before[name], after[name])]


def pack_globals(states: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Give global states as arrays by name (`torch`, `numpy`, `python`, `cuda:0`), for safetensors."""
    packed = {}
    for name, state in states.items():
        if name == "python":
            version, numbers, gauss = state
            packed[name] = np.array([version, *numbers, np.nan if gauss is None else gauss], dtype=np.float64)
        elif name == "numpy":
            _, keys, position, has_gauss, cached = state
            packed[name] = np.array([*keys, position, has_gauss, cached], dtype=np.float64)
        else:
            packed[name] = state.cpu().numpy().copy()
    return packed


def restore_globals(packed: Mapping[str, np.ndarray]) -> None:
    """Put global states back that `pack_globals` gave; those that are not among them stay as they are."""
    import torch

    states = read_globals()
    for name, array in packed.items():
        if name == "python":
            version, *numbers, gauss = array.tolist()
            states[name] = (int(version), tuple(map(int, numbers)), None if np.isnan(gauss) else gauss)
        elif name == "numpy":
            *keys, position, has_gauss, cached = array.tolist()
            states[name] = ("MT19937", np.array(keys, dtype=np.uint32), int(position), int(has_gauss), cached)
        elif name in states:
            states[name] = torch.from_numpy(np.array(array, dtype=np.uint8))
    _write_globals(states)


def _write_globals(states: dict[str, Any]) -> None:
    import torch

    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    # a GPU that came into use meanwhile has no former state: it gets the seed that torch.manual_seed gave before
    torch.cuda.manual_seed_all(torch.initial_seed())
    for name, state in states.items():
        if name.startswith("cuda:"):
            torch.cuda.set_rng_state(state, int(name.removeprefix("cuda:")))


def _seed_globals(seed: int) -> None:
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # every GPU's too


def _digest_state(state: Any) -> str:
    """Digest a state of any of the four kinds by its numbers."""
    if hasattr(state, "numpy"):
        return digest_tensor(state.cpu().numpy())
    flat: list[int] = []
    for part in state:
        if isinstance(part, (tuple, np.ndarray)):
            flat.extend(int(number) for number in part)
        elif isinstance(part, (int, float)):
            flat.append(hash(part))
    return digest_tensor(np.array(flat, dtype=np.int64))


class GlobalsWatch:
    """What `guarded_globals` saw; `check` may be asked at any moment inside."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._before = {name: _digest_state(state) for name, state in read_globals().items()}

    def check(self) -> tuple[GlobalGenerator, ...]:
        """Say of each global generator whether something drew from it since the run began."""
        now = {name: _digest_state(state) for name, state in read_globals().items()}
        parts = []
        for name in dict.fromkeys([*self._before, *now]):
            before, after = self._before.get(name) or self._digest_seeded(name), now.get(name)
            unreadable = Unavailable(unavailable="the generator was gone at the end of the run")
            parts.append(
                GlobalGenerator(
                    name=name,
                    state_before=before,
                    state_after=after or unreadable,
                    moved=after is not None and after != before,
                )
            )
        return tuple(parts)

    def _digest_seeded(self, device: str) -> str:
        """Digest the state that a GPU's generator began with which came into use after the globals were seeded."""
        return _digest_state(make_generators([self._seed], device=device)[0].get_state())


@contextlib.contextmanager
def rewound_globals(states: dict[str, Any]) -> Iterator[None]:
    """Put the global generators back to what `read_globals` gave before, and afterwards to where they are now."""
    ends = read_globals()
    _write_globals(states)
    try:
        yield
    finally:
        _write_globals(ends)


@contextlib.contextmanager
def guarded_globals(seed: int) -> Iterator[GlobalsWatch]:
    """Seed Python's, NumPy's and torch's global generators, watch them, and put their former states back.

    A draw from a global generator is found by its state, whoever drew, also from another thread. `default_rng()`, an
    own unseeded generator and `os.urandom` are not seen (FIELD.md, section 3).
    """
    former = read_globals()
    _seed_globals(seed)
    try:
        yield GlobalsWatch(seed)
    finally:
        _write_globals(former)
