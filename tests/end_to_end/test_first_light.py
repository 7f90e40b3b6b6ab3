"""The main road: a run is logged, found, replayed in a fresh process, and proven bit-exact; faults are proven too."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from repro_track.media.picture import read_picture
from repro_track.record.names import OUTPUT_TENSORS_NAME, STATES_NAME
from repro_track.tensors.digests import digest_tensor
from repro_track.tensors.host import load_tensors

pytestmark = pytest.mark.xdist_group("first_light")


@pytest.fixture(scope="module")
def replayed(cli, digits_run):
    """One replay of the shared run, as data."""
    result = cli("replay", digits_run.run_id, "--json")
    assert result.code == 0, result.err
    return result


def test_stdout_is_the_run_id_alone(digits_run):
    """A run prints one line on stdout, its MLflow run id; everything for people is on stderr."""
    assert len(digits_run.out.splitlines()) == 1
    assert len(digits_run.run_id) == 32
    assert f"repro-track replay {digits_run.run_id}" in digits_run.err


def test_the_replay_is_bit_exact(replayed, digits_run):
    """A replay in a fresh process gives the same bytes, and says so for each output."""
    data = json.loads(replayed.out)
    assert data["verdict"] == "bit-exact"
    assert data["run_id"] == digits_run.run_id
    assert [(one["name"], one["verdict"]) for one in data["outputs"]] == [
        ("images.0", "bit-exact"),
        ("images.1", "bit-exact"),
    ]
    assert data["divergence"] is None
    assert data["differences"] == []


def test_the_replay_is_a_run_that_points_at_the_first(replayed, digits_run, read_record):
    """The replay is logged as a run of its own, with the verdict and where it comes from."""
    from mlflow import MlflowClient

    from repro_track.config.locations import default_store_uri

    data = json.loads(replayed.out)
    tags = MlflowClient(tracking_uri=default_store_uri()).get_run(data["replay_run_id"]).data.tags
    assert tags["repro_track.replay_of"] == digits_run.run_id
    assert tags["repro_track.verdict"] == "bit-exact"
    assert tags["mlflow.note.content"].startswith("**bit-exact**")
    assert read_record(data["replay_run_id"]).replay_of == read_record(digits_run.run_id).record_id


def test_equal_pictures_are_equal_files(replayed, digits_run, artifacts):
    """The replayed PNG is the recorded one byte for byte: it names the run that it reproduces."""
    replay_folder = artifacts(json.loads(replayed.out)["replay_run_id"])
    for name in ("images.0.png", "images.1.png"):
        first = (artifacts(digits_run.run_id) / "outputs" / name).read_bytes()
        assert (replay_folder / "outputs" / name).read_bytes() == first


def test_what_is_in_mlflow(digits_run):
    """Tags, params, metrics and steps are searchable in MLflow under their promised names."""
    from mlflow import MlflowClient

    from repro_track.config.locations import default_store_uri

    client = MlflowClient(tracking_uri=default_store_uri())
    run = client.get_run(digits_run.run_id)
    for name in ("record_id", "schema", "output_sha256", "pixels_sha256", "noise_sha256", "seed_closed", "replayable"):
        assert run.data.tags[f"repro_track.{name}"]
    assert run.data.tags["repro_track.seed_closed"] == "true"
    assert run.data.params["seed"] == "3"
    assert run.data.params["call.num_inference_steps"] == "4"
    assert run.data.metrics["output.abs_sum"] > 0
    assert len(client.get_metric_history(digits_run.run_id, "latents.std")) == 4
    assert run.info.status == "FINISHED"


def test_the_artifacts_are_whole(digits_run, artifacts, read_record):
    """Every promised artifact is there, and each digest in the record is that of the artifact."""
    folder, record = artifacts(digits_run.run_id), read_record(digits_run.run_id)
    for name in (
        "record.json",
        "config.yaml",
        "overrides.yaml",
        "report.html",
        "environment/packages.txt",
        STATES_NAME,
    ):
        assert (folder / name).is_file()
    tensors = load_tensors(folder / OUTPUT_TENSORS_NAME)
    for output in record.outputs:
        assert digest_tensor(tensors[output.name]) == output.sha256
        found = read_picture(folder / output.file)
        pixels, record_id = found.pixels, found.record_id
        assert digest_tensor(pixels) == output.pixels_sha256
        assert record_id == record.record_id


def test_the_record_says_what_was_in_force(digits_run, read_record):
    """Seeds, states, numerics, weights, noise and steps of the run are in the record, read back."""
    record = read_record(digits_run.run_id)
    assert record.seeds.images == (3, 4)
    assert [one.initial_seed for one in record.seeds.generators] == [3, 4]
    assert all(one.device == "cpu" and one.made_by == "repro_track" for one in record.seeds.generators)
    assert {one.name for one in record.seeds.global_generators} >= {"python", "numpy", "torch"}
    assert record.seeds.closed
    assert record.numerics.state["deterministic_algorithms"] is True
    assert record.numerics.state["num_threads"] == 1
    assert record.environment.variables["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    (call,) = record.calls
    assert len(call.trace.steps) == 4
    assert isinstance(call.trace.noise, str)
    assert any(part.weights for part in call.components)
    assert record.replayable.yes


def test_an_image_is_not_its_neighbour(digits_run, read_record):
    """Two images with two seeds differ: a program that gave one picture for all would be found here."""
    first, second = read_record(digits_run.run_id).outputs
    assert first.sha256 != second.sha256


def test_a_run_has_many_names(cli, digits_run, artifacts, tmp_path):
    """A run is found by prefix, link of MLflow's UI, picture, stripped picture, record.json, and the digest of one of
    its outputs; by another digest nothing is found."""
    folder = artifacts(digits_run.run_id)
    picture = folder / "outputs" / "images.0.png"
    stripped = tmp_path / "renamed.png"
    with Image.open(picture) as opened:
        Image.fromarray(np.asarray(opened)).save(stripped)
    link = f"http://127.0.0.1:5000/#/experiments/1/runs/{digits_run.run_id}?workflowType=machine_learning"
    shown = cli("show", digits_run.run_id, "--json").out
    for name in (digits_run.run_id[:8], link, picture, stripped, folder / "record.json"):
        assert cli("show", name, "--json").out == shown
    assert cli("find", stripped).out.split()[0] == digits_run.run_id
    digest = json.loads(shown)["outputs"][0]["sha256"]
    assert digits_run.run_id in cli("find", digest).out.split()
    assert cli("find", digest[::-1]).code == 2


def test_a_stranger_is_not_found(cli, tmp_path):
    """A picture that no run made is not found, with a message and exit code 2."""
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "black.png")
    result = cli("find", tmp_path / "black.png")
    assert result.code == 2
    assert "no run in the store" in result.err


def test_another_seed_is_another_run(cli, digits_run):
    """`diff` names the seed as the first difference between two runs, and that the noise already differs."""
    other = cli("run", "seed=4", "num_images=2", "call.num_inference_steps=4")
    result = cli("diff", digits_run.run_id, other.run_id, "--json")
    data = json.loads(result.out)
    assert data["verdict"] == "diverged"
    assert data["differences"][0]["kind"] == "seed"
    assert "noise" in data["divergence"]["text"]
    assert "equals the recorded images.1: swapped" in str(data["outputs"][0]["notes"])  # seed 4 was image 1 before


def test_verify_finds_an_altered_artifact(cli, digits_run, artifacts, tmp_path):
    """`verify` passes an untouched run, and names the file after one byte of it was changed."""
    assert cli("verify", digits_run.run_id).code == 0
    kept = tmp_path / "kept"
    shutil.copytree(artifacts(digits_run.run_id), kept)
    path = kept / "outputs" / "images.1.png"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))
    result = cli("verify", kept / "record.json")
    assert result.code == 1
    assert "outputs/images.1.png: altered" in result.err
    assert "images.0" not in result.err


def test_dry_run_runs_nothing(cli, digits_run):
    """`--dry-run` gives the plan as data, in a moment, and logs nothing."""
    from mlflow import MlflowClient

    from repro_track.config.locations import default_store_uri

    client = MlflowClient(tracking_uri=default_store_uri())
    experiment = client.get_experiment_by_name("repro_track").experiment_id
    before = len(client.search_runs([experiment]))
    plan = json.loads(cli("replay", digits_run.run_id, "--dry-run", "--json").out)
    assert plan["variables"]["OMP_NUM_THREADS"] == "1"
    assert plan["differences"] == []
    assert len(client.search_runs([experiment])) == before


def test_show_fits_a_screen(cli, digits_run):
    """`show` prints a page for people on stderr and nothing on stdout."""
    result = cli("show", digits_run.run_id)
    assert result.out == ""
    assert "Seed-closed" in result.err
    assert len(result.err.splitlines()) < 40


def test_the_parent_of_a_replay_never_loads_torch(home, digits_run, start):
    """A replay from beginning to end leaves torch unloaded in its own process."""
    import sys

    script = (
        "import sys\n"
        "from repro_track.cli import main\n"
        f"sys.argv = ['repro-track', 'replay', '{digits_run.run_id}']\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    print('code', ended.code)\n"
        "print('torch' in sys.modules)\n"
    )
    result = start(sys.executable, "-c", script)
    assert result.out.split() == ["bit-exact", "code", "0", "False"]


@pytest.mark.parametrize("words", [("show",), ("diff",), ("find",), ("verify",)], ids=lambda words: words[0])
def test_lookups_never_load_torch(start, digits_run, artifacts, words):
    """`show`, `diff`, `find` and `verify` leave torch unloaded."""
    import sys

    picture = artifacts(digits_run.run_id) / "outputs" / "images.0.png"
    names = {"diff": [digits_run.run_id] * 2, "find": [str(picture)]}.get(words[0], [digits_run.run_id])
    script = (
        "import sys\n"
        "from repro_track.cli import main\n"
        f"sys.argv = ['repro-track', '{words[0]}', *{names!r}]\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    print(ended.code)\n"
        "print('torch' in sys.modules)\n"
    )
    result = start(sys.executable, "-c", script)
    assert result.out.split()[-2:] == ["0", "False"], result.err


def test_a_replay_of_a_replay_is_exact_too(cli, replayed):
    """A replay is a run like any other: it can be replayed itself."""
    assert cli("replay", json.loads(replayed.out)["replay_run_id"]).out.strip() == "bit-exact"


def test_entropy_is_recorded(cli, read_record):
    """With `seed=null` a seed is drawn and recorded, two runs differ, and each replays exactly."""
    first, second = (cli("run", "call.num_inference_steps=2") for _ in range(2))
    one, other = read_record(first.run_id), read_record(second.run_id)
    assert one.seeds.origin == "entropy"
    assert one.seeds.root != other.seeds.root
    assert one.outputs[0].sha256 != other.outputs[0].sha256
    assert cli("replay", first.run_id).out.strip() == "bit-exact"


def test_a_sweep_prints_an_id_a_line(cli, read_record):
    """`-m` runs each member, prints its id, and each member is a run of its own that replays alone."""
    result = cli("run", "-m", "seed=1,2", "call.num_inference_steps=2")
    assert result.code == 0, result.err
    first, second = result.out.split()
    assert (read_record(first).seeds.root, read_record(second).seeds.root) == (1, 2)
    assert cli("replay", second).out.strip() == "bit-exact"


def test_numerics_are_restored_or_not(cli, read_record):
    """A run with two threads replays exactly under OMP_NUM_THREADS=1; with `--numerics current` the difference is
    named."""
    run = cli("run", "seed=3", "num_images=2", "call.num_inference_steps=4", env={"OMP_NUM_THREADS": "2"})
    assert read_record(run.run_id).numerics.state["num_threads"] == 2
    assert cli("replay", run.run_id).out.strip() == "bit-exact"
    result = cli("replay", run.run_id, "--numerics", "current", "--json")
    data = json.loads(result.out)
    places = [difference["place"] for difference in data["differences"]]
    assert "numerics.state.num_threads" in places
    assert "environment.variables.OMP_NUM_THREADS" in places
    # whether the bits differ as well depends on the machine; where they do, it is not called reproduced
    assert (result.code == 0) == (data["verdict"] == "bit-exact")


def test_any_saved_folder_runs_and_replays_from_anywhere(cli, read_record, tmp_path):
    """`pipeline=local` with a relative path: the path is frozen, and the run replays from another folder."""
    from tests.models import make_tiny_pipeline

    make_tiny_pipeline().save_pretrained(tmp_path / "model")
    words = ("pipeline=local", "pipeline.path=model", "call.num_inference_steps=2", "call.eta=0.5", "seeds=[9,0]")
    run = cli("run", *words, cwd=tmp_path)
    assert run.code == 0, run.err
    record = read_record(run.run_id)
    assert record.config.resolved["pipeline"]["path"] == str(tmp_path / "model")
    assert record.seeds.images == (9, 0)
    assert [output.dtype for output in record.outputs] == ["uint8", "uint8"]  # PIL pictures, this pipeline's default
    assert cli("replay", run.run_id).out.strip() == "bit-exact"
