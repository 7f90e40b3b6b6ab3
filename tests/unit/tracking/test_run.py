"""Promises of run.py: a block leaves its record whatever ends it, and the run object stays small.

The runs are other blocks in the child of a replay: these log nothing, so that no process is started.
"""

import ast
import inspect
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import repro_track.tracking.run as module
from repro_track.errors import UsageError
from repro_track.media.picture import read_picture
from repro_track.record.choice import Focus
from repro_track.record.handover import Handover, Settings
from repro_track.record.names import RECORD_NAME
from repro_track.record.reading import read_record
from repro_track.report.text import list_facts
from repro_track.tracking.open_runs import get_current_run, is_calling
from repro_track.tracking.run import TrackedRun
from repro_track.tracking.track import track


@pytest.fixture
def child(unlogged):
    """Log nothing; return the folder that the run's is in."""
    return unlogged


@pytest.fixture
def left(child):
    """Find the only folder of a run that was left; `None`: there is none."""

    def find():
        folders = list(child.glob("other-block-*"))
        assert len(folders) <= 1
        return folders[0] if folders else None

    return find


def make_run(**words):
    return track(**{"seed": 3, "determinism": "fast", **words})


def test_a_block_leaves_its_record(left):
    """After the block the record is in the run's folder as it is in hand; inside it says that the run is running."""
    with make_run() as run:
        inside = read_record(left() / RECORD_NAME)
        run.add_output("mine", np.zeros(2))
    assert (inside.status, inside.outputs) == ("running", ())
    assert read_record(left() / RECORD_NAME) == run.record
    assert (run.record.status, run.record.record_id) == ("finished", run.record_id)
    assert list(run.record.cost.phases_s) == ["import_torch", "open", "total", "close"]


def test_a_block_that_fails_says_why(left):
    """What ends a block passes unchanged; the record has its words, a file its traceback, both without secrets."""
    with pytest.raises(ValueError, match="hunter2"), make_run() as run:
        raise ValueError("https://me:hunter2@host/x")
    assert run.record.status == "failed"
    assert run.record.error.startswith("ValueError: ")
    text = (left() / "error.txt").read_text()
    assert "Traceback" in text
    assert "hunter2" not in text + run.record.error
    assert get_current_run() is None


def test_an_interrupted_block_says_so(left):
    """Ctrl-C is an interrupt, not a failure."""
    with pytest.raises(KeyboardInterrupt), make_run() as run:
        raise KeyboardInterrupt
    assert read_record(left() / RECORD_NAME).status == run.record.status == "interrupted"


def test_a_config_that_fails_before_its_first_call_leaves_nothing(child, make_options):
    """The run of a config begins with its first call: what fails before leaves no folder, and what does not leaves a
    record."""
    options = make_options(seed=3, stem="x")
    options = type(options)(**{**vars(options), "is_config": True})
    with pytest.raises(UsageError), TrackedRun(options):
        raise UsageError("no such model")
    assert list(child.glob("other-block-*")) == []
    with TrackedRun(options) as run:
        pass
    assert run.record.command.kind == "config"
    assert read_record(next(child.glob("other-block-*")) / RECORD_NAME) == run.record


def test_a_wrong_policy_leaves_nothing(left):
    """A block that cannot be entered leaves no folder and no generator touched."""
    before = random.getstate()
    with pytest.raises(Exception, match="nope"), make_run(determinism={"flags": {"nope": 1}}):
        pytest.fail("the block was entered")
    assert left() is None
    assert random.getstate() == before
    assert get_current_run() is None


def test_the_innermost_run_is_the_current_one(child):
    """Inside a block its run is the current one, inside another block that one's."""
    assert get_current_run() is None
    with make_run() as outer:
        assert get_current_run() is outer
        with make_run() as inner:
            assert get_current_run() is inner
        assert get_current_run() is outer
    assert get_current_run() is None


def test_a_child_has_a_stand_in_for_an_id(child):
    """In the child of a replay nothing is logged: the id is a stand-in, and there is no place in MLflow."""
    with make_run() as run:
        assert run.run_id == f"replay-{run.record_id}"
    assert run.is_replay
    assert run.stored is None


def test_loading_is_timed_and_its_draws_are_apart(child):
    """A draw while a pipeline is loaded is noted apart, a later one is not; neither leaves the run open, because no
    output comes of it: one of the run's own does."""
    with make_run() as run:
        with run.loading():
            np.random.rand()
        random.random()
    assert "load" in run.record.cost.phases_s
    moved = {one.name: one for one in run.record.seeds.global_generators if one.moved}
    assert {name: (one.drawn_at, one.while_loading) for name, one in moved.items()} == {
        "numpy": ((), True),
        "python": (("outside of the pipelines' calls",), False),
    }
    assert run.record.seeds.closed
    with make_run() as run:
        run.add_output("mine", np.random.rand(2))
    assert not run.record.seeds.closed


