"""Promises of surroundings.py: what a run needs is in force inside, and all as it was outside, whatever happens."""

import random

import numpy as np
import pytest
import torch

from repro_track.determinism.numerics import capture_state
from repro_track.errors import DeterminismError
from repro_track.tracking import surroundings
from repro_track.tracking.cost import Stopwatch
from repro_track.tracking.folder import RunFolder
from repro_track.tracking.replayed import Replayed

FLAGS = {"flags": {"deterministic_algorithms": True}}


@pytest.fixture
def opened(make_options, record, tmp_path):
    """Open the surroundings of a run outside of any repository."""
    command = record.command.model_copy(update={"cwd": str(tmp_path)})

    def opened(*, determinism=FLAGS, root=3, watch=None, replayed=None):
        return surroundings.opened(
            make_options(determinism=determinism),
            command=command,
            folder=RunFolder(tmp_path / "run", owner="a", picture_format="png"),
            root=root,
            store_uri="sqlite:////nowhere/mlflow.db",
            replayed=replayed or Replayed(),
            watch=watch or Stopwatch(),
        )

    return opened


def read_all():
    return capture_state(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


def test_all_is_put_back(opened):
    """Settings and global generators are in force inside, and afterwards as they were, also after an error."""
    before = read_all()
    with opened():
        assert torch.are_deterministic_algorithms_enabled()
        assert read_all() != before
    assert read_all() == before
    with pytest.raises(ZeroDivisionError), opened():
        torch.set_grad_enabled(False)
        1 / 0  # noqa: B018
    assert read_all() == before


def test_the_root_seeds_every_global_generator(opened):
    """The same root gives the same numbers, of Python, NumPy and torch; another root others."""

    def draw(root):
        with opened(root=root):
            return random.random(), float(np.random.rand()), float(torch.rand(1))

    assert draw(3) == draw(3)
    assert all(one != other for one, other in zip(draw(3), draw(4), strict=True))


def test_what_is_in_force_is_seen(opened):
    """What was asked for and is in force is seen; at first nothing is changed, later what the run changed is named."""
    with opened() as around:
        first = around.look()
        assert first.numerics.requested == {"deterministic_algorithms": True}
        assert first.numerics.state["deterministic_algorithms"] is True
        assert first.numerics.changed == {}
        torch.set_grad_enabled(False)
        assert around.look(capture_state()).numerics.changed == {"grad_enabled": False}


def test_a_draw_is_seen(opened):
    """A global generator that something drew from has moved, the others have not."""
    with opened() as around:
        assert not any(one.moved for one in around.look().global_generators)
        np.random.rand()
        assert [one.name for one in around.look().global_generators if one.moved] == ["numpy"]


def test_source_and_machine_are_captured(opened, tmp_path):
    """The source is there as soon as somebody looks, and says why there is none; the machine is this one."""
    with opened() as around:
        seen = around.look()
    assert "not in a git repository" in seen.source.commit.unavailable
    assert seen.environment.torch.version == torch.__version__


def test_the_import_of_torch_is_timed(opened):
    """The seconds of torch's import are a phase of their own, and the only one."""
    watch = Stopwatch()
    with opened(watch=watch):
        assert list(watch.seconds) == ["import_torch"]


@pytest.mark.parametrize(
    "policy", [{"environment": {"MKL_CBWR": "AVX2"}}, {"flags": {"nope": 1}}], ids=["too late", "unknown"]
)
def test_a_policy_that_cannot_be_had_is_refused(opened, policy):
    """A variable that torch has read already and a setting that does not exist are refused, and nothing is changed."""
    before = read_all()
    with pytest.raises(DeterminismError), opened(determinism=policy):
        pytest.fail("the block was entered")
    assert read_all() == before


def test_a_replays_settings_are_in_force(opened, make_replayed, record):
    """Recorded settings are in force inside where a replay restores them, and count as those of the beginning."""
    recorded = record.model_copy(update={"numerics": record.numerics.model_copy(update={"state": {"num_threads": 2}})})
    before = read_all()
    with opened(replayed=make_replayed(expected=recorded)) as around:
        assert torch.get_num_threads() == 2
        assert around.look(capture_state()).numerics.state["num_threads"] == 2
        assert around.look(capture_state()).numerics.changed == {}
    assert read_all() == before
