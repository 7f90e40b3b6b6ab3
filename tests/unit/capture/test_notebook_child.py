"""Promises of notebook_child.py: cells run again as they were run, each with its number, but for what failed."""

import subprocess
import sys
from pathlib import Path

import pytest

from repro_track.capture.cells import Failure
from repro_track.capture.notebook import Cell, Notebook

pytestmark = pytest.mark.starts(Path(sys.executable).name)


@pytest.fixture
def replay(tmp_path):
    """Write cells, run them in a process of their own; return what it printed, and its exit code."""

    def replay(*cells, in_kernel=True, file=None, env=None):
        numbered = [one if isinstance(one, Cell) else Cell(number, one) for number, one in enumerate(cells, start=1)]
        Notebook(tuple(numbered), in_kernel=in_kernel).write(tmp_path / "n.ipynb")
        words = [sys.executable, "-m", "repro_track.capture.notebook_child", str(tmp_path / "n.ipynb")]
        done = subprocess.run(
            [*words, *([file] if file else [])],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home"), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout, done.stderr, done.returncode

    return replay


CELLS = (
    "import asyncio\nasync def five():\n    await asyncio.sleep(0)\n    return 5",
    Cell(2, "kept = 1\nnope\nlost = 1", Failure("NameError", 1)),
    Cell(3, "raise SystemExit", Failure("SystemExit", 0)),
    Cell(4, "may = 1\nnope", is_known=False),
    "%matplotlib inline\n!echo from the shell {kept}\nfiles = !echo a; echo b",
    "%%time\nx = 3",
    "await five()",
    "_ + 1",
    "display(Out[7], In[3], files)",
    "%pip install nothing-of-this-name\n!pip install nothing-of-this-name\nprint('went on')",
    "%%bash\npip install nothing-of-this-name",
    "'lost' in globals(), x, kept, may, _, __name__",
)  # fmt: skip


def test_cells_run_as_they_were_run(replay, tmp_path):
    """Magics, commands, `await`, `display`, `_`, `In` and `Out` are there; of a cell that failed only what had ended
    runs; installations do not; of a cell that nobody knows of the failure is passed over. The
    person's profile is left alone."""
    out, err, code = replay(*CELLS, "print(__vsc_ipynb_file__)", file="/a/n.ipynb")
    assert code == 0, err
    assert "from the shell 1" in out
    assert "'raise SystemExit'" in out
    assert "['a', 'b']" in out
    assert "Out[8]: 6" in out
    assert "went on" in out
    assert "(False, 3, 1, 1, 6, '__main__')" in out
    assert out.rstrip().endswith("/a/n.ipynb")
    assert err.count("left out in a replay: ") == 3
    assert not (tmp_path / "home" / ".ipython").exists()


def test_a_terminal_has_no_loop(replay):
    """In a kernel a task waits in the background while later cells run; in a terminal nothing runs between cells, and
    `await` works all the same."""
    task = "import asyncio\ntask = asyncio.create_task(asyncio.sleep(0))"
    assert replay(task, "1 + 1")[2] == 0
    assert replay(task, "1 + 1", in_kernel=False)[2] == 1
    out, err, code = replay("import asyncio\nawait asyncio.sleep(0)\n1 + 1", "!echo $SHELL", in_kernel=False)
    assert (code, "Out[1]: 2" in out) == (0, True), err


def test_a_cell_that_fails_now_ends_it(replay):
    """A cell that had not failed and does now is named, and nothing after it is run."""
    out, err, code = replay("print('one')", "nope", "print('three')")
    assert (code, "one" in out, "three" in out) == (1, True, False)
    assert "cell 2 of the notebook failed in its replay" in err


def test_without_ipython_there_is_one_message(replay, tmp_path):
    """In an environment without IPython the process says what is missing, without a traceback."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['IPython'] = None\n")
    _, err, code = replay("1", env={"PYTHONPATH": str(tmp_path)})
    assert code == 3, err
    assert "IPython, which runs its cells, is not installed here" in err
    assert "Traceback" not in err
