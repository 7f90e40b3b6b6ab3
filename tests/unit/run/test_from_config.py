"""Promises of from_config.py: a run does what its config says, and what cannot be is said before anything is started.

The runs are other blocks in the child of a replay: these log nothing, so that no process is started.
"""

import numpy as np
import pytest

from repro_track.config.schema import (
    DeterminismConfig,
    PipelineConfig,
    RunConfig,
    SourceConfig,
    StoreConfig,
    SweepConfig,
    TraceConfig,
)
from repro_track.errors import UsageError
from repro_track.media.picture import read_picture
from repro_track.record.handover import Handover
from repro_track.run.from_config import run_config

DIGITS = PipelineConfig(path="builtin:digits")


@pytest.fixture(autouse=True)
def child(make_record, tmp_path, monkeypatch):
    """Be the child of a replay of a block that no test opens; return the folder that runs are in."""
    Handover(tmp_path, make_record({"command.ordinal": -1})).write()
    monkeypatch.setenv("REPRO_TRACK_REPLAY", str(tmp_path))
    return tmp_path


def make_config(**words):
    given = {
        "pipeline": DIGITS,
        "seed": 3,
        "call": {"num_inference_steps": 2},
        "determinism": DeterminismConfig("fast"),
    }
    return RunConfig(**{**given, **words})


def test_a_run_does_what_its_config_says():
    """Seed, number of images, call, trace and policy are the config's, and the record has the config resolved, without
    the sweep that it belongs to."""
    record = run_config(make_config(num_images=2, trace=TraceConfig("off"), sweep=SweepConfig(None, {"a": "b"}))).record
    assert (record.status, record.seeds.root, record.seeds.images) == ("finished", 3, (3, 4))
    assert [output.name for output in record.outputs] == ["images.0", "images.1"]
    assert record.calls[0].arguments["num_inference_steps"] == 2
    assert (record.calls[0].trace.level, record.numerics.policy) == ("off", "fast")
    assert record.config.resolved["num_images"] == 2
    assert "sweep" not in record.config.resolved


def test_explicit_seeds_say_how_many_images():
    """A list of seeds makes an image for each; another list makes other images."""
    one, same, other = (run_config(make_config(seeds=seeds)).record for seeds in ([5, 0], [5, 0], [5, 1]))
    digests = [[output.sha256 for output in record.outputs] for record in (one, same, other)]
    assert one.seeds.images == (5, 0)
    assert digests[0] == digests[1]
    assert (digests[0][0] == digests[2][0], digests[0][1] == digests[2][1]) == (True, False)


def test_a_stage_is_given_what_the_one_before_it_made(child):
    """Two stages are two calls, named, in their order, with the first one's result taken by the second."""
    stage = {"pipeline": {"path": "builtin:digits"}, "call": {"num_inference_steps": 2}}
    stages = {"first": stage, "second": {**stage, "take": {"output_type": "images"}}}
    record = run_config(make_config(pipeline=PipelineConfig(), call={}, stages=stages)).record
    assert [call.stage for call in record.calls] == ["first", "second"]
    assert list(record.config.resolved["stages"]) == ["first", "second"]
    assert record.calls[0].inputs == ()
    (taken,) = record.calls[1].inputs  # a picture is no type of output, but this pipeline takes anything for one
    (folder,) = child.glob("other-block-*")
    pixels = [read_picture(folder / name).pixels for name in (taken.file, *(one.file for one in record.outputs))]
    assert taken.name == "output_type.0"
    assert np.array_equal(pixels[0], pixels[1])
    assert not np.array_equal(pixels[0], pixels[2])  # the generator went on


@pytest.mark.parametrize(
    "words",
    [
        {"pipeline": PipelineConfig(path="/nothing/here")},
        {"pipeline": PipelineConfig()},
        {"num_images": 0},
        {"seed": 2**32},
        {"seeds": []},
        {"generator": "gpu"},
        {"trace": TraceConfig("loud")},
        {"picture_format": "gif"},
        {"determinism": DeterminismConfig("fast", num_threads=0)},
        {"seeds": [1, 2], "num_images": 3},
        {"store": StoreConfig(experiment_name=" ")},
        {"call": {"num_inference_steps": [1, 2]}},
        {"call": {"generator": 7}},
    ],
    ids=lambda words: next(iter(words)),
)
def test_what_cannot_be_is_said_before_anything_is_started(child, words):
    """A value that cannot be used is refused, and no folder of a run is left; with usable ones there is one."""
    with pytest.raises(UsageError):
        run_config(make_config(**words))
    assert list(child.glob("other-block-*")) == []
    run_config(make_config(source=SourceConfig(bundle=False)))
    assert len(list(child.glob("other-block-*"))) == 1


def test_a_wrong_argument_is_named():
    """An argument that the pipeline does not take ends the run with its name and the nearest that it takes."""
    with pytest.raises(UsageError, match="num_inference_step ") as refused:
        run_config(make_config(call={"num_inference_step": 2}))
    assert "num_inference_steps" in refused.value.advice
