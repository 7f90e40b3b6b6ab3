"""Promises of places.py: every place of a record has a row in the table, and every weight file a label."""

import json
import re
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from repro_track.record.choice import DEFAULT
from repro_track.record.places import (
    GROUPS,
    KINDS,
    find_factor,
    find_kind,
    find_row,
    name_numeric,
    walk_tree,
)
from repro_track.record.reading import read_record
from repro_track.record.schema import RunRecord, Unavailable, WeightFile

RECORDS = sorted((Path(__file__).parents[2] / "data" / "records").glob("*.json"))


def list_schema_places(model: type[BaseModel], place: str = "") -> list[str]:
    """List a place for every field that a record can have, whatever one record happens to hold."""
    found = []
    for name, field in model.model_fields.items():
        found += list_type_places(field.annotation, f"{place}.{name}" if place else name)
    return found


def list_type_places(kind: Any, place: str) -> list[str]:
    arguments = get_args(kind)
    if get_origin(kind) is Annotated:
        return list_type_places(arguments[0], place)
    if get_origin(kind) in (Union, UnionType):
        return [one for part in arguments for one in list_type_places(part, place)]
    if get_origin(kind) is tuple:
        return list_type_places(arguments[0], f"{place}.0")
    if get_origin(kind) is dict:
        return list_type_places(arguments[1], f"{place}.key")
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not Unavailable:
        return list_schema_places(kind, place)
    return [place]


def list_places(record: RunRecord) -> list[str]:
    return [place for place, _ in walk_tree(record.model_dump(mode="json"))]


def add_weights(record: RunRecord) -> RunRecord:
    """Return the record with a weight file in every component, and one of an adapter."""
    weight = WeightFile(path="a.safetensors", sha256="0" * 64, size_bytes=1, origin="computed")
    calls = tuple(
        call.model_copy(
            update={
                "components": tuple(part.model_copy(update={"weights": (weight,)}) for part in call.components),
                "adapter_files": (weight.model_copy(update={"path": "/lora/b.safetensors"}),),
                "other_weights": (weight.model_copy(update={"path": "c.safetensors", "folder": "/words"}),),
            }
        )
        for call in record.calls
    )
    return record.model_copy(update={"calls": calls})


def test_there_are_records_to_walk():
    """The kept records are there: the tests below look at something."""
    assert len(RECORDS) >= 3


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_place_of_every_kept_record_has_a_row(path):
    """Every leaf of a record of any version, as it was written and as it is read now, is in the table; a place that no
    record has is not."""
    record = read_record(path)
    as_written = [place for place, _ in walk_tree(json.loads(path.read_text(encoding="utf-8")))]
    as_read = list_places(record)
    assert len(as_read) > 100
    assert [place for place in (*as_written, *as_read) if find_row(place) is None] == []
    assert find_row("calls.0.no_such_field") is None
    assert find_row(as_read[-1] + "x") is None


def test_every_field_of_the_schema_has_a_row():
    """Every field that a record can have is in the table, those that no kept record holds included."""
    places = list_schema_places(RunRecord)
    assert {"calls.0.adapter_files.0.sha256", "source.submodules.0.commit", "seeds.images.0"} <= {*places}
    assert [place for place in places if find_row(place) is None] == []


def test_every_row_is_of_a_known_kind():
    """Each field of the schema has one of the kinds or none, and its label is of a group that says what brings it
    back."""
    for place in list_schema_places(RunRecord):
        assert find_kind(place) in (*KINDS, None)
        label = find_factor(place)
        assert label is None or GROUPS[label.partition(":")[0]].brought_back_by


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_what_changes_nothing_is_not_brought_back(path):
    """An effect or an address has no label: nobody would restore a verdict; and causes of every group are there."""
    places = list_places(read_record(path))
    assert [place for place in places if find_kind(place) is None and find_factor(place)] == []
    groups = {label.partition(":")[0] for place in places if (label := find_factor(place))}
    assert {"code", "env", "numerics", "weights", "pipeline", "seeds"} <= groups <= {*GROUPS}


def test_the_order_of_kinds_is_how_likely_they_change_bits():
    """A seed comes before weights, both before settings, and these before the rest."""
    assert KINDS[:2] == ("seed", "weights")
    assert KINDS.index("numerics") < KINDS.index("libraries") < KINDS.index("source") < KINDS.index("other")


