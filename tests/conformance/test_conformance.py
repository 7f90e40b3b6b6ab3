"""Promises of the matrix: whatever diffusers has replays to the bit, the table in docs/conformance.md is what was
measured, and an image of a batch does not depend on its neighbours."""

import json
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch

from repro_track.media.outputs import list_outputs, to_exact
from repro_track.pipelines.arguments import choose_batch_argument, takes_several_generators
from tests.conformance import cells, matrix, zoo

FAMILIES = {entry.family: name for name, entry in reversed(zoo.ZOO.items()) if entry.batch and not entry.is_later_stage}
ONE_OF_EACH = [
    pytest.param(name, id=family, marks=[pytest.mark.pipelines] if zoo.ZOO[name].is_variant else [])
    for family, name in FAMILIES.items()
]


# --- the table ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    """What was measured last."""
    return json.loads(matrix.TABLE.read_text())


def test_the_page_has_the_table_as_measured(table):
    """The page's table is made from table.json, to the letter: nobody edited it."""
    assert matrix.read_page() == matrix.render(table)


def test_the_table_is_large_enough_and_all_of_it_is_exact(table):
    """At least 40 pipeline classes, the schedulers that can drive one of them, every cell bit-exact."""
    classes = {name for row in table["rows"] for name in row["pipeline"].split(" + ")}
    assert len(classes) >= 40
    assert {row["verdict"] for row in table["rows"]} == {"bit-exact"}
    measured = {name for row in table["rows"] for name in row["scheduler"].split(", ")}
    assert {name for names in matrix.DRIVERS.values() for name in names} <= measured


def test_no_scheduler_is_overlooked(table):
    """Every scheduler class of diffusers drives a pipeline of the zoo or is named as one that does not."""
    assert table["idle"] == matrix.list_idle()
    assert not set(table["idle"]) & {name for names in matrix.DRIVERS.values() for name in names}


def test_an_untrue_table_is_found_out(table):
    """`--check` names a cell whose verdict or draws are not those of the table, and one that is missing."""
    changed = json.loads(json.dumps(table))
    changed["rows"][0]["verdict"] = "diverged"
    changed["rows"].pop()
    assert matrix.find_untrue(table, table) == []
    assert len(matrix.find_untrue(table, changed)) == 2
    assert len(matrix.find_untrue(table, changed, is_part=True)) == 1  # a cell that was not run says nothing


# --- cells --------------------------------------------------------------------------------------------------------


WRONG = cells.Cell("ltx", "NoSuchScheduler")


@pytest.fixture(scope="module")
def some_cells(home, tmp_path_factory):
    """A cell that cannot run, a video and a sound pipeline, recorded by one process as in the whole matrix."""
    some = cells.Together(tmp_path_factory.mktemp("cells"), name="some")
    some.build(["ltx", "stable_audio"])
    some.record([WRONG, cells.Cell("ltx"), cells.Cell("stable_audio")])
    return some


@pytest.mark.xdist_group("cells")
def test_cells_that_are_run_together_replay_to_the_bit(some_cells, table):
    """Replayed in another process than the one that recorded them, both are bit-exact, with the draws of the table; the
    cell that cannot run says why, and keeps the next ones from nothing."""
    outcomes = some_cells.replay()
    failed = outcomes.pop(WRONG).row
    assert (failed.verdict, "NoSuchScheduler" in failed.problem) == ("", True)
    assert {cell.name for cell in outcomes} == {"ltx", "stable_audio"}
    for outcome in outcomes.values():
        row = outcome.row
        assert (row.verdict, row.problem) == ("bit-exact", "")
        known = [one for one in table["rows"] if one["pipeline"] == row.pipeline and one["scheduler"] == row.scheduler]
        assert [one["leaks"] for one in known] == [list(row.leaks)]


@pytest.mark.xdist_group("cells")
def test_a_process_that_computes_otherwise_is_found_out(some_cells, monkeypatch):
    """The twin: where the process of the replays has other numbers (here: without vector instructions), no cell is
    bit-exact."""
    planned = cells.make_child_variables
    slow = {"ATEN_CPU_CAPABILITY": "default"}
    monkeypatch.setattr(cells, "make_child_variables", lambda *given, **named: {**planned(*given, **named), **slow})
    outcomes = some_cells.replay()
    verdicts = {cell.name: outcome.row.verdict for cell, outcome in outcomes.items() if cell != WRONG}
    assert verdicts.keys() == {"ltx", "stable_audio"}
    assert not {"", "bit-exact"} & set(verdicts.values())


def test_a_cell_that_is_another_one_among_others_has_failed():
    """Alone and together a cell has to give the same bits, draws and verdict; else it counts as failed, and says what
    differs."""
    row = cells.Row("A", "B", "C", ("torch: x",), "bit-exact", 0.0)
    alone = cells.Outcome(row, ("1", "2"))
    assert matrix.agree(alone, alone) == alone
    assert matrix.agree(alone, replace(alone, digests=("1", "3"))).row.verdict == ""
    leaky = matrix.agree(alone, cells.Outcome(replace(row, leaks=()), ("1", "2"))).row
    assert (leaky.verdict, "leaks" in leaky.problem) == ("", True)


# --- batches ------------------------------------------------------------------------------------------------------


def make_two(name: str, seeds: tuple[int, int]) -> list[np.ndarray] | None:
    """Make two images in one call from two seeds; `None` where the pipeline makes one a call."""
    entry = zoo.ZOO[name]
    pipe = entry.build()
    pipe.set_progress_bar_config(disable=True)
    call = {**entry.call, **{argument: make() for argument, make in entry.files.items()}}
    call.pop("ip_adapter_image", None)
    batch = choose_batch_argument(pipe)
    if entry.family == "3D":
        call["output_type"] = "latent"  # rendering takes minutes, and draws nothing from these generators
    if "class_labels" in call:
        call["class_labels"] = call["class_labels"] * 2
    elif "image" in call and "prompt" not in call:
        # one picture and two videos of it would not do: Stable Video Diffusion noises the one with the first generator
        call["image"] = [call["image"]] * 2
    elif batch is None or not takes_several_generators(pipe):
        return None
    else:
        call[batch] = 2
    torch.manual_seed(0)
    result = pipe(**call, generator=[torch.Generator().manual_seed(seed) for seed in seeds])
    listed = list_outputs(result)
    values = [to_exact(raw).to_numpy() for raw in listed]
    return values if listed[0].name.endswith(".0") else list(values[0])


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_an_image_of_a_batch_does_not_depend_on_its_neighbour(name):
    """In every family, image 1 of a batch of two is the same to the bit beside another image 0, and another with
    another seed: that is what `replay --image` rests on. Pipelines that make one image a call say so."""
    first = make_two(name, (1, 2))
    if first is None:
        assert choose_batch_argument(zoo.ZOO[name].build()) is None or not takes_several_generators(
            zoo.ZOO[name].build()
        )
        return
    beside_another, other = make_two(name, (7, 2)), make_two(name, (1, 9))
    assert np.array_equal(first[1], beside_another[1])
    assert not np.array_equal(first[0], beside_another[0])
    assert not np.array_equal(first[1], other[1])
    assert np.array_equal(first[0], other[0])


def test_the_zoo_is_of_diffusers_own_classes():
    """Every entry is a class of diffusers as it is installed, not one of our own; those that are no variants are asked,
    the others are loaded by their class's name in the matrix."""
    for entry in zoo.ZOO.values():
        if entry.is_variant:
            continue
        pipe = entry.build()
        assert type(pipe) is getattr(diffusers, type(pipe).__name__)
