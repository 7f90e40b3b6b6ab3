"""Any Hydra app by a callback, any MLflow run by a plugin; neither loads torch where it is not used."""

import pytest

pytestmark = [pytest.mark.lookup, pytest.mark.xdist_group("integrations")]

APP = """
import sys

import hydra


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(config):
    if config.idle:
        print([name for name in ("torch", "mlflow", "diffusers", "repro_track.tracking") if name in sys.modules])
        return
    from diffusers import DDIMPipeline

    pipe = DDIMPipeline.from_pretrained(config.path)
    pipe.set_progress_bar_config(disable=True)
    image = pipe(1, None, 0.0, config.steps, output_type="np").images  # by position, as apps do
    print(type(pipe).__name__, type(pipe).__module__, isinstance(pipe, DDIMPipeline), image.shape)
    if config.fails:
        raise ValueError("planted")


main()
"""
CONFIG = """
seed: 5
steps: 3
idle: false
fails: false
path: PATH
later: ???
hydra:
  callbacks:
    repro_track:
      _target_: repro_track.integrations.hydra_callback.ReproTrack
      experiment: app
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    from repro_track import find_builtin

    folder = tmp_path_factory.mktemp("app")
    (folder / "app.py").write_text(APP)
    (folder / "config.yaml").write_text(CONFIG.replace("PATH", find_builtin("digits")))
    return folder / "app.py"


@pytest.fixture(scope="module")
def client(env):
    from mlflow import MlflowClient

    return lambda: MlflowClient(tracking_uri=f"sqlite:///{env['REPRO_TRACK_HOME']}/mlflow.db")


def find_ids(result):
    return [line.rpartition(" ")[2] for line in result.err.splitlines() if line.startswith("repro_track: run ")]


@pytest.fixture(scope="module")
def tracked(app, python, env):
    """The app, started once as it is."""
    return python(app, env=env)


def test_an_app_is_tracked_without_a_line_of_code(tracked, cli, env, read_record):
    """The callback records the app's pipeline call, with the config's seed, and the run replays to the bit; the
    pipeline is still what it was to the app."""
    result = tracked
    assert "DDIMPipeline diffusers.pipelines.ddim.pipeline_ddim True (1, 8, 8, 1)" in result.out, result.err
    [run] = find_ids(result)
    record = read_record(run, env=env)
    assert (record.seeds.root, record.command.kind) == (5, "hydra")
    assert record.calls[0].arguments["num_inference_steps"] == 3
    assert record.config.resolved["steps"] == 3
    assert "hydra" not in record.config.resolved
    assert cli("replay", run, env=env).out.strip() == "bit-exact"


def test_a_pipeline_that_was_there_before(app, python, cli, env, tmp_path, read_record):
    """A pipeline that the app's module makes while it is imported, before Hydra begins, is watched, too."""
    early = tmp_path / "app.py"
    (tmp_path / "config.yaml").write_text(app.with_name("config.yaml").read_text())
    lines = APP.replace("    from diffusers import DDIMPipeline\n", "").splitlines(keepends=True)
    start = next(index for index, line in enumerate(lines) if line.startswith("@hydra"))
    made = (
        "from diffusers import DDIMPipeline\nfrom repro_track import find_builtin\n"
        "PIPE = DDIMPipeline.from_pretrained(find_builtin('digits'))\n"
    )
    text = "".join([*lines[:start], made, "\n\n", *lines[start:]])
    early.write_text(text.replace("pipe = DDIMPipeline.from_pretrained(config.path)", "pipe = PIPE"))
    result = python(early, env=env)
    [run] = find_ids(result)
    assert len(read_record(run, env=env).calls) == 1
    assert cli("replay", run, env=env).out.strip() == "bit-exact"


def test_another_seed_is_another_picture(app, python, env, tracked, read_record):
    """The seed of the config is what decides the picture."""
    digests = {5: {read_record(find_ids(tracked)[0], env=env).outputs[0].sha256}}
    for seed in (5, 6):
        [run] = find_ids(python(app, f"seed={seed}", env=env))
        digests.setdefault(seed, set()).add(read_record(run, env=env).outputs[0].sha256)
    assert len(digests[5]) == 1
    assert digests[5] != digests[6]


