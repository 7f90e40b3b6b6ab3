"""Promises of search_path.py: code comes back with the code and packages with the packages, and a verdict is about the
packages that ran."""

from pathlib import Path

import pytest

from repro_track.attempt.search_path import check_packages_ran, list_folders_of_code, list_search_path, plan_search_path
from repro_track.capture.command import Move
from repro_track.capture.packages import make_environment_plan
from repro_track.compare.differences import make_difference
from repro_track.errors import ExitCode, ReplayError
from repro_track.record.choice import make_choice
from repro_track.record.reading import read_record
from repro_track.record.schema import Package

RECORD = read_record(Path(__file__).parents[2] / "data" / "records" / "v2.json")


def make_record(*packages, path=None):
    variables = {**RECORD.environment.variables, "PYTHONPATH": path}
    environment = RECORD.environment.model_copy(update={"packages": packages, "variables": variables})
    return RECORD.model_copy(update={"environment": environment})


def make_packages_folder(folder, version="1.0"):
    """A folder as `pip install --target` makes it."""
    (folder / f"flavour-{version}.dist-info").mkdir(parents=True)
    return str(folder)


def plan(record, *, code="restore", move=None, packages=None):
    choice = make_choice(code=code, env="current", numerics="restore", weights="current")
    planned = plan_search_path(record, choice=choice, move=move, packages=packages)
    return planned.get("PYTHONPATH", "as ours is")


def test_code_comes_back_and_packages_stay(tmp_path, monkeypatch):
    """Recorded folders of code, moved with the source, and present folders of packages: the recorded packages are not
    those that are asked for. With the present code all is as it is."""
    then, now = make_packages_folder(tmp_path / "then"), make_packages_folder(tmp_path / "now", "2.0")
    monkeypatch.setenv("PYTHONPATH", f"{now}:{tmp_path / 'present-code'}")
    record = make_record(path=f"{then}:{tmp_path / 'clone' / 'lib'}:/elsewhere")
    move = Move(tmp_path / "clone", tmp_path / "tree")
    assert plan(record, move=move) == f"{now}:{tmp_path / 'tree' / 'lib'}:/elsewhere"
    assert plan(record, code="current") == "as ours is"
    behind = make_record(path=f"/elsewhere:{then}")
    assert plan(behind) == f"/elsewhere:{now}"


def test_an_environment_of_its_own_has_all_packages(tmp_path, monkeypatch):
    """Where recorded packages are restored, no folder of packages comes before them, be it a recorded or a present
    one; folders of code do."""
    then, now = make_packages_folder(tmp_path / "then"), make_packages_folder(tmp_path / "now", "2.0")
    monkeypatch.setenv("PYTHONPATH", now)
    restored = make_environment_plan("3.11.7", [Package(name="flavour", version="1.0")])
    assert plan(make_record(path=f"{then}:/code"), packages=restored) == "/code"
    assert plan(make_record(path=then), packages=restored) is None
    assert plan(make_record(path="/code"), packages=restored, code="current") is None


def test_a_clone_that_packages_were_imported_from_is_a_folder_of_packages(tmp_path, monkeypatch):
    """A clone of a library on PYTHONPATH counts as its packages; one inside the recorded repository is code."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    clone = tmp_path / "library"
    package = Package(name="flavour", version="1.0", origin=f"editable {clone.as_uri()}", imported_from=str(clone))
    record = make_record(package, path=str(clone))
    assert plan(record) is None
    assert plan(record, move=Move(tmp_path, tmp_path / "tree")) == str(tmp_path / "tree" / "library")
    monkeypatch.setenv("PYTHONPATH", str(clone))
    assert plan(record) == str(clone)


def test_the_child_searches_where_we_do_but_for_its_own_folders(monkeypatch):
    """Its script's folder and its PYTHONPATH come first, ours are not among them; the interpreter's are."""
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setattr("sys.path", ["/bin-of-the-command", "/ours", "/site"])
    assert list_search_path("/theirs", first=["/script"]) == ["/script", "/theirs", "/site"]
    assert list_search_path(None, first=[]) == ["/site"]


def test_folders_that_the_code_adds_are_known(tmp_path):
    """Packages that were found neither by PYTHONPATH nor by the interpreter were put there by the code, and are again
    while they are there."""
    added, by_path = make_packages_folder(tmp_path / "added"), make_packages_folder(tmp_path / "by-path")
    site = make_packages_folder(tmp_path / "site-packages")
    folders = [added, by_path, site, str(tmp_path / "gone")]
    packages = [Package(name=f"p{index}", version="1", imported_from=one) for index, one in enumerate(folders)]
    assert list_folders_of_code(make_record(*packages, path=by_path)) == [added]


@pytest.mark.parametrize("stays", [True, False])
def test_packages_that_were_not_planned_are_an_error(stays):
    """A child that imported another version than the plan says ends with one message that names both and the folder;
    one that imported what the plan says does not."""
    expected = make_record(Package(name="flavour", version="1.0"))
    staying = [make_difference("environment.packages.flavour.version", "1.0", "2.0")] if stays else []
    right, wrong = ("2.0", "1.0") if stays else ("1.0", "2.0")

    def check(version, imported_from="/m/flavour"):
        ran = make_record(Package(name="flavour", version=version, imported_from=imported_from))
        check_packages_ran(expected, ran, staying=staying)

    check(right)
    check(wrong, imported_from=None)  # installed, and not used
    with pytest.raises(ReplayError) as caught:
        check(wrong)
    assert caught.value.exit_code == ExitCode.NOT_RUN
    assert (wrong in caught.value.found, "/m/flavour" in caught.value.found, right in caught.value.expected) == (
        True,
    ) * 3
