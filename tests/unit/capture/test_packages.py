"""Promises of packages.py: what is installed and where it is from, and what an environment is made of again."""

import importlib
import json
import sys
from importlib import metadata

from repro_track.capture.packages import capture_packages, render_packages


def test_every_installed_distribution_is_there():
    """Each distribution is listed with the version that importlib.metadata says."""
    found = {package.name: package.version for package in capture_packages()}
    for name in ("torch", "mlflow", "numpy", "hydra-core", "gitpython", "safetensors"):
        assert found[name] == metadata.version(name)


def test_an_editable_install_is_named():
    """This checkout is installed in place, and its origin says so; a package from the registry says that."""
    origins = {package.name: package.origin for package in capture_packages()}
    assert origins["repro-track"].startswith("editable file://")
    assert origins["numpy"] == "registry"


def test_packages_are_readable():
    """The freeze form has one line for each distribution."""
    packages = capture_packages()
    assert len(render_packages(packages).splitlines()) == len(packages)


def install(folder, name, version, *, module=None, url=None):
    """Put a package into a folder as an installer does: its module, its metadata, the list of its files."""
    module = module or name
    (folder / module).mkdir(parents=True, exist_ok=True)
    (folder / module / "__init__.py").write_text(f'__version__ = "{version}"\n')
    metadata_folder = folder / f"{name}-{version}.dist-info"
    metadata_folder.mkdir()
    (metadata_folder / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    (metadata_folder / "RECORD").write_text(f"{module}/__init__.py,,\n")
    if url:
        (metadata_folder / "direct_url.json").write_text(json.dumps({"url": url, "dir_info": {"editable": True}}))
    return str(folder)


def find_version(name, path):
    return next((one.version, one.origin) for one in capture_packages(path) if one.name == name)


def test_of_two_versions_the_first_on_the_path_is_the_one(tmp_path):
    """A folder of packages before another one decides, whichever is newer; also before an editable install, whose
    origin says more but which is not imported."""
    old, new = install(tmp_path / "a", "flavour", "1.0"), install(tmp_path / "b", "flavour", "2.0")
    assert find_version("flavour", [old, new]) == ("1.0", "registry")
    assert find_version("flavour", [new, old]) == ("2.0", "registry")
    source = tmp_path / "source"
    (source / "flavour").mkdir(parents=True)
    site = tmp_path / "site"
    install(site, "flavour", "3.0", url=source.as_uri())
    assert find_version("flavour", [old, str(site)]) == ("1.0", "registry")


def test_of_two_versions_in_one_folder_it_is_the_one_whose_files_are_there(tmp_path):
    """Two installations over each other have one set of files, whose version it is."""
    both = tmp_path / "both"
    install(both, "flavour", "1.0")
    install(both, "flavour", "2.0")
    assert find_version("flavour", [str(both)]) == ("2.0", "registry")
    (both / "flavour" / "__init__.py").write_text('__version__ = "1.0"\n')
    assert find_version("flavour", [str(both)]) == ("1.0", "registry")


def test_a_folder_without_metadata_in_the_place_of_a_package_is_named(tmp_path):
    """A clone on the path that is imported instead of the installed package gives its own version and folder; a module
    that only has the same name as a package which installs another one changes nothing."""
    site = install(tmp_path / "site", "flavour", "1.0")
    clone = tmp_path / "clone"
    (clone / "flavour").mkdir(parents=True)
    (clone / "flavour" / "__init__.py").write_text('__version__ = "2.0.dev0"\n')
    assert find_version("flavour", [str(clone), site]) == ("2.0.dev0", f"editable {clone.as_uri()}")
    assert find_version("flavour", [site, str(clone)]) == ("1.0", "registry")
    other = install(tmp_path / "other", "flavour", "1.0", module="taste")
    assert find_version("flavour", [str(clone), other]) == ("1.0", "registry")


def test_the_loaded_module_decides(tmp_path, monkeypatch):
    """What is imported already is the one that runs, although the path has changed since; a package that is not
    imported says so."""
    monkeypatch.syspath_prepend(install(tmp_path / "a", "flavour_one", "1.0"))
    (before,) = (one for one in capture_packages() if one.name == "flavour-one")
    assert (before.version, before.imported_from) == ("1.0", None)
    importlib.import_module("flavour_one")
    monkeypatch.syspath_prepend(install(tmp_path / "b", "flavour_one", "2.0"))
    (after,) = (one for one in capture_packages() if one.name == "flavour-one")
    assert (after.version, after.imported_from) == ("1.0", str(tmp_path / "a"))
    monkeypatch.delitem(sys.modules, "flavour_one")
    (now,) = (one for one in capture_packages() if one.name == "flavour-one")
    assert (now.version, now.imported_from) == ("2.0", None)


def test_a_source_tree_with_an_egg_info_is_the_editable_install_of_it(tmp_path):
    """Where the source tree itself is on the path, its egg-info is found first: the editable install of the same tree
    knows where it is from; that of another tree has no say."""
    source = tmp_path / "source"
    (source / "flavour").mkdir(parents=True)
    (source / "flavour" / "__init__.py").write_text("")
    (source / "flavour.egg-info").mkdir()
    (source / "flavour.egg-info" / "PKG-INFO").write_text("Name: flavour\nVersion: 1.0\n")
    site, other = tmp_path / "site", tmp_path / "other"
    install(site, "flavour", "1.0", url=source.as_uri())
    install(other, "flavour", "9.0", url=(tmp_path / "elsewhere").as_uri())
    assert find_version("flavour", [str(source), str(site)]) == ("1.0", f"editable {source.as_uri()}")
    assert find_version("flavour", [str(source), str(other)]) == ("1.0", "registry")


# --- restore ------------------------------------------------------------------------------------------------------


def make_package(name, version="1.0", origin="registry"):
    from repro_track.record.schema import Package

    return Package(name=name, version=version, origin=origin)


def plan(*packages, old_root=None, new_root=None, python="3.11.7"):
    from repro_track.capture.command import Move
    from repro_track.capture.packages import make_environment_plan

    relocate = Move(old_root, new_root).find if old_root else str
    return make_environment_plan(python, packages, relocate=relocate)


def test_every_unusual_package_is_named_with_what_is_done(tmp_path):
    """A local wheel, an editable folder, a version-control link, a +cpu build and our own program: each is noted; a
    plain version from a registry is not."""
    (tmp_path / "here").mkdir()
    wheel = tmp_path / "a-1.0-py3-none-any.whl"
    wheel.write_bytes(b"")
    commit = "a" * 40
    made = plan(
        make_package("plain"),
        make_package("torch", "2.13.0+cpu"),
        make_package("local", origin=wheel.as_uri()),
        make_package("lost", origin=(tmp_path / "b-1.0-py3-none-any.whl").as_uri()),
        make_package("mine", origin=f"editable {(tmp_path / 'here').as_uri()}"),
        make_package("linked", origin=f"https://host.example/x.git@{commit}"),
        make_package("repro-track", "0.1"),
    )
    notes = " | ".join(made.notes)
    assert "plain" not in notes
    for word in ("cpu build", "from the file", "a registry's build", "editable", commit, "present program"):
        assert word in notes
    assert made.torch_backend == "cpu"
    assert made.paths == (str(tmp_path / "here"),)
    assert "plain==1.0" in made.requirements
    assert f"linked @ git+https://host.example/x.git@{commit}" in made.requirements
    assert not any(line.startswith(("mine", "repro-track")) for line in made.requirements)


def test_a_package_of_the_recorded_source_comes_from_the_restored_one(tmp_path):
    """An editable package inside the recorded repository is imported from where that is restored."""
    old, new = tmp_path / "old", tmp_path / "new"
    made = plan(make_package("mine", origin=f"editable {(old / 'lib').as_uri()}"), old_root=old, new_root=new)
    assert made.paths == (str(new / "lib"),)


def test_a_folder_that_is_gone_is_said(tmp_path):
    """A package from a folder that is not there ends with its name; one from a folder that is does not."""
    import pytest

    from repro_track.errors import ReplayError

    with pytest.raises(ReplayError, match="gone"):
        plan(make_package("gone", origin=f"editable {(tmp_path / 'nowhere').as_uri()}"))


def test_an_environment_is_known_by_what_is_in_it():
    """The same packages and interpreter have one folder; another version or interpreter has another."""
    first = plan(make_package("a"), make_package("b"))
    assert plan(make_package("a"), make_package("b")).folder == first.folder
    assert plan(make_package("a"), make_package("b", "2")).folder != first.folder
    assert plan(make_package("a"), make_package("b"), python="3.12.1").folder != first.folder


def test_pips_settings_reach_uv(tmp_path, monkeypatch):
    """Where pip finds packages, by its file or by variables, uv is told to look, unless it was told something
    itself."""
    from repro_track.capture.packages import read_pip_settings

    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nindex-url = https://host.example/simple\nfind-links = {tmp_path}\n")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_pip_settings()["UV_DEFAULT_INDEX"] == "https://host.example/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://other.example/simple")
    assert read_pip_settings()["UV_DEFAULT_INDEX"] == "https://other.example/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://own.example/simple")
    assert "UV_DEFAULT_INDEX" not in read_pip_settings()


def test_only_packages_of_the_source_move_with_it(tmp_path):
    """Of editable packages, those inside the recorded repository are imported from the restored one; one beside it,
    whose folder's name only begins alike, and our own program are not."""
    from repro_track.capture.command import Move
    from repro_track.capture.packages import list_editable_paths

    move = Move(tmp_path / "project", tmp_path / "new")
    inside, beside = (tmp_path / "project" / "lib").as_uri(), (tmp_path / "project2").as_uri()
    packages = [
        make_package("inside", origin=f"editable {inside}"),
        make_package("beside", origin=f"editable {beside}"),
        make_package("repro-track", origin=f"editable {inside}"),
        make_package("plain"),
    ]
    assert list_editable_paths(packages, relocate=move.find) == (str(tmp_path / "new" / "lib"),)