def test_a_job_that_does_not_use_torch_is_left_alone(app, python, env):
    """Where the job loads no torch, the callback loads none, nor mlflow or our tracking, and logs nothing."""
    result = python(app, "idle=true", env=env)
    assert result.out.strip() == "[]", result.err
    assert find_ids(result) == []


def test_a_job_that_fails_is_logged_as_failed(app, python, env, client):
    """The app's own error is what Hydra shows, and the run is marked failed with it."""
    result = python(app, "fails=true", "seed=77", env=env)
    assert result.code == 1
    assert "planted" in result.err
    [run] = find_ids(result)
    found = client().get_run(run)
    assert found.info.status == "FAILED"
    assert found.data.tags["repro_track.status"] == "failed"


def test_every_job_of_a_sweep_is_a_run(app, python, cli, env, read_record):
    """The jobs of `-m` are runs of their own, and each replays by its own id."""
    result = python(app, "-m", "seed=1,2", env=env)
    ids = find_ids(result)
    assert [read_record(run, env=env).seeds.root for run in ids] == [1, 2], result.err
    assert cli("replay", ids[1], env=env).out.strip() == "bit-exact"


def test_the_callback_from_the_command_line(app, python, cli, env, tmp_path):
    """An app that knows nothing of us is tracked by an override alone, and so is its replay."""
    bare = tmp_path / "app.py"
    bare.write_text(app.read_text())
    (tmp_path / "config.yaml").write_text(app.with_name("config.yaml").read_text().partition("hydra:")[0])
    callback = "+hydra.callbacks.repro_track._target_=repro_track.integrations.hydra_callback.ReproTrack"
    [run] = find_ids(python(bare, callback, env=env))
    assert cli("replay", run, env=env).out.strip() == "bit-exact"


def test_a_variation_of_an_app(tracked, cli, env, read_record):
    """`--set` gives the app another override, with the same seed."""
    [run] = find_ids(tracked)
    varied = cli("replay", run, "--set", "steps=5", env=env)
    assert varied.code == 0, varied.err
    record = read_record(varied.run_id, env=env)
    assert len(record.calls[0].trace.steps) == 5
    assert record.calls[0].trace.noise == read_record(run, env=env).calls[0].trace.noise


def test_mlflow_runs_inside_are_tagged(python, env, tmp_path, client):
    """An MLflow run that is started inside a tracked one names its record; one outside does not."""
    script = tmp_path / "script.py"
    script.write_text(
        "import mlflow\n"
        "import repro_track as rt\n"
        f"mlflow.set_tracking_uri('sqlite:///{env['REPRO_TRACK_HOME']}/mlflow.db')\n"
        "with mlflow.start_run() as outside:\n    pass\n"
        "with rt.track(seed=9) as run:\n"
        "    with mlflow.start_run() as inside:\n        pass\n"
        "    run.add_output('x', __file__)\n"
        "print(outside.info.run_id, inside.info.run_id, run.record_id)\n"
    )
    result = python(script, env=env)
    outside, inside, record_id = result.out.split()[-3:]
    tags = client().get_run(inside).data.tags
    assert (tags["repro_track.inside"], tags["repro_track.seed"]) == (record_id, "9")
    assert "repro_track.inside" not in client().get_run(outside).data.tags


def test_the_plugin_loads_nothing(python, tmp_path, env):
    """A program that only uses MLflow is not made to load torch or our tracking by the plugin."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nimport mlflow\n"
        "mlflow.set_tracking_uri('sqlite:///mlflow.db')\n"
        "with mlflow.start_run():\n    pass\n"
        "print([name for name in ('torch', 'repro_track.tracking', 'repro_track.store') if name in sys.modules])\n"
        "print('repro_track.integrations.mlflow_context' in sys.modules)\n"
    )
    result = python(script, env=env, cwd=tmp_path)
    assert result.out.split("\n")[-3:-1] == ["[]", "True"], result.err
