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
