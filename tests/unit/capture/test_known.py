"""Promises of known.py: what variables and options of the process hold is known, ordinary words are not."""

import sys

import pytest

from repro_track.capture.known import is_telling, read_known_secrets
from repro_track.record.redaction import WITHHELD, redact_text
from repro_track.record.secret_forms import knowing


def test_variables_and_options_are_known_by_their_names(monkeypatch):
    """The values of secret names, of the environment and the command line; those of other names are not read."""
    monkeypatch.setenv("A_SERVICE_API_KEY", "planted-variable-value")
    monkeypatch.setenv("A_SERVICE_URL", "planted-other-value")
    monkeypatch.setattr(
        sys, "argv", ["x.py", "--openai-key", "planted-option-value", "--prompt", "planted-prompt-value"]
    )
    known = read_known_secrets()
    assert {"planted-variable-value", "planted-option-value"} <= set(known)
    assert not {"planted-other-value", "planted-prompt-value"} & set(known)


@pytest.mark.parametrize("value", ["password", "secret", "true", "1234567", "/run/secrets/token1", "https://host/1"])
def test_words_are_not_telling(value):
    """A word, a path, an address, or what is short may stand anywhere for something else."""
    assert not is_telling(value)


def test_known_texts_are_withheld_while_a_run_is_open():
    """Wherever they stand; and not before or after."""
    text = "it says planted-variable-value, twice: planted-variable-value"
    with knowing(["planted-variable-value"]):
        assert redact_text(text) == f"it says {WITHHELD}, twice: {WITHHELD}"
    assert redact_text(text) == text
