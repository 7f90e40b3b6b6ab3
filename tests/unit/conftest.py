"""What keeps unit tests pure: here MLflow cannot be imported, no program but git starts, and no other host is reached.

A test that starts something else because its module is about that says so with `@pytest.mark.starts("PROGRAM")`. Here
is also a shell of IPython's, for what is about notebooks.
"""

import os
import sys
from pathlib import Path

import pytest

_allowed: list[frozenset[str]] = []  # what the running unit test may start; empty: none is running


def _refuse(event, arguments):
    """Refuse a process or a connection while a unit test runs; Python tells of each before it happens."""
    if not _allowed:
        return
    if event in ("subprocess.Popen", "os.system"):
        program = os.fsdecode(arguments[0])
        if Path(program).name not in _allowed[-1]:
            raise PermissionError(
                f"a unit test starts {program}: move it to tests/integration, or mark it with `starts`"
            )
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in ("127.0.0.1", "::1"):
        raise PermissionError(f"a unit test connects to {arguments[1][0]}")


sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def pure(request, monkeypatch):
    """Hold the rule of this folder while a test runs."""
    # `import mlflow` is an ImportError, wherever it stands; so is a part of it that another test has loaded
    for name in {"mlflow", *(name for name in sys.modules if name.startswith("mlflow."))}:
        monkeypatch.setitem(sys.modules, name, None)
    marks = request.node.iter_markers("starts")
    _allowed.append(frozenset({"git", *(name for mark in marks for name in mark.args)}))
    yield
    _allowed.pop()


@pytest.fixture
def shell(monkeypatch, tmp_path):
    """A shell as a terminal has it; afterwards this process is in none."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance(config=settings, ipython_dir=str(tmp_path / "ipython"))
    InteractiveShell.clear_instance()


@pytest.fixture
def type_in(shell):
    """Run cells, one after the other, as if they were typed."""

    def type_in(*cells):
        for cell in cells:
            shell.run_cell(cell, store_history=True)

    return type_in
