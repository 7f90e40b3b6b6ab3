"""Any pipeline: stages, inputs, adapters, batches and draws from global generators, by the command line and from
scripts."""

import json
import textwrap

import pytest
from PIL import Image

from repro_track.record.names import STATES_NAME
from tests.conformance.cells import build_model

pytestmark = [pytest.mark.pipelines]


STAGED = pytest.mark.xdist_group("staged")
"""Tests that share one run of stages go to one worker."""


@pytest.fixture(scope="module")
def run_zoo(cli, tmp_path_factory):
    """Run an entry of the zoo by the command line; gives the result and the folder of models and files."""
    folder = tmp_path_factory.mktemp("zoo")
    built = set()

    def run(name, *words, code=0):
        if name not in built:
            build_model(name, folder)
            built.add(name)
        result = cli("run", "--config-dir", folder / "conf", "pipeline=none", f"+zoo={name}", "seed=3", *words)
        assert result.code == code, result.err
        return result

    run.folder = folder
    return run


def replay(cli, *words, code=0):
    result = cli("replay", *words, "--json")
    assert result.code == code, result.err
    return json.loads(result.out) if result.out else result.err


# --- stages -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def staged(run_zoo):
    """Kandinsky's prior and decoder as two stages, two images."""
    return run_zoo("kandinsky_prior", "num_images=2").run_id


@STAGED
def test_stages_pass_their_generators_on(staged, read_record):
    """The second stage goes on with the very generators of the first: its states begin where the first one's ended."""
    record = read_record(staged)
    assert [(call.stage, call.index) for call in record.calls] == [("kandinsky_prior", 0), ("kandinsky_decoder", 1)]
    first, second = (
        [one for one in record.seeds.generators if one.name.startswith(f"call{index}.")] for index in (0, 1)
    )
    assert [one.initial_seed for one in first] == [one.initial_seed for one in second] == [3, 4]
    assert [one.state_after for one in first] == [one.state_before for one in second]
    assert [one.state_before for one in second] != [one.state_before for one in first]
    assert {part.name for part in record.calls[1].inputs} == {"image_embeds", "negative_image_embeds"}
    assert record.seeds.closed


@STAGED
def test_all_stages_replay(cli, staged):
    """The whole run replays bit-exactly, both stages' outputs."""
    data = replay(cli, staged)
    assert data["verdict"] == "bit-exact"
    assert [one["name"] for one in data["outputs"]] == [
        "image_embeds", "negative_image_embeds", "call1.images.0", "call1.images.1",
    ]  # fmt: skip


@STAGED
@pytest.mark.parametrize("name", ["kandinsky_decoder", "1"])
def test_one_stage_replays_alone(cli, staged, read_record, name):
    """A stage named or numbered is replayed from what was recorded at its border, without the one before it."""
    data = replay(cli, staged, "--stage", name)
    assert data["verdict"] == "bit-exact"
    assert [one["name"] for one in data["outputs"]] == ["call1.images.0", "call1.images.1"]
    (call,) = read_record(data["replay_run_id"]).calls
    assert (call.index, call.class_name) == (1, "KandinskyV22Pipeline")


@STAGED
def test_an_image_of_a_stage_alone(cli, staged):
    """Stage and image together narrow the question to one picture."""
    data = replay(cli, staged, "--stage", "1", "--image", "1")
    assert [(one["name"], one["verdict"]) for one in data["outputs"]] == [("call1.images.1", "bit-exact")]


@STAGED
def test_a_stage_or_image_that_is_not_there(cli, staged):
    """A stage or image that the run does not have is wrong usage, with those that it has."""
    assert "kandinsky_decoder" in replay(cli, staged, "--stage", "upscaler", code=2)
    assert "0, 1" in replay(cli, staged, "--image", "7", code=2)


@STAGED
def test_what_the_border_holds_is_used(cli, staged, artifacts):
    """An altered input of a stage is refused; an altered generator state gives another picture: both are really
    used."""
    from repro_track.tensors.host import load_tensors, save_tensors

    folder = artifacts(staged)
    states = {name: tensor.to_numpy().copy() for name, tensor in load_tensors(folder / STATES_NAME).items()}
    kept = (folder / STATES_NAME).read_bytes()
    states["call1.generator0.before"] = states["call0.generator0.before"]
    save_tensors(folder / STATES_NAME, states)
    try:
        assert replay(cli, staged, "--stage", "1", code=1)["outputs"][0]["verdict"] == "diverged"
    finally:
        (folder / STATES_NAME).write_bytes(kept)


