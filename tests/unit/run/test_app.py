"""Promises of app.py that need no run: an error of the config is one message with what to do."""

import pytest

from repro_track.run.app import _explain_config_error


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
