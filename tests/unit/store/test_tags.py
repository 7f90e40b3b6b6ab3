"""Promises of store/tags.py: the words by which people find runs in MLflow stay what they are, to the byte."""

import json
import re
from pathlib import Path

import pytest

from repro_track.record.reading import parse_record
from repro_track.store import tags
from repro_track.store.tags import make_metrics, make_params, make_step_metrics
from repro_track.tensors.distance import Distance

DATA = Path(__file__).parents[2] / "data" / "records"


PACKAGE = Path(tags.__file__).parents[1]


@pytest.fixture
def make_record(make_record):
    """Make the stored record of schema 3, changed in the given places: `{"seeds.root": 4}`."""
    return lambda changes=None, *, of="v3": make_record(changes, of=of)


OF_SCHEMA_3 = {
    "repro_track.record_id": "532b613143f948b5b09f6886ba95a0c8",
    "repro_track.schema": "4",
    "repro_track.status": "finished",
    "repro_track.seed_closed": "false",
    "repro_track.replayable": "true",
    "repro_track.output_sha256": "a602b1d594296196907914604b4bc216076340cf2e27b0b2f2658ae66022f59f",
    "repro_track.pixels_sha256": "9097067fcdfb43aeddded39c1e852dfa6a7047b831e7dc3bb16843cb39917e87",
    "repro_track.noise_sha256": "2f8a83c98e733a5fb0e5328fa6c60510f4b1c8ae934670f4309bc2d670ef8cde",
    "repro_track.pixels.9097067fcdfb43aeddded39c1e852dfa6a7047b831e7dc3bb16843cb39917e87": "images.0",
    "repro_track.output.a602b1d594296196907914604b4bc216076340cf2e27b0b2f2658ae66022f59f": "images.0",
    "repro_track.seed.3": "images.0",
    "repro_track.seed_origin": "given",
    "repro_track.overrides": "pipeline=none +zoo=ip_adapter"
    " +adapters.lora.pixel.path=/tmp/conf/adapters/lora/lora/pytorch_lora_weights.safetensors"
    " scheduler.class_name=DPMSolverSDEScheduler seed=3",
    "repro_track.pipeline": "StableDiffusionPipeline",
    "repro_track.scheduler": "DPMSolverSDEScheduler",
    "repro_track.steps": "3",
    "repro_track.weights": "image_encoder:385b01eedaff text_encoder:00fa137bf5aa unet:278dfc370111 vae:be939b0048a0",
    "repro_track.digest": "a602b1d59429",
}


IN_A_REPOSITORY = {
    "repro_track.commit": "6e251d041d80",
    "repro_track.dirty": "true",
    "mlflow.source.git.commit": "6e251d041d80c812c465f97c58d57a7e9a7edb91",
    "mlflow.source.git.branch": "main",
    "mlflow.source.git.dirty": "true",
}


def test_a_record_has_exactly_these_tags(make_record):
    """The tags of a stored record are exactly these; those of a run in a repository, also its commit, as MLflow shows
    it."""
    assert tags.make_record_tags(make_record()) == OF_SCHEMA_3
    old = parse_record((DATA / "v2.json").read_bytes(), origin="v2.json")
    found = tags.make_record_tags(old)
    assert {name: found[name] for name in found if "git" in name or name.endswith(("commit", "dirty"))} == (
        IN_A_REPOSITORY
    )


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"status": "killed"}, "repro_track.status", "killed"),
        ({"seeds.closed": True}, "repro_track.seed_closed", "true"),
        ({"replayable": {"yes": False, "reasons": ["a reason"]}}, "repro_track.replayable", "false"),
        ({"replay_of": "0" * 32}, "repro_track.replay_of", "0" * 32),
        ({"config.overrides": []}, "repro_track.overrides", None),
        ({"config.overrides": ["x" * 9000]}, "repro_track.overrides", "x" * 5000),
        ({"outputs": []}, "repro_track.output_sha256", None),
        ({"calls.0.trace.steps": []}, "repro_track.steps", None),
        ({"calls": []}, "repro_track.pipeline", None),
        ({"outputs.0.pixels_sha256": None}, "repro_track.pixels_sha256", None),
    ],
)
def test_a_change_in_the_record_is_a_change_in_one_tag(make_record, changes, name, value):
    """What the record says is what the tag says; where it says nothing there is no tag, and no empty one."""
    assert tags.make_record_tags(make_record(changes)).get(name) == value
    assert OF_SCHEMA_3.get(name) != value


