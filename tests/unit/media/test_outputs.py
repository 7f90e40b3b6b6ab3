"""Promises of outputs.py: every leaf of a result is an output with its own digests, and none is left out silently."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion import StableDiffusionPipelineOutput
from diffusers.utils import BaseOutput
from PIL import Image

from repro_track.media import sound_and_video
from repro_track.media.outputs import (
    Rates,
    RawOutput,
    get_preview,
    join_results,
    keep_file,
    keep_output,
    list_outputs,
    to_exact,
)
from repro_track.media.picture import read_picture
from repro_track.tensors.digests import digest_tensor

PIXELS = np.random.default_rng(0).random((2, 8, 8, 3), dtype=np.float32)


def names(result, **words):
    return [(raw.name, raw.kind) for raw in list_outputs(result, **words)]


def test_a_batch_is_one_output_for_each_picture():
    """A batch as one array, as one tensor, and as a list of pictures: the same names."""
    expected = [("images.0", "image"), ("images.1", "image")]
    pictures = [Image.fromarray((one * 255).astype("uint8")) for one in PIXELS]
    assert names({"images": PIXELS}) == expected
    assert names({"images": torch.from_numpy(PIXELS.transpose(0, 3, 1, 2).copy())}) == expected
    assert names({"images": pictures}) == expected


def test_latents_are_no_pictures():
    """Four channels of latents are not taken for a picture with transparency."""
    latents = torch.zeros(1, 4, 8, 8)
    assert names({"images": latents}, latent=True) == [("images", "tensor")]


def test_nested_results_are_walked():
    """Lists, tuples, dicts, numbers and text all become outputs; None is nothing."""
    result = ({"a": [1, 2.5]}, None, "text", torch.zeros(3))
    assert [name for name, _ in names(result)] == ["0.a.0", "0.a.1", "2", "3"]


def test_an_empty_list_has_no_outputs():
    """A pipeline that gives nothing has no outputs: the comparison will say so."""
    assert names({"images": []}) == []
    assert names({"images": PIXELS[:0]}) == []


def test_every_output_has_a_name_of_its_own():
    """Two places with one name, and names that differ in a number's kind alone, are told apart."""
    assert [name for name, _ in names({"a.b": 1.0, "a": {"b": 2.0}, "c": 3.0})] == ["a.b", "a.b#2", "c"]
    assert [name for name, _ in names({1: 1.0, "1": 2.0})] == ["1", "1#2"]


@pytest.mark.parametrize("name", ["../../up", "a/b", "a\0b", "x" * 300, "a\nb"])
def test_no_name_leads_out_of_the_folder(name, tmp_path):
    """A name that is no file's is written in the folder all the same, under one of its own; a plain name stays."""
    kept = [
        keep_output(RawOutput(one, "tensor", np.ones(2)), folder=tmp_path / "outputs", record_id="a" * 32)
        for one in (name, f"{name}/", "a b#2.c")
    ]
    files = [one.name for one in (tmp_path / "outputs").iterdir()]
    assert sorted(f"outputs/{one}" for one in files) == sorted(one.file for one in kept)
    assert len(files) == 3
    assert kept[2].file == "outputs/a b#2.c.npy"
    assert [one.name for one in tmp_path.iterdir()] == ["outputs"]


def test_what_contains_itself_is_named():
    """A list in itself ends somewhere, as what cannot be kept."""
    loop = []
    loop.append(loop)
    ((_, kind),) = names({"a": loop})
    assert kind == "unknown"


def test_what_cannot_be_kept_is_named():
    """An object that is no tensor is listed as unknown, not left out."""
    assert names({"mesh": object()}) == [("mesh", "unknown")]


def test_output_objects_of_diffusers_are_walked():
    """diffusers' own output class is walked by its fields."""

    class Output(BaseOutput):
        images: np.ndarray

    assert names(Output(images=PIXELS)) == [("images.0", "image"), ("images.1", "image")]


def test_a_picture_is_kept_with_three_digests(tmp_path):
    """Tensor, pixels and file have digests of their own, and the file holds the pixels and the id."""
    output = keep_output(RawOutput("images.0", "image", PIXELS[0]), folder=tmp_path, record_id="r" * 32)
    found = read_picture(tmp_path / "images.0.png")
    assert output.sha256 == digest_tensor(PIXELS[0])
    assert output.pixels_sha256 == digest_tensor(found.pixels)
    assert found.record_id == "r" * 32
    assert len({output.sha256, output.pixels_sha256, output.file_sha256}) == 3


