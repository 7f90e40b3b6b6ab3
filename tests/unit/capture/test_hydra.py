"""Promises of hydra.py: the words that were read compose the config again that the job really got."""

import runpy
import sys

import pytest
from omegaconf import OmegaConf

from repro_track.capture.command import capture_command
from repro_track.capture.hydra import (
    digest_composed,
    find_job,
    keep_hydra_words,
    list_config_files,
    list_words,
    read_hydra_overrides,
)

QUIET = ["hydra/job_logging=disabled", "hydra/hydra_logging=disabled", "hydra.output_subdir=null"]
APP = """
import hydra
from repro_track.capture.hydra import find_job, list_config_files
from repro_track.capture.command import capture_command
from pathlib import Path

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    SEEN.append((find_job(), capture_command(ordinal=0, folder=Path("/nowhere")), dict(cfg)))
    FILES.append([str(file.relative_to(Path(__file__).parent)) for file in list_config_files()])

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def app(tmp_path, monkeypatch):
    """Run an app with some words, in a folder; return what was seen in each of its jobs."""
    (tmp_path / "conf" / "part").mkdir(parents=True)
    (tmp_path / "elsewhere" / "more").mkdir(parents=True)
    (tmp_path / "conf" / "config.yaml").write_text("seed: 1\nnumber: ${hydra:job.num}\nhome: ${oc.env:HOME}\n")
    (tmp_path / "conf" / "other.yaml").write_text("seed: 7\n")
    (tmp_path / "elsewhere" / "config.yaml").write_text("seed: 9\n")
    (tmp_path / "elsewhere" / "more" / "one.yaml").write_text("x: 1\n")
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "IPython", raising=False)

    def run(*words):
        seen = []
        words = [word.format(tmp=tmp_path) for word in words]
        monkeypatch.setattr(sys, "argv", ["app.py", *words, *(word for word in QUIET if word not in words)])
        monkeypatch.setattr(sys, "orig_argv", ["python", *sys.argv])
        runpy.run_path(str(tmp_path / "app.py"), init_globals={"SEEN": seen, "FILES": run.files}, run_name="__main__")
        return seen

    run.files = []
    (tmp_path / ".git").mkdir()
    return run


@pytest.mark.parametrize(
    ("typed", "seed"),
    [
        ([], 1),
        (["--config-name=other"], 7),
        (["-cn", "other"], 7),
        (["--config-name", "other", "seed=8", "hydra.job.chdir=true"], 8),
        (["--config-dir={tmp}/elsewhere", "+more=one"], 1),
        (["-cp", "{tmp}/elsewhere"], 9),
        (["--config-path=../elsewhere"], None),
        (["hydra.searchpath=[file://{tmp}/elsewhere]", "+more=one", "hydra.job.name=named"], 1),
    ],
    ids=str,
)
def test_the_words_compose_the_same_config_again(app, tmp_path, typed, seed):
    """Whatever chooses the config, a flag in each spelling or an override of Hydra's own: started with the words that
    were read, the app composes the same."""
    if seed is None:
        with pytest.raises(SystemExit):
            app(*typed)  # it is relative to the app's file, not to the working directory
        return
    ((job, command, config),) = app(*typed)
    assert config["seed"] == seed
    assert (job.cwd, job.file, job.module) == (str(tmp_path), str(tmp_path / "app.py"), None)
    ((again, _, same),) = app(*job.words)
    assert (again.words, same) == (job.words, config)
    assert digest_composed(again.config) == digest_composed(job.config)
    assert (command.kind, command.argv, command.script) == ("hydra", job.words, job.file)
    assert ("more" in config) == ("+more=one" in typed)


def test_a_job_of_a_sweep_is_composed_alone(app):
    """The number of a job, of which its config is made, comes with its words; what starts the sweep does not."""
    jobs = app("-m", "seed=3,4", "hydra.sweep.dir={tmp}/sweep", "hydra/launcher=basic")
    for number, (job, _, config) in enumerate(jobs):
        assert (config["seed"], config["number"]) == (3 + number, number)
        assert not [word for word in job.words if "sweep" in word or "launcher" in word or "mode" in word]
        ((_, _, alone),) = app(*job.words)
        assert alone == config
    ((first, _, _), (second, _, _)) = jobs
    assert first.words != second.words


def test_the_files_of_a_config_are_those_that_it_is_composed_of(app, tmp_path):
    """The primary config, what its defaults list names, what the command line adds, each from the folder where Hydra
    finds it; no other file of those folders, and none outside an app."""
    (tmp_path / "conf" / "config.yaml").write_text("defaults:\n- part: small\n- _self_\nseed: 1\n")
    (tmp_path / "conf" / "part" / "small.yaml").write_text("size: 1\n")
    (tmp_path / "conf" / "part" / "large.yaml").write_text("size: 2\n")
    app()
    app("--config-dir=elsewhere", "+more=one", "part=large", "hydra.job.chdir=true")
    app("-cn", "other")
    assert [sorted(files) for files in app.files] == [
        ["conf/config.yaml", "conf/part/small.yaml"],
        ["conf/config.yaml", "conf/part/large.yaml", "elsewhere/more/one.yaml"],
        ["conf/other.yaml"],
    ]
    assert list_config_files() == []


def test_outside_of_a_repository_the_folder_of_the_config_is_named(app, tmp_path):
    """Where the script alone can come back, its config is found by its recorded place."""
    ((inside, _, _),) = app()
    assert inside.words == ("hydra/job_logging=disabled", "hydra.output_subdir=null")
    (tmp_path / ".git").rmdir()
    ((outside, _, config),) = app()
    assert outside.words[0] == f"--config-path={tmp_path / 'conf'}"
    ((_, _, again),) = app(*outside.words)
    assert again == config


def test_another_config_has_another_digest():
    """A value, a key or an interpolation that differs is another digest; what an interpolation comes to is not part of
    it, and the order of keys neither."""
    one = OmegaConf.create({"a": 1, "b": "${a}", "c": "${oc.env:HOME}"})
    assert digest_composed(one) == digest_composed(OmegaConf.create({"c": "${oc.env:HOME}", "b": "${a}", "a": 1}))
    for other in ({"a": 2}, {"b": 1}, {"c": "${oc.env:USER}"}, {"d": None}, {"a": "???"}):
        assert digest_composed(OmegaConf.create({**OmegaConf.to_container(one), **other})) != digest_composed(one)
    assert digest_composed({"no": "config"}) is None


def test_what_says_where_files_go_is_left_out():
    """Folders and launchers are the replay's own; what changes the job itself is kept."""
    words = [
        "hydra.run.dir=x",
        "hydra/sweeper=optuna",
        "hydra.launcher.n_jobs=2",
        "~hydra.sweeper.params",
        "hydra.mode=RUN",
    ]
    kept = ["hydra.job.env_set.X=1", "+hydra.callbacks.x._target_=y", "hydra.runner=x", "hydra/job_logging=colorlog"]
    assert keep_hydra_words([*words, *kept]) == kept


def test_outside_an_app_there_is_no_job(tmp_path):
    """No job, no overrides, and no Hydra app."""
    assert (find_job(), read_hydra_overrides()) == (None, None)
    assert not capture_command(ordinal=0, folder=tmp_path).is_hydra


def test_words_are_what_was_typed(monkeypatch):
    """Overrides that refer to a variable, or look like it, are what was typed, not what the variable holds."""
    monkeypatch.setenv("A_TOKEN", "planted")
    words = ["hub.token=${oc.env:A_TOKEN}", r"call.prompt=a \${x}", "seed=3"]
    assert list_words(OmegaConf.create(words)) == words
    assert list(OmegaConf.create(words[:1])) == ["hub.token=planted"]
