"""Promises of command.py: what was captured is the command line that starts it again, where its code is now."""

import sys
from pathlib import Path

import pytest

from repro_track.capture.command import (
    Move,
    capture_command,
    check_script,
    count_block,
    find_repository_place,
    find_script,
    make_child_argv,
    make_config_command,
)
from repro_track.errors import ReplayError
from repro_track.record.schema import Command, Unavailable

FOLDER = Path("/handover")
NOTHING = Unavailable(unavailable="there is no file")


def make_command(kind, script="/project/x.py", argv=("--fast",)):
    return Command(kind=kind, argv=argv, script=script, cwd="/project/work", ordinal=0)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (make_command("config", NOTHING), ["-P", "-m", "repro_track.run", "/handover/config.yaml"]),
        (make_command("script"), ["/project/x.py", "--fast"]),
        (make_command("module", "package.tool"), ["-m", "package.tool", "--fast"]),
        (make_command("notebook", "source/notebook.py", ()), ["/handover/source/notebook.py"]),  # up to schema 3
        (
            make_command("notebook", "source/notebook.ipynb", ("/a/n.ipynb",)),
            ["-m", "repro_track.capture.notebook_child", "/handover/source/notebook.ipynb", "/a/n.ipynb"],
        ),
        (
            make_command("hydra", argv=("seed=1",)),
            ["/project/x.py", "seed=1", "hydra.run.dir=/handover/hydra", "hydra.output_subdir=null"],
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, Command) else "",
)
def test_each_kind_of_command_is_started_in_its_way(command, words):
    """Config, script, module, notebook and Hydra app: each by this interpreter, with its own words, by no shell."""
    assert make_child_argv(command, folder=FOLDER) == [sys.executable, *words]
    assert make_child_argv(command, folder=FOLDER, interpreter="/py")[0] == "/py"


@pytest.mark.parametrize("kind", ["interactive", "hydra"])
def test_what_has_no_file_is_not_started(kind):
    """Cells typed into an interpreter, or an app without a main file, cannot be started again: the reason is said."""
    with pytest.raises(ReplayError, match="there is no file"):
        make_child_argv(make_command(kind, NOTHING), folder=FOLDER)


def test_code_that_is_elsewhere_is_started_there():
    """A script inside the recorded folder is started in the restored one; any other script where it was."""
    move = Move(Path("/project"), Path("/restored"))
    assert make_child_argv(make_command("script"), folder=FOLDER, move=move)[1] == "/restored/x.py"
    assert make_child_argv(make_command("script", "/else/x.py"), folder=FOLDER, move=move)[1] == "/else/x.py"
    assert make_child_argv(make_command("module", "project"), folder=FOLDER, move=move)[2] == "project"


@pytest.mark.parametrize(
    ("command", "script", "place"),
    [
        (make_command("script"), Path("/project/x.py"), Path("/project")),
        (make_command("hydra"), Path("/project/x.py"), Path("/project")),
        (make_command("notebook", "source/notebook.py"), FOLDER / "source/notebook.py", Path("/project/work")),
        (make_command("module", "package.tool"), None, Path("/project/work")),
        (make_command("config", NOTHING), None, Path("/project/work")),
        (make_command("hydra", NOTHING), None, Path("/project/work")),
    ],
    ids=lambda value: value.kind if isinstance(value, Command) else "",
)
def test_where_the_code_of_a_command_is(command, script, place):
    """A script's code is its file and its folder's repository; a notebook's is kept with the run; the others' is that
    of the working directory."""
    assert (find_script(command, folder=FOLDER), find_repository_place(command)) == (script, place)


def test_a_script_that_is_gone_is_said_before_anything_starts(tmp_path):
    """A script that is not there any more is refused; one that is there, and a module, which has no file, are not."""
    (tmp_path / "x.py").touch()
    check_script([sys.executable, str(tmp_path / "x.py")], command=make_command("script"))
    check_script([sys.executable, "-m", "gone"], command=make_command("module", "gone"))
    with pytest.raises(ReplayError, match="is not there any more"):
        check_script([sys.executable, str(tmp_path / "gone.py")], command=make_command("script"))


def test_cells_are_captured_and_a_shell_inside_a_program_is_not(shell, type_in, monkeypatch, tmp_path):
    """In a notebook the cells so far are the command, and a block has the place of its cell; a shell that a program
    opened has no file that could be started again, which is the reason."""
    shell.user_ns.update(capture=capture_command, count=count_block, folder=tmp_path, seen=(seen := []))
    type_in("%time a = 1", "seen.append(capture(ordinal=count(), folder=folder))")
    (found,) = seen
    assert (found.kind, found.script, found.ordinal, found.runs) == ("notebook", "source/notebook.ipynb", 2_000_000, ())
    assert "%time a = 1" in (tmp_path / "source" / "notebook.ipynb").read_text()
    monkeypatch.setattr(shell, "__class__", type("InteractiveShellEmbed", (type(shell),), {}))
    type_in("seen.append(capture(ordinal=count(), folder=folder))")
    assert seen[1].is_interactive
    assert "a program had opened" in seen[1].script.unavailable


def test_this_process_is_captured_as_it_was_started(monkeypatch, tmp_path):
    """A module is captured by its name, a file by its path, and neither as a config; a secret word is withheld."""
    main = sys.modules["__main__"]
    (tmp_path / "x.py").touch()
    monkeypatch.setattr(main, "__spec__", None)
    monkeypatch.setattr(main, "__file__", str(tmp_path / "x.py"), raising=False)
    monkeypatch.setattr(sys, "argv", ["x.py", "--token", "abc"])
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    found = capture_command(ordinal=2, folder=tmp_path)
    assert (found.kind, found.script, found.ordinal) == ("script", str(tmp_path / "x.py"), 2)
    assert "abc" not in found.argv
    monkeypatch.setattr(main, "__file__", str(tmp_path / "gone.py"), raising=False)
    assert capture_command(ordinal=0, folder=tmp_path).is_interactive
    assert make_config_command().is_config
