"""Promises of the layout: imports only go down, the check catches what it forbids, and nothing loads torch or mlflow
unasked."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.starts("lint-imports", Path(sys.executable).name)
PACKAGE = ROOT / "repro_track"
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)


def check_layers(folder):
    program = Path(sys.executable).parent / "lint-imports"
    return subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


def test_imports_only_go_down():
    """import-linter finds no import that goes up or sideways."""
    done = check_layers(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def copied(tmp_path):
    """The package and its contracts, in a folder where they may be broken."""
    shutil.copytree(PACKAGE, tmp_path / "repro_track", ignore=shutil.ignore_patterns("weights", "__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "statement", "contract"),
    [
        ("record/names.py", "import repro_track.compare.verdict", "Imports only go down"),
        ("report/text.py", "import repro_track.lookup.find", "Imports only go down"),
        ("nowhere.py", "", "Imports only go down"),
        ("capture/git.py", "import repro_track.capture.checkout", "No folder has a cycle inside"),
        ("attempt/perform.py", "import mlflow", "Only store imports mlflow"),
        ("cli.py", "from mlflow.entities import Run", "Only store imports mlflow"),
        ("media/picture.py", "from repro_track import __version__", "Nobody imports the package root"),
    ],
)
def test_a_planted_violation_is_caught(copied, file, statement, contract):
    """An import that goes up or sideways, a file of no layer, a cycle in a folder, an import of mlflow outside of the
    store and one of the package's root are each caught, and by the contract that forbids them."""
    with (copied / "repro_track" / file).open("a", encoding="utf-8") as text:
        text.write(f"\n{statement}\n")
    done = check_layers(copied)
    assert done.returncode == 1
    assert f"{contract} BROKEN" in done.stdout


def test_every_folder_is_packaged():
    """The wheel has every folder of the package: the list in pyproject.toml is complete."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {".".join(path.relative_to(ROOT).parent.parts) for path in PACKAGE.rglob("*.py")}
    assert set(settings["packages"]) == {*folders, "repro_track.conf"}


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))
def test_a_folder_says_what_it_does_and_never_does(folder):
    """A folder's `__init__.py` holds its docstring and nothing else: what it does, and what it never does."""
    text = (PACKAGE / folder / "__init__.py").read_text(encoding="utf-8").strip()
    assert text.startswith('"""')
    assert text.endswith('"""')
    assert text.count('"""') == 2
    assert "never" in text


def list_loaded(statement):
    script = f"import sys; {statement}; print('torch' in sys.modules, 'mlflow' in sys.modules)"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()


def test_the_package_loads_nothing():
    """Importing the package loads neither torch nor mlflow, and naming a public class still does not load mlflow."""
    assert list_loaded("import repro_track") == ["False", "False"]
    assert list_loaded("import repro_track; repro_track.RunRecord, repro_track.ReproTrackError") == ["False", "False"]


def test_no_module_loads_torch_or_mlflow_by_itself():
    """No module loads torch or mlflow when it is imported: both are loaded where they are used."""
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    if found := {'torch', 'mlflow'} & set(sys.modules):\n"
        "        sys.exit(f'{name} loads {found}')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *MODULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_control_works():
    """The checks above can fail: torch is seen when it is loaded."""
    assert list_loaded("import torch") == ["True", "False"]
