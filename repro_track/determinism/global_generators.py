"""The global generators of Python, NumPy and torch: seeded, watched, rewound, kept as arrays.

It never draws a number that a run would see, and leaves every global generator as it found it.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from repro_track.determinism.generators import make_generators
from repro_track.record.schema import GlobalGenerator, Unavailable
from repro_track.tensors.digests import digest_tensor


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
    # NumPy's is a tuple with an array in it, Python's one of numbers, which compare much faster as they are
    return len(one) == len(other) and all(
        np.array_equal(left, right) if isinstance(left, np.ndarray) else left == right
        for left, right in zip(reversed(one), reversed(other), strict=True)
    )


def list_moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the names of the global generators that moved. A GPU first used in between has no earlier state and is
    skipped."""
    return [name for name in before if name in after and not is_same_state(before[name], after[name])]


def pack_globals(states: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return global states as arrays by name (`torch`, `numpy`, `python`, `cuda:0`), for safetensors."""
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
    """Put back the global states that `pack_globals` packed; generators that are not among them stay as they are."""
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
    write_globals(states)


def write_globals(states: Mapping[str, Any]) -> None:
    """Put the global generators to states that `read_globals` returned."""
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
        """Return of each global generator whether something drew from it since the run began."""
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
    """Put the global generators back to states that `read_globals` returned, and at the end to where they are now."""
    ends = read_globals()
    write_globals(states)
    try:
        yield
    finally:
        write_globals(ends)


@contextlib.contextmanager
def guarded_globals(seed: int) -> Iterator[GlobalsWatch]:
    """Seed Python's, NumPy's and torch's global generators, watch them, and put their former states back.

    A draw from a global generator is found by its state, whoever drew, also from another thread. `default_rng()`, an
    own unseeded generator and `os.urandom` are not seen.
    """
    former = read_globals()
    _seed_globals(seed)
    try:
        yield GlobalsWatch(seed)
    finally:
        write_globals(former)
