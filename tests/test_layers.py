"""Promises of the layout: imports only go down, and what must not load torch or mlflow does not."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_imports_only_go_down():
    """import-linter finds no import that goes up or sideways."""
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def list_loaded(statement):
    script = f"import sys; {statement}; print('torch' in sys.modules, 'mlflow' in sys.modules)"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()


def test_the_package_loads_nothing():
    """Importing the package loads neither torch nor mlflow, and naming a public class still does not load mlflow."""
    assert list_loaded("import repro_track") == ["False", "False"]
    assert list_loaded("import repro_track; repro_track.RunRecord, repro_track.ReproTrackError") == ["False", "False"]


@pytest.mark.parametrize("module", sorted(path.stem for path in (ROOT / "repro_track").glob("[a-z]*.py")))
def test_no_module_loads_torch_or_mlflow_by_itself(module):
    """No module loads torch or mlflow when it is imported: both are loaded where they are used."""
    assert list_loaded(f"import repro_track.{module}") == ["False", "False"]


def test_the_control_works():
    """The check above can fail: torch is seen when it is loaded."""
    assert list_loaded("import torch") == ["True", "False"]
