"""What only a GPU can show. Skipped without one; `make test-gpu` runs them."""

import json

import pytest
import torch

from repro_track.determinism import draws
from repro_track.determinism.generators import make_generators
from repro_track.determinism.global_generators import list_moved, read_globals
from repro_track.tensors.digests import digest_tensor
from tests.conformance import cells

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


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_precision_repeats(cli, dtype):
    """Under `determinism=strict` a run on the GPU replays bit-exactly in each precision."""
    run = cli("run", "device=cuda", f"dtype={dtype}", "seed=3", "call.num_inference_steps=10")
    assert run.code == 0, run.err
    assert cli("replay", run.run_id).out.strip() == "bit-exact"


def test_the_gpu_is_close_to_the_cpu_with_a_cpu_generator(cli):
    """CPU against GPU is within the `cross_device` profile, and closer than with a GPU generator: the guide's claim."""
    here, there, bound = (
        cli("run", "seed=3", f"device={device}", f"generator={generator}", "tolerance=cross_device").run_id
        for device, generator in (("cpu", "cpu"), ("cuda", "cpu"), ("cuda", "device"))
    )
    near, far = (json.loads(cli("diff", here, other, "--json").out) for other in (there, bound))
    assert near["verdict"] in ("bit-exact", "pixel-exact", "within-tolerance")
    assert far["verdict"] == "diverged"
    gaps = [data["outputs"][0]["distance"]["mean_abs"] for data in (near, far)]
    assert gaps[0] < gaps[1] / 10


@pytest.mark.parametrize("name", ["stable_diffusion", "flux", "wan", "stable_audio"])
def test_pipelines_of_the_zoo_repeat(name, cli, tmp_path):
    """Pipelines of several families replay bit-exactly on the GPU, offloaded ones too."""
    cells.build_model(name, tmp_path)
    for words in ([], ["switches.enable_model_cpu_offload=true"]):
        run = cli(
            "run", "--config-dir", tmp_path / "conf", "pipeline=none", f"+zoo={name}", "seed=3", "device=cuda", *words
        )
        assert run.code == 0, run.err
        assert cli("replay", run.run_id).out.strip() == "bit-exact"


def test_a_draw_from_the_gpus_generator_is_found_out():
    """A draw from the GPU's global generator is named by its line, and the generator is back where the first call left
    it."""

    def draw():
        return torch.randn(3, device="cuda")

    torch.ones(1, device="cuda")
    before = read_globals()
    draw()
    after = read_globals()
    found = draws.find_draws(draw, before=before, after=after)
    assert [place.rpartition(" in ")[2] for place in found["cuda:0"]] == ["draw"]
    assert list_moved(after, read_globals()) == []