def test_the_statistic_is_the_guides(tmp_path):
    """`abs_sum` is `np.abs(image).sum()` in the array's own precision; NaN is counted."""
    output = keep_output(RawOutput("images.0", "image", PIXELS[0]), folder=tmp_path, record_id="r")
    assert output.abs_sum == float(np.abs(PIXELS[0]).sum())
    broken = PIXELS[0].copy()
    broken[0, 0, 0] = np.nan
    assert keep_output(RawOutput("images.1", "image", broken), folder=tmp_path, record_id="r").nonfinite == 1


def test_a_file_is_kept_by_its_bytes(tmp_path):
    """A file output has the digest of its bytes and is copied."""
    (tmp_path / "a.bin").write_bytes(b"abc")
    output = keep_file("weights", tmp_path / "a.bin", folder=tmp_path / "outputs")
    assert output.sha256 == output.file_sha256
    assert (tmp_path / "outputs" / "weights.bin").read_bytes() == b"abc"


FRAMES = np.random.default_rng(1).random((2, 4, 8, 8, 3), dtype=np.float32)
MOVING = [Image.fromarray((frame * 255).astype("uint8")) for frame in FRAMES[0]]


def test_a_video_is_one_output():
    """Frames as arrays, tensors, lists of pictures, and the turning views of a 3D pipeline: one output a video."""
    expected = [("frames.0", "video"), ("frames.1", "video")]
    assert names({"frames": FRAMES}) == expected
    assert names({"frames": torch.from_numpy(FRAMES).permute(0, 1, 4, 2, 3)}) == expected
    assert names({"frames": [MOVING, MOVING]}) == expected
    assert names({"frames": MOVING}) == [("frames", "video")]
    assert names({"images": [MOVING]}) == [("images.0", "video")]
    assert names({"images": FRAMES}) == [("images.0", "video"), ("images.1", "video")]
    assert names({"images": MOVING}) == [(f"images.{index}", "image") for index in range(4)]
    assert names({"frames": FRAMES}, latent=True) == [("frames", "tensor")]


def test_a_sound_is_one_output():
    """Sounds as a batch or a list: one output each, with all channels."""
    assert names({"audios": np.zeros((2, 100))}) == [("audios.0", "audio"), ("audios.1", "audio")]
    assert names({"audios": torch.zeros(1, 2, 100)}) == [("audios.0", "audio")]
    assert names({"audios": [np.zeros((2, 100))]}) == [("audios.0", "audio")]
    assert names({"audio": np.zeros(100)}) == [("audio", "audio")]


def test_a_mesh_is_its_arrays():
    """A result made of parts is walked to its arrays, whatever class it is of."""

    @dataclass
    class Mesh:
        verts: torch.Tensor
        colours: dict

    result = {"images": [Mesh(torch.zeros(3, 3), {"R": torch.zeros(3)})]}
    assert names(result) == [("images.0.verts", "tensor"), ("images.0.colours.R", "tensor")]


@pytest.mark.parametrize("as_list", [True, False])
def test_a_video_is_kept_with_three_digests(as_list, tmp_path):
    """A video has its exact frames, its 8-bit pixels and a file with as many frames."""
    value = MOVING if as_list else FRAMES[0]
    raw = RawOutput("frames.0", "video", value)
    output = keep_output(raw, folder=tmp_path, record_id="r", rates=Rates(frames_hz=5))
    assert output.shape == (4, 8, 8, 3)
    assert output.sha256 == digest_tensor(to_exact(raw))
    assert len({output.sha256, output.pixels_sha256, output.file_sha256}) == (
        2 if as_list else 3
    )  # 8 bits are exact then
    assert output.rate_hz == 5
    assert len(sound_and_video.read_frames(tmp_path / output.file.removeprefix("outputs/"))) == 4
    changed = [*MOVING[:3], MOVING[0]]
    other = keep_output(RawOutput("frames.0", "video", changed), folder=tmp_path, record_id="r")
    assert other.pixels_sha256 != output.pixels_sha256


