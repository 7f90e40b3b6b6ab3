"""Promises of edited.py: installed code that was edited in place is named, and nothing else is."""

import base64
import hashlib
import importlib
import os
import sys

import pytest

from repro_track.capture import edited
from repro_track.capture.edited import list_edited_files

TEXT = "VALUE = 1\n"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package that was installed an hour ago, and is loaded."""
    site = tmp_path / "site-packages"
    (site / "edited_one").mkdir(parents=True)
    file, listing = site / "edited_one" / "__init__.py", site / "edited_one-1.0.dist-info" / "RECORD"
    file.write_text(TEXT)
    listing.parent.mkdir()
    digest = base64.urlsafe_b64encode(hashlib.sha256(TEXT.encode()).digest()).decode().rstrip("=")
    listing.write_text(f"edited_one/__init__.py,sha256={digest},{len(TEXT)}\nedited_one-1.0.dist-info/RECORD,,\n")
    for path in (file, listing):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    monkeypatch.syspath_prepend(site)
    importlib.import_module("edited_one")
    yield file
    del sys.modules["edited_one"]


def find_ours():
    return [name for name in list_edited_files() if name.startswith("edited_one")]


def test_an_edited_file_is_named(installed):
    """A file whose content is not the installed one is named by its path; as it was installed it is not, and neither is
    one that was only touched or copied."""
    assert find_ours() == []
    installed.touch()
    assert find_ours() == []
    installed.write_text("VALUE = 2\n")
    assert find_ours() == ["edited_one/__init__.py"]


def test_a_file_of_which_nobody_knows_the_digest_is_not_named(installed):
    """Where the list of the package has no digest of a file, or is not there, nothing is said."""
    installed.write_text("VALUE = 2\n")
    listing = installed.parents[1] / "edited_one-1.0.dist-info" / "RECORD"
    listing.write_text("edited_one/__init__.py,,\n")
    os.utime(listing, (1_700_000_000, 1_700_000_000))
    assert find_ours() == []
    listing.unlink()
    assert find_ours() == []


def test_an_environment_that_was_copied_is_left_alone(installed, monkeypatch):
    """Where a great many files are later than their installation, none is read."""
    installed.write_text("VALUE = 2\n")
    monkeypatch.setattr(edited, "_MOST", 0)
    assert find_ours() == []
