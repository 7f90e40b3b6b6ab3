"""Promises of notebook.py: when a run ends, the cells up to here are kept with it, and what they have to say."""

import pytest

from repro_track.record.names import NOTEBOOK_NAME
from repro_track.record.schema import Command
from repro_track.tensors.digests import digest_file
from repro_track.tracking.kept import Kept
from repro_track.tracking.notebook import finish_notebook
from repro_track.tracking.surroundings import Seen


@pytest.fixture
def finish(record, tmp_path):
    """Finish a run that was started in this way; return what came of it, and what was kept."""

    def finish(kind):
        command = Command(kind=kind, argv=(), script=NOTEBOOK_NAME, cwd="/a", ordinal=0)
        seen = Seen(record.environment, record.source, record.numerics, record.seeds.global_generators)
        kept = Kept()
        return (*finish_notebook(command, seen, kept=kept, folder=tmp_path), kept)

    return finish


def test_a_block_may_go_on_over_several_cells(shell, type_in, finish, tmp_path):
    """The cells that were run since the block began are kept, too; the source has their digest; what a cell left out is
    a caution, what cannot come back a reason."""
    shell.user_ns.update(finish=finish, ended=(ended := []))
    type_in("nope", "%time 1", "!true", "if False: input()", "ended.append(finish('notebook'))")
    command, seen, kept = ended[0]
    assert "ended.append" in (tmp_path / NOTEBOOK_NAME).read_text()
    assert seen.source.script_sha256 == digest_file(tmp_path / NOTEBOOK_NAME)
    assert command.runs == ("cell 3: !true",)
    assert kept.cautions == ["cell 1 failed (NameError): a replay leaves it out"]
    assert kept.unknown == ["cell 4 asked for input, which is not recorded"]


def test_a_script_stays_as_it_is(finish, record, tmp_path):
    """Of what is no notebook nothing is kept, and nothing said."""
    command, seen, kept = finish("script")
    assert (command.runs, seen.source, kept) == ((), record.source, Kept())
    assert not (tmp_path / NOTEBOOK_NAME).exists()
