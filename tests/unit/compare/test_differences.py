"""Promises of differences.py: what differs is named at its place, the likeliest causes first, with the keys of
`--json`."""

from pathlib import Path

import pytest

from repro_track.compare.differences import (
    list_cautions,
    list_differences,
    list_environment_differences,
    list_source_differences,
    make_difference,
    to_data,
)
from repro_track.record.reading import read_record
from repro_track.record.schema import Launcher, OutsideCode, Unavailable

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


def test_a_setting_that_one_version_does_not_know_is_no_cause():
    """Settings that only one of two versions of the program reads are no difference, an old digest of folders neither;
    another value of a setting that both read is one."""
    state = RECORD.numerics.state
    assert "compile_config" in state
    known = {**{name: value for name, value in state.items() if name != "compile_config"}, "compile_settings": "0" * 64}
    present = change(RECORD, numerics=change(RECORD.numerics, state=known))
    assert list_differences(RECORD, present) == ()
    elsewhere = change(RECORD, numerics=change(RECORD.numerics, state={**state, "compile_config": "1" * 64}))
    assert list_differences(RECORD, elsewhere) == ()
    other = change(present, numerics=change(present.numerics, state={**known, "compile_settings": "1" * 64}))
    assert [one.place for one in list_differences(present, other)] == ["numerics.state.compile_settings"]


def test_code_from_outside_is_compared_where_both_have_looked():
    """Another content of a file is a difference with its name, another place of it none; where one of two records does
    not say what ran from outside of the source, nothing is compared."""

    def see(*parts):
        return change(RECORD, source=change(RECORD.source, outside=parts))

    one = OutsideCode(name="loose", path="/lib/loose.py", sha256="0" * 64)
    moved, edited = one.model_copy(update={"path": "/other/loose.py"}), one.model_copy(update={"sha256": "1" * 64})
    assert list_differences(see(one), see(moved)) == ()
    (difference,) = list_differences(see(one), see(edited))
    assert (difference.place, difference.kind) == ("source.outside.loose.sha256", "source")
    assert [each.place for each in list_differences(see(), see(one))] == ["source.outside.loose.sha256"]
    assert list_differences(RECORD, see(one)) == list_differences(see(one), RECORD) == ()


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


# --- what differs


def test_equal_records_have_no_differences(make_record):
    """A record does not differ from itself, nor from one that has only another id, time, host and cost."""
    record = make_record()
    renamed = make_record(
        {"record_id": "0" * 32, "created_at": "then", "environment.machine.host": "h", "cost.peak_memory_bytes": 1}
    )
    assert list_differences(record, renamed) == ()


@pytest.mark.parametrize(
    ("place", "value", "kind"),
    [
        ("seeds.root", 4, "seed"),
        ("seeds.generators.0.state_before", "0" * 64, "seed"),
        ("calls.0.components.1.memory_xxh3", "0" * 32, "weights"),
        ("calls.0.arguments.eta", 0.5, "call"),
        ("calls.0.components.0.config.clip_sample", False, "pipeline"),
        ("numerics.state.num_threads", 7, "numerics"),
        ("environment.variables.OMP_NUM_THREADS", "7", "numerics"),
        ("environment.machine.cpu_model", "another", "machine"),
        ("source.script_sha256", "0" * 64, "source"),
    ],
)
def test_every_kind_of_difference_is_named(make_record, place, value, kind):
    """A change at one place of the record is one difference of the right kind."""
    (difference,) = list_differences(make_record(), make_record({place: value}))
    assert difference.kind == kind
    assert difference.actual == value


def test_causes_come_before_the_rest(make_record):
    """Seeds and weights are listed before settings, and these before packages and source."""
    changed = make_record(
        {"source.script_sha256": "0" * 64, "numerics.state.num_threads": 7, "seeds.root": 4, "calls.0.arguments.eta": 1}
    )
    kinds = [difference.kind for difference in list_differences(make_record(), changed)]
    assert kinds == ["seed", "call", "numerics", "source"]


def test_a_package_is_named_by_its_name(make_record):
    """Another version of one package is one difference that names it, wherever it stands in the list."""
    record = make_record()
    packages = [p.model_dump() for p in record.environment.packages]
    torch_package = next(p for p in packages if p["name"] == "torch")
    torch_package["version"] = "1.0"
    (difference,) = list_differences(record, make_record({"environment.packages": packages[::-1]}))
    assert difference.place == "environment.packages.torch.version"
    assert difference.kind == "libraries"


def test_settings_of_hooks_that_were_not_recorded_are_no_difference(make_record):
    """A record of before schema 4 does not say what hooks were given: that is no difference; another threshold is one,
    and so is a hook that is not there any more."""

    def make(settings):
        return make_record({"calls.0.components.1.hook_settings": settings})

    old, low, high, none = (make(one) for one in (None, {"Hook:a": {"b": 1}}, {"Hook:a": {"b": 2}}, {}))
    assert list_differences(old, low) == list_differences(low, old) == list_differences(old, none) == ()
    (found,) = list_differences(low, high)
    assert (found.place.rpartition("hook_settings.")[2], found.expected, found.actual) == ("Hook:a.b", 1, 2)
    assert len(list_differences(low, none)) == 1


def test_a_key_of_the_config_that_came_later_is_no_difference(make_record):
    """A config of before `noise` is as one with its default; another value is a difference."""

    def make(**more):
        return make_record({"config.resolved": {"seed": 3, **more}})

    assert list_differences(make(), make(noise="pipeline")) == list_differences(make(noise="pipeline"), make()) == ()
    (found,) = list_differences(make(), make(noise="float32"))
    assert (found.place, found.kind) == ("config.resolved.noise", "seed")


def test_what_was_started_and_became_another_run_is_a_caution():
    """Another config that an app composed, another precision that a launcher set: each is a sentence; the same, or an
    older record that does not say, is none."""
    launcher = Launcher(variables={"ACCELERATE_MIXED_PRECISION": "bf16", "MASTER_PORT": "1"})
    record = change(
        RECORD,
        config=change(RECORD.config, composed_sha256="a" * 64),
        command=change(RECORD.command, launcher=launcher),
    )
    assert list_cautions(record, record) == list_cautions(RECORD, RECORD) == ()
    other = change(record, config=change(record.config, composed_sha256="b" * 64))
    (caution,) = list_cautions(record, other)
    assert caution.startswith("the app composed another config")
    assert list_cautions(change(record, config=RECORD.config), other) == ()
    told = change(launcher, variables={"ACCELERATE_MIXED_PRECISION": "no", "MASTER_PORT": "2"})
    (caution,) = list_cautions(record, change(record, command=change(record.command, launcher=told)))
    assert caution == "the launcher set ACCELERATE_MIXED_PRECISION to no, and to bf16 in the recorded run"
