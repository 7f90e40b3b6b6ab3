"""Promises of config.py: seeds that torch keeps, one store from every folder, presets that are the ones Hydra sees."""

from dataclasses import asdict

import pytest

from repro_track.config.locations import default_store_uri, resolve_store_uri
from repro_track.config.presets import make_changed, read_preset
from repro_track.config.schema import RunConfig, check_seed
from repro_track.errors import UsageError


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_good_seeds_pass(seed):
    """Every seed of 32 bits is kept, zero too."""
    assert check_seed(seed) == seed


@pytest.mark.parametrize("seed", [2**32, 2**63, -1, True, 1.0, "3"])
def test_seeds_that_torch_would_cut_are_refused(seed):
    """A seed that torch would cut silently, or that is no integer, is refused."""
    with pytest.raises(UsageError, match="seed is"):
        check_seed(seed)


def test_torch_really_cuts_them():
    """The reason for the limit: 0 and 2**32 give one stream on the CPU, 0 and 1 do not."""
    import torch

    def draw(seed):
        return torch.randn(16, generator=torch.Generator().manual_seed(seed)).tolist()

    assert draw(0) == draw(2**32)
    assert draw(0) != draw(1)


def test_the_environment_names_the_store_first(monkeypatch):
    """MLFLOW_TRACKING_URI goes before the config, and the config before the embedded store."""
    assert resolve_store_uri() == default_store_uri()
    assert resolve_store_uri("http://a:5000") == "http://a:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://b:5000")
    assert resolve_store_uri("http://a:5000") == "http://b:5000"


def test_a_relative_store_does_not_move(tmp_path, monkeypatch):
    """A relative SQLite path means the same file from every working directory afterwards."""
    monkeypatch.chdir(tmp_path)
    assert resolve_store_uri("sqlite:///mlflow.db") == f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns"])
def test_a_file_store_is_refused(uri):
    """MLflow 3 raises on file stores with a long text: we say what to do."""
    with pytest.raises(UsageError, match="a folder of files"):
        resolve_store_uri(uri)


def test_an_unknown_preset_names_the_known():
    """A wrong preset is refused with the list of right ones."""
    with pytest.raises(UsageError) as caught:
        read_preset("determinism", "strickt")
    assert caught.value.expected == "one of fast, portable, strict"


def make_resolved():
    return {**asdict(RunConfig()), "call": {"num_inference_steps": 50, "prompt": "a cat"}}


def test_a_change_changes_one_thing():
    """`KEY=VALUE` changes that key, with the type of the config, and nothing else; the original stays as it is."""
    resolved = make_resolved()
    changed = make_changed(resolved, ["call.num_inference_steps=20", "seed=7"])
    assert changed == {**resolved, "seed": 7, "call": {"num_inference_steps": 20, "prompt": "a cat"}}
    assert resolved == make_resolved()
    assert make_changed(resolved, ['call.prompt="a=b, c"'])["call"]["prompt"] == "a=b, c"


def test_a_group_is_changed_by_its_preset():
    """A group takes the whole preset of `conf/`, and what was there before is gone."""
    before = {**make_resolved(), "scheduler": {"class_name": "DDIMScheduler", "config": {"clip_sample": False}}}
    changed = make_changed(before, ["scheduler=euler"])
    assert changed["scheduler"] == {"class_name": "EulerDiscreteScheduler", "config": {}}
    assert make_changed(before, ["determinism=portable"])["determinism"]["environment"]["MKL_CBWR"] == "COMPATIBLE"


@pytest.mark.parametrize("change", ["seeed=1", "seed=x", "scheduler=none_such", "steps", "=1", "pipeline.none=1"])
def test_a_change_that_cannot_be_made(change):
    """An unknown key, another type, an unknown preset, no value: refused with what was expected."""
    with pytest.raises(UsageError) as caught:
        make_changed(make_resolved(), [change])
    assert caught.value.expected
