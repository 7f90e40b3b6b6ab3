"""Promises of global_generators.py: a draw from each is seen, and all are put back."""

import random
import threading

import numpy as np
import pytest
import torch

from repro_track.determinism.generators import (
    make_generators,
)
from repro_track.determinism.global_generators import (
    guarded_globals,
    pack_globals,
    read_globals,
    restore_globals,
)


def test_global_states_survive_a_file(tmp_path):
    """States that were packed for safetensors and put back continue every stream; another state would not."""
    from repro_track.tensors.host import load_tensors, save_tensors

    np.random.randn()  # leaves a cached second value
    random.gauss(0, 1)
    save_tensors(tmp_path / "states.safetensors", pack_globals(read_globals()))
    expected = [random.gauss(0, 1), np.random.randn(), torch.rand(1).item()]
    other = [random.gauss(0, 1), np.random.randn(), torch.rand(1).item()]
    states = load_tensors(tmp_path / "states.safetensors")
    restore_globals({name: state.to_numpy() for name, state in states.items()})
    assert [random.gauss(0, 1), np.random.randn(), torch.rand(1).item()] == expected != other


def draw(generator, number=64):
    return torch.randn(number, generator=generator)


DRAWS = {
    "python": random.random,
    "numpy": np.random.rand,
    "torch": lambda: torch.rand(1),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_from_a_global_generator_is_seen(name):
    """A draw from one global generator marks that one and no other, also from a thread."""
    for caller in (lambda draw: draw(), lambda draw: _in_thread(draw)):
        with guarded_globals(0) as watch:
            caller(DRAWS[name])
            assert [one.name for one in watch.check() if one.moved] == [name]


def _in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_no_draw_is_seen_where_there_is_none():
    """A recorded generator of one's own moves no global one."""
    with guarded_globals(0) as watch:
        draw(make_generators([0])[0])
        assert not any(one.moved for one in watch.check())


def test_globals_are_seeded_and_put_back():
    """Inside, the globals come from the seed; afterwards they continue as if nothing had been."""
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = [random.random(), np.random.rand(), torch.rand(1).item()]
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    inside = []
    for seed in (1, 1, 2):
        with guarded_globals(seed):
            inside.append([random.random(), np.random.rand(), torch.rand(1).item()])
    assert inside[0] == inside[1] != inside[2]
    assert [random.random(), np.random.rand(), torch.rand(1).item()] == expected


def test_globals_are_put_back_after_an_error():
    """A run that fails leaves the global generators as it found them."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), guarded_globals(1):
        torch.rand(1)
        raise RuntimeError
    assert torch.equal(torch.get_rng_state(), before)