def test_several_outputs_have_one_digest_over_all_in_their_order(make_record):
    """With one output the tag has its digest, with two one over both; swapped outputs give another."""
    one = json.loads((DATA / "v3.json").read_text(encoding="utf-8"))["outputs"][0]
    other = {**one, "name": "images.1", "sha256": "0" * 64, "pixels_sha256": "1" * 64}
    found = [tags.make_record_tags(make_record({"outputs": outputs})) for outputs in ([one, other], [other, one])]
    assert found[0]["repro_track.output_sha256"] != found[1]["repro_track.output_sha256"]
    assert one["sha256"] not in {each["repro_track.output_sha256"] for each in found}
    assert all(each[f"repro_track.pixels.{'1' * 64}"] == "images.1" for each in found)


def test_tags_of_each_kind_of_run():
    """A replay, a trial, a variation, a sweep, and somebody's own run inside of ours have exactly these tags."""
    assert tags.make_replay_tags("a" * 32, verdict="bit-exact") == {
        "repro_track.replay_of": "a" * 32,
        "repro_track.verdict": "bit-exact",
    }
    assert tags.make_replay_tags("a" * 32, verdict="diverged", focus="call 1, image 0") == {
        "repro_track.replay_of": "a" * 32,
        "repro_track.verdict": "diverged",
        "repro_track.replay_focus": "call 1, image 0",
    }
    assert tags.make_replay_tags("a" * 32) == {"repro_track.replay_of": "a" * 32}  # one that failed
    assert tags.make_trial_tags("a" * 32, verdict="diverged", name="with env:torch") == {
        "repro_track.replay_of": "a" * 32,
        "repro_track.verdict": "diverged",
        "repro_track.trial": "with env:torch",
    }
    assert tags.make_variation_tags("a" * 32, changes="seed=4") == {
        "repro_track.variation_of": "a" * 32,
        "repro_track.variation": "seed=4",
    }
    assert tags.make_sweep_tags(overrides="-m seed=1,2") == {
        "repro_track.sweep": "running",
        "repro_track.overrides": "-m seed=1,2",
    }
    assert len(tags.make_sweep_tags(overrides="x" * 9000)["repro_track.overrides"]) == 5000
    assert tags.make_ended_sweep_tags(members=6) == {"repro_track.sweep": "6"}
    assert tags.make_inside_tags(record_id="b" * 32, seed=0) == {
        "repro_track.inside": "b" * 32,
        "repro_track.seed": "0",
    }


def test_tags_that_mlflow_itself_reads():
    """MLflow's own tags have MLflow's own names: who, what, under which run, the description, pictures by step."""
    started = {"mlflow.user": "me", "mlflow.source.name": "repro-track run", "mlflow.source.type": "LOCAL"}
    assert tags.make_start_tags(user="me", source="repro-track run", parent_id=None) == started
    under = tags.make_start_tags(user="me", source="repro-track run", parent_id="c" * 32)
    assert under == {**started, "mlflow.parentRunId": "c" * 32}
    assert tags.make_end_tags(description="text") == {"mlflow.note.content": "text"}
    with_pictures = tags.make_end_tags(description="text", has_pictures=True)
    assert with_pictures == {"mlflow.note.content": "text", "mlflow.loggedImages": "True"}


def test_an_experiment_has_our_view():
    """The saved view lists exactly our columns, in their order, with a width for each."""
    made = tags.make_experiment_tags()
    assert made["mlflow.experimentKind"] == "custom_model_development"
    state = json.loads(json.loads(made["mlflow.sharedViewState.repro_track"])["state"])
    names = ("verdict", "pipeline", "scheduler", "steps", "seed_closed", "digest", "commit", "dirty")
    assert state["selectedColumns"] == ["params.`seed`", *(f"tags.`repro_track.{name}`" for name in names)]
    assert state["columnOrder"] == state["selectedColumns"]
    assert list(state["columnWidths"]) == state["selectedColumns"]


def test_every_column_is_of_a_tag_that_some_run_has(make_record):
    """No column stays empty for ever: each is of a param or a tag that is made here."""
    old = parse_record((DATA / "v2.json").read_bytes(), origin="v2.json")
    written = {*OF_SCHEMA_3, *tags.make_record_tags(old), *tags.make_replay_tags("a", verdict="bit-exact")}
    for column in tags.COLUMNS:
        kind, name = re.fullmatch(r"(tags|params)\.`(.+)`", column).groups()
        assert name in (written if kind == "tags" else tags.make_params(make_record()))


