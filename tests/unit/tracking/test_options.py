"""Promises of options.py: every option is checked once, whoever gives it, and none of them changes afterwards."""

import dataclasses
import inspect

import pytest

from repro_track.errors import UsageError
from repro_track.tracking.options import Options, read_policy
from repro_track.tracking.track import track

OF_A_CONFIG = {"references", "overrides", "stem", "parent_id", "is_config", "composed_sha256"}
"""What `track()` has no parameter for."""


def test_the_options_are_the_parameters_of_track():
    """An option is a parameter of `track()` by the same name; the number of threads is a part of the numerics."""
    names = {field.name for field in dataclasses.fields(Options)}
    assert names - OF_A_CONFIG == set(inspect.signature(track).parameters) - {"num_threads"}
    assert names > OF_A_CONFIG


@pytest.mark.parametrize(
    ("name", "known", "wrong"),
    [
        ("trace", ["off", "steps", "modules"], "loud"),
        ("generator", ["cpu", "device"], "gpu"),
        ("batch", ["together", "independent"], "alone"),
        ("noise", ["pipeline", "float32"], "float16"),
        ("picture_format", ["png", "webp", "jpeg"], "gif"),
        ("embed", ["id", "full"], "all"),
    ],
)
def test_a_word_is_one_of_those_that_are_known(make_options, name, known, wrong):
    """A word that an option may be is taken as it is; another one is refused with all that it may be."""
    for word in known:
        assert getattr(make_options(**{name: word}), name) == word
    with pytest.raises(UsageError, match=f"^{name} is '{wrong}'") as caught:
        make_options(**{name: wrong})
    assert all(word in caught.value.expected for word in known)


def test_there_is_at_least_one_thread(make_options):
    """One thread is enough, none is refused, and nothing said keeps what torch chose."""
    assert make_options(num_threads=1).determinism["num_threads"] == 1
    assert make_options(num_threads=None).determinism["num_threads"] is None
    with pytest.raises(UsageError, match="num_threads is 0"):
        make_options(num_threads=0)


def test_options_do_not_change(make_options):
    """An option cannot be set afterwards; a changed copy is checked as the first was."""
    options = make_options(trace="steps")
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.trace = "off"
    assert dataclasses.replace(options, trace="off").trace == "off"
    with pytest.raises(UsageError):
        dataclasses.replace(options, trace="loud")


def test_a_policy_has_all_of_its_keys():
    """A preset is read by its name, a mapping gets the keys that it lacks, and what it has stays."""
    strict = read_policy("strict", num_threads=None)
    assert strict["name"] == "strict"
    assert strict["flags"]["deterministic_algorithms"] is True
    own = read_policy({"name": "mine", "environment": {"A": "1"}}, num_threads=None)
    assert own == {"name": "mine", "num_threads": None, "flags": {}, "environment": {"A": "1"}}
    with pytest.raises(UsageError, match="strickt"):
        read_policy("strickt", num_threads=None)


def test_threads_go_before_the_policys_own():
    """A number of threads that is given goes before the policy's, and the next who reads the preset gets its own."""
    assert read_policy({"num_threads": 4}, num_threads=2)["num_threads"] == 2
    assert read_policy({"num_threads": 4}, num_threads=None)["num_threads"] == 4
    before = read_policy("strict", num_threads=None)
    assert read_policy("strict", num_threads=7) != before
    assert read_policy("strict", num_threads=None) == before


def test_a_picture_says_more_only_where_that_is_asked_for(make_options, record):
    """With `embed=full` a picture's file has seeds, config and call, secrets withheld; with `embed=id` none of it."""
    config = {"size": 3, "password": "x"}
    full = make_options(embed="full", config=config)
    assert full.make_embedded(seeds=(3, 4), call=record.calls[0]) == {
        "seeds": [3, 4],
        "config": {"size": 3, "password": "***withheld***"},
        "class_name": record.calls[0].class_name,
        "name_or_path": record.calls[0].name_or_path,
        "arguments": record.calls[0].arguments,
    }
    assert set(full.make_embedded(seeds=(3,), call=None)) == {"seeds", "config"}
    assert make_options(embed="id", config=config).make_embedded(seeds=(3,), call=record.calls[0]) is None
