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
    ignores_variables,
    make_child_argv,
    make_config_command,
    make_options,
    read_own_process,
)
from repro_track.capture.launch import RUNNER
from repro_track.errors import ReplayError
from repro_track.record.schema import Command, Launcher, Unavailable

FOLDER = Path("/handover")
OF_HYDRA = ["hydra.mode=RUN", "hydra.run.dir=/handover/hydra"]
NOTHING = Unavailable(unavailable="there is no file")


def make_command(kind, script="/project/x.py", argv=("--fast",), **others):
    return Command(kind=kind, argv=argv, script=script, cwd="/project/work", ordinal=0, **others)


TORCHRUN = Launcher(entry_point="torchrun=torch.distributed.run:main", words=("--nproc_per_node=2",))
ACCELERATE = Launcher(module="accelerate.commands.launch", words=("--cpu", "-m"), options=("-O",))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (make_command("config", NOTHING), ["-P", "-m", "repro_track.run", "/handover/config.json"]),
        (make_command("script"), ["/project/x.py", "--fast"]),
        (make_command("module", "package.tool"), ["-m", "package.tool", "--fast"]),
        (make_command("notebook", "source/notebook.py", ()), ["/handover/source/notebook.py"]),  # up to schema 3
        (
            make_command("notebook", "source/notebook.ipynb", ("/a/n.ipynb",)),
            ["-m", "repro_track.capture.notebook_child", "/handover/source/notebook.ipynb", "/a/n.ipynb"],
        ),
        (
            make_command("hydra", argv=("seed=1",)),
            ["/project/x.py", "seed=1", *OF_HYDRA],
        ),
        (make_command("hydra", argv=("a=1",), module="p.x"), ["-m", "p.x", "a=1", *OF_HYDRA]),
        (make_command("module", module="p.x", options=("-O",)), ["-O", "-m", "p.x", "--fast"]),
        (make_command("script", entry_point="x=p.x:main"), ["-P", "-m", RUNNER, "x=p.x:main", "--fast"]),
        (
            make_command("script", launcher=TORCHRUN, options=("-u",)),
            ["-P", "-m", RUNNER, TORCHRUN.entry_point, "--nproc_per_node=2", "/project/x.py", "--fast"],
        ),
        (
            make_command("module", launcher=ACCELERATE, module="p.x"),
            ["-O", "-m", "accelerate.commands.launch", "--cpu", "-m", "p.x", "--fast"],
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, Command) else "",
)
def test_each_kind_of_command_is_started_in_its_way(command, words):
    """Config, script, module, console script, notebook and Hydra app, alone or under a launcher: each by this
    interpreter, with its own words and options, by no shell."""
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
    check_script(make_command("script", str(tmp_path / "x.py")), folder=FOLDER)
    check_script(make_command("module", "gone"), folder=FOLDER)
    check_script(make_command("script", "/gone/x.py", module="gone"), folder=FOLDER)
    with pytest.raises(ReplayError, match="is not there any more"):
        check_script(make_command("script", str(tmp_path / "gone.py")), folder=FOLDER)
    moved = Move(tmp_path, tmp_path / "restored")
    with pytest.raises(ReplayError, match="restored/x.py is not there any more"):
        check_script(make_command("script", str(tmp_path / "x.py")), folder=FOLDER, move=moved)


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


@pytest.mark.parametrize(
    ("word", "moved"),
    [
        ("{old}/conf", "{new}/conf"),
        ("--config-dir={old}/conf", "--config-dir={new}/conf"),
        ("data={old}/conf", "data={new}/conf"),
        ("hydra.searchpath=[file://{old}/conf,pkg://x]", "hydra.searchpath=[file://{new}/conf,pkg://x]"),
        ("{old}/not-there", "{old}/not-there"),
        ("--config-dir={old}2/conf", "--config-dir={old}2/conf"),
        ("prompt=a cat = {old}/conf", "prompt=a cat = {old}/conf"),
        ("conf", "conf"),
    ],
)
def test_paths_in_words_are_found_where_the_code_is_now(tmp_path, word, moved):
    """A path inside the recorded folder is the restored one, wherever it stands in a word, if that is there; any other
    word stays as it is."""
    old, new = tmp_path / "old", tmp_path / "new"
    (new / "conf").mkdir(parents=True)
    assert Move(old, new).find_in(word.format(old=old, new=new)) == moved.format(old=old, new=new)


def test_an_interpreter_that_ignored_its_variables_is_told_the_same_otherwise():
    """`-E` and `-I` would keep a replay from telling its child anything: what they mean is said by other options, and
    that the variables have to go; a warning filter or another option stays as it is."""
    assert make_options(["-E", "-X", "dev", "-W", "I"]) == ["-X", "dev", "-W", "I"]
    assert make_options(["-IO"]) == ["-sPO"]
    assert ignores_variables(make_command("script", options=("-sE",)))
    assert not ignores_variables(make_command("script", options=("-O", "-W", "E")))


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Be a process that was started with `python x.py --token abc`."""
    main = sys.modules["__main__"]
    (tmp_path / "x.py").touch()
    monkeypatch.setattr(main, "__file__", str(tmp_path / "x.py"), raising=False)
    monkeypatch.setattr(sys, "argv", ["x.py", "--token", "abc"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-O", str(tmp_path / "x.py"), "--token", "abc"])
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)


def test_this_process_is_captured_as_it_was_started(started, monkeypatch, tmp_path):
    """A file is captured by its path with the interpreter's options, a secret word is withheld; what was typed in has
    no file, and a config is none of these."""
    found = capture_command(ordinal=2, folder=tmp_path)
    assert (found.kind, found.script, found.ordinal) == ("script", str(tmp_path / "x.py"), 2)
    assert found.options == ("-O",)
    assert "abc" not in found.argv
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", "import x"])
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / "gone.py"))
    assert capture_command(ordinal=0, folder=tmp_path).is_interactive
    assert make_config_command().is_config


def test_a_rank_is_one_of_the_processes_of_a_command(started, monkeypatch, tmp_path):
    """A process that a launcher started is named by its rank; one alone has no name."""
    assert (capture_command(ordinal=0, folder=tmp_path).process, read_own_process()) == (None, None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    found = capture_command(ordinal=0, folder=tmp_path)
    assert (found.process, read_own_process()) == ("rank 1", "rank 1")
    assert "one of 2 processes" in found.obstacles[0]


def test_what_cannot_be_read_is_a_reason_and_ends_no_run(started, monkeypatch, tmp_path):
    """A program that has removed its working directory is captured all the same; one that has put something else in the
    place of its words is recorded with the reason."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setenv("PWD", str(tmp_path / "gone"))
    found = capture_command(ordinal=0, folder=tmp_path)
    assert (found.script, found.cwd) == (str(tmp_path / "x.py"), str(tmp_path / "gone"))
    monkeypatch.setattr(sys, "orig_argv", [None, 3])
    found = capture_command(ordinal=1, folder=tmp_path)
    assert found.is_interactive
    assert "how it was started cannot be read: " in found.script.unavailable
