"""Promises of packages.py: what is installed and where it is from, and what an environment is made of again."""

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
