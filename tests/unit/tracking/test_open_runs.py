"""Promises of open_runs.py: a call belongs to the innermost block of its thread, blocks that disturb each other are not
replayable, and the process is afterwards what it was.

The runs are other blocks in the child of a replay: these log nothing, so that no process is started.
"""

import asyncio
import os
import random
import threading

import pytest
import torch

from repro_track.determinism.numerics import capture_state
from repro_track.errors import UsageError
from repro_track.tracking.open_runs import get_current_run
from repro_track.tracking.track import track

OTHER = {"flags": {"cudnn.benchmark": True}}
CALL = {"num_inference_steps": 1, "output_type": "np"}


@pytest.fixture
def make_run(unlogged):
    """Make a run that logs nothing."""
    return lambda **words: track(**{"seed": 3, "determinism": "fast", "trace": "off", **words})


def list_reasons(run):
    """List why a run cannot be replayed, besides what all runs here have from how their process was started."""
    about = ("another block", "open around", "another thread", "nothing was recorded")
    return [one for one in run.record.replayable.reasons if any(word in one for word in about)]


def in_thread(work):
    """Do something in another thread; raise what it raises."""
    raised = []

    def run():
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for one in raised:
        raise one


def test_nested_blocks_each_have_their_own(make_run, tiny_pipeline):
    """A direct call is the innermost block's; after it the outer one goes on as if it had not been there, and both are
    as replayable as any."""
    with make_run() as outer:
        with make_run(seed=9, determinism=OTHER) as inner:
            tiny_pipeline(**CALL)
        tiny_pipeline(**CALL)
    with make_run() as alone:
        tiny_pipeline(**CALL)
    assert [len(run.record.calls) for run in (outer, inner)] == [1, 1]
    assert outer.record.outputs[0].sha256 == alone.record.outputs[0].sha256 != inner.record.outputs[0].sha256
    assert outer.record.numerics.changed == {}
    assert list_reasons(outer) == list_reasons(inner) == []
    assert not [one for one in outer.record.cautions if "threads" in one]


def test_the_outer_run_is_not_called_in_the_inner_block(make_run, tiny_pipeline):
    """There the inner block's settings are in force: one message says so."""
    with make_run() as outer, make_run() as inner:
        with pytest.raises(UsageError, match="inside of another block"):
            outer(tiny_pipeline, **CALL)
        inner(tiny_pipeline, **CALL)
    assert [len(run.record.calls) for run in (outer, inner)] == [0, 1]


@pytest.mark.parametrize("when", ["before", "after"])
def test_outside_of_its_block_a_run_records_nothing(make_run, tiny_pipeline, when):
    """Before the block and after it there is one message, for a call and for an output; the pipeline is not called."""
    run = make_run()
    if when == "after":
        with run:
            pass
    for do in (lambda: run(tiny_pipeline, **CALL), lambda: run.add_output("x", torch.zeros(1))):
        with pytest.raises(UsageError, match=f"was called {when} its block"):
            do()


def test_a_block_is_entered_once(make_run):
    """A run has one block, and an id only from then on."""
    run = make_run()
    with pytest.raises(UsageError, match="never entered"):
        _ = run.run_id
    with run, pytest.raises(UsageError, match="entered before"), run:
        pytest.fail("it was entered")
    with pytest.raises(UsageError, match="entered before"), run:
        pytest.fail("it was entered")


def test_blocks_in_two_threads_at_once_are_not_replayable(make_run, tiny_pipeline):
    """Each records its own calls, both say that the other was open, and the process is left as it was, although the
    first ends first."""
    before = (capture_state(), random.getstate())
    first, second, entered, ended = (
        make_run(determinism=OTHER),
        make_run(seed=5),
        threading.Event(),
        threading.Event(),
    )

    def other():
        with second:
            entered.set()
            ended.wait(60)
            tiny_pipeline(**CALL)

    thread = threading.Thread(target=other)
    with first:
        thread.start()
        assert entered.wait(60)
        assert get_current_run() is first
        tiny_pipeline(**CALL)
    ended.set()
    thread.join()
    assert [[part.initial_seed for part in run.record.seeds.generators] for run in (first, second)] == [[3], [5]]
    for run in (first, second):
        assert any("another block was open at the same time" in one for one in list_reasons(run))
    assert (capture_state(), random.getstate()) == before


def test_blocks_in_two_tasks_at_once_are_not_replayable(make_run, tiny_pipeline):
    """Tasks that have blocks open at once say so; one after the other they do not."""

    async def work(run):
        with run:
            await asyncio.sleep(0)
            tiny_pipeline(**CALL)
            await asyncio.sleep(0)

    async def at_once(*runs):
        await asyncio.gather(*(work(run) for run in runs))

    async def in_turn(*runs):
        for run in runs:
            await asyncio.create_task(work(run))

    both = make_run(), make_run(seed=5)
    asyncio.run(at_once(*both))
    assert [[part.initial_seed for part in run.record.seeds.generators] for run in both] == [[3], [5]]
    assert all(any("at the same time" in one for one in list_reasons(run)) for run in both)
    both = make_run(), make_run()
    asyncio.run(in_turn(*both))
    assert [list_reasons(run) for run in both] == [[], []]


def test_blocks_that_are_not_nested_are_not_replayable(make_run, tiny_pipeline):
    """A block that ends before the one inside of it takes its settings with it: both say so, and the process is left as
    it was."""
    before = (capture_state(), random.getstate())
    outer, inner = make_run(determinism=OTHER), make_run()
    outer.__enter__()
    inner.__enter__()
    tiny_pipeline(**CALL)
    outer.__exit__(None, None, None)
    assert capture_state() != before[0]  # they are put back with the other one
    inner.__exit__(None, None, None)
    assert (capture_state(), random.getstate()) == before
    for run in (outer, inner):
        assert any("open around another one ended first" in one for one in list_reasons(run))


def test_a_call_in_another_thread_belongs_to_the_block(make_run, tiny_pipeline):
    """It is recorded, and a caution says that the order may be another one in a replay."""
    with make_run() as run:
        in_thread(lambda: tiny_pipeline(**CALL))
        in_thread(lambda: run(tiny_pipeline, **CALL))
    assert len(run.record.calls) == 2
    assert "pipelines were called in several threads: in a replay their order may be another" in run.record.cautions


def test_two_calls_at_once_are_not_both_recorded(make_run, tiny_pipeline):
    """A call that is made while another thread makes one is made as it is, and the run is not replayable."""
    from tests.models import make_tiny_pipeline

    other, results = make_tiny_pipeline(), []
    with make_run() as run:
        hook = tiny_pipeline.unet.register_forward_hook(
            lambda *_: in_thread(lambda: results.append(other(**CALL))) if not results else None
        )
        run(tiny_pipeline, **CALL)
        hook.remove()
    assert (len(run.record.calls), len(results)) == (1, 1)
    assert any("another thread called one" in one for one in list_reasons(run))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_is_not_in_the_block(make_run):
    """A process that is forked inside the block records nothing in it, and does not end it."""
    with make_run() as run:
        child = os.fork()
        if not child:
            code = 0 if get_current_run() is None else 1
            try:
                run.add_output("x", torch.zeros(1))
                code = 2
            except UsageError:
                run.__exit__(None, None, None)
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        run.add_output("x", torch.zeros(1))
    assert run.record.status == "finished"