def test_filters_are_the_words_of_mlflow():
    """The conditions of our searches are exactly these."""
    assert tags.OURS_FILTER == "tags.`repro_track.record_id` != ''"
    assert tags.FINISHED_FILTER == (
        "tags.`repro_track.record_id` != '' AND tags.`repro_track.replay_of` IS NULL AND attributes.status = 'FINISHED'"
    )
    assert tags.make_member_filter("abc") == (
        "tags.`mlflow.parentRunId` = 'abc' AND tags.`repro_track.record_id` != ''"
    )
    assert tags.make_tag_filter(tags.name_pixels_tag("abc"), None) == "tags.`repro_track.pixels.abc` != ''"
    assert tags.make_tag_filter(tags.RECORD_ID, "abc") == "tags.`repro_track.record_id` = 'abc'"


def test_params_are_the_flattened_config(make_record):
    """Params are the leaves of the config by their path, without those that are `None`, and the seed that was drawn."""
    made = tags.make_params(make_record({"seeds.root": 77}))
    assert made["seed"] == "77"
    assert made["determinism.environment.CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert made["adapters.ip_adapter.tiny.scale"] == "0.6"
    assert "seeds" not in made
    assert "pipeline.revision" not in made
    assert len(made) == 44


def test_params_of_a_script_are_those_of_its_first_call(make_record):
    """A run without a config is described by the class and arguments of its first call; without one, by its seed."""
    made = tags.make_params(make_record({"config.resolved": {}}))
    assert made["pipeline.class_name"] == "StableDiffusionPipeline"
    assert made["call.prompt"] == "a small cat"
    assert tags.make_params(make_record({"config.resolved": {}, "calls": []})) == {"seed": "3"}


@pytest.mark.parametrize(
    ("config", "param"),
    [
        ({"a[b]=c,d+e@f%g": 1}, "a_b__c_d_e_f_g"),
        ({"x": {"/": {"y": 1}}}, "x./.y"),
        ({"a//b": 1}, "a/b"),
        ({"/a/../b/./": 1}, "a/b"),
        ({"...": 1}, "_"),
        ({"k" * 300: 1}, "k" * 250),
        ({"kept": "v"}, "kept"),
    ],
)
def test_keys_are_what_mlflow_takes(make_record, config, param):
    """A key with characters that MLflow refuses, an empty part or too many characters becomes one that it takes."""
    assert set(tags.make_params(make_record({"config.resolved": config, "calls": []}))) == {param, "seed"}


def test_long_values_are_cut(make_record):
    """A value of more than 6000 characters is cut, one of 6000 is whole."""
    made = tags.make_params(make_record({"config.resolved": {"long": "x" * 6001, "fits": "x" * 6000}}))
    assert made["long"] == made["fits"] == "x" * 6000


def test_metrics_of_a_run(make_record):
    """Metrics are the seconds of each phase, peak memory, and the sum over all pictures; a GPU's memory if there is."""
    made = tags.make_metrics(make_record())
    assert made["duration.total_s"] == 16.4095
    assert made["peak_memory_bytes"] == 512409600.0
    assert made["output.abs_sum"] == 1779.961181640625
    assert "peak_gpu_memory_bytes" not in made
    assert tags.make_metrics(make_record({"cost.peak_gpu_memory_bytes": 5}))["peak_gpu_memory_bytes"] == 5.0
    assert "output.abs_sum" not in tags.make_metrics(make_record({"outputs": []}))


def test_metrics_by_step(make_record):
    """Each step has three statistics of its latents; those of a second call have a name of their own."""
    made = tags.make_step_metrics(make_record())
    assert made[:3] == [
        ("latents.mean", -0.08653183215574245, 0),
        ("latents.std", 2.025086432407342, 0),
        ("latents.abs_max", 7.118411064147949, 0),
    ]
    assert [step for _, _, step in made] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert tags.make_step_metrics(make_record({"calls.0.index": 1}))[0][0] == "call1.latents.mean"


def test_metrics_of_a_replay_are_the_worst_of_all_outputs():
    """The largest differences, the smallest likenesses, whichever output has them; none where all outputs are equal."""
    near = Distance(max_abs=0.1, mean_abs=0.04, share_different=0.2, psnr_db=40.0, nonfinite=0, ssim=0.99)
    far = Distance(max_abs=0.3, mean_abs=0.01, share_different=0.1, psnr_db=20.0, nonfinite=0)
    assert tags.make_distance_metrics([near, far]) == {
        "distance.max_abs": 0.3,
        "distance.mean_abs": 0.04,
        "distance.share_different": 0.2,
        "distance.psnr_db": 20.0,
        "distance.ssim": 0.99,
    }
    assert "distance.ssim" not in tags.make_distance_metrics([far])
    assert tags.make_distance_metrics([]) == {}


def test_pictures_by_step_are_named_as_mlflow_names_them():
    """A picture and its thumbnail share a name that no other picture has."""
    picture, thumbnail = tags.name_logged_images("preview.0", step=3)
    assert re.fullmatch(r"images/preview\.0\+step\+3\+timestamp\+\d{13}\+[0-9a-f-]{36}\.png", picture)
    assert thumbnail == picture.removesuffix(".png") + "+compressed.webp"
    assert tags.name_logged_images("preview.0", step=3)[0] != picture


def test_perceptual_hashes_come_out_of_their_tag():
    """What is packed comes out again, also under names with blanks and colons; what somebody else wrote is left out."""
    hashes = {"images.0": "0" * 64, "my image: 2": "a1" * 32}
    packed = tags.pack_likenesses(hashes)
    assert tags.unpack_likenesses(packed) == hashes
    assert tags.unpack_likenesses(f"{packed} x:{'0' * 63} y:{'0' * 65} z:{'G' * 64} :") == hashes
    assert tags.unpack_likenesses("") == {}


def test_nobody_else_writes_a_tag(make_record):
    """The names of tags are in this one file: no other has our prefix as a value, the name of a tag, or MLflow's."""
    made = {
        *tags.make_record_tags(make_record()),
        *tags.make_record_tags(parse_record((DATA / "v2.json").read_bytes(), origin="v2.json")),
        *tags.make_trial_tags("a", verdict="b", name="c"),
        *tags.make_replay_tags("a", verdict="b", focus="c"),
        *tags.make_variation_tags("a", changes="b"),
        *tags.make_sweep_tags(overrides="a"),
        *tags.make_inside_tags(record_id="a", seed=0),
        *tags.make_start_tags(user="a", source="b", parent_id="c"),
        *tags.make_end_tags(description="a", has_pictures=True),
        *tags.make_experiment_tags(),
        tags.MANIFEST,
        tags.LIKENESS,
    }
    pattern = re.compile(r"\bTAG\b|(?<![\w.])(" + "|".join(re.escape(name) for name in sorted(made)) + r")\b")
    assert all(pattern.search(f'"{name}"') for name in made)
    assert not pattern.search("repro_track.store.tags, repro_track.run, repro_track.sweep_folder")
    assert len(made) > 30
    for path in PACKAGE.rglob("*.py"):
        if path != Path(tags.__file__):
            found = pattern.search(path.read_text(encoding="utf-8"))
            assert not found, f"{path}: {found}"


def test_metrics_and_params_are_of_the_record(make_record):
    """Params are the flattened config, metrics the costs and the guide's statistic, steps one row each."""
    record = make_record(of="v3-digits")
    assert make_params(record)["determinism.flags.cudnn.deterministic"] == "True"
    assert make_metrics(record)["output.abs_sum"] == pytest.approx(sum(one.abs_sum for one in record.outputs))
    assert len(make_step_metrics(record)) == 3 * 4


def test_params_hold_what_a_database_takes(make_record):
    """Text is logged as it is; NUL and halves of letters, which databases refuse, are written out."""
    call = {
        "a": "1e5",
        "b": "a ${x}",
        "c": "half \ud800",
        "d": "nul \0",
        "e": "",
        "repro_track:1": "repro_track:Infinity",
    }
    made = make_params(make_record({"config.resolved.call": call}))
    assert [made[f"call.{name}"] for name in "abcde"] == ["1e5", "a ${x}", "half \\ud800", "nul \\x00", ""]
    assert made["call.1"] == "inf"


def test_a_run_is_found_by_what_made_its_pictures(make_record):
    """Of a batch each image has a tag with its seed, each output one with its tensor's digest; a generator of the
    caller's own is the run's seed, wherever it is looked for."""
    record = make_record(of="v3-digits")
    made = tags.make_record_tags(record)
    assert (made[tags.name_seed_tag(3)], made[tags.name_seed_tag(4)]) == ("images.0", "images.1")
    assert [made[tags.name_output_tag(output.sha256)] for output in record.outputs] == ["images.0", "images.1"]
    assert tags.name_seed_tag(5) not in made
    assert tags.make_params(record)["seeds"] == "[3, 4]"
    changes = {f"seeds.generators.{index}.{key}": value for index in (0, 1)
               for key, value in (("made_by", "caller"), ("initial_seed", 7 + index))}  # fmt: skip
    own = make_record(changes, of="v3-digits")
    found, params = tags.make_record_tags(own), tags.make_params(own)
    assert (params["seed"], params["seeds"]) == ("7", "[7, 8]")
    assert (found[f"{tags.TAG}seed_origin"], made[f"{tags.TAG}seed_origin"]) == ("own generator", "given")
    assert found[tags.name_seed_tag(7)] == "images.0"
    assert tags.name_seed_tag(3) not in found