@STAGED
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("stages.kandinsky_decoder.take.image_embeds=nothing",), "no such field"),
        (("stages.kandinsky_prior.take.prompt=later.images",), "stages.kandinsky_prior.take.prompt"),
        (("pipeline=digits",), "pipeline=none"),
    ],
)
def test_wrong_stages_are_named(cli, run_zoo, staged, words, named):
    """A field that no stage gives, a stage that does not come before, a pipeline beside stages: one message."""
    words = [word for word in ("pipeline=none", *words) if not (word == "pipeline=none" and "pipeline=digits" in words)]
    result = cli("run", "--config-dir", run_zoo.folder / "conf", "+zoo=kandinsky_prior", *words)
    assert result.code in (2, 3)
    assert named in result.err
    assert "Traceback" not in result.err


# --- inputs -------------------------------------------------------------------------------------------------------


def test_an_input_travels_with_the_run(cli, run_zoo, artifacts):
    """A picture given by its path is kept with the run: the replay needs the file no more, and refuses an altered
    copy."""
    run = run_zoo("img2img").run_id
    (original,) = (run_zoo.folder / "files").glob("img2img-image.png")
    original.rename(original.with_suffix(".gone"))
    try:
        assert replay(cli, run)["verdict"] == "bit-exact"
    finally:
        original.with_suffix(".gone").rename(original)
    (kept,) = (artifacts(run) / "inputs").glob("*.png")
    picture = Image.open(kept).convert("RGB")
    red, green, blue = picture.getpixel((0, 0))
    picture.putpixel((0, 0), (red ^ 1, green, blue))
    picture.save(kept)
    verified = cli("verify", run)
    assert verified.code == 1
    assert f"inputs/{kept.name}: altered" in verified.err
    result = cli("replay", run)
    assert result.code == 3
    assert "the input image" in result.err


def test_another_picture_is_another_run(run_zoo, cli):
    """Two runs that differ in their picture alone: the difference is named as the call's."""
    first = run_zoo("img2img").run_id
    Image.new("RGB", (32, 32), "red").save(run_zoo.folder / "files" / "other.png")
    second = run_zoo("img2img", f"call.image={run_zoo.folder / 'files' / 'other.png'}").run_id
    data = json.loads(cli("diff", first, second, "--json").out)
    assert data["verdict"] != "bit-exact"
    assert any(one["place"].startswith("calls.0.inputs.image") and one["kind"] == "call" for one in data["differences"])


def test_a_missing_input_is_one_message(run_zoo):
    """A path that is not there is wrong usage, with the argument's name, before anything is logged."""
    result = run_zoo("img2img", "call.image=/nowhere.png", code=2)
    assert "image is '/nowhere.png'" in result.err
    assert "Traceback" not in result.err


# --- adapters and switches ----------------------------------------------------------------------------------------


def test_other_lora_weights_are_refused(cli, run_zoo, read_record):
    """A LoRA's file is recorded; the replay refuses one with one other bit, unless it is told to take what is there."""
    run = run_zoo("lora").run_id
    record = read_record(run)
    (file,) = record.calls[0].adapter_files
    unet = next(part for part in record.calls[0].components if part.name == "unet")
    assert [(one.name, one.scales) for one in unet.adapters] == [("pixel", (0.75,))]
    path = run_zoo.folder / "adapters" / "lora" / "lora" / "pytorch_lora_weights.safetensors"
    assert file.path == str(path)
    content = bytearray(path.read_bytes())
    try:
        content[-1] ^= 1
        path.write_bytes(content)
        refused = cli("replay", run)
        assert refused.code == 3
        assert file.sha256 in refused.err
        assert replay(cli, run, "--weights", "current", code=1)["verdict"] != "bit-exact"
    finally:
        content[-1] ^= 1
        path.write_bytes(content)


