"""Promises of machine.py: the machine and torch's build as they are, and no variable beyond the allow-list."""

import torch

from repro_track.capture.machine import capture_environment, capture_torch_build
from repro_track.config.locations import RECORDED_VARIABLES
from repro_track.record.schema import Unavailable


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
