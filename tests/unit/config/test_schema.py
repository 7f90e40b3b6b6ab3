"""Promises of schema.py: a config has the types that it says, is open where any key may stand, and a seed is one that
torch keeps whole."""

import numpy as np
import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from repro_track.config.schema import SEED_LIMIT, check_seed, leave_out_sweep, make_schema
from repro_track.errors import UsageError


@pytest.mark.parametrize("seed", [0, 1, SEED_LIMIT - 1])
def test_a_seed_of_32_bits_is_itself(seed):
    """Every seed that a CPU generator keeps is returned as it is, 0 included; one of NumPy's integers as an int."""
    assert check_seed(seed) == seed
    assert type(check_seed(np.uint32(seed))) is int


@pytest.mark.parametrize("seed", [-1, SEED_LIMIT, True, 1.0, "1", None])
def test_any_other_seed_is_refused_by_its_name(seed):
    """One that torch would cut, and what is no whole number, is refused with the name that it was given by."""
    with pytest.raises(UsageError, match="seeds\\[1\\] is"):
        check_seed(seed, name="seeds[1]")


def test_a_config_is_open_only_where_any_key_may_stand():
    """A call, a scheduler's config, switches and adapters take any key; the config itself does not, nor a wrong
    type."""
    schema = make_schema()
    for change in ("call.prompt=a cat", "scheduler.config.x=1", "switches.vae.y=true", "adapters.lora.a.path=b"):
        OmegaConf.merge(schema, OmegaConf.from_dotlist([change]))
    for change in ("promt=a cat", "seed=three", "log.preview=true"):
        with pytest.raises(OmegaConfBaseException):
            OmegaConf.merge(schema, OmegaConf.from_dotlist([change]))


def test_which_sweep_a_run_belongs_to_is_left_out():
    """Overrides of the sweep are left out, however they were written; others stay in their order."""
    words = ["seed=1", "sweep.run=x", "++sweep.done={}", "call.sweep=2", "sweeping=3"]
    assert leave_out_sweep(words) == ["seed=1", "call.sweep=2", "sweeping=3"]


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
