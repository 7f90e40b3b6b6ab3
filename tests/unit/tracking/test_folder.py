"""Promises of folder.py: a reader sees the whole record or the one before, and outputs are kept by value."""

import numpy as np
import pytest
from PIL import Image

from repro_track.media.outputs import RawOutput
from repro_track.media.picture import read_picture
from repro_track.record.names import LATENTS_NAME, OUTPUT_TENSORS_NAME, PREVIEW_NAME, RECORD_NAME, STATES_NAME
from repro_track.record.reading import read_record
from repro_track.record.schema import Unavailable
from repro_track.tensors.digests import digest_tensor
from repro_track.tensors.host import load_tensors, to_host
from repro_track.tracking.folder import RunFolder


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "run", owner="0" * 32, picture_format="png")
    made.make()
    return made


def list_files(folder):
    return sorted(str(path.relative_to(folder.path)) for path in folder.path.rglob("*") if path.is_file())


def test_the_record_takes_the_place_of_the_one_before(folder, record):
    """The last record that was written is the one that is read, and nothing else is left beside it."""
    running = record.model_copy(update={"status": "running"})
    folder.write_record(running)
    assert read_record(folder.path / RECORD_NAME) == running
    folder.write_record(record)
    assert read_record(folder.path / RECORD_NAME) == record != running
    assert list_files(folder) == [RECORD_NAME]


def test_a_record_that_cannot_be_written_leaves_the_one_before(folder, record):
    """Where writing ends early, because the place of the new record is taken, the record before is whole."""
    folder.write_record(record)
    (folder.path / f"{RECORD_NAME}.part").mkdir()
    with pytest.raises(OSError):
        folder.write_record(record.model_copy(update={"status": "failed"}))
    assert read_record(folder.path / RECORD_NAME) == record


def test_the_texts_are_what_the_record_says(folder, record):
    """Config and overrides can be read by themselves, as YAML; of every package there is a line."""
    import yaml

    folder.write_texts(record)
    assert list_files(folder) == ["config.yaml", "environment/packages.txt", "overrides.yaml"]
    assert yaml.safe_load((folder.path / "config.yaml").read_text()) == record.config.resolved
    assert yaml.safe_load((folder.path / "overrides.yaml").read_text()) == list(record.config.overrides)
    assert "torch==" in (folder.path / "environment/packages.txt").read_text()


def test_an_output_is_kept_by_value(folder):
    """Who writes into a value afterwards changes nothing of what was kept; another value has another digest."""
    value = np.zeros((4, 4, 3), dtype=np.float32)
    kept = folder.keep_output(RawOutput("images.0", "image", value))
    value[:] = 1
    assert digest_tensor(kept.tensor) == kept.part.sha256
    assert folder.keep_output(RawOutput("images.1", "image", value)).part.sha256 != kept.part.sha256
    assert kept.picture.shape == (4, 4, 3)
    assert list_files(folder) == ["outputs/images.0.png", "outputs/images.1.png"]


def test_a_picture_names_its_owner(tmp_path):
    """A picture's file names the record that it belongs to, in the format that was asked for, and the settings that
    were given."""
    folder = RunFolder(tmp_path, owner="a" * 32, picture_format="webp")
    raw = RawOutput("images.0", "image", np.zeros((4, 4, 3), dtype=np.uint8))
    folder.keep_output(raw, settings={"seeds": [3]})
    found = read_picture(tmp_path / "outputs" / "images.0.webp")
    assert (found.record_id, found.settings) == ("a" * 32, {"seeds": [3]})
    folder.keep_output(raw)
    assert read_picture(tmp_path / "outputs" / "images.0.webp").settings is None


def test_what_cannot_be_compared_is_not_kept(folder):
    """A value of an unknown kind is a reason with its name and class, and no file."""
    kept = folder.keep_output(RawOutput("x", "unknown", object()))
    assert kept.part == Unavailable(unavailable="output x is a object, which cannot be compared")
    assert kept.tensor is None
    assert list_files(folder) == []


def test_a_file_is_copied(folder, tmp_path):
    """A file that the run made is kept as it was then, and has no tensor."""
    path = tmp_path / "made.txt"
    path.write_text("then")
    kept = folder.keep_file("mine", path)
    path.write_text("now")
    assert (folder.path / kept.part.file).read_text() == "then"
    assert (kept.part.name, kept.tensor, kept.picture) == ("mine", None, None)


def test_only_what_there_is_is_saved(folder):
    """Outputs are always saved, even none; states, latents and the sheet only where there are some."""
    folder.save_tensors(outputs={}, states={}, latents={})
    folder.save_sheet([], seeds=[])
    assert list_files(folder) == [OUTPUT_TENSORS_NAME]
    value = np.arange(3)
    folder.save_tensors(outputs={"x": to_host(value)}, states={"s": value}, latents={"call0": value})
    folder.save_sheet([np.zeros((4, 4, 3), dtype=np.uint8)], seeds=[3])
    assert list_files(folder) == sorted([LATENTS_NAME, OUTPUT_TENSORS_NAME, PREVIEW_NAME, STATES_NAME])
    assert np.array_equal(load_tensors(folder.path / OUTPUT_TENSORS_NAME)["x"].to_numpy(), value)


def test_each_picture_on_a_sheet_has_its_seed(folder):
    """Several pictures stand over their seeds; one alone, and those without seeds, have no line under them."""
    picture = np.zeros((64, 64, 3), dtype=np.uint8)
    heights = []
    for pictures, seeds in (([picture], [3]), ([picture] * 2, [None, None]), ([picture] * 2, [3, 4])):
        folder.save_sheet(pictures, seeds=seeds)
        with Image.open(folder.path / PREVIEW_NAME) as sheet:
            heights.append(sheet.height)
    assert heights[0] == heights[1] < heights[2]


def test_previews_are_named_by_call_and_step(folder):
    """A preview of a step is a picture and a thumbnail; those of a later call have the call in their names."""
    folder.save_preview(Image.new("RGB", (2, 2)), call=0, step=3)
    folder.save_preview(Image.new("RGB", (2, 2)), call=1, step=3)
    names = list_files(folder)
    assert [name.partition("+timestamp")[0] for name in names] == [
        "images/call1.denoising+step+3", "images/call1.denoising+step+3",
        "images/denoising+step+3", "images/denoising+step+3",
    ]  # fmt: skip


def test_page_and_error_are_written(folder, record):
    """The page shows the run by its id; what ended it is kept word for word."""
    folder.write_error("Traceback\nwords")
    folder.write_page(record, run_id="f00d")
    assert (folder.path / "error.txt").read_text() == "Traceback\nwords"
    assert "f00d" in (folder.path / "report.html").read_text()


def test_a_folder_is_removed_whole(folder, record):
    """Nothing is left of a folder that is removed; to remove it again is no error."""
    folder.write_record(record)
    folder.remove()
    assert not folder.path.exists()
    folder.remove()
