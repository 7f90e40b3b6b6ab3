"""Promises of app.py that need no run: an error of the config is one message with what to do."""

import pytest
from omegaconf import OmegaConf

from repro_track.config.schema import make_schema
from repro_track.errors import UsageError
from repro_track.run.app import _explain_config_error, _has_run, check_overrides, read_composed


@pytest.mark.parametrize(
    ("text", "found", "advice"),
    [
        ("Missing mandatory value: pipeline.path", "pipeline.path has no value", None),
        ("Could not override 'sead'", "the config has no key 'sead'", "did you mean seed?"),
        (
            "Could not find 'determinism/strickt' Available options in 'determinism': fast portable strict",
            "determinism is 'strickt'",
            "did you mean strict?",
        ),
        ("Something else", "Something else", "repro-track run --help lists the groups and keys"),
    ],
)
def test_an_error_of_the_config_is_one_message(text, found, advice):
    """What was found, and the nearest key or option where one is near."""
    error = _explain_config_error(ValueError(text))
    assert (error.found, error.advice) == (found, advice)


def test_the_cause_is_read_too():
    """Hydra hides the reason in the cause of its error; where it searched for files is of no interest."""
    try:
        try:
            raise ValueError("Could not override 'sead'")
        except ValueError as cause:
            raise RuntimeError("Error merging override\nConfig search path: /somewhere") from cause
    except RuntimeError as error:
        assert _explain_config_error(error).found == "the config has no key 'sead'"


@pytest.mark.parametrize(
    "word", ["=3", "+=3", "@=1", "~", "++=", "seed", "a b", "call.prompt='open", "seed=[1,", "seed==3", "="]
)
def test_a_word_that_is_no_override_is_one_message(word):
    """It says which word it is, and what an override looks like, in exit code 2; nothing is composed."""
    with pytest.raises(UsageError) as caught:
        check_overrides(["seed=1", word, "--config-name", "config"])
    assert repr(word) in caught.value.found
    assert "KEY=VALUE" in str(caught.value.expected)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("word", ["seed=3", "+a.b=[1,2]", "~call", "call.prompt='a = b'", "pipeline@x=y", "++a=", "-m"])
def test_an_override_is_let_through(word):
    """What Hydra can read is Hydra's to judge."""
    check_overrides([word, "--multirun"])


def test_an_error_of_a_run_is_not_taken_for_one_of_its_config():
    """What did not come out of a run is an error of composing."""
    try:
        raise ValueError("of Hydra's own")
    except ValueError as error:
        assert not _has_run(error)


def test_a_composed_config_is_resolved_once():
    """What refers to another key has its value, and an escaped interpolation is text; `???` that a person typed is
    text, one in a file is a value that has to be given."""
    call = {"prompt": "???", "again": "${call.prompt}!", "text": "\\${call.prompt}"}
    composed = OmegaConf.merge(make_schema(), {"call": call})
    config = read_composed(composed.copy(), words=["call.prompt=???"])
    assert config.call == {"prompt": "???", "again": "???!", "text": "${call.prompt}"}
    with pytest.raises(UsageError, match=r"call\.prompt has no value"):
        read_composed(composed, words=["call.other=1"])
