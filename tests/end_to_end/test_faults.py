"""Faults planted for real in a script, its weights or its surroundings: no replay of them comes out bit-exact, and each
names what differs. Every fault has a twin: the same script untouched, which does."""

import json
import sys

import pytest

pytestmark = [pytest.mark.restore, pytest.mark.xdist_group("faults")]

SCRIPT = """
import sys
import numpy as np
import torch
from diffusers import DDIMPipeline
import repro_track as rt

SEED, ETA, IMAGES = 3, 0.0, 2

def change(result):
    return result

class Pipeline(DDIMPipeline):
    def __call__(self, batch_size=1, generator=None, num_inference_steps=2, eta=0.0, output_type="np"):
        given = super().__call__(batch_size, generator, eta, num_inference_steps, output_type=output_type)
        given.images = change(given.images)
        return given

pipe = Pipeline.from_pretrained(sys.argv[1])
with rt.track(experiment="faults", seed=SEED) as run:
    run(pipe, batch_size=IMAGES, eta=ETA)
print(run.run_id)
"""

FAULTS = {
    "another seed": ("SEED, ETA, IMAGES = 3,", "SEED, ETA, IMAGES = 4,", "seeds.root"),
    "another scheduler setting": (
        "pipe = Pipeline.from_pretrained(sys.argv[1])\n",
        "pipe = Pipeline.from_pretrained(sys.argv[1])\npipe.scheduler.register_to_config(clip_sample_range=0.5)\n",
        "components.scheduler.config.clip_sample_range",
    ),
    "another argument": ("ETA, IMAGES = 3, 0.0,", "ETA, IMAGES = 3, 1.0,", "arguments.eta"),
    "NaN in the output": (
        "    return result\n",
        "    result[0, 0, 0, 0] = np.nan\n    return result\n",
        "1 of 192 values are NaN",
    ),
    "an extra image": ("    return result\n", "    return np.concatenate([result, result[:1]])\n", "extra"),
    "a missing image": ("    return result\n", "    return result[:1]\n", "missing"),
    "two images swapped": ("    return result\n", "    return result[::-1]\n", "swapped"),
    "an empty output": ("    return result\n", "    return result[:0]\n", "missing"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from tests.models import make_tiny_pipeline

    folder = tmp_path_factory.mktemp("model")
    make_tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "script.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture(scope="module")
def recorded(python, script, model):
    """The run before any fault is planted."""
    result = python(script, model)
    assert result.code == 0, result.err
    return result


def replay(cli, run_id, *words, **options):
    # the faults are planted in the present code: the recorded script would not have them
    result = cli("replay", run_id, "--json", "--code", "current", *words, **options)
    assert result.out, result.err
    return result, json.loads(result.out)


def test_the_twin_without_a_fault_is_bit_exact(cli, recorded):
    """The untouched script replays bit-exactly by its recorded command line."""
    result, data = replay(cli, recorded.run_id)
    assert (result.code, data["verdict"]) == (0, "bit-exact")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_script_is_named(cli, recorded, script, fault):
    """The script was changed: the replay falls short, and what differs is named in its report."""
    old, new, named = FAULTS[fault]
    assert old in SCRIPT
    script.write_text(SCRIPT.replace(old, new))
    try:
        result, data = replay(cli, recorded.run_id)
    finally:
        script.write_text(SCRIPT)
    assert result.code == 1
    assert data["verdict"] in ("diverged", "not-comparable")
    assert named in json.dumps(data)
    assert "source.script_sha256" in result.err  # and it was said before anything ran


def test_one_weight_by_one_ulp_is_named(cli, recorded, model):
    """One weight of the file changed by one unit in the last place: the file is named before the run, and the block
    in which the runs part after it."""
    import torch
    from safetensors.torch import load_file, save_file

    path = model / "unet" / "diffusion_pytorch_model.safetensors"
    original = path.read_bytes()
    weights = load_file(path)
    weight = weights["conv_in.weight"]
    weight[0, 0, 1, 1] = torch.nextafter(weight[0, 0, 1, 1], torch.tensor(torch.inf))
    save_file(weights, path, metadata={"format": "pt"})
    try:
        result, data = replay(cli, recorded.run_id, "--weights", "current")
    finally:
        path.write_bytes(original)
    assert result.code == 1
    assert data["verdict"] != "bit-exact"
    kinds = [difference["kind"] for difference in data["differences"]]
    assert kinds[0] == "weights"
    assert "diffusion_pytorch_model.safetensors" in result.err.split("bit-exact")[0]
    assert data["divergence"]["module"] == "unet.conv_in"
    assert data["divergence"]["step"] == 0


def test_another_instruction_set_is_named_and_diverges(cli, digits_run):
    """Replayed without vector instructions, the noise itself differs: diverged, with the capability named."""
    result, data = replay(
        cli,
        digits_run.run_id,
        "--numerics",
        "current",
        env={"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    )
    assert result.code == 1
    assert data["verdict"] != "bit-exact"
    assert "numerics.state.cpu_capability" in json.dumps(data["differences"])


def test_a_lower_requirement_is_met(cli, recorded, script):
    """A difference of 1e-6 in one value keeps the pixels: it falls short of bit-exact and meets `--require
    pixel-exact`."""
    script.write_text(SCRIPT.replace("    return result\n", "    result[0, 0, 0, 0] += 1e-6\n    return result\n"))
    try:
        result, data = replay(cli, recorded.run_id, "--require", "pixel-exact")
        assert (result.code, data["verdict"]) == (0, "pixel-exact")
        assert replay(cli, recorded.run_id)[0].code == 1
    finally:
        script.write_text(SCRIPT)


def test_a_script_that_is_gone_is_said(cli, recorded, script):
    """The script was deleted: exit code 3 and one message that names it, no traceback."""
    script.unlink()
    try:
        result = cli("replay", recorded.run_id, "--code", "current")
    finally:
        script.write_text(SCRIPT)
    assert result.code == 3
    assert str(script) in result.err
    assert "Traceback" not in result.err


def test_a_script_that_fails_now_is_said(cli, recorded, script):
    """The script raises in its replay: exit code 3, and the failed replay is logged as such."""
    script.write_text(SCRIPT.replace("    return result\n", "    raise RuntimeError('planted')\n"))
    try:
        result = cli("replay", recorded.run_id, "--code", "current")
    finally:
        script.write_text(SCRIPT)
    assert result.code == 3
    assert "planted" in result.err
    assert result.out == ""


def test_an_entropy_generator_is_restored(cli, python, tmp_path, model):
    """A generator that the script seeds from entropy comes out the same in the replay: its state is put back."""
    path = tmp_path / "entropy.py"
    path.write_text(
        "import sys, torch\n"
        "from diffusers import DDIMPipeline\n"
        "import repro_track as rt\n"
        "pipe = DDIMPipeline.from_pretrained(sys.argv[1])\n"
        "generator = torch.Generator()\n"
        "generator.seed()\n"
        "with rt.track(experiment='faults') as run:\n"
        "    run(pipe, generator=generator, num_inference_steps=2, output_type='np')\n"
        "print(run.run_id)\n"
    )
    first, second = python(path, model), python(path, model)
    assert replay(cli, first.run_id)[1]["verdict"] == "bit-exact"
    assert json.loads(cli("diff", first.run_id, second.run_id, "--json").out)["verdict"] == "diverged"


def test_a_global_draw_is_found_and_replays(cli, python, tmp_path, model, read_record):
    """A script that draws from the global generators is not seed-closed, is told which, and replays exactly."""
    path = tmp_path / "leak.py"
    path.write_text(
        "import sys, random, torch\n"
        "from diffusers import DDIMPipeline\n"
        "import repro_track as rt\n"
        "pipe = DDIMPipeline.from_pretrained(sys.argv[1])\n"
        "with rt.track(experiment='faults') as run:\n"
        "    run.add_output('draw', torch.rand(4) + random.random())\n"
        "    run(pipe, num_inference_steps=2, output_type='np')\n"
        "print(run.run_id)\n"
    )
    run = python(path, model)
    record = read_record(run.run_id)
    assert not record.seeds.closed
    assert [one.name for one in record.seeds.global_generators if one.moved] == ["python", "torch"]
    assert replay(cli, run.run_id)[1]["verdict"] == "bit-exact"


def test_the_child_is_this_python(recorded, read_record):
    """The recorded command names the script and its arguments, not a shell."""
    command = read_record(recorded.run_id).command
    assert command.kind == "script"
    assert command.script.endswith("script.py")
    assert len(command.argv) == 1
    assert sys.executable == read_record(recorded.run_id).environment.interpreter.executable
