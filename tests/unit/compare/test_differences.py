"""Promises of differences.py: what differs is named at its place, the likeliest causes first, with the keys of
`--json`."""

from pathlib import Path

import pytest

from repro_track.compare.differences import (
    list_differences,
    list_environment_differences,
    list_source_differences,
    make_difference,
    to_data,
)
from repro_track.record.reading import read_record
from repro_track.record.schema import Unavailable

RECORD = read_record(Path(__file__).parents[2] / "data" / "records" / "v3.json")


def change(part, **update):
    return part.model_copy(update=update)


def test_a_difference_has_the_keys_of_json():
    """`--json` calls a difference's rank `power`, as it always has; a rank anywhere below is called so, too."""
    one = make_difference("seeds.root", 3, 4)
    assert to_data(one) == {"place": "seeds.root", "expected": 3, "actual": 4, "kind": "seed", "power": 0}


@pytest.mark.parametrize(
    ("likelier", "other"),
    [
        ("seeds.root", "calls.0.components.unet.memory_xxh3"),
        ("calls.0.components.unet.memory_xxh3", "numerics.state.num_threads"),
        ("environment.packages.torch.version", "source.commit"),
        ("source.commit", "environment.packages.rich.version"),
    ],
)
def test_the_likelier_cause_has_the_smaller_rank(likelier, other):
    """Of two places, the one whose change is more likely to change bits comes first."""
    assert make_difference(likelier, 1, 2).rank < make_difference(other, 1, 2).rank


def test_only_what_differs_is_listed_the_likeliest_first():
    """Equal records have no difference; a changed seed comes before a changed commit, and a new time is none."""
    assert list_differences(RECORD, RECORD) == ()
    changed = change(
        RECORD,
        created_at="later",
        source=change(RECORD.source, tree="0" * 40),
        seeds=change(RECORD.seeds, root=RECORD.seeds.root + 1),
    )
    found = list_differences(RECORD, changed)
    assert [(one.place, one.actual) for one in found] == [
        ("seeds.root", RECORD.seeds.root + 1),
        ("source.tree", "0" * 40),
    ]


def test_a_value_on_one_side_alone_is_a_difference():
    """A package that is not there is listed with nothing on that side, on either side."""
    fewer = change(RECORD, environment=change(RECORD.environment, packages=RECORD.environment.packages[1:]))
    place = f"environment.packages.{RECORD.environment.packages[0].name}.version"
    gone = {one.place: (one.expected, one.actual) for one in list_differences(RECORD, fewer)}
    come = {one.place: (one.expected, one.actual) for one in list_differences(fewer, RECORD)}
    version = RECORD.environment.packages[0].version
    assert (gone[place], come[place]) == ((version, None), (None, version))


def test_the_present_environment_is_compared_without_torchs_own_answers():
    """Another processor is a difference; what only torch can tell is not asked for before a replay."""
    present = change(RECORD.environment, machine=change(RECORD.environment.machine, cpu_model="another"))
    assert [one.place for one in list_environment_differences(RECORD.environment, present)] == [
        "environment.machine.cpu_model"
    ]
    without = change(RECORD.environment, torch=Unavailable(unavailable="not read"))
    assert list_environment_differences(RECORD.environment, RECORD.environment) == ()
    assert list_environment_differences(RECORD.environment, without) == ()


def test_the_present_source_is_compared_by_what_ran():
    """Another tree is a difference; another branch with the same tree is none."""
    other = change(RECORD.source, tree="0" * 40, branch="elsewhere")
    assert [one.place for one in list_source_differences(RECORD.source, other)] == ["source.tree"]
    assert list_source_differences(RECORD.source, change(RECORD.source, branch="elsewhere")) == ()
