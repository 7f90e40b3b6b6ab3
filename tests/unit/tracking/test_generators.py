"""Promises of generators.py: each image has its own seed and generator, and nobody's generator is replaced."""

import dataclasses

import pytest
import torch

import repro_track.tracking.generators as module
from repro_track.determinism.generators import SEED_LIMIT
from repro_track.errors import UsageError
from repro_track.record.choice import Choice
from repro_track.record.handover import Handover
from repro_track.tracking.generators import begin_seeding, watch_generators
from repro_track.tracking.replayed import Replayed, find_replayed


class TakesSeveral:
    device = "cpu"

    def __call__(self, prompt=None, generator: "torch.Generator | list[torch.Generator] | None" = None): ...


class TakesOne:
    device = "cpu"

    def __call__(self, prompt=None, generator: "torch.Generator | None" = None): ...


class TakesNone:
    device = "cpu"

    def __call__(self, prompt=None): ...


def watch(pipe, options, *, seeding=None, index=0, **bound):
    seeding = seeding or begin_seeding(options, replayed=Replayed())
    return watch_generators(pipe, bound, index=index, seeding=seeding, options=options, replayed=Replayed())


def test_the_root_is_what_was_given(make_options):
    """A seed is the root, else the first of a list; without either it is drawn, each time another one."""
    given = begin_seeding(make_options(seed=5), replayed=Replayed())
    assert (given.root, given.origin, given.images) == (5, "given", (5,))
    listed = begin_seeding(make_options(seeds=[7, 3]), replayed=Replayed())
    assert (listed.root, listed.origin, listed.images) == (7, "given", (7, 3))
    drawn = [begin_seeding(make_options(), replayed=Replayed()) for _ in range(2)]
    assert all(one.origin == "entropy" and 0 <= one.root < SEED_LIMIT for one in drawn)
    assert drawn[0].root != drawn[1].root


def test_a_replay_brings_the_recorded_root(make_options, make_replayed, record):
    """A replayed run without a seed has the recorded one; one with a seed keeps it, which is a difference to find."""
    replayed = make_replayed(choice=Choice(frozenset({"seeds"})))
    assert begin_seeding(make_options(), replayed=replayed).root == record.seeds.root
    assert begin_seeding(make_options(seed=8), replayed=replayed).root == 8


@pytest.mark.parametrize("words", [{"seed": SEED_LIMIT}, {"seed": -1}, {"seeds": []}, {"seeds": [1, SEED_LIMIT]}])
def test_a_seed_that_torch_would_cut_is_refused(make_options, words):
    """A seed beyond 32 bits and an empty list are refused."""
    with pytest.raises(UsageError):
        begin_seeding(make_options(**words), replayed=Replayed())


def test_each_image_has_its_own(make_options):
    """Two images have generators of two seeds, watched by call and image; a second call begins with the same again."""
    options = make_options(seed=3)
    first, seeding = watch(TakesSeveral(), options, prompt=["a", "b"], generator=None)
    assert [one.initial_seed() for one in first.generators] == [3, 4]
    assert seeding.images == (3, 4)
    assert first.made_by == "repro_track"
    assert list(first.states) == ["call0.generator0", "call0.generator1"]
    torch.rand(1, generator=first.generators[0])
    again, _ = watch(TakesSeveral(), options, seeding=seeding, index=1, prompt=["a", "b"], generator=None)
    fresh = torch.Generator().manual_seed(3)
    assert torch.equal(again.generators[0].get_state(), fresh.get_state())
    assert not torch.equal(first.generators[0].get_state(), fresh.get_state())


def test_an_explicit_seed_is_used_as_it_is(make_options):
    """Images have the seeds of the list, in its order; another number of images is refused."""
    options = make_options(seeds=[9, 2])
    made, _ = watch(TakesSeveral(), options, prompt=["a", "b"], generator=None)
    assert [one.initial_seed() for one in made.generators] == [9, 2]
    with pytest.raises(UsageError, match="makes 1 images, and there are 2 seeds"):
        watch(TakesSeveral(), options, prompt="a", generator=None)


def test_the_callers_generators_are_taken(make_options):
    """A generator that the caller gives is the very one, alone or in a list, and the run's seeds stay what they
    were."""
    own = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    for given, expected in ((own, own), (own[0], own[:1])):
        taken, seeding = watch(TakesSeveral(), make_options(seed=3), prompt=["a", "b"], generator=given)
        assert all(one is other for one, other in zip(taken.generators, expected, strict=True))
        assert taken.made_by == "caller"
        assert seeding.images == (3,)


