"""Promises of store/likenesses.py about what is kept of a server. The lists are tested on real stores."""

import json

import pytest

from repro_track.store.likenesses import read_kept

NOTHING = {"until_ms": 0, "runs": {}}


def test_what_was_kept_is_read(tmp_path):
    """What a server answered before is taken as it is."""
    kept = {"until_ms": 5, "runs": {"0" * 32: "images.0:" + "0" * 64}}
    (tmp_path / "kept.json").write_text(json.dumps(kept))
    assert read_kept(tmp_path / "kept.json") == kept
    assert read_kept(tmp_path / "kept.json") != NOTHING


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"until_ms": "5", "runs": {}}', '{"until_ms": 5}'])
def test_what_is_damaged_is_asked_again(tmp_path, text):
    """A damaged file is as none: everything is asked again, as in the beginning."""
    assert read_kept(tmp_path / "kept.json") == NOTHING
    (tmp_path / "kept.json").write_text(text)
    assert read_kept(tmp_path / "kept.json") == NOTHING
