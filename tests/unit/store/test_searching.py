"""Promises of store/searching.py: which texts name a run. Searches themselves are tested on real stores."""

import pytest

from repro_track.errors import UsageError
from repro_track.store.searching import parse_name

ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        (ID, ID),
        (ID[:6], ID[:6]),
        (ID[:6].upper(), ID[:6]),
        (f"http://127.0.0.1:5000/#/experiments/1/runs/{ID}?workflowType=machine_learning", ID),
        (f"https://host/path/#/experiments/1/runs/{ID}/artifacts", ID),
    ],
)
def test_a_name_of_a_run(text, prefix):
    """An id, its beginning of six or more in either case, and a link of MLflow's UI each name a run."""
    assert parse_name(text) == prefix


@pytest.mark.parametrize(
    "text",
    ["", ID[:5], ID + "0", "latest!", "a name", "' OR ''='", "abcdef%", "http://host/#/experiments/1", "0x123456"],
)
def test_what_names_no_run(text):
    """Anything else is refused with what would name one; nothing of it gets into a query."""
    with pytest.raises(UsageError, match="names no run") as caught:
        parse_name(text)
    assert "prefix of 6 or more" in caught.value.expected
