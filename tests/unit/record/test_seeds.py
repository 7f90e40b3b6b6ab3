"""Promises of seeds.py: the seed that a record says is the one that made the picture, whoever made the generator."""

import pytest

from repro_track.record.schema import Generator
from repro_track.record.seeds import (
    choose_generator,
    find_main_seed,
    list_drawn,
    list_image_generators,
    list_image_seeds,
    render_seeds,
)


def make_generator(index, seed, *, call=0, made_by="repro_track", advanced=False):
    return Generator(
        name=f"call{call}.generator{index}", device="cpu", initial_seed=seed, state_before="a", state_after="b",
        made_by=made_by, advanced=advanced,
    )  # fmt: skip


@pytest.fixture
def make_seeded(make_record):
    """Make the record of a run whose outputs came from these generators: `images.0`, `images.1` and so on, a call
    each with as many outputs as `images` says."""

    def make(generators, *, images=(2,), old=False, root=3, origin="given"):
        record = make_record()
        outputs = []
        for call, number in enumerate(images):
            own = [one for one in generators if one.name.startswith(f"call{call}.")]
            for index in range(number):
                name = f"images.{index}" if call == 0 else f"call{call}.images.{index}"
                one = choose_generator(name, own)
                seed = None if old or one is None else one.initial_seed
                outputs.append(record.outputs[0].model_copy(update={"name": name, "seed": seed}))
        seeds = record.seeds.model_copy(update={"generators": tuple(generators), "root": root, "origin": origin})
        return record.model_copy(update={"outputs": tuple(outputs), "seeds": seeds})

    return make


@pytest.mark.parametrize("old", [False, True])
def test_each_image_has_its_own_seed(make_seeded, old):
    """`seed=40 num_images=9`: image 4 has seed 44, in a record of before, too, that did not say it of the output."""
    record = make_seeded([make_generator(index, 40 + index) for index in range(9)], images=(9,), root=40, old=old)
    assert list_image_seeds(record) == {f"images.{index}": 40 + index for index in range(9)}
    assert render_seeds(record) == "40 to 48 (given)"
    assert find_main_seed(record) == 40


def test_a_generator_of_ones_own_is_what_made_the_picture(make_seeded):
    """The run's own root seed seeded the global generators and made no picture; an advanced generator is said to be
    one."""
    for advanced, words in ((False, "7 (your own generator)"), (True, "7, advanced (your own generator)")):
        own = make_generator(0, 7, made_by="caller", advanced=advanced)
        record = make_seeded([own], images=(1,), root=1)
        assert (render_seeds(record), find_main_seed(record)) == (words, 7)
    assert find_main_seed(make_seeded([make_generator(0, 1)], images=(1,), root=1)) == 1


def test_one_generator_makes_all_images(make_seeded):
    """It is the seed of each of them; of outputs that cannot be told apart from several there is none."""
    record = make_seeded([make_generator(0, 7, made_by="caller")], images=(3,))
    assert list_image_seeds(record) == dict.fromkeys(("images.0", "images.1", "images.2"), 7)
    two = [make_generator(0, 1), make_generator(1, 2)]
    assert [choose_generator(name, two) for name in ("images.1", "latents", "images.2")] == [two[1], None, None]
    assert choose_generator("images.0", []) is None


def test_every_call_has_its_own(make_seeded):
    """The first one's generator is the caller's, the second one's were made: both are said."""
    generators = [make_generator(0, 7, made_by="caller"), make_generator(0, 1, call=1), make_generator(1, 2, call=1)]
    record = make_seeded(generators, images=(1, 2), root=1, origin="entropy")
    assert list_image_seeds(record) == {"images.0": 7, "call1.images.0": 1, "call1.images.1": 2}
    assert render_seeds(record) == "1, 2 (entropy); 7 (your own generator)"
    assert [one.initial_seed for one in list_drawn(record)] == [7, 1, 2]


def test_an_output_of_the_runs_own_has_no_seed(make_seeded):
    """`add_output` gives what no generator made, although it stands beside what one did."""
    record = make_seeded([make_generator(0, 7)], images=(1,))
    own = record.outputs[0].model_copy(update={"name": "score", "seed": None})
    record = record.model_copy(update={"outputs": (*record.outputs, own)})
    assert list(list_image_generators(record)) == ["images.0"]


def test_a_run_without_generators_has_its_root_seed(make_seeded):
    """It seeds the global generators."""
    record = make_seeded([], images=(1,), root=5, origin="entropy")
    assert (render_seeds(record), find_main_seed(record), list_image_seeds(record)) == ("5 (entropy)", 5, {})
