"""Promises of presets.py: a preset is the file that Hydra composes, and a variation is the run's config with what was
changed."""

import pytest
from omegaconf import OmegaConf

from repro_track.config.presets import PRESET_GROUPS, make_changed, read_preset
from repro_track.config.schema import make_schema
from repro_track.errors import UsageError


def make_resolved():
    """Make the resolved config of a run."""
    schema = OmegaConf.to_container(make_schema(), resolve=True)
    return {**schema, "call": {"num_inference_steps": 4, "prompt": "a cat"}}


def test_a_preset_is_the_readers_own():
    """What a reader changes in a preset, also deep inside it, the next reader does not see."""
    first = read_preset("determinism", "strict")
    kept = read_preset("determinism", "strict")
    first["name"] = "mine"
    first["environment"]["OMP_NUM_THREADS"] = "7"
    assert read_preset("determinism", "strict") == kept != first


@pytest.mark.parametrize("group", PRESET_GROUPS)
def test_an_unknown_preset_names_those_that_there_are(group):
    """A preset that is not there is refused, with the names of those that are; each of those can be read."""
    with pytest.raises(UsageError) as refused:
        read_preset(group, "no-such-preset")
    names = refused.value.expected.removeprefix("one of ").split(", ")
    assert names
    assert all(isinstance(read_preset(group, name), dict) for name in names)


def test_a_variation_changes_what_it_names_and_nothing_else():
    """One key of the call is changed, with the type of the text given, and the config that it came from is not."""
    resolved = make_resolved()
    changed = make_changed(resolved, ["call.num_inference_steps=20"])
    assert changed == {**resolved, "call": {"num_inference_steps": 20, "prompt": "a cat"}}
    assert resolved == make_resolved()
    assert make_changed(resolved, []) == resolved


def test_a_variation_can_name_a_preset():
    """`determinism=fast` takes the whole preset; another preset gives another config."""
    fast, strict = (
        make_changed(make_resolved(), [f"determinism={name}"])["determinism"] for name in ("fast", "strict")
    )
    assert (fast["name"], strict["name"]) == ("fast", "strict")
    assert fast["flags"] != strict["flags"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("call.num_inference_steps", "the change is"),
        ("=3", "the change is"),
        ("seed=three", "cannot be applied"),
        ("no_such_key=1", "cannot be applied"),
        ("determinism=no-such-preset", "determinism is"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(change, said):
    """No value, no key, a value of another type, a key or preset that is not there: each is named."""
    with pytest.raises(UsageError, match=said):
        make_changed(make_resolved(), [change])


def test_every_profile_has_the_same_figures_for_the_same_dtypes():
    """The shipped profiles name both tolerances for each dtype, and a wider profile is nowhere narrower."""
    from repro_track.config.presets import read_preset

    names = ("same_device", "cross_release", "cross_device")
    presets = [read_preset("tolerance", name) for name in names]
    for key in ("rtol", "atol", "decoded_atol"):
        assert len({tuple(sorted(preset[key])) for preset in presets}) == 1
        for dtype in presets[0][key]:
            assert all(preset[key][dtype] >= presets[0][key][dtype] for preset in presets)


def test_an_unknown_preset_names_the_known():
    """A wrong preset is refused with the list of right ones."""
    with pytest.raises(UsageError) as caught:
        read_preset("determinism", "strickt")
    assert caught.value.expected == "one of fast, portable, strict"


def test_a_change_changes_one_thing():
    """`KEY=VALUE` changes that key, with the type of the config, and nothing else; the original stays as it is."""
    resolved = make_resolved()
    changed = make_changed(resolved, ["call.num_inference_steps=20", "seed=7"])
    assert changed == {**resolved, "seed": 7, "call": {"num_inference_steps": 20, "prompt": "a cat"}}
    assert resolved == make_resolved()
    assert make_changed(resolved, ['call.prompt="a=b, c"'])["call"]["prompt"] == "a=b, c"


def test_a_group_is_changed_by_its_preset():
    """A group takes the whole preset of `conf/`, and what was there before is gone."""
    before = {**make_resolved(), "scheduler": {"class_name": "DDIMScheduler", "config": {"clip_sample": False}}}
    changed = make_changed(before, ["scheduler=euler"])
    assert changed["scheduler"] == {"class_name": "EulerDiscreteScheduler", "config": {}}
    assert make_changed(before, ["determinism=portable"])["determinism"]["environment"]["MKL_CBWR"] == "COMPATIBLE"


@pytest.mark.parametrize("change", ["seeed=1", "seed=x", "scheduler=none_such", "steps", "=1", "pipeline.none=1"])
def test_a_change_that_cannot_be_made(change):
    """An unknown key, another type, an unknown preset, no value: refused with what was expected."""
    with pytest.raises(UsageError) as caught:
        make_changed(make_resolved(), [change])
    assert caught.value.expected