def test_a_sound_is_kept_with_three_digests(tmp_path):
    """A sound has its exact values, its 16-bit samples and a WAV file that holds them; without a rate, its array."""
    value = np.sin(np.arange(100, dtype=np.float32))
    output = keep_output(RawOutput("audios.0", "audio", value), folder=tmp_path, record_id="r", rates=Rates(8000))
    assert len({output.sha256, output.samples_sha256, output.file_sha256}) == 3
    assert np.allclose(sound_and_video.read_wav(tmp_path / "audios.0.wav")[0], value, atol=1e-4)
    changed = value.copy()
    changed[0] = np.nextafter(changed[0], np.float32(1))
    nearly = keep_output(RawOutput("audios.0", "audio", changed), folder=tmp_path, record_id="r", rates=Rates(8000))
    assert (nearly.sha256 != output.sha256, nearly.samples_sha256) == (True, output.samples_sha256)
    assert keep_output(RawOutput("a", "audio", value), folder=tmp_path, record_id="r").file == "outputs/a.npy"


@pytest.mark.parametrize("value", [torch.ones(2, 3).to(torch.bfloat16), np.arange(4), np.asarray(1.5)], ids=str)
def test_everything_else_is_kept_as_an_array(value, tmp_path):
    """A tensor has a file, too, that NumPy opens; bfloat16 is widened there and exact in the tensor."""
    output = keep_output(RawOutput("x", "tensor", value), folder=tmp_path, record_id="r")
    assert output.file == "outputs/x.npy"
    assert np.array_equal(np.load(tmp_path / "x.npy"), np.asarray(value.float() if torch.is_tensor(value) else value))


def test_without_pyav_a_video_is_a_gif(tmp_path, monkeypatch):
    """Where PyAV is not installed, a video is a GIF, with the same digests of what is in it."""
    first = keep_output(RawOutput("v", "video", MOVING), folder=tmp_path, record_id="r")
    monkeypatch.setattr(sound_and_video, "choose_video_suffix", lambda: ".gif")
    second = keep_output(RawOutput("v", "video", MOVING), folder=tmp_path, record_id="r")
    assert (first.file, second.file) == ("outputs/v.mp4", "outputs/v.gif")
    assert (first.sha256, first.pixels_sha256) == (second.sha256, second.pixels_sha256)
    assert len(sound_and_video.read_frames(tmp_path / "v.gif")) == 4


def test_single_results_are_joined():
    """Results of single images become one result; an image that was not made leaves its place empty."""
    one, two = {"images": PIXELS[:1], "nsfw": None}, {"images": PIXELS[1:], "nsfw": None}
    assert np.array_equal(join_results([one, two])["images"], PIXELS)
    assert names(join_results([None, two])) == [("images.1", "image")]
    assert names(join_results([{"frames": [MOVING]}, None, {"frames": [MOVING]}])) == [
        ("frames.0", "video"),
        ("frames.2", "video"),
    ]
    assert torch.equal(join_results([(torch.zeros(1),), (torch.ones(1),)])[0], torch.tensor([0.0, 1.0]))


def test_fields_that_a_pipeline_left_empty_stay_empty():
    """A result of diffusers whose class asks for a field that is `None`, as Stable Diffusion's without a safety
    checker, is joined, too, and keeps its class; a field that is not empty is joined like the pictures."""
    parts = [StableDiffusionPipelineOutput(images=one, nsfw_content_detected=None) for one in (PIXELS[:1], PIXELS[1:])]
    joined = join_results(parts)
    assert isinstance(joined, StableDiffusionPipelineOutput)
    assert np.array_equal(joined.images, PIXELS)
    assert joined.nsfw_content_detected is None
    parts = [StableDiffusionPipelineOutput(images=PIXELS[:1], nsfw_content_detected=[seen]) for seen in (True, False)]
    assert join_results(parts).nsfw_content_detected == [True, False]


def test_a_preview_is_what_a_person_would_look_at():
    """A picture stands for itself, a video's middle frame for it, nothing for a sound."""
    assert np.array_equal(get_preview(RawOutput("v", "video", MOVING)), np.asarray(MOVING[2]))
    assert get_preview(RawOutput("a", "audio", np.zeros(3))) is None


def test_nested_pictures_are_a_video_where_a_call_makes_frames():
    """Pictures in a list of lists are pictures, each its own, in a call that makes no frames; videos in one that does,
    in a field of videos, and where a record says so."""
    row = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    pictures = [(f"images.{one}.{other}", "image") for one in (0, 1) for other in (0, 1)]
    assert names({"images": [row, row]}, makes_frames=False) == pictures
    assert names({"images": [row, row]}) == [("images.0", "video"), ("images.1", "video")]
    assert names({"frames": [row, row]}, makes_frames=False) == [("frames.0", "video"), ("frames.1", "video")]
    assert names({"images": [row, row]}, makes_frames=False, videos=["images.1"]) == [
        *pictures[:2],
        ("images.1", "video"),
    ]
