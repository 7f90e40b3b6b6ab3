"""Promises of this folder's conftest.py: a unit test that is none fails by itself, and says what it did."""

import os
import socket
import subprocess
import sys

import pytest


def test_mlflow_cannot_be_imported():
    """Importing MLflow, or a part of it, is an error wherever it stands; another library is imported."""
    with pytest.raises(ImportError, match="mlflow"):
        import mlflow  # noqa: F401
    with pytest.raises(ImportError, match="mlflow"):
        from mlflow.entities import Run  # noqa: F401
    import yaml  # noqa: F401


@pytest.fixture(scope="module")
def loaded():
    """A part of MLflow that another test of the same process has left loaded."""
    sys.modules["mlflow.left_loaded"] = os
    yield
    del sys.modules["mlflow.left_loaded"]


@pytest.mark.usefixtures("loaded")
def test_what_another_test_has_loaded_of_mlflow_cannot_be_imported_either():
    """A part of MLflow that is loaded already, by a test that is no unit test, is an error here all the same."""
    with pytest.raises(ImportError, match="mlflow"):
        import mlflow.left_loaded  # noqa: F401


def test_no_program_but_git_starts():
    """A program is refused by its name before it starts, whoever starts it; git is not."""
    with pytest.raises(PermissionError, match="a unit test starts true"):
        subprocess.run(["true"], check=True)
    with pytest.raises(PermissionError, match="a unit test starts"):
        os.system("true")
    subprocess.run(["git", "--version"], check=True, capture_output=True)


@pytest.mark.starts("true")
def test_a_marked_test_starts_what_it_names():
    """A test that is marked starts the program of its mark, and no other."""
    subprocess.run(["true"], check=True)
    with pytest.raises(PermissionError, match="a unit test starts false"):
        subprocess.run(["false"], check=False)


def test_no_other_host_is_reached():
    """A connection to another host is refused before it is tried; to this one it is tried."""
    with pytest.raises(PermissionError, match=r"connects to 192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 9), timeout=1)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        socket.create_connection(listener.getsockname(), timeout=5).close()
