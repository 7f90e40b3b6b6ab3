"""From a run to another: what differs, what was altered in the store, and the same seed with one thing changed."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

pytestmark = [pytest.mark.lookup, pytest.mark.xdist_group("run")]

STEPS = "call.num_inference_steps=4"


@pytest.fixture(scope="module")
def recorded(cli, env, git_folder):
    """A run with changes in its source that are not committed."""
    return cli("run", "seed=3", "num_images=2", STEPS, env=env, cwd=git_folder).run_id


@pytest.fixture(scope="module")
def git_folder(tmp_path_factory):
    import subprocess

    folder = tmp_path_factory.mktemp("repository")
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
    (folder / "kept.txt").write_text("one\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)
    (folder / "kept.txt").write_text("two\n")
    return folder


def find_artifacts(env, run_id):
    return next(Path(env["REPRO_TRACK_HOME"]).glob(f"artifacts/*/{run_id}/artifacts"))


# --- diff ---------------------------------------------------------------------------------------------------------


def test_diff_shows_causes_before_effects(cli, env, recorded):
    """Only what differs is shown: the seed once and not its consequences, then what came of it; digests are
    shortened."""
    other = cli("run", "seed=4", "num_images=2", STEPS, env=env).run_id
    shown = cli("diff", recorded, other, env=env)
    assert shown.code == 0
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert any(line.split()[:5] == ["seed", "seeds.root", "3", "->", "4"] for line in lines)
    assert "state_before" not in shown.err
    assert lines.index("What came of it:") > next(i for i, line in enumerate(lines) if "seeds.root" in line)
    assert "the initial noise differs" in shown.err
    assert "num_inference_steps" not in shown.err
    assert len(lines) < 20
    data = json.loads(cli("diff", recorded, other, "--json", env=env).out)
    assert {"seeds.root", "seeds.global_generators.torch.state_before"} <= {one["place"] for one in data["differences"]}


def test_diff_of_equal_runs_says_so(cli, env, recorded):
    """Two runs of the same thing agree, and one sentence says it."""
    shown = cli("diff", recorded, recorded, env=env)
    assert shown.err.strip().startswith("The runs agree")


def test_the_report_has_the_same_section(cli, env, recorded):
    """A replay's report lists the causes and effects that `diff` of the two runs lists."""
    unlike = {**env, "ATEN_CPU_CAPABILITY": "default"}
    replay = json.loads(cli("replay", recorded, "--numerics", "current", "--json", env=unlike).out)["replay_run_id"]
    shown = cli("diff", recorded, replay, env=env).err
    page = (find_artifacts(env, replay) / "report.html").read_text()
    assert "numerics.state.cpu_capability" in shown
    for text in ("numerics.state.cpu_capability", "first divergence", "What came of it"):
        assert text in page


# --- verify -------------------------------------------------------------------------------------------------------


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_an_untouched_run_is_as_logged(cli, env, recorded):
    """Nothing is said of a run whose files are all as they were."""
    result = cli("verify", recorded, env=env)
    assert result.code == 0
    assert "as logged" in result.err


ARTIFACTS = [
    "config.yaml", "environment/packages.txt", "inputs/generator_states.safetensors", "outputs/images.1.png",
    "outputs/latents.safetensors", "outputs/outputs.safetensors", "preview.png", "report.html",
    "source/unstaged.diff.txt",
]  # fmt: skip


@pytest.mark.parametrize("names", [ARTIFACTS, ["record.json"], ["SHA256SUMS"]], ids=lambda names: names[0])
def test_one_bit_of_any_artifact_is_seen(cli, env, recorded, names):
    """Whichever file of the store has one bit flipped, `verify` names it and no other, and exits with 1 (3: the record
    itself is unreadable)."""
    paths = {find_artifacts(env, recorded) / name: name for name in names}
    kept = {path: path.read_bytes() for path in paths}
    try:
        for path in paths:
            flip(path)
        result = cli("verify", recorded, "--json", env=env)
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    if names == ["record.json"]:
        assert result.code in (1, 3)
        return
    assert result.code == 1
    said = json.loads(result.out)[recorded]
    assert [line.removesuffix(": altered") for line in said if line.endswith(": altered")] == names


