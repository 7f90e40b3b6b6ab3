"""Promises of numerics.py: what is recorded is in force, everything is put back, contradictions are named."""

from pathlib import Path

import pytest
import torch

from repro_track.config.presets import read_preset
from repro_track.determinism.numerics import (
    applied,
    apply_variables,
    capture_state,
    digest_settings,
    list_contradictions,
    restore_state,
)
from repro_track.errors import DeterminismError
from repro_track.record.schema import Unavailable

SCRAMBLES = {
    "legacy precision": lambda: torch.set_float32_matmul_precision("medium"),
    "new precision": lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
    "tf32": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
    "deterministic": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "sdp": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "oneDNN off": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "fill": lambda: setattr(torch.utils.deterministic, "fill_uninitialized_memory", False),
    "denormals": lambda: torch.set_flush_denormal(True),
}


@pytest.fixture(autouse=True)
def numerics():
    """Whatever a test does, the next one finds the settings as they were."""
    before = capture_state()
    yield
    restore_state(before)
    assert capture_state() == before


@pytest.mark.parametrize("name", SCRAMBLES)
def test_a_scrambled_setting_is_seen_and_put_back(name):
    """Each setting that somebody changes is read as changed, and restoring brings every one of them back."""
    before = capture_state()
    SCRAMBLES[name]()
    assert capture_state() != before
    restore_state(before)
    assert capture_state() == before


def test_all_scrambles_at_once_are_put_back():
    """Settings that exclude each other's getters are restored in the order that works."""
    before = capture_state()
    for scramble in SCRAMBLES.values():
        scramble()
    restore_state(before)
    assert capture_state() == before


def test_restoring_what_is_in_force_changes_nothing():
    """Restoring the present state is a no-op, which naive writing is not (`none` would become `ieee`)."""
    before = capture_state()
    restore_state(before)
    assert capture_state() == before


@pytest.mark.parametrize("name", ["strict", "fast"])
def test_a_policy_is_in_force_and_put_back(name):
    """Every flag of a policy reads back as asked for, and the former state returns afterwards."""
    preset = read_preset("determinism", name)
    before = capture_state()
    with applied(preset["flags"], num_threads=1, policy=name) as (requested, state):
        assert requested == {**preset["flags"], "num_threads": 1}
        assert list_contradictions(requested, state) == []
        assert capture_state() == state
        assert torch.are_deterministic_algorithms_enabled() == (name == "strict")
    assert capture_state() == before


def test_an_unknown_flag_is_refused():
    """A flag that torch does not have is named, and nothing is changed."""
    with pytest.raises(DeterminismError, match="cudnn.determinstic"), applied({"cudnn.determinstic": True}, policy="x"):
        pass


def test_a_flag_that_cannot_be_set_is_a_contradiction():
    """A setting that reads back otherwise than asked for is an error that names it."""
    with pytest.raises(DeterminismError, match="cpu_capability"), applied({"cpu_capability": "NEON"}, policy="x"):
        pass


def test_what_cannot_be_read_is_unavailable():
    """A getter that raises gives an Unavailable with torch's words, not a guess."""
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    torch.backends.cudnn.rnn.fp32_precision = "ieee"
    value = capture_state()["cudnn.allow_tf32"]
    assert isinstance(value, Unavailable)
    assert "mix" in value.unavailable.lower()


def test_a_variable_that_arrives_too_late_is_named():
    """A variable that torch has read already is an error that names it and both values."""
    with pytest.raises(DeterminismError, match="ATEN_CPU_CAPABILITY") as caught:
        apply_variables({"ATEN_CPU_CAPABILITY": "avx2"})
    assert "avx2" in caught.value.expected


def test_the_settings_of_the_compiler_are_the_same_in_every_folder(monkeypatch):
    """torch names folders among the compiler's settings: where a run is started changes nothing, a setting does."""
    from torch._dynamo import config as dynamo
    from torch._inductor import config as inductor

    before = capture_state()["compile_settings"]
    with monkeypatch.context() as patch:
        patch.setattr(dynamo, "debug_dir_root", "/another/folder/torch_compile_debug")
        assert capture_state()["compile_settings"] == before
        patch.setattr(inductor, "epilogue_fusion", not inductor.epilogue_fusion)
        assert capture_state()["compile_settings"] != before


@pytest.mark.parametrize(
    ("one", "other", "is_equal"),
    [
        ({"dir": "/a"}, {"dir": Path("/b/c")}, True),
        ({"cxx": (None, "/usr/bin/g++")}, {"cxx": (None, "/opt/g++")}, True),
        ({"cxx": (None, "g++")}, {"cxx": (None, "clang")}, False),
        ({"names": {"x", "y", "z"}}, {"names": {"z", "y", "x"}}, True),
        ({"names": {"x", "y"}}, {"names": {"x"}}, False),
        ({"hook": object()}, {"hook": object()}, True),
        ({"hook": capture_state}, {"hook": restore_state}, False),
        ({"level": 1}, {"level": "1"}, False),
        ({"level": 1}, {}, False),
    ],
)
def test_a_digest_of_settings_has_no_place_in_it(one, other, is_equal):
    """Paths, the order of sets and the addresses of objects do not count; names, values and their types do."""
    assert (digest_settings({"inner": one}) == digest_settings({"inner": other})) == is_equal
