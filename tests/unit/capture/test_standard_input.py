"""Promises of standard_input.py: what was read of the standard input, or typed, is noticed; what was left alone is
not."""

import subprocess
import sys

import pytest

WATCH = """
import sys
from repro_track.capture.executed import watch_execution
from repro_track.capture.standard_input import list_taken_input, watch_input
watch_input()
watch_execution()
{takes}
print(list_taken_input(), file=sys.stderr)
"""
READ = ["it read its standard input, which is not recorded: a replay has none"]
ASKED = ["it asked for input, which is not recorded"]


def run(takes, **streams):
    code = WATCH.format(takes=takes)
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=True, **streams)
    return done.stderr.strip()


@pytest.mark.starts(sys.executable.rpartition("/")[2])
@pytest.mark.parametrize(
    ("takes", "said"),
    [
        ("sys.stdin.read()", READ),
        ("sys.stdin.buffer.read(1)", READ),
        ("input()", ASKED),
        ("", []),
        ("open('/dev/null').read()", []),
    ],
)
def test_what_is_read_is_said(takes, said, tmp_path):
    """All of it or a part, of a file as of a pipe; what stays there was not read."""
    (tmp_path / "given.txt").write_text("a cat\n")
    with (tmp_path / "given.txt").open() as file:
        assert run(takes, stdin=file) == str(said)
    assert run(takes, input="a cat\n") == str(said)


@pytest.mark.starts(sys.executable.rpartition("/")[2])
def test_where_there_is_nothing_to_read_nothing_is_said():
    """An empty pipe, none at all, and a debugger that asks are nothing that a replay would miss."""
    assert run("sys.stdin.read()", input="") == "[]"
    assert run("sys.stdin.read()", stdin=subprocess.DEVNULL) == "[]"
    assert run("import os; os.close(0)", input="a cat") == "[]"
    asking = "import cmd; exec('input()', {'__name__': 'cmd'})"
    assert ASKED[0] not in run(asking, input="c\n")
