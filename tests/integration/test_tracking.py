"""Promises of tracking.py as a library: nothing of the user's is changed, whatever happens inside the block."""

import random

import numpy as np
import pytest
import torch

import repro_track as rt
from repro_track.config.locations import default_store_uri
from repro_track.determinism.numerics import capture_state
from repro_track.errors import DeterminismError, UsageError

pytestmark = pytest.mark.xdist_group("tracking")


@pytest.fixture(scope="module")
def tracked():
    """One run with three calls and an output of its own, its record, and the settings around it."""
    from tests.models import make_tiny_pipeline

    pipe = make_tiny_pipeline()
    torch.manual_seed(11), np.random.seed(11), random.seed(11)
    before = (capture_state(), torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    with rt.track(experiment="library", seed=3, num_threads=1, trace="modules") as run:
        inside = capture_state()
        first = run(pipe, batch_size=2, num_inference_steps=2, output_type="np")
        kept = first.images.copy()
        first.images[:] = 0.5
        given = torch.Generator().manual_seed(9)
        second = run(pipe, generator=given, num_inference_steps=2)
        third = run(pipe, generator=given, num_inference_steps=2)
        run.add_output("mine", torch.arange(3))
    after = (capture_state(), torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    return {"run": run, "record": run.record, "before": before, "inside": inside, "after": after, "pipe": pipe,
            "results": (first, second, third), "kept": kept}  # fmt: skip


def test_everything_is_put_back(tracked):
    """Numeric settings and global generators are after the block as they were before it, and were strict inside."""
    before, after = tracked["before"], tracked["after"]
    assert before[0] == after[0]
    assert torch.equal(before[1], after[1])
    assert np.array_equal(before[2], after[2])
    assert before[3] == after[3]
    assert tracked["inside"]["deterministic_algorithms"] is True
    assert before[0]["deterministic_algorithms"] is False


def test_the_result_is_the_pipelines_own(tracked):
    """The call gives what the pipeline gives, bit for bit what it gives without us with the same generators."""
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    bare = tracked["pipe"](batch_size=2, generator=generators, num_inference_steps=2, output_type="np").images
    assert np.array_equal(tracked["kept"], bare)


def test_what_is_kept_is_what_was_given(tracked, artifacts):
    """The caller writes into the result afterwards: the kept tensor is still the one that was digested."""
    from repro_track.tensors.digests import digest_tensor
    from repro_track.tensors.host import load_tensors

    kept = load_tensors(artifacts(tracked["run"].run_id) / "outputs" / "outputs.safetensors")
    for output in tracked["record"].outputs:
        assert digest_tensor(kept[output.name]) == output.sha256
    assert digest_tensor(tracked["results"][0].images[0]) != tracked["record"].outputs[0].sha256


def test_every_call_is_recorded(tracked):
    """Three calls: three traces and sets of outputs under names of their own, and the run's own output."""
    record = tracked["record"]
    names = [output.name for output in record.outputs]
    assert names == ["images.0", "images.1", "call1.images.0", "call2.images.0", "mine"]
    assert [len(call.trace.steps) for call in record.calls] == [2, 2, 2]
    assert record.outputs[2].sha256 != record.outputs[3].sha256  # the generator went on


def test_a_generator_that_goes_on_is_recorded(tracked):
    """The caller's generator is recorded at each call: where the second begins is where the first ended."""
    mine = [one for one in tracked["record"].seeds.generators if one.made_by == "caller"]
    assert [one.initial_seed for one in mine] == [9, 9]
    assert mine[0].state_after == mine[1].state_before
    assert mine[0].state_before != mine[1].state_before


def test_a_run_is_in_mlflow(tracked):
    """After the block the run id is MLflow's, and the record there is the one in hand."""
    from repro_track.store.client import Store

    store = Store(default_store_uri())
    assert store.load_record(store.find_run(tracked["run"].run_id)) == tracked["record"]


def test_an_exception_passes_and_is_recorded():
    """An exception leaves the block unchanged; the run is logged as failed with its words, secrets withheld."""
    with pytest.raises(ZeroDivisionError), rt.track(experiment="library", seed=0) as run:
        1 / 0  # noqa: B018
    assert run.record.status == "failed"
    assert "ZeroDivisionError" in run.record.error
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_unknown_argument_leaves_the_pipeline_alone(tiny_pipeline):
    """An argument that the pipeline does not have is refused before it runs."""
    with pytest.raises(UsageError, match="num_inference_step "), rt.track(experiment="library", seed=0) as run:
        run(tiny_pipeline, num_inference_step=2)
    assert run.record.calls == ()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"seed": 2**32}, UsageError),
        ({"trace": "loud"}, UsageError),
        ({"determinism": "strickt"}, UsageError),
        ({"num_threads": 0}, UsageError),
        ({"generator": "gpu"}, UsageError),
        ({"store": "./mlruns"}, UsageError),
        ({"determinism": "portable"}, DeterminismError),  # torch is loaded: its variables come too late
        ({"determinism": {"flags": {"nope": 1}}}, DeterminismError),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_wrong_words_leave_nothing(words, error, home, tiny_pipeline):
    """A wrong argument is refused on entry: no run, no folder, no setting is left of it."""
    state, staged = capture_state(), set((home / "staging").glob("*"))
    with pytest.raises(error), rt.track(experiment="nothing", **words):
        pytest.fail("the block was entered")
    assert capture_state() == state
    assert set((home / "staging").glob("*")) <= staged  # what other tests left may go, nothing comes


def test_seeds_and_images_must_agree(tiny_pipeline):
    """Three seeds for a call that makes two images are refused."""
    with pytest.raises(UsageError, match="2 images, and there are 3 seeds"), rt.track(seeds=[1, 2, 3]) as run:
        run(tiny_pipeline, batch_size=2, num_inference_steps=1)


def test_an_output_has_one_name(tmp_path):
    """A second output of the same name, and a file that is not there, are refused."""
    with rt.track(experiment="library", seed=0, trace="off") as run:
        run.add_output("x", np.zeros(2))
        with pytest.raises(UsageError, match="already"):
            run.add_output("x", np.ones(2))
        with pytest.raises(UsageError, match="no such file"):
            run.add_output("y", tmp_path / "nope")
    assert [output.name for output in run.record.outputs] == ["x"]


def test_a_config_is_frozen_and_cleaned(monkeypatch):
    """A Hydra config is recorded resolved: interpolations and environment have the values of the run."""
    from omegaconf import OmegaConf

    monkeypatch.setenv("PLANTED", "then")
    config = OmegaConf.create({"a": 1, "b": "${a}", "c": "${oc.env:PLANTED}", "password": "x"})
    with rt.track(experiment="library", seed=0, trace="off", config=config) as run:
        monkeypatch.setenv("PLANTED", "now")
    assert run.record.config.resolved == {"a": 1, "b": 1, "c": "then", "password": "***withheld***"}


def test_independent_images_are_the_pipelines_own():
    """With `batch=independent` the joined result has, for each image, what the pipeline gives for its seed alone;
    together they differ from that, which is why the mode is there."""
    from tests.models import make_tiny_pipeline

    pipe = make_tiny_pipeline()
    call = {"num_inference_steps": 4, "output_type": "np"}
    with rt.track(experiment="library", seed=3, num_threads=1, batch="independent") as run:
        joined = run(pipe, batch_size=3, **call).images
    alone = [pipe(generator=torch.Generator().manual_seed(seed), **call).images[0] for seed in (3, 4, 5)]
    assert joined.shape == (3, 8, 8, 3)
    assert all(np.array_equal(one, other) for one, other in zip(joined, alone, strict=True))
    assert [part.initial_seed for part in run.record.seeds.generators] == [3, 4, 5]
    assert run.record.calls[0].batch == "independent"


def test_seeds_that_cannot_be_given_are_refused():
    """A pipeline that takes one generator for a whole batch is not given one seed of several silently."""
    from tests.conformance import zoo

    with pytest.raises(UsageError, match="takes one generator"), rt.track(experiment="library", seeds=[3, 4]) as run:
        run(zoo.ZOO["amused"].build(), prompt="a cat", num_images_per_prompt=2)


def test_a_call_that_draws_is_made_once():
    """A pipeline that draws globally in its own code is named, its result is untouched, and it, its generators and the
    global ones are as one call leaves them."""
    from diffusers import DDIMPipeline

    from tests.models import make_tiny_pipeline

    class Drawing(DDIMPipeline):
        calls = 0

        def __call__(self, generator=None, num_inference_steps=2):
            self.calls += 1
            shift = float(np.random.rand()) + self.calls
            result = super().__call__(generator=generator, num_inference_steps=num_inference_steps, output_type="np")
            return {"images": result.images + shift}

    parts = make_tiny_pipeline().components
    pipe, given = Drawing(**parts), torch.Generator().manual_seed(9)
    with rt.track(experiment="library", seed=3, num_threads=1) as run:
        images = run(pipe, generator=given)["images"]
        after = np.random.rand()
    again, fresh = Drawing(**parts), torch.Generator().manual_seed(9)
    np.random.seed(3)
    assert np.array_equal(images, again(generator=fresh)["images"])
    assert torch.equal(given.get_state(), fresh.get_state())
    assert (pipe.calls, after) == (1, np.random.rand())
    (moved,) = [one for one in run.record.seeds.global_generators if one.moved]
    assert moved.name == "numpy"
    assert moved.drawn_at == ("call 0",)
    assert not run.record.seeds.closed
