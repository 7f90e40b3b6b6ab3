"""What only a GPU can show. Skipped without one; `make test-gpu` runs them."""

import pytest
import torch

from repro_track.fingerprint import digest_tensor
from repro_track.seeding import make_generators

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def test_the_noise_of_a_cpu_generator_is_the_same_on_the_gpu():
    """diffusers draws on the CPU and moves: the bytes are those of the CPU, and a GPU generator's are others."""
    from diffusers.utils.torch_utils import randn_tensor

    shape = (1, 3, 32, 32)
    here = randn_tensor(shape, generator=make_generators([0])[0], device=torch.device("cpu"))
    there = randn_tensor(shape, generator=make_generators([0])[0], device=torch.device("cuda"))
    bound = randn_tensor(shape, generator=make_generators([0], device="cuda")[0], device=torch.device("cuda"))
    assert digest_tensor(here) == digest_tensor(there) != digest_tensor(bound)


def test_a_run_on_the_gpu_replays_exactly(cli, read_record):
    """`device=cuda` under `determinism=strict` replays bit-exactly, with the noise of the CPU run of the same seed."""
    there = cli("run", "device=cuda", "seed=3", "call.num_inference_steps=4")
    here = cli("run", "device=cpu", "seed=3", "call.num_inference_steps=4")
    assert there.code == 0, there.err
    assert cli("replay", there.run_id).out.strip() == "bit-exact"
    assert read_record(there.run_id).calls[0].trace.noise == read_record(here.run_id).calls[0].trace.noise


def test_a_gpu_generator_is_recorded_as_bound(cli, read_record):
    """`generator=device` records the device that the noise is bound to."""
    run = cli("run", "device=cuda", "generator=device", "seed=3", "call.num_inference_steps=2")
    (generator,) = read_record(run.run_id).seeds.generators
    assert generator.device.startswith("cuda")
    assert cli("replay", run.run_id).out.strip() == "bit-exact"
