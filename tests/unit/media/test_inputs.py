"""Promises of inputs.py: whatever a call is given comes back as it was, or is refused by name before anything runs."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from repro_track.errors import ReplayError
from repro_track.media.inputs import keep_inputs, list_unstorable, restore_inputs, to_plain, walk_leaves
from tests.pictures import make_picture

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)


@dataclass
class Condition:
    """What some video pipelines take: pictures and where they belong."""

    image: Image.Image
    frame: int = 0


def keep_and_restore(value, folder, *, given=None):
    """Keep one argument, and bring it back from the files alone."""
    kept = keep_inputs({"x": value}, folder=folder, origins={})
    plain = {"x": to_plain(value)}
    given = {} if given is None else {"x": given}
    return kept, restore_inputs(given, recorded=plain, inputs=kept, folder=folder, wanted=lambda one: True)["x"]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
def test_a_picture_of_any_mode_comes_back(mode, tmp_path):
    """A picture comes back with its mode, size and every value; one with another pixel would not."""
    picture = make_picture(mode=mode)
    (part,), back = keep_and_restore(picture, tmp_path)
    assert (back.mode, back.size, back.tobytes()) == (picture.mode, picture.size, picture.tobytes())
    assert back.getpalette() == picture.getpalette()
    other = picture.copy()
    other.putpixel((3, 3), picture.getpixel((4, 5)))
    (changed,) = keep_inputs({"x": other}, folder=tmp_path, origins={})
    assert (changed.sha256 == part.sha256) == (other.tobytes() == picture.tobytes())


def test_what_hangs_on_a_picture_stays_behind(tmp_path):
    """EXIF and text of other programs are not kept: only the values are the input."""
    picture = Image.fromarray(PIXELS[:, :, :3])
    picture.save(tmp_path / "a.png", exif=b"Exif\x00\x00secret place")
    with Image.open(tmp_path / "a.png") as opened:
        opened.load()
        (part,) = keep_inputs({"x": opened}, folder=tmp_path / "run", origins={})
    assert b"secret place" not in (tmp_path / "run" / part.file).read_bytes()


@pytest.mark.parametrize(
    "value",
    [
        torch.arange(6, dtype=torch.float32).reshape(2, 3),
        torch.arange(6).to(torch.complex64),
        torch.arange(6).to(torch.float8_e4m3fn),
        torch.arange(6).to(torch.bfloat16),
        torch.tensor(True),
        torch.tensor(2.5, dtype=torch.float64),
        torch.empty(0, 3),
        torch.arange(3.0)[:1].expand(1),
        torch.arange(12.0).reshape(3, 4).T,
        torch.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
    ],
)
def test_a_tensor_comes_back(value, tmp_path):
    """A tensor comes back with its dtype, shape and values, and lies in memory with its channels where they were."""
    (part,), back = keep_and_restore(value, tmp_path)
    assert (back.dtype, back.shape) == (value.dtype, value.shape)
    assert torch.equal(back, value)
    assert part.channels_last == (value.dim() == 4)
    if value.dim() == 4:
        assert back.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int64", "bool", "uint8"])
def test_an_array_comes_back(dtype, tmp_path):
    """An array comes back as an array with its dtype."""
    value = np.arange(6).reshape(2, 3).astype(dtype)
    _, back = keep_and_restore(value, tmp_path)
    assert isinstance(back, np.ndarray)
    assert back.dtype == value.dtype
    assert np.array_equal(back, value)


def test_nested_inputs_come_back_where_they_were(tmp_path):
    """Lists, dicts, tuples and dataclasses keep their form; what is plain in them stays as it is given."""
    picture = make_picture(mode="RGB")
    value = {"conditions": [Condition(picture, 3)], "scales": (0.5, torch.ones(2)), "name": "x"}
    fresh = {"conditions": [Condition(make_picture(mode="L"), 3)], "scales": (0.5, torch.zeros(2)), "name": "x"}
    kept, back = keep_and_restore(value, tmp_path, given=fresh)
    assert [part.name for part in kept] == ["x.conditions.0.image", "x.scales.1"]
    assert isinstance(back["conditions"][0], Condition)
    assert back["conditions"][0].image.tobytes() == picture.tobytes()
    assert isinstance(back["scales"], tuple)
    assert torch.equal(back["scales"][1], torch.ones(2))
    assert (back["name"], back["conditions"][0].frame) == ("x", 3)


def test_content_is_kept_once(tmp_path):
    """The same picture twice is one file; another one is a second."""
    picture = make_picture(mode="RGB")
    kept = keep_inputs({"a": picture, "b": [picture.copy(), make_picture(mode="L")]}, folder=tmp_path, origins={})
    assert kept[0].file == kept[1].file != kept[2].file
    assert len(list((tmp_path / "inputs").iterdir())) == 2


def test_only_what_is_wanted_is_put_back(tmp_path):
    """An input that is not wanted back stays as the code made it."""
    kept = keep_inputs({"a": torch.zeros(2), "b": torch.zeros(3)}, folder=tmp_path, origins={"a": "/x.npy"})
    given = {"a": torch.ones(2), "b": torch.ones(3)}
    plain = to_plain({"a": torch.zeros(2), "b": torch.zeros(3)})
    back = restore_inputs(
        given, recorded=plain, inputs=kept, folder=tmp_path, wanted=lambda one: one.origin is not None
    )
    assert torch.equal(back["a"], torch.zeros(2))
    assert torch.equal(back["b"], torch.ones(3))


@pytest.mark.parametrize("kind", ["picture", "tensor", "missing"])
def test_an_altered_file_is_refused(kind, tmp_path):
    """An input whose file is gone, or holds one other value, is refused with both digests."""
    value = make_picture(mode="RGB") if kind == "picture" else torch.zeros(4)
    (part,) = keep_inputs({"x": value}, folder=tmp_path, origins={})
    path = tmp_path / part.file
    if kind == "missing":
        path.unlink()
    elif kind == "picture":
        other = value.copy()
        other.putpixel((0, 0), (1, 2, 3))
        other.save(path)
    else:
        save_file({"value": torch.tensor([0.0, 0.0, 0.0, 1e-45])}, path)
    with pytest.raises(ReplayError, match="the input x"):
        restore_inputs({}, recorded={"x": {}}, inputs=(part,), folder=tmp_path, wanted=lambda one: True)


def a_callback(pipe, step, timestep, values):
    return values


class Hostile:
    """Answers no question."""

    def __getattr__(self, name):
        raise RuntimeError(name)


def make_loop():
    """A list that contains itself."""
    loop = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda folder: a_callback, "the function a_callback"),
        (lambda folder: (folder / "file").open("wb"), "an open file"),
        (lambda folder: np.array([object()]), "an array of Python objects"),
        (lambda folder: torch.nn.Linear(1, 1), "Linear"),
        (lambda folder: iter([1]), "iterator"),
        (lambda folder: (one for one in "a"), "generator"),
        (lambda folder: torch.eye(2).to_sparse(), "a sparse_coo tensor"),
        (lambda folder: torch.empty(2, device="meta"), "on the device meta"),
        (lambda folder: np.array(["a"]), "an array of str32"),
        (lambda folder: np.zeros(2, dtype=np.longdouble), "an array of "),
        (lambda folder: Hostile(), "Hostile"),
        (lambda folder: make_loop(), "builtins.list"),
    ],
)
def test_what_cannot_be_kept_is_said_by_name(make, named, tmp_path):
    """A function, an open file, an object: named with its place and what it is, and all else is kept."""
    arguments = {"image": make_picture(mode="RGB"), "x": {"y": [make(tmp_path)]}}
    (sentence,) = list_unstorable(arguments)
    assert "x.y.0" in sentence
    assert named in sentence
    assert json.loads(json.dumps(to_plain(arguments))).keys() == arguments.keys()
    assert [one.name for one in keep_inputs(arguments, folder=tmp_path / "run", origins={})] == ["image"]


def test_rows_of_pictures_are_pictures(tmp_path):
    """Pictures in a list of lists are kept each by its own place, with a gap where there is none, and come back so."""
    row = [make_picture(mode="RGB"), None, make_picture(mode="L")]
    kept = keep_inputs({"image": [row, row]}, folder=tmp_path, origins={})
    assert [(one.name, one.kind) for one in kept] == [
        (f"image.{line}.{column}", "picture") for line in (0, 1) for column in (0, 2)
    ]
    recorded = {"image": to_plain([row, row])}
    back = restore_inputs({}, recorded=recorded, inputs=kept, folder=tmp_path, wanted=lambda one: True)["image"]
    assert [[one and one.mode for one in line] for line in back] == [["RGB", None, "L"]] * 2


def test_plain_things_are_no_inputs(tmp_path):
    """Numbers, text, dtypes, devices and null need no file."""
    plain = {
        "a": 1,
        "b": "text",
        "c": None,
        "d": torch.float16,
        "e": torch.device("cpu"),
        "f": np.float32(1),
        "g": {2, 3},
    }
    assert keep_inputs(plain, folder=tmp_path, origins={}) == ()
    assert list_unstorable(plain) == []


def test_every_plain_value_is_json():
    """Numbers of NumPy that JSON does not have, and halves of letters, are text; other numbers stay numbers."""
    assert to_plain([np.longdouble(3), np.datetime64("2026-01-02"), np.complex64(1)]) == ["3.0", "2026-01-02", "(1+0j)"]
    assert to_plain([np.float64(3), np.int8(3), np.True_]) == [3.0, 3, True]
    assert to_plain({"a\ud800": "b\ud800"}) == {"a\\ud800": "b\\ud800"}


def test_leaves_are_walked_with_their_places():
    """Every value has a place by which it is known."""
    assert [place for place, _ in walk_leaves({"a": [1, {"b": 2}], "c": (3,)}, "")] == ["a.0", "a.1.b", "c.0"]


def test_plain_values():
    """Tensors become digests, classes and functions their names, everything else JSON."""
    value = to_plain(
        {"a": (1, None), "t": torch.zeros(2), "f": torch.nn.functional.relu, "s": {"b", "a"}, "d": torch.half}
    )
    assert value["a"] == [1, None]
    assert value["t"]["shape"] == [2]
    assert value["f"] == "torch.nn.functional.relu"
    assert value["s"] == ["a", "b"]
    assert value["d"] == "torch.float16"
    assert to_plain(Condition(make_picture(mode="L"), 2))["frame"] == 2