def test_loading_for_a_config_leaves_the_generators_alone(child, make_options):
    """What a pipeline draws while it is loaded for a config is undone, so that its call begins where it would begin
    with one that was there before; in a script the code in the block may have seeded them: they stay as it left
    them."""
    options = make_options(seed=3, stem="x")
    config = type(options)(**{**vars(options), "is_config": True})
    for one, numbers in ((config, [[0.417022, 0.720324]] * 2), (options, [[0.417022, 0.720324], [0.000114, 0.302333]])):
        with TrackedRun(one) as run:
            np.random.seed(1)
            seen = [np.random.rand(2).tolist()]
            np.random.seed(1)
            with run.loading():
                np.random.rand(2)
            seen.append(np.random.rand(2).tolist())
        assert np.allclose(seen, numbers, atol=1e-6)
        assert [part.name for part in run.record.seeds.global_generators if part.while_loading] == ["numpy"]


def test_a_call_that_is_not_looked_at_is_left_out(child, record, monkeypatch):
    """A replay of call 1 alone leaves out calls 0 and 2, and counts them; any other run leaves out none."""
    run = make_run()
    assert [run.leave_out_call() for _ in range(2)] == [False, False]
    expected = record.model_copy(update={"command": record.command.model_copy(update={"ordinal": run._ordinal + 1})})
    Handover(child, expected, settings=Settings(focus=Focus(call=1))).write()
    replayed = make_run()
    assert replayed.leave_out_call()
    assert not replayed.leave_out_call()
    replayed._next_call += 1  # the call that is made
    assert replayed.leave_out_call()


def test_blocks_are_counted(child):
    """Each block of a process has the number after the one before; the run of a config has none."""
    first, second = make_run(), make_run()
    assert second._ordinal == first._ordinal + 1


def test_a_name_is_taken_once(child, tmp_path):
    """A second output of a name, and a file that is not there, are refused; the outputs so far stay. What cannot be
    kept is a reason not to replay the run, before any that a run has from how its process was started."""
    with make_run() as plain:
        plain.add_output("x", np.zeros(2))
    with make_run() as run:
        run.add_output("x", np.zeros(2))
        with pytest.raises(UsageError, match="already"):
            run.add_output("x", np.ones(2))
        with pytest.raises(UsageError, match="no such file"):
            run.add_output("y", tmp_path / "nope")
        run.add_output("z", object())
    assert [output.name for output in run.record.outputs] == ["x"]
    because_of_z = "output z is a object, which cannot be compared"
    assert run.record.replayable.reasons == (because_of_z, *plain.record.replayable.reasons)


def test_calls_are_recorded_in_order(child, tiny_pipeline):
    """Calls and own outputs are in the record in the order in which they were made, and only inside a call is one
    being made."""
    seen = []
    with make_run(trace="off") as run:
        tiny_pipeline.unet.register_forward_hook(lambda *_: seen.append(is_calling(run)))
        run(tiny_pipeline, num_inference_steps=1, output_type="np")
        run.add_output("mine", np.zeros(2))
        run(tiny_pipeline, num_inference_steps=1, output_type="np")
        assert not is_calling(run)
    assert [output.name for output in run.record.outputs] == ["images.0", "mine", "call1.images.0"]
    assert set(seen) == {True}


def test_the_run_object_stays_small():
    """At most 15 methods, 20 attributes and 300 lines: what more it has to do belongs to a module beside it."""
    tree = ast.parse(inspect.getsource(TrackedRun)).body[0]
    methods = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    attributes = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and getattr(node.value, "id", "") == "self"
    }
    assert 5 < len(methods) <= 15
    assert 5 < len(attributes) <= 20
    assert tree.end_lineno <= 300
    assert "handover" not in Path(module.__file__).read_text(encoding="utf-8").lower()


def test_a_generator_of_ones_own_is_said_everywhere(left, tiny_pipeline):
    """The seed of the caller's generator is the run's: in its name, its outputs, its pictures and its page; that it was
    drawn from before is said, too. What seeds the global generators is another thing, and stays."""
    generators = [torch.Generator().manual_seed(7), torch.Generator().manual_seed(9)]
    torch.randn(3, generator=generators[1])
    with make_run(seed=1) as run:
        run(tiny_pipeline, batch_size=2, num_inference_steps=1, output_type="np", generator=generators)
        run.add_output("mine", np.zeros(2))
    record, folder = run.record, left()
    assert (record.seeds.root, record.seeds.images) == (1, (7, 9))
    assert [(output.name, output.seed) for output in record.outputs] == [
        ("images.0", 7),
        ("images.1", 9),
        ("mine", None),
    ]
    assert record.name.endswith("-seed7")
    assert dict(list_facts(record))["seed"] == "7 (your own generator); 9, advanced (your own generator)"
    pictures = [read_picture(folder / output.file) for output in record.outputs[:2]]
    assert [(picture.output, picture.seed) for picture in pictures] == [("images.0", "7"), ("images.1", "9")]
    page = (folder / "report.html").read_text()
    assert "images.1, seed 9" in page
    assert "advanced" in page
    assert "seed 1 " not in page


def test_images_of_a_batch_have_their_seeds(left, tiny_pipeline):
    """`seed=40` and three images: the last has seed 42, in the record, in its file and on the page."""
    with make_run(seed=40) as run:
        run(tiny_pipeline, batch_size=3, num_inference_steps=1, output_type="np")
    assert [output.seed for output in run.record.outputs] == [40, 41, 42]
    assert dict(list_facts(run.record))["seed"] == "40 to 42 (given)"
    assert read_picture(left() / run.record.outputs[2].file).seed == "42"
    assert "images.2, seed 42" in (left() / "report.html").read_text()
    assert run.record.name.endswith("-seed40")
