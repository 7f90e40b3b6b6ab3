"""Promises of finish.py: what a run took from around it is said when it ends, and never ends it."""

import os
import subprocess

import pytest

from repro_track.capture.executed import watch_execution
from repro_track.record.schema import Command
from repro_track.tracking import finish as module
from repro_track.tracking.finish import finish_command
from repro_track.tracking.kept import Kept
from repro_track.tracking.surroundings import Seen


@pytest.fixture
def finish(record, tmp_path, monkeypatch):
    """Finish a run of a repository in which a file was read that git ignores, and that read its standard input."""
    watch_execution()
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("data.txt\n")
    (tmp_path / "data.txt").write_text("1")
    os.utime(tmp_path / "data.txt", (1, 1))
    (tmp_path / "data.txt").read_text()
    monkeypatch.setattr(module, "list_taken_input", lambda: ["it read"])

    def finish(kind):
        command = Command(kind=kind, argv=(), script=str(tmp_path / "x.py"), cwd="/a", ordinal=0)
        source = record.source.model_copy(update={"repository": str(tmp_path)})
        seen = Seen(record.environment, source, record.numerics, record.seeds.global_generators)
        kept = Kept()
        _, after = finish_command(command, seen, kept=kept, folder=tmp_path)
        return [one.path for one in after.source.referred], kept

    return finish


def test_what_was_taken_is_said(finish):
    """Of a script the input that it read is a reason, and the ignored file is referred to; of `repro-track run`, whose
    config is all that there is to it, nothing is said."""
    referred, kept = finish("script")
    assert (referred, kept.unknown) == (["data.txt"], ["it read"])
    assert finish("config") == ([], Kept())


def test_a_look_that_fails_ends_nothing(finish, monkeypatch):
    """A file that goes away while it is looked at is a caution."""

    def fail(*_, **__):
        raise OSError("gone")

    monkeypatch.setattr(module, "refer_to_read", fail)
    referred, kept = finish("script")
    assert (referred, kept.cautions) == ([], ["what it has read could not be looked at: gone"])
