"""Promises of cli.py that need no run: every command explains itself, errors are a message and a code, and nothing is
loaded for help."""

import ast
import inspect
import sys

import click
import pytest
from click.testing import CliRunner

from repro_track import cli, errors
from repro_track.version import __version__

COMMANDS = sorted(cli.main.commands)


def call(*words, program=cli.main):
    return CliRunner().invoke(program, [str(word) for word in words])


@pytest.mark.parametrize("command", sorted({*COMMANDS} - {"run"}))
def test_every_command_explains_itself(command):
    """`--help` and `-h` are the same text, on stdout, with what the command does; `run`'s is Hydra's."""
    result = call(command, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Usage: main {command}")
    first = inspect.cleandoc(cli.main.commands[command].help).splitlines()[0]
    assert first.split()[0] in result.stdout
    assert call(command, "-h").stdout == result.stdout


def test_the_help_names_every_command_and_exit_code():
    """The first page has every command, and what each exit code of a replay means; the version is the package's."""
    text = call("--help").stdout
    assert all(f"\n  {command} " in text for command in COMMANDS)
    assert all(f"{code} " in text.partition("Exit codes:")[2] for code in range(5))
    assert call("--version").stdout.split()[-1] == __version__


@pytest.mark.parametrize(
    "words",
    [["replya"], ["replay", "--nothing"], ["replay", "latest", "--require", "perfect"], ["replay", "x", "--times", 0],
     ["show"], ["diff", "one"], ["verify"], ["ui", "--port", "http"]],
)  # fmt: skip
def test_wrong_words_are_usage(words):
    """A command, option or value that there is not, and too few words: exit code 2, said on stderr alone."""
    result = call(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


def list_errors(base=errors.ReproTrackError):
    return [base, *(one for part in base.__subclasses__() for one in list_errors(part))]


@pytest.mark.parametrize("error", list_errors(), ids=lambda error: error.__name__)
def test_each_error_is_one_message_and_its_exit_code(error):
    """An error of ours ends a command with its own exit code and its words on stderr; another one is not swallowed."""

    @click.group(cls=type(cli.main))
    def program():
        pass

    @program.command()
    def ours():
        raise error("what was found", expected="what was expected", advice="what to do")

    @program.command()
    def other():
        raise ZeroDivisionError

    result = call("ours", program=program)
    assert (result.exit_code, result.stdout) == (error.exit_code, "")
    assert result.stderr.startswith("error: what was found")
    assert "what was expected" in result.stderr
    assert isinstance(call("other", program=program).exception, ZeroDivisionError)


def test_an_interrupt_is_130():
    """Ctrl-C ends a command with the shell's code for it, without a traceback."""

    @click.group(cls=type(cli.main))
    def program():
        pass

    @program.command()
    def stopped():
        raise KeyboardInterrupt

    result = call("stopped", program=program)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")


def test_a_command_loads_what_it_needs_only_when_it_runs():
    """At its top the module imports errors and the version of ours, and no library but click: help is quick."""
    names = set()
    for node in ast.parse(inspect.getsource(cli)).body:
        if isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    assert {*names} - sys.stdlib_module_names == {"click", "repro_track.errors", "repro_track.version"}


def test_show_prints_a_record_as_it_was_logged(records):
    """`show RECORD.json --json` prints it as it is read, alone on stdout; without `--json` stdout is empty."""
    from repro_track.record.reading import read_record, render_record

    path = records / "v3.json"
    shown = call("show", path, "--json")
    assert (shown.exit_code, shown.stdout) == (0, render_record(read_record(path)))
    assert shown.stdout != call("show", records / "v2.json", "--json").stdout
    assert call("show", path).stdout == ""