def test_missing_and_added_files_are_seen(cli, env, recorded):
    """A file that was taken away is missing, one that was put there is added; each by its name, as data too."""
    folder = find_artifacts(env, recorded)
    moved = folder.parent / "moved.yaml"
    (folder / "overrides.yaml").rename(moved)
    (folder / "outputs" / "smuggled.png").write_bytes(b"x")
    try:
        result = cli("verify", recorded, "--json", env=env)
    finally:
        moved.rename(folder / "overrides.yaml")
        (folder / "outputs" / "smuggled.png").unlink()
    assert result.code == 1
    assert json.loads(result.out) == {recorded: ["outputs/smuggled.png: added", "overrides.yaml: missing"]}


def test_a_forged_manifest_is_seen(cli, env, recorded):
    """Whoever alters a file and writes a new manifest for it is found by the digest that MLflow has of the old one."""
    from repro_track.store.manifest import write_manifest

    folder = find_artifacts(env, recorded)
    kept = folder.parent / "kept"
    shutil.copytree(folder, kept)
    try:
        flip(folder / "report.html")
        write_manifest(folder)
        result = cli("verify", recorded, env=env)
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)
    assert result.code == 1
    assert "SHA256SUMS: altered" in result.err


# --- variations ---------------------------------------------------------------------------------------------------


def test_a_variation_has_the_same_seed_and_one_thing_changed(cli, env, client, recorded, read_record):
    """`--set` runs the recorded config with one thing changed: the same noise, another picture, both side by side, a
    run of its own under the recorded one that replays by its own id."""
    varied = cli("replay", recorded, "--set", "call.num_inference_steps=6", env=env)
    assert varied.code == 0, varied.err
    run = client.get_run(varied.run_id)
    assert run.data.tags["repro_track.variation_of"] == recorded
    assert run.data.tags["mlflow.parentRunId"] == recorded
    assert "repro_track.verdict" not in run.data.tags
    assert "repro_track.replay_of" not in run.data.tags
    before, after = (read_record(one, env=env) for one in (recorded, varied.run_id))
    assert (before.calls[0].trace.noise, before.seeds.images) == (after.calls[0].trace.noise, after.seeds.images)
    assert (len(before.calls[0].trace.steps), len(after.calls[0].trace.steps)) == (4, 6)
    assert before.outputs[0].sha256 != after.outputs[0].sha256
    with Image.open(find_artifacts(env, varied.run_id) / "side_by_side.png") as both:
        assert both.height > 2 * 64
    assert "num_inference_steps" in varied.err
    assert cli("replay", varied.run_id, env=env).out.strip() == "bit-exact"
    assert cli("verify", varied.run_id, env=env).code == 0
    found = cli("find", find_artifacts(env, varied.run_id) / "outputs" / "images.0.png", env=env)
    assert found.out.split() == [varied.run_id]


def test_a_preset_can_be_changed(cli, env, read_record):
    """A group is changed by the name of its preset, and what it asks for is in force, not what was recorded."""
    recorded = cli("run", "seed=3", "pipeline.class_name=DDPMPipeline", "scheduler=ddpm", STEPS, env=env).run_id
    varied = cli("replay", recorded, "--set", "scheduler=ddim", "--set", "determinism=portable", env=env)
    assert varied.code == 0, varied.err
    record = read_record(varied.run_id, env=env)
    assert any("DDIMScheduler" in part.class_name for part in record.calls[0].components)
    assert record.numerics.state["num_threads"] == 1
    assert record.environment.variables["ATEN_CPU_CAPABILITY"] == "avx2"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "seeed=1"], "cannot be applied"),
        (["--set", "seed=x"], "cannot be applied"),
        (["--set", "scheduler=eulerx"], "scheduler is 'eulerx'"),
        (["--set", "steps"], "KEY=VALUE"),
        (["--set", "seed=1", "--explain"], "a run of its own"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(cli, env, client, recorded, words, said):
    """A key that is not there, a value of another type, an unknown preset: one message, and nothing is run or
    logged."""
    before = len(client.search_runs(["1"]))
    result = cli("replay", recorded, *words, env=env)
    assert result.code == 2
    assert said in result.err
    assert "Traceback" not in result.err
    assert len(client.search_runs(["1"])) == before


def test_a_script_has_no_config_to_change(cli, python, env, tmp_path):
    """A script's run is refused with what to do."""
    (tmp_path / "script.py").write_text(
        "import repro_track as rt\n"
        "with rt.track(seed=1) as run:\n    run.add_output('x', __file__)\n"
        "print(run.run_id)\n"
    )
    run = python(tmp_path / "script.py", env=env).run_id
    result = cli("replay", run, "--set", "seed=2", env=env)
    assert result.code == 2
    assert "change the script" in result.err
