"""Promises of schema.py: a record is frozen, keeps inside its folder, and a command says what it is."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from repro_track.errors import RecordError
from repro_track.record.schema import Command, CommandKind, Input, Output, Unavailable, make_record_id

KINDS = CommandKind.__args__


def make_command(kind, script="/a/x.py"):
    return Command(kind=kind, argv=(), script=script, cwd="/a", ordinal=0)


def make_output(**changes):
    given = {"name": "x", "kind": "tensor", "dtype": "uint8", "shape": (1,), "sha256": "0" * 64}
    return Output(**{**given, **changes})


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("is_config", {"config"}),
        ("is_module", {"module"}),
        ("is_hydra", {"hydra"}),
        ("is_notebook", {"notebook"}),
        ("is_interactive", {"interactive"}),
        ("has_script", {"script", "hydra", "notebook"}),
        ("can_be_varied", {"config", "hydra"}),
    ],
)
def test_a_command_says_what_it_is(question, kinds):
    """Each question is answered yes by its kinds of command and by no other."""
    assert {kind for kind in KINDS if getattr(make_command(kind), question)} == kinds


def test_a_script_that_is_not_there_is_none():
    """A Hydra app without a main file has no script, whatever its kind is."""
    unknown = Unavailable(unavailable="the app has no main file")
    assert not make_command("hydra", unknown).has_script
    assert make_command("hydra", unknown).can_be_varied


def test_what_a_command_says_of_itself_is_not_written_down():
    """The questions are no fields: the record has what was captured, and what was not there is not repeated."""
    fields = {"kind", "argv", "script", "cwd", "ordinal"}
    assert set(make_command("config").model_dump(exclude_defaults=True)) == fields
    more = {"options", "module", "entry_point", "launcher", "process", "obstacles", "runs", "withheld"}
    assert set(make_command("config").model_dump()) == fields | more


def test_a_part_is_frozen_and_lets_nothing_unknown_in():
    """No field can be set afterwards, and one that the schema does not have is refused."""
    command = make_command("script")
    with pytest.raises(ValidationError):
        command.kind = "config"
    with pytest.raises(ValidationError):
        Command(**{**command.model_dump(), "shell": True})
    assert command.kind == "script"


@pytest.mark.parametrize("path", ["../x.png", "/etc/passwd", "outputs/../../x"])
def test_a_file_stays_in_the_runs_folder(path):
    """A path that leaves the folder is refused, of an output and of an input; one inside it is not."""
    common = {"name": "x", "dtype": "uint8", "shape": (1,), "sha256": "0" * 64}
    with pytest.raises(ValidationError, match="leaves the run's folder"):
        make_output(file=path)
    with pytest.raises(ValidationError, match="leaves the run's folder"):
        Input(**common, kind="array", file=path)
    assert make_output(file="outputs/x.png").file == Input(**common, kind="array", file="outputs/x.png").file


def test_what_is_decoded_is_pixels_or_samples():
    """The digest of what a person sees or hears is that of the pixels or the samples; a tensor has none."""
    assert make_output(pixels_sha256="a" * 64).decoded_sha256 == "a" * 64
    assert make_output(samples_sha256="b" * 64).decoded_sha256 == "b" * 64
    assert make_output().decoded_sha256 is None


def test_every_record_has_an_id_of_its_own():
    """Two ids differ, and each is 32 hexadecimal digits."""
    first, second = make_record_id(), make_record_id()
    assert first != second
    assert int(first, 16) >= 0
    assert len(first) == 32


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "outputs/../../x"])
def test_artifact_names_cannot_leave_their_folder(make_record, name):
    """A record whose file names point outside the run's folder is refused as damaged."""
    with pytest.raises(RecordError, match="damaged"):
        make_record({"outputs.0.file": name})


def test_records_are_frozen(make_record):
    """Nothing in a record can be assigned to."""
    with pytest.raises(ValidationError):
        make_record().seeds.root = 5


PACKAGE = Path(__file__).parents[3] / "repro_track"
COMPARED = re.compile(r"\b(command|started|output|raw)\.kind\s*(==|!=|in\b|not in\b)")


def test_nobody_compares_the_kind_of_a_command_or_an_output():
    """What there is to know of a command it says itself, and of a kind of output its row does: no module compares
    their words, so that a new one is added in one place. The pattern finds such a comparison where there is one."""
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if COMPARED.search(line)
    ]
    assert found == []
    assert COMPARED.search('if record.command.kind == "config":')
    assert COMPARED.search('if output.kind in ("image", "video")')
