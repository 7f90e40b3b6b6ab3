"""Promises of hydra_callback.py: a job's pipelines are recorded, its config too, and the app sees what it always
saw."""

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from repro_track.integrations.hydra_callback import ReproTrack
from repro_track.tracking.open_runs import get_current_run
from repro_track.tracking.track import track
from tests.models import make_tiny_pipeline

CONFIG = {"seed": 5, "model": {"seed": 6}, "twice": "${seed}", "later": "???", "hydra": {"x": 1}}
ORIGINAL = DDIMPipeline.__call__
CALL = {"num_inference_steps": 2, "output_type": "np"}


@pytest.fixture(autouse=True)
def unlogged(child):
    """Log nothing: be the child of a replay of another block."""


def do_job(callback, job, config=None):
    """Do what Hydra does with a job; return the tracked run that was open in it, and what the job returned."""
    composed = OmegaConf.create(CONFIG if config is None else config)
    callback.on_job_start(composed)
    done = JobReturn()
    run = get_current_run()
    try:
        done.return_value, done.status = job(), JobStatus.COMPLETED
    except Exception as error:
        done.return_value, done.status = error, JobStatus.FAILED
    callback.on_job_end(composed, done)
    assert get_current_run() is None
    return run, done._return_value


def test_a_call_of_a_pipeline_is_recorded_and_is_its_own():
    """The app's call is in the record with its arguments, also those by position; the result is what the pipeline gives
    by itself for that seed, and another seed gives another."""
    run, images = do_job(ReproTrack(determinism="fast"), lambda: make_tiny_pipeline()(1, None, 0.0, **CALL).images)
    (call,) = run.record.calls
    assert (call.arguments["num_inference_steps"], run.record.seeds.root, run.record.status) == (2, 5, "finished")
    alone = make_tiny_pipeline()(generator=torch.Generator().manual_seed(5), **CALL).images
    other = make_tiny_pipeline()(generator=torch.Generator().manual_seed(6), **CALL).images
    assert np.array_equal(images, alone)
    assert not np.array_equal(images, other)


def test_the_pipeline_is_still_what_it_was_to_the_app():
    """In the job and after it, a pipeline is of the class that it was made of, with the name and words that it had;
    after the job a call is not recorded."""
    kept = []
    run, _ = do_job(ReproTrack(determinism="fast"), lambda: kept.append(make_tiny_pipeline()))
    (pipe,) = kept
    assert type(pipe) is DDIMPipeline
    assert DDIMPipeline.__call__ is ORIGINAL
    pipe(**CALL)
    assert run.record.calls == ()


def test_the_config_is_recorded_without_hydras_own():
    """Interpolations have their values, what has none stays `???`, and Hydra's part is left out."""
    run, _ = do_job(ReproTrack(determinism="fast"), lambda: None)
    assert run.record.config.resolved == {"seed": 5, "model": {"seed": 6}, "twice": 5, "later": "???"}


@pytest.mark.parametrize(
    ("key", "config", "seed"),
    [
        ("model.seed", CONFIG, 6),
        ("model.nothing", CONFIG, None),
        ("seed", {"seed": None}, None),
        ("seed", {"seed": True}, None),
        ("seed", {"seed": "five"}, None),
    ],
)
def test_the_seed_is_the_one_of_the_named_key(key, config, seed):
    """The seed is that of the key; where it has none, one is drawn, and said to be."""
    run, _ = do_job(ReproTrack(seed=key, determinism="fast"), lambda: None, config)
    assert run.record.seeds.origin == ("entropy" if seed is None else "given")
    assert seed is None or run.record.seeds.root == seed


def test_a_job_that_fails_is_recorded_as_failed():
    """The record has the job's error; one that does not fail has none."""

    def fail():
        raise ValueError("planted")

    run, error = do_job(ReproTrack(determinism="fast"), fail)
    assert isinstance(error, ValueError)
    assert (run.record.status, "planted" in run.record.error) == ("failed", True)
    assert do_job(ReproTrack(determinism="fast"), lambda: None)[0].record.error is None


def test_an_app_that_tracks_itself_is_left_alone():
    """Inside a block of the app's own, the callback opens no run, and the pipeline's call is recorded once, there."""
    with track(seed=9, determinism="fast") as own:
        callback = ReproTrack(determinism="fast")
        callback.on_job_start(OmegaConf.create(CONFIG))
        assert get_current_run() is own
        own(make_tiny_pipeline(), **CALL)
        callback.on_job_end(OmegaConf.create(CONFIG), JobReturn())
    assert [call.index for call in own.record.calls] == [0]
