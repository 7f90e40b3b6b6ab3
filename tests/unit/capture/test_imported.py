"""Promises of imported.py: the folder that a module is or would be imported from, and its version; nothing is
imported."""

import sys

import pytest

from repro_track.capture.imported import find_import_folder, find_loaded_folder, read_module_version


def test_a_module_is_found_where_it_would_be_imported_from(tmp_path):
    """A package and a plain module are found in the first folder that has them; a folder without code, a built-in and a
    name that nobody has are not. Nothing is imported."""
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "empty").mkdir(parents=True)
    (second / "package").mkdir(parents=True)
    (second / "package" / "__init__.py").write_text("raise SystemExit")
    (second / "plain.py").write_text("raise SystemExit")
    path = [str(first), str(second)]
    assert find_import_folder("package", path=path) == second
    assert find_import_folder("plain", path=path) == second
    assert [find_import_folder(name, path=path) for name in ("empty", "sys", "nobody")] == [None] * 3
    (first / "plain.py").write_text("")
    assert find_import_folder("plain", path=[str(first), str(second)]) == first
    assert "plain" not in sys.modules


def test_a_loaded_module_is_found_where_it_came_from():
    """A loaded package comes from the folder that its own folder is in; what is built in or not loaded from none."""
    assert find_loaded_folder("pytest").joinpath("pytest", "__init__.py").samefile(pytest.__file__)
    assert find_loaded_folder("sys") is None
    assert find_loaded_folder("nobody_has_this_name") is None


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({"x/__init__.py": '__version__ = "1.2"\n'}, "1.2"),
        ({"x/__init__.py": "from .version import *\n", "x/version.py": "__version__: str = '1.3'\n"}, "1.3"),
        ({"x/__init__.py": "", "x/_version.py": '__version__ = version = "1.4"\n'}, "1.4"),
        ({"x.py": '__version__ = "1.5"\n'}, "1.5"),
        ({"x/__init__.py": "__version__ = read()\n"}, None),
        ({"y.py": '__version__ = "1.5"\n'}, None),
    ],
)
def test_a_version_is_read_from_the_files(tmp_path, files, version):
    """A literal version is read where modules keep it; one that has to be computed is not known."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert read_module_version(tmp_path, name="x") == version