def test_moved_lora_weights_are_found_by_their_digest(cli, run_zoo, read_record):
    """A LoRA's file that was moved is found by its digest, as a component's weights are: the plan says that it is
    restored and expects bit-exact, and so it comes. Where weights are left as they are now, it stays and none of it is
    expected; a file that was seen nowhere is refused."""
    run = run_zoo("lora").run_id
    (file,) = read_record(run).calls[0].adapter_files
    path = run_zoo.folder / "adapters" / "lora" / "lora" / "pytorch_lora_weights.safetensors"
    place, moved = f"calls.0.adapter_files.{file.path}.sha256", path.with_name("moved.safetensors")
    path.rename(moved)
    try:
        refused = cli("replay", run)
        assert refused.code == 3
        assert "the file is not there" in refused.err
        run_zoo("lora", f"adapters.lora.pixel.path={moved}", "call.num_inference_steps=1")  # the program sees it there
        plan = replay(cli, run, "--dry-run")
        assert [one["source"] for one in plan["weights"]] == [str(moved)]
        assert place in [one["place"] for one in plan["restored"]]
        assert place not in [one["place"] for one in plan["differences"]]
        assert plan["expected_verdict"] == "bit-exact"
        assert replay(cli, run)["verdict"] == "bit-exact"
        left = replay(cli, run, "--weights", "current", "--dry-run")
        assert place in [one["place"] for one in left["differences"]]
        assert (left["expected_verdict"], left["because"]) == ("diverged", [place])
    finally:
        moved.rename(path)


def test_switches_are_set_and_put_back(cli, run_zoo, read_record):
    """Switches of the config are found on the components, and set again in the replay."""
    run = run_zoo(
        "stable_diffusion", "switches.vae.enable_tiling=true", "switches.enable_freeu={s1:0.9,s2:0.2,b1:1.2,b2:1.4}"
    ).run_id
    parts = {part.name: part for part in read_record(run).calls[0].components}
    assert parts["vae"].switches["use_tiling"] is True
    data = replay(cli, run)
    assert data["verdict"] == "bit-exact"
    assert data["differences"] == []
    plain = run_zoo("stable_diffusion").run_id
    found = {one["place"] for one in json.loads(cli("diff", run, plain, "--json").out)["differences"]}
    assert "calls.0.components.vae.switches.use_tiling" in found
    assert "calls.0.components.unet.switches_xxh3" in found


# --- batches ------------------------------------------------------------------------------------------------------


def test_independent_images_are_those_made_alone(cli, read_record):
    """Under `batch=independent` image i is to the bit the one that its seed gives alone, and is replayed alone."""
    run = cli("run", "seed=3", "num_images=3", "batch=independent", "call.num_inference_steps=10").run_id
    alone = cli("run", "seed=5", "call.num_inference_steps=10").run_id
    outputs = read_record(run).outputs
    assert [one.name for one in outputs] == ["images.0", "images.1", "images.2"]
    assert outputs[2].sha256 == read_record(alone).outputs[0].sha256
    data = replay(cli, run, "--image", "2")
    assert [(one["name"], one["verdict"]) for one in data["outputs"]] == [("images.2", "bit-exact")]
    assert [one.name for one in read_record(data["replay_run_id"]).outputs] == ["images.2"]
    assert replay(cli, run)["verdict"] == "bit-exact"


# --- random draws -------------------------------------------------------------------------------------------------


def test_a_draw_from_a_global_generator_is_found_out(cli, run_zoo, read_record):
    """A scheduler that draws globally is found by watching: the record has the generator and the call, and its replay,
    which is bit-exact, the line."""
    run = run_zoo("stable_diffusion", "scheduler.class_name=DPMSolverSDEScheduler")
    record = read_record(run.run_id)
    assert not record.seeds.closed
    moved = {one.name: one.drawn_at for one in record.seeds.global_generators if one.moved}
    assert list(moved) == ["torch"]
    assert moved["torch"] == ("call 0",)
    assert record.calls[0].drawn == ("torch",)
    result = cli("replay", run.run_id, "--json")
    data = json.loads(result.out)
    assert (data["verdict"], data["differences"]) == ("bit-exact", [])
    again = read_record(data["replay_run_id"]).seeds.global_generators
    (place,) = next(one.drawn_at for one in again if one.moved)
    assert place.startswith("diffusers/schedulers/scheduling_dpmsolver_sde.py:")
    assert "".join(place.split()) in "".join(result.err.split())  # it is shown, broken into lines
    closed = read_record(run_zoo("stable_diffusion", "scheduler.class_name=DDIMScheduler").run_id)
    assert closed.seeds.closed
    assert not any(one.drawn_at for one in closed.seeds.global_generators)


