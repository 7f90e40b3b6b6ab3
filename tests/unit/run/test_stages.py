"""Promises of stages.py: a config's stages are typed and in order, and no config is changed on the way."""

import copy

import pytest

from repro_track.config.builtin import BUILTIN
from repro_track.config.schema import AdapterConfig, AdaptersConfig, PipelineConfig, RunConfig, StageConfig
from repro_track.errors import UsageError
from repro_track.run.stages import list_stages, make_absolute, name_pipeline, take_from_earlier


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A saved pipeline's folder, and a LoRA file, both beside the working directory's files."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model_index.json").write_text("{}")
    (tmp_path / "style.safetensors").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "model"


def test_a_config_without_stages_is_one_stage():
    """Its pipeline has no name; its adapters are typed, and the config's own stay as they were given."""
    config = RunConfig()
    config.adapters.lora = {"style": {"path": "style.safetensors", "scale": 0.5}}
    before = copy.deepcopy(config)
    (stage,) = list_stages(config).values()
    assert stage.adapters.lora == {"style": AdapterConfig("style.safetensors", scale=0.5)}
    assert config == before


def test_a_typo_in_a_stage_is_said():
    """A key that a stage or an adapter has not is refused with those that it has."""
    config = RunConfig()
    config.adapters.lora = {"style": {"pth": "style.safetensors"}}
    with pytest.raises(UsageError, match="adapter style") as refused:
        list_stages(config)
    assert "path" in refused.value.expected
    staged = RunConfig(stages={"base": {"pipline": {}}})
    with pytest.raises(UsageError, match=r"stages\.base"):
        list_stages(staged)


def test_a_stage_takes_from_those_before_it():
    """`base.images` and `images` are of stages before; of a later one, or of itself, there is nothing to take."""
    stages = {"base": {}, "refined": {"take": {"image": "base.images", "other": "images"}}}
    assert list(list_stages(RunConfig(stages=stages))) == ["base", "refined"]
    for source in ("refined.images", "later.images"):
        with pytest.raises(UsageError, match="take.image"):
            list_stages(RunConfig(stages={"base": {}, "refined": {"take": {"image": source}}}))
    with pytest.raises(UsageError, match="take.image"):
        list_stages(RunConfig(stages={"base": {"take": {"image": "images"}}}))


def test_stages_and_a_pipeline_exclude_each_other():
    """Which of the two would run is not guessed."""
    config = RunConfig(stages={"base": {}}, pipeline=PipelineConfig(path="/model"))
    with pytest.raises(UsageError, match="there are stages"):
        list_stages(config)


def test_paths_become_absolute_in_a_new_stage(model):
    """A replay may start elsewhere: paths are absolute in what is returned, and the stage given is as it was."""
    lora = AdapterConfig("style.safetensors", scale=0.5)
    stage = StageConfig(pipeline=PipelineConfig(path="model"), adapters=AdaptersConfig(lora={"style": lora}))
    before = copy.deepcopy(stage)
    absolute = make_absolute(stage)
    assert absolute.pipeline.path == str(model)
    assert absolute.adapters.lora == {"style": AdapterConfig(str(model.parent / "style.safetensors"), scale=0.5)}
    assert stage == before
    assert make_absolute(absolute) == absolute


def test_what_ships_or_is_on_the_hub_keeps_its_name(model):
    """The embedded model is wherever the package is, a repository has no path; a folder that is not there is
    refused."""
    for pipeline in (PipelineConfig(path=f"{BUILTIN}digits"), PipelineConfig(repo_id="owner/name")):
        assert make_absolute(StageConfig(pipeline=pipeline)).pipeline == pipeline
    with pytest.raises(UsageError, match="there is no such folder"):
        make_absolute(StageConfig(pipeline=PipelineConfig(path="modle")))


def test_a_field_is_taken_from_the_stage_that_is_named():
    """`FIELD` is of the last stage, `STAGE.FIELD` of that one; a field that it did not give is refused."""
    results = {"base": {"images": "rough"}, "refined": {"images": "fine"}}
    assert take_from_earlier({"a": "base.images", "b": "images"}, results, name="last") == {"a": "rough", "b": "fine"}
    with pytest.raises(UsageError, match="no such field") as refused:
        take_from_earlier({"a": "base.latents"}, results, name="last")
    assert refused.value.expected == "one of images"


def test_a_pipeline_is_named_by_the_end_of_its_place():
    """The last part of a folder or repository; the embedded model by its own name."""
    assert name_pipeline(PipelineConfig(path="/models/cats/")) == "cats"
    assert name_pipeline(PipelineConfig(repo_id="owner/dogs")) == "dogs"
    assert name_pipeline(PipelineConfig(path=f"{BUILTIN}digits")) == "digits"