@pytest.mark.parametrize(
    ("place", "kind", "label"),
    [
        ("seeds.root", "seed", "seeds"),
        ("seeds.closed", None, None),
        ("calls.0.components.unet.memory_xxh3", "weights", "weights"),
        ("calls.0.components.unet.config.sample_size", "pipeline", None),
        ("calls.0.components.scheduler.config.clip_sample", "pipeline", "pipeline:scheduler"),
        ("calls.0.components.low_res_scheduler.class_name", "pipeline", "pipeline:low_res_scheduler"),
        ("calls.0.arguments.image.sha256", "call", "inputs"),
        ("calls.0.arguments.guidance_scale", "call", None),
        ("calls.0.inputs.image.file", None, None),
        ("calls.0.components.unet.weights.x.safetensors.folder", None, None),
        ("calls.0.components.unet.weights.x.safetensors.commit", None, None),
        ("calls.0.components.unet.commit", "weights", "weights"),
        ("calls.0.components.unet.repo_id", None, None),
        ("config.resolved.pipeline.repo_id", "pipeline", None),
        ("config.resolved.pipeline.path", None, None),
        ("config.resolved.stages.first.adapters.lora.x.path", None, None),
        ("config.resolved.pipeline.revision", "pipeline", None),
        ("numerics.state.num_threads", "numerics", "numerics:threads"),
        ("numerics.state.compile_settings", "numerics", None),
        ("numerics.state.compile_config", None, None),
        ("environment.variables.PYTHONPATH", None, None),
        ("environment.torch.version", "machine", "env:torch"),
        ("environment.torch.gpus.0.name", "machine", None),
        ("environment.packages.torch.version", "libraries", "env:torch"),
        ("environment.packages.rich.version", "other", "env:rich"),
        ("environment.interpreter.version", "other", "env:python"),
        ("source.commit", "source", "code"),
        ("source.remote", None, None),
        ("outputs.0.sha256", None, None),
    ],
)
def test_a_place_has_its_kind_and_its_label(place, kind, label):
    """The first row that matches decides: causes, effects, and what brings a value back."""
    assert (find_kind(place), find_factor(place)) == (kind, label)


def test_names_that_stand_for_one_thing_share_a_label():
    """A variable and a setting for the same thing are restored together; another setting has another label."""
    assert name_numeric("OMP_NUM_THREADS") == name_numeric("num_interop_threads")
    assert name_numeric("OMP_NUM_THREADS") != name_numeric("sdp_flash")
    assert name_numeric("PYTHONPATH") == "code"


def test_members_of_a_list_are_named_where_they_have_names():
    """A package's place has its name wherever it stands in the list; a list of numbers is counted; what is unavailable
    is one value."""
    tree = {"packages": [{"name": "torch", "version": "2"}], "images": [3, 4], "gpu": {"unavailable": "none"}}
    assert dict(walk_tree(tree)) == {
        "packages.torch.name": "torch",
        "packages.torch.version": "2",
        "images.0": 3,
        "images.1": 4,
        "gpu": {"unavailable": "none"},
    }
    assert dict(walk_tree([1], "seeds.images")) == {"seeds.images.0": 1}


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_weight_file_can_be_brought_back(path):
    """Every file of weights is of that kind and has that label, a component's and an adapter's alike: what is found
    elsewhere by its digest is restored. What is around a weight file has neither."""
    places = list_places(add_weights(read_record(path)))
    digests = [place for place in places if place.endswith(".safetensors.sha256")]
    assert len(digests) > 1
    assert any(place.startswith("calls.0.adapter_files.") for place in digests)
    assert any(place.startswith("calls.0.other_weights.") for place in digests)
    assert [(place, find_kind(place), find_factor(place)) for place in digests] == [
        (place, "weights", "weights") for place in digests
    ]
    assert find_factor("calls.0.adapter_files./lora/b.safetensors.size_bytes") is None


def test_a_difference_has_its_label():
    """Every place of a record that can be restored has a label; what cannot has none."""
    labels = {
        "source.commit": "code",
        "environment.packages.diffusers.version": "env:diffusers",
        "environment.packages.nvidia-cudnn-cu13.version": "env:torch",
        "environment.interpreter.version": "env:python",
        "environment.variables.OMP_NUM_THREADS": "numerics:threads",
        "numerics.state.num_threads": "numerics:threads",
        "numerics.state.cpu_capability": "numerics:isa",
        "numerics.state.cudnn.conv.fp32_precision": "numerics:fp32_precision",
        "numerics.state.deterministic_algorithms_warn_only": "numerics:deterministic_algorithms",
        "calls.0.components.unet.weights.x.safetensors.sha256": "weights",
        "calls.0.components.scheduler.config.clip_sample": "pipeline:scheduler",
        "calls.0.components.unet.config.sample_size": None,
        "environment.machine.cpu_model": None,
        "numerics.state.compile_settings": None,
    }
    assert {place: find_factor(place) for place in labels} == labels


def test_the_page_on_replaying_has_every_choice_of_a_person():
    """docs/replaying.md has a row for each group that a person chooses, with its default, and for no other."""
    page = (Path(__file__).parents[3] / "docs" / "replaying.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `--(\w+)` \| `(restore|current)` \|", page)
    chosen = [name for name, group in GROUPS.items() if group.is_chosen]
    assert rows == [(name, "current" if name in DEFAULT.current else "restore") for name in chosen]