# --- scripts ------------------------------------------------------------------------------------------------------

SCRIPT = """
import sys
import torch
from PIL import Image
import repro_track as rt
from tests.conformance import zoo

prior, decoder = zoo.ZOO["kandinsky_prior"].build(), zoo.ZOO["kandinsky_decoder"].build()
with rt.track(seed=3, stages=True) as run:
    embeds = run(prior, prompt="a small cat", num_inference_steps=2)
    run(decoder, image_embeds=embeds.image_embeds, negative_image_embeds=embeds.negative_image_embeds,
        height=32, width=32, num_inference_steps=2, output_type="np")
    run(zoo.ZOO["img2img"].build(), prompt="a cat", image=sys.argv[1], num_inference_steps=2, output_type="np")
print(run.run_id)
"""


@pytest.fixture
def script(tmp_path):
    """A script with three stages, the last of which is given a picture by its path."""
    path = tmp_path / "stages.py"
    path.write_text(textwrap.dedent(SCRIPT))
    Image.new("RGB", (32, 32), "blue").save(tmp_path / "input.png")
    return path


def test_stages_of_a_script(cli, python, read_record, script, pytestconfig):
    """In Python, too, stages pass generators on, a path stands for a picture that travels with the run, and one stage
    is looked at."""
    env = {"PYTHONPATH": str(pytestconfig.rootpath)}
    ran = python(script, script.with_name("input.png"), env=env)
    assert ran.code == 0, ran.err
    record = read_record(ran.run_id)
    states = {one.name: one for one in record.seeds.generators}
    assert states["call0.generator0"].state_after == states["call1.generator0"].state_before
    assert states["call1.generator0"].state_after == states["call2.generator0"].state_before
    script.with_name("input.png").unlink()
    data = replay(cli, ran.run_id)
    assert data["verdict"] == "bit-exact"
    assert len(data["outputs"]) == 4
    alone = replay(cli, ran.run_id, "--stage", "2")
    assert [(one["name"], one["verdict"]) for one in alone["outputs"]] == [("call2.images.0", "bit-exact")]


def test_an_input_that_changed_is_proven_to_be_the_cause(cli, python, tmp_path, pytestconfig):
    """A picture that a script opens itself and that changed since is named as the difference, and proven to be the
    cause: with the recorded one, the run comes out again."""
    path = tmp_path / "own.py"
    path.write_text(
        "import sys\nfrom PIL import Image\nimport repro_track as rt\nfrom tests.conformance import zoo\n"
        "with rt.track(seed=3) as run:\n"
        "    run(zoo.ZOO['img2img'].build(), prompt='a cat', image=Image.open(sys.argv[1]), num_inference_steps=2)\n"
        "print(run.run_id)\n"
    )
    picture = tmp_path / "own.png"
    Image.new("RGB", (32, 32), "blue").save(picture)
    ran = python(path, picture, env={"PYTHONPATH": str(pytestconfig.rootpath)})
    assert ran.code == 0, ran.err
    assert replay(cli, ran.run_id)["verdict"] == "bit-exact"
    Image.new("RGB", (32, 32), "green").save(picture)
    data = replay(cli, ran.run_id, "--explain", code=1)
    assert any(one["place"] == "calls.0.inputs.image.sha256" for one in data["differences"])
    assert data["explanation"]["proven"] == ["inputs"]


# --- what is behind **kwargs --------------------------------------------------------------------------------------