def test_a_pipeline_gets_what_it_takes(make_options):
    """A pipeline that takes one generator gets one for all its images, alone each their own; one that takes none gets
    none. Several seeds for one generator are refused."""
    two = ["a", "b"]
    together, seeding = watch(TakesOne(), make_options(seed=3), prompt=two, generator=None)
    assert (len(together.generators), seeding.images) == (1, (3,))
    alone, _ = watch(TakesOne(), make_options(seed=3, batch="independent"), prompt=two, generator=None)
    assert [one.initial_seed() for one in alone.generators] == [3, 4]
    assert watch(TakesNone(), make_options(seed=3), prompt=two)[0].generators == []
    with pytest.raises(UsageError, match="takes one generator for all"):
        watch(TakesOne(), make_options(seeds=[3, 4]), prompt=two, generator=None)


def test_stages_go_on_with_the_same_generators(make_options):
    """A later stage gets the very generators of the first, wherever they are by then; where calls are no stages each
    gets new ones. As many images are needed in each stage."""
    staged, two = make_options(seed=3, stages=True), ["a", "b"]
    first, seeding = watch(TakesSeveral(), staged, prompt=two, generator=None)
    second, after = watch(TakesSeveral(), staged, seeding=seeding, index=1, prompt=two, generator=None)
    assert all(one is other for one, other in zip(first.generators, second.generators, strict=True))
    assert after.images == (3, 4)
    with pytest.raises(UsageError, match="makes 3 images, and 2 generators are passed on"):
        watch(TakesSeveral(), staged, seeding=seeding, index=1, prompt=[*two, "c"], generator=None)
    single = make_options(seed=3)
    first, seeding = watch(TakesSeveral(), single, prompt=two, generator=None)
    second, _ = watch(TakesSeveral(), single, seeding=seeding, index=1, prompt=two, generator=None)
    assert first.generators[0] is not second.generators[0]


def test_the_generator_of_a_state_goes_on_as_its_copy(make_options):
    """A modular pipeline that goes on from a state has the state's generator, copied as its call copies it, and none of
    ours; a state without one gets ours."""
    options, replayed = make_options(seed=3), Replayed()
    own = torch.Generator().manual_seed(9)
    for values, maker, seed in (({"generator": own}, "caller", 9), ({}, "repro_track", 3)):
        bound = {"prompt": "a", "generator": None, "state": type("State", (), {"values": values})()}
        watch, _ = watch_generators(
            None, bound, index=0, seeding=begin_seeding(options, replayed=replayed), options=options, replayed=replayed
        )
        assert (watch.made_by, watch.seeds) == (maker, [seed])
        assert watch.generators[0] is not own


def test_what_blocks_before_drew_is_known(make_options, record, monkeypatch):
    """Each block knows the seeds that those before it drew, and not its own or one that was given; a replay gives them
    to those blocks again, and draws where the record knows none. The run of a config has none before it."""
    monkeypatch.setattr(module, "_drawn", {})
    first = begin_seeding(make_options(), replayed=Replayed(), ordinal=4)
    begin_seeding(make_options(seed=8), replayed=Replayed(), ordinal=5)
    third = begin_seeding(make_options(), replayed=Replayed(), ordinal=6)
    fourth = begin_seeding(make_options(seed=8), replayed=Replayed(), ordinal=7)
    assert (first.earlier, third.earlier) == ({}, {"4": first.root})
    assert fourth.earlier == {"4": first.root, "6": third.root}
    config = dataclasses.replace(make_options(), is_config=True)
    assert begin_seeding(config, replayed=Replayed(), ordinal=0).earlier == {}
    assert "0" not in begin_seeding(make_options(), replayed=Replayed(), ordinal=8).earlier


def test_an_earlier_block_of_a_replay_has_its_seed_again(make_record, tmp_path, monkeypatch):
    """In the child of a replay, a block before the replayed one begins with the seed that it had drawn."""
    Handover(tmp_path, make_record({"command.ordinal": -1, "seeds.earlier": {"4": 77}})).write()
    monkeypatch.setenv("REPRO_TRACK_REPLAY", str(tmp_path))
    assert find_replayed(ordinal=4).choose_root() == (77, "entropy")
    assert find_replayed(ordinal=5).choose_root()[0] != find_replayed(ordinal=5).choose_root()[0]
