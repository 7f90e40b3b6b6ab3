"""Promises of store/filing.py about what it adds to a run's tags. The logging itself is tested on real stores."""

from pathlib import Path

import pytest
from PIL import Image

from repro_track.errors import RecordError
from repro_track.media.perceptual_hash import hash_picture
from repro_track.record.reading import read_record
from repro_track.store.filing import log_folder, make_likeness_tag
from repro_track.store.tags import unpack_likenesses

RECORD = read_record(Path(__file__).parents[2] / "data" / "records" / "v3.json")


@pytest.fixture
def folder(tmp_path):
    """A run's folder with the picture that the record names, a gradient."""
    (tmp_path / "outputs").mkdir()
    Image.linear_gradient("L").convert("RGB").save(tmp_path / RECORD.outputs[0].file)
    return tmp_path


def test_pictures_are_found_by_their_hash(folder):
    """The tag has the perceptual hash of each picture by its output's name; another picture has another one."""
    tag = make_likeness_tag(RECORD, folder)
    wanted = hash_picture(Image.open(folder / "outputs" / "images.0.png"))
    assert unpack_likenesses(tag["repro_track.likeness"]) == {"images.0": wanted}
    Image.radial_gradient("L").convert("RGB").save(folder / "outputs" / "images.0.png")
    assert make_likeness_tag(RECORD, folder) != tag


def test_a_replay_is_not_found_beside_its_run(folder):
    """A replay has no such tag, nor has a run without pictures."""
    assert make_likeness_tag(RECORD, folder)
    assert make_likeness_tag(RECORD.model_copy(update={"replay_of": "0" * 32}), folder) == {}
    assert make_likeness_tag(RECORD.model_copy(update={"outputs": ()}), folder) == {}


def test_a_tag_has_a_hundred_hashes(folder):
    """Of a run with more pictures the first hundred are in the tag, which MLflow could not take otherwise."""
    outputs = tuple(RECORD.outputs[0].model_copy(update={"name": f"images.{index}"}) for index in range(101))
    tag = make_likeness_tag(RECORD.model_copy(update={"outputs": outputs}), folder)["repro_track.likeness"]
    assert list(unpack_likenesses(tag)) == [f"images.{index}" for index in range(100)]
    assert len(tag) < 8000


def test_a_folder_without_a_record_is_not_logged(tmp_path):
    """Before anything is asked of the store, there has to be a record."""
    with pytest.raises(RecordError):
        log_folder(None, None, folder=tmp_path, description="d")
    assert list(tmp_path.iterdir()) == []