def test_a_modular_pipeline_of_a_config(cli, run_zoo, read_record):
    """A modular pipeline is run by the command line with a generator for each image, its state's outputs are the run's,
    its steps and components are known, and it replays to the bit; so does noise that is drawn in float32."""
    half = ("dtype=bfloat16", "noise=float32")
    run = run_zoo("flux", "pipeline.class_name=ModularPipeline", "num_images=2", *half).run_id
    record = read_record(run)
    (call,) = record.calls
    assert (call.noise, call.trace.noise_dtype, record.config.resolved["noise"]) == ("float32", "bfloat16", "float32")
    assert (call.class_name, call.arguments["prompt"]) == ("FluxModularPipeline", "a small cat")
    assert [(one.initial_seed, one.made_by) for one in record.seeds.generators] == [
        (3, "repro_track"),
        (4, "repro_track"),
    ]
    assert [one.name for one in record.outputs] == ["images.0", "images.1"]
    assert len(call.trace.steps) == 2
    assert {"transformer", "vae", "scheduler"} <= {part.name for part in call.components}
    assert (record.seeds.closed, record.replayable.yes) == (True, True)
    assert replay(cli, run)["verdict"] == "bit-exact"
    wrong = run_zoo("flux", "pipeline.class_name=ModularPipeline", "call.promt=a", code=2)
    assert "did you mean call.prompt" in wrong.err


ANY_KEYWORD = """
import sys
import torch
from diffusers import FluxPipeline, ModularPipeline
import repro_track as rt

class Passing(FluxPipeline):
    def __call__(self, **kwargs):
        return super().__call__(**kwargs)

call = {"prompt": "a cat", "height": 32, "width": 32, "num_inference_steps": 2, "max_sequence_length": 16}
modular = ModularPipeline.from_pretrained(sys.argv[1])
modular.load_components()
passing = Passing(**FluxPipeline.from_pretrained(sys.argv[1]).components)
drawn = torch.Generator()
drawn.seed()
with rt.track(seed=3) as run:
    images = run(modular, **call, generator=drawn, output="images")
    both = run(modular, **call, output_type="np", output=["latents", "images"])
    state = run(modular, **call, output_type="np")
    result = run(passing, **call, output_type="np")
assert (state.images == both["images"]).all() and (state.images == result.images).all()
print(run.run_id)
"""


def test_pipelines_of_a_script_that_take_any_keyword(cli, python, run_zoo, read_record, tmp_path, pytestconfig):
    """A modular pipeline and one that passes on whatever it is given get the run's generator, and so the same picture;
    a given one from entropy is seen, and its state comes back: all calls replay to the bit."""
    build_model("flux", run_zoo.folder)
    path = tmp_path / "keywords.py"
    path.write_text(ANY_KEYWORD)
    env = {"PYTHONPATH": str(pytestconfig.rootpath)}
    ran = python(path, run_zoo.folder / "models" / "flux", env=env)
    assert ran.code == 0, ran.err
    record = read_record(ran.run_id)
    assert [(one.name, one.made_by) for one in record.seeds.generators] == [
        ("call0.generator0", "caller"),
        *((f"call{index}.generator0", "repro_track") for index in (1, 2, 3)),
    ]
    assert record.seeds.generators[0].initial_seed >= 2**32
    assert [one.name for one in record.outputs] == [
        "images.0", "call1.latents", "call1.images.0", "call2.images.0", "call3.images.0",
    ]  # fmt: skip
    assert record.seeds.closed
    assert replay(cli, ran.run_id)["verdict"] == "bit-exact"


def test_a_callback_is_named_and_comes_back_with_the_code(python, cli, tmp_path, read_record, pytestconfig):
    """A function among the arguments is no reason to end a run: it is named when recording, and the replay, which runs
    the script again, has it too."""
    path = tmp_path / "callback.py"
    path.write_text(
        "import repro_track as rt\n"
        "from tests.conformance import zoo\n"
        "def shift(pipe, step, timestep, values):\n    return {'latents': values['latents'] + step}\n"
        "call = dict(prompt='a', height=32, width=32, num_inference_steps=2, output_type='np')\n"
        "with rt.track(seed=3) as run:\n"
        "    run(zoo.ZOO['stable_diffusion'].build(), callback_on_step_end=shift, **call)\n"
        "print(run.run_id)\n"
    )
    ran = python(path, env={"PYTHONPATH": str(pytestconfig.rootpath)})
    assert ran.code == 0, ran.err
    record = read_record(ran.run_id)
    assert any("callback_on_step_end is the function shift" in caution for caution in record.cautions)
    assert record.replayable.yes
    assert replay(cli, ran.run_id)["verdict"] == "bit-exact"
