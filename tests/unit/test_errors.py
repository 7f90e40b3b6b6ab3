"""Promises of errors.py: an error says what was found, expected and to do, and each has its exit code."""

import re
from pathlib import Path

import pytest

from repro_track import errors
from repro_track.errors import ExitCode, ReproTrackError, first_line

CLASSES = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, ReproTrackError)]


def test_exit_codes_are_what_scripts_rely_on():
    """The numbers are promised: another one would be another verdict to whoever reads them."""
    assert {code.name: int(code) for code in ExitCode} == {
        "SUCCESS": 0,
        "FELL_SHORT": 1,
        "WRONG_USAGE": 2,
        "NOT_RUN": 3,
        "REFUSED": 4,
        "INTERRUPTED": 130,
    }


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_tree_says_the_exit_code_of_each(kind):
    """The module's docstring has a line for each exception, with the exit code that it really has."""
    assert re.search(rf"\b{kind.__name__}\s+exit {int(kind.exit_code)}:", errors.__doc__)
    assert not re.search(rf"\b{kind.__name__}\s+exit 9:", errors.__doc__)


def test_no_error_means_that_it_ran():
    """An exception means that we could not look: none has the code of a run that was reproduced or fell short."""
    assert {kind.exit_code for kind in CLASSES} == {ExitCode.WRONG_USAGE, ExitCode.NOT_RUN, ExitCode.REFUSED}


def test_the_page_of_commands_has_every_exit_code():
    """docs/commands.md says what each exit code means, and no other one."""
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.partition("## Exit codes")[2].partition("\n## ")[0]
    assert [int(code) for code in re.findall(r"(?m)^\| (\d+) \|", section)] == sorted(ExitCode)


def test_an_error_has_three_parts_each_on_its_line():
    """What was found comes first; what was expected and what to do follow where they are known."""
    assert str(ReproTrackError("it rains")) == "it rains"
    whole = ReproTrackError("it rains", expected="sun", advice="wait")
    assert str(whole).splitlines() == ["it rains", "  expected: sun", "  do: wait"]


def test_a_foreign_error_is_one_line():
    """The first line of a foreign error's message stands for it; its class where it has none."""
    assert first_line(ValueError("  one\ntwo")) == "one"
    assert first_line(KeyError()) == "KeyError"
