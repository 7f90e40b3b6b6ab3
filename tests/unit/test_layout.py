"""Promises of the tests' own layout: every module has the tests of its promises where one looks for them."""

from pathlib import Path

import pytest

UNIT = Path(__file__).parent
PACKAGE = UNIT.parents[1] / "repro_track"
ELSEWHERE = {
    "__main__.py": (None, "calls cli.main and nothing else"),
    "version.py": (None, "one number; tests/end_to_end/test_cli.py has `--version`"),
    "attempt/log.py": ("tests/end_to_end/test_first_light.py", "writes into a store"),
    "lookup/from_picture.py": ("tests/lookup/test_from_a_picture.py", "searches a store"),
    "run/__main__.py": ("tests/end_to_end/test_first_light.py", "is the child of every replay of a config"),
    "store/launches.py": ("tests/end_to_end/test_launch.py", "writes into a store, for several processes"),
    "store/outbox.py": ("tests/integration/test_outbox.py", "starts the other process"),
}


def list_modules(package):
    return sorted(str(path.relative_to(package)) for path in package.rglob("*.py") if path.name != "__init__.py")


def list_untested(package, unit):
    """List the modules without a test file at the place that mirrors theirs."""
    names = {module: Path(module).with_name(f"test_{Path(module).name}") for module in list_modules(package)}
    return [module for module, name in names.items() if not (unit / name).is_file()]


def test_every_module_has_its_test_file():
    """`tests/unit/FOLDER/test_MODULE.py` is there for every module that is not tested elsewhere, with the reason."""
    assert [module for module in list_untested(PACKAGE, UNIT) if module not in ELSEWHERE] == []


def test_a_module_without_tests_is_noticed(tmp_path):
    """A new module is named until its test file is there, in its folder and not in another."""
    (tmp_path / "package" / "store").mkdir(parents=True)
    (tmp_path / "package" / "store" / "new.py").touch()
    (tmp_path / "unit" / "store").mkdir(parents=True)
    (tmp_path / "unit" / "test_new.py").touch()
    assert list_untested(tmp_path / "package", tmp_path / "unit") == ["store/new.py"]
    (tmp_path / "unit" / "store" / "test_new.py").touch()
    assert list_untested(tmp_path / "package", tmp_path / "unit") == []


@pytest.mark.parametrize("module", ELSEWHERE)
def test_what_is_tested_elsewhere_is_there(module):
    """A module of the list is one, and the tests that stand for its own are where the list says."""
    place, _ = ELSEWHERE[module]
    assert (PACKAGE / module).is_file()
    assert module in list_untested(PACKAGE, UNIT), "it has a test file of its own: take it off the list"
    assert place is None or (UNIT.parents[1] / place).is_file()


def test_no_test_file_has_lost_its_module():
    """Every test file of a folder here is that of a module, so that one moves with the other."""
    files = {path.relative_to(UNIT) for path in UNIT.glob("*/**/test_*.py")}
    lost = [str(file) for file in sorted(files) if not (PACKAGE / file.with_name(file.name[5:])).is_file()]
    assert lost == []


def test_every_folder_of_tests_is_a_package():
    """Test files of the same name in two folders are two modules, and what tests share is imported by its name."""
    folders = {path.parent for path in UNIT.parent.rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []
