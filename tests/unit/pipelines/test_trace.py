"""Promises of trace.py: watching changes nothing, every step is seen, the first difference is named."""

import copy
import inspect

import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, EulerAncestralDiscreteScheduler, LCMScheduler

from repro_track.pipelines.trace import recording
from repro_track.record.schema import Unavailable
from repro_track.tensors.digests import digest_tensor

SCHEDULERS = [DDPMScheduler, LCMScheduler, EulerAncestralDiscreteScheduler]  # what DDPMPipeline can drive


def make_ddpm(pipe, scheduler):
    """The same UNet in a pipeline whose scheduler draws noise at every step."""
    other = DDPMPipeline(unet=pipe.unet, scheduler=scheduler)
    other.set_progress_bar_config(disable=True)
    return other


def run(pipe, *, level="steps", seed=0, steps=3):
    with recording(pipe.components, level=level) as collector:
        result = pipe(generator=torch.Generator().manual_seed(seed), num_inference_steps=steps, output_type="np").images
    return result, collector.finish()


@pytest.mark.parametrize("level", ["steps", "modules"])
def test_watching_changes_no_bit(tiny_pipeline, level):
    """The output is bit-equal with and without the trace, also where the scheduler draws noise of its own."""
    for pipe in (tiny_pipeline, make_ddpm(tiny_pipeline, DDPMScheduler())):
        watched, _ = run(pipe, level=level)
        bare, _ = run(pipe, level="off")
        other, _ = run(pipe, level="off", seed=1)
        assert digest_tensor(watched) == digest_tensor(bare) != digest_tensor(other)


def test_nothing_is_left_behind(tiny_pipeline):
    """After the block the scheduler has its class back and no module has a hook, also after an error."""
    before = type(tiny_pipeline.scheduler)
    with pytest.raises(RuntimeError), recording(tiny_pipeline.components, level="modules"):
        assert type(tiny_pipeline.scheduler) is not before
        raise RuntimeError
    assert type(tiny_pipeline.scheduler) is before
    assert not any(module._forward_hooks for module in tiny_pipeline.unet.modules())


def test_a_step_that_cannot_be_looked_at_ends_nothing(tiny_pipeline):
    """A scheduler of somebody's own may give a step anything for a time: the run goes on, and why is kept."""
    step = DDIMScheduler.step

    class Own(DDIMScheduler):
        def step(self, model_output, timestep, sample, **words):
            return step(self, model_output, 1, sample, **words)

        def scale_model_input(self, sample, timestep=None):
            return sample

    scheduler = Own()
    sample = torch.ones(1, 3, 2, 2)
    scheduler.set_timesteps(2)
    with recording({"scheduler": scheduler}, level="steps") as collector:
        assert scheduler.step(sample, "a time", sample).prev_sample.shape == sample.shape
    assert "a time" in collector.failed
    assert collector.finish().steps == ()
    with recording({"scheduler": scheduler}, level="steps") as collector:
        scheduler.step(sample, 1, sample)
    assert collector.failed is None
    assert len(collector.finish().steps) == 1


def test_signature_and_name_of_the_scheduler_stay(tiny_pipeline):
    """Pipelines read the signature of `step` and the class's name: both are unchanged while watched."""
    scheduler = tiny_pipeline.scheduler
    signature, name = inspect.signature(scheduler.step), type(scheduler).__name__
    with recording(tiny_pipeline.components, level="steps"):
        assert inspect.signature(scheduler.step) == signature
        assert type(scheduler).__name__ == name
        assert isinstance(scheduler, DDIMScheduler)


def test_a_copied_scheduler_steps_by_itself(tiny_pipeline):
    """A pipeline that copies its scheduler steps the copy, not the original."""
    with recording(tiny_pipeline.components, level="steps"):
        twin = copy.deepcopy(tiny_pipeline.scheduler)
        twin.set_timesteps(2)
        twin.step(torch.zeros(1, 3, 8, 8), twin.timesteps[0], torch.zeros(1, 3, 8, 8))
        assert tiny_pipeline.scheduler.num_inference_steps is None


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda one: one.__name__)
def test_every_step_is_seen(tiny_pipeline, scheduler):
    """There is one event for each step that the scheduler takes, with its timestep, digest and statistics."""
    pipe = make_ddpm(tiny_pipeline, scheduler())
    _, trace = run(pipe)
    assert [step.timestep for step in trace.steps] == [float(t) for t in pipe.scheduler.timesteps]
    assert all(step.std > 0 for step in trace.steps)
    assert len({step.latents for step in trace.steps}) == len(trace.steps)


def test_the_noise_is_the_generators(tiny_pipeline):
    """The digest of the initial noise is that of `randn` from the same CPU generator; another seed has another."""
    noise = torch.randn((1, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    _, trace = run(tiny_pipeline)
    assert trace.noise == digest_tensor(noise)
    assert run(tiny_pipeline, seed=1)[1].noise != trace.noise


def test_blocks_are_named_in_order(tiny_pipeline):
    """Top-level blocks are named by their qualified names, in the order of their calls, the items of lists apart."""
    _, trace = run(tiny_pipeline)
    assert trace.modules[0].startswith("unet.time")
    assert "unet.down_blocks.1" in trace.modules
    assert trace.modules[-1] == "unet.conv_out"
    assert all(len(step.modules) == len(trace.modules) for step in trace.steps)


def test_a_weight_changed_by_one_ulp_is_located(tiny_pipeline):
    """One weight changed by one unit in the last place: the first module that differs is the one that has it."""
    _, before = run(tiny_pipeline, level="modules")
    weight = tiny_pipeline.unet.mid_block.resnets[0].conv1.weight
    with torch.no_grad():
        weight[0, 0, 1, 1] = torch.nextafter(weight[0, 0, 1, 1], torch.tensor(torch.inf))
    _, after = run(tiny_pipeline, level="modules")
    rows = zip(before.modules, before.steps[0].modules, after.steps[0].modules, strict=True)
    assert next(name for name, left, right in rows if left != right) == "unet.mid_block.resnets.0.conv1"


def test_off_sees_nothing_and_says_so(tiny_pipeline):
    """`trace=off` records no step, and the noise is unavailable with the reason."""
    _, trace = run(tiny_pipeline, level="off")
    assert trace.steps == ()
    assert trace.noise == Unavailable(unavailable="trace=off")
