"""Promises of environment.py: what is installed and where it is from, and no variable beyond the allow-list."""

from importlib import metadata

import torch

from repro_track.config import RECORDED_VARIABLES
from repro_track.environment import capture_environment, capture_packages, capture_torch_build, render_packages
from repro_track.record import Unavailable


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


def test_the_torch_build_is_this_one():
    """The build string, version and git revision are torch's own."""
    build = capture_torch_build()
    assert build.version == torch.__version__
    assert build.config.splitlines()[0] == torch.__config__.show().splitlines()[0]
    assert "CPU capability usage" not in build.config
    assert build.git_version == torch.version.git_version


def test_no_other_variable_is_recorded(monkeypatch):
    """Only allow-listed variables are recorded: a planted secret in the environment is nowhere in the result."""
    monkeypatch.setenv("HF_TOKEN", "planted-secret-value")
    monkeypatch.setenv("OMP_SCHEDULE", "static")
    captured = capture_environment(torch_build=Unavailable(unavailable="not read"))
    assert set(captured.variables) == set(RECORDED_VARIABLES)
    assert captured.variables["OMP_SCHEDULE"] == "static"
    assert "planted-secret-value" not in captured.model_dump_json()


def test_the_machine_is_described():
    """The CPU's model and instruction sets are read, or the reason why not is there; never nothing."""
    machine = capture_environment(torch_build=Unavailable(unavailable="x")).machine
    assert machine.cpu_count >= 1
    assert machine.cpu_model
    assert machine.cpu_isa


def test_packages_are_readable():
    """The freeze form has one line for each distribution."""
    packages = capture_packages()
    assert len(render_packages(packages).splitlines()) == len(packages)
