"""Promises of generators.py: one generator per image, states that continue bit for bit."""

import hashlib

import pytest
import torch

from repro_track.determinism.generators import (
    GeneratorWatch,
    draw_seed,
    is_advanced,
    is_drawn_from_entropy,
    make_generators,
    make_image_seeds,
    read_state,
    restore_state,
)
from repro_track.errors import UsageError


def draw(generator, number=64):
    return torch.randn(number, generator=generator)


def test_image_seeds_count_up():
    """Image i has the seed `seed + i`; an explicit list overrides it; seed 0 is a seed like any other."""
    assert make_image_seeds(0, num_images=3) == (0, 1, 2)
    assert make_image_seeds(7, num_images=9, seeds=[5, 0]) == (5, 0)


@pytest.mark.parametrize(
    "words", [{"num_images": 0}, {"num_images": 1, "seeds": []}, {"num_images": 1, "seeds": [2**32]}]
)
def test_bad_image_seeds_are_refused(words):
    """No image, an empty list, a seed beyond 32 bits: refused, as is one that counts past the limit."""
    with pytest.raises(UsageError):
        make_image_seeds(0, **words)
    with pytest.raises(UsageError, match="image 1"):
        make_image_seeds(2**32 - 1, num_images=2)


def test_the_noise_is_the_one_that_everybody_gets():
    """A CPU generator with seed 0 gives the bytes that torch 1.12 and 2.13 give on x86 with AVX2."""
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("a machine without AVX2 fills differently")
    noise = torch.randn((1, 3, 32, 32), generator=make_generators([0])[0])
    digest = hashlib.sha256(noise.numpy().tobytes()).hexdigest()
    assert digest == "79276078d05527a35911ab0b3358960e17cbeeb691c76f8b8e8cb2f78ef0126e"


def test_a_restored_state_continues_bit_for_bit():
    """A state put into another generator continues the stream and brings `initial_seed` back; a fresh seed does not."""
    first = make_generators([3])[0]
    draw(first)
    state = read_state(first)
    second = torch.Generator()
    restore_state(second, state)
    assert second.initial_seed() == 3
    assert torch.equal(draw(second), draw(first))
    assert not torch.equal(draw(make_generators([3])[0]), draw(first))


def test_entropy_is_told_from_a_seed():
    """A generator seeded by `Generator.seed()` is known as such; one with a seed of ours is not."""
    drawn = torch.Generator()
    drawn.seed()
    assert is_drawn_from_entropy(drawn)
    assert not is_drawn_from_entropy(make_generators([2**32 - 1])[0])


def test_drawn_seeds_are_kept_whole():
    """Seeds from entropy differ and are within the 32 bits that torch keeps."""
    seeds = {draw_seed() for _ in range(20)}
    assert len(seeds) > 1
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_generator_is_recorded_before_and_after():
    """The record has both states: they differ when the pipeline drew, and are equal when it did not."""
    used, unused = make_generators([1, 2])
    watch = GeneratorWatch("call0", [used, unused], made_by="caller")
    draw(used)
    first, second = watch.finish()
    assert (first.name, first.initial_seed, first.device) == ("call0.generator0", 1, "cpu")
    assert first.state_before != first.state_after
    assert second.state_before == second.state_after
    assert set(watch.states) == {f"call0.generator{i}.{when}" for i in (0, 1) for when in ("before", "after")}


def test_a_generator_that_was_drawn_from_is_known():
    """A fresh one, whoever seeded it, is not advanced; one draw makes it so, also where its state was put back."""
    generator = torch.Generator().manual_seed(7)
    assert is_advanced(generator) is False
    assert is_advanced(torch.Generator()) is False
    torch.randn(1, generator=generator)
    assert is_advanced(generator) is True
    other = torch.Generator()
    restore_state(other, read_state(generator))
    assert (is_advanced(other), other.initial_seed()) == (True, 7)
    watch = GeneratorWatch("call0", [generator, torch.Generator().manual_seed(7)], made_by="caller")
    assert [one.advanced for one in watch.finish()] == [True, False]
