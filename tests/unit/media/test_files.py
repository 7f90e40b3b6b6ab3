"""Promises of files.py: a path or a URL becomes what it stands for, or is refused by name."""

import inspect

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from repro_track.errors import UsageError
from repro_track.media import sound_and_video
from repro_track.media.files import load_file, load_files

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)


# --- paths --------------------------------------------------------------------------------------------------------


def call(
    image: Image.Image | list[Image.Image], latents: torch.Tensor, audio: np.ndarray, prompt: str, strength: float
):
    """A pipeline's signature: text can only be a path where it is no text."""


PARAMETERS = inspect.signature(call).parameters


@pytest.fixture
def files(tmp_path):
    picture = Image.fromarray(PIXELS[:, :, :3])
    picture.save(tmp_path / "a.png")
    frames = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 120, 240)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    sound_and_video.write_video(
        np.stack([np.asarray(one) for one in frames]), tmp_path / "a.mp4", rate_hz=8, record_id="r"
    )
    sound_and_video.write_wav(sound_and_video.to_samples(np.linspace(-1, 1, 100)), tmp_path / "a.wav", rate_hz=8000)
    np.save(tmp_path / "a.npy", np.arange(3.0))
    save_file({"one": torch.ones(2), "two": torch.zeros(2)}, tmp_path / "two.safetensors")
    return tmp_path


def test_a_path_is_loaded_where_a_picture_is_expected(files):
    """A path becomes the picture, alone or in a list, and its place is remembered; a prompt that looks like one
    stays."""
    path = str(files / "a.png")
    loaded, origins = load_files({"image": [path, path], "prompt": path, "strength": 0.5}, parameters=PARAMETERS)
    assert [one.tobytes() for one in loaded["image"]] == [PIXELS[:, :, :3].tobytes()] * 2
    assert loaded["prompt"] == path
    assert origins == {"image.0": path, "image.1": path}


@pytest.mark.parametrize(("name", "frames"), [("a.gif", 3), ("a.mp4", 3)])
def test_a_video_becomes_its_frames(files, name, frames):
    """A video is given as the list of its frames."""
    loaded = load_file(str(files / name), name="video")
    assert [frame.mode for frame in loaded] == ["RGB"] * frames


def test_numbers_and_sound_become_tensors(files):
    """Sound and numbers become a tensor, or an array where the pipeline wants one; one tensor of several is named."""
    assert load_file(str(files / "a.wav"), name="x").shape == (1, 100)
    assert torch.equal(load_file(str(files / "two.safetensors") + "#one", name="x"), torch.ones(2))
    loaded, _ = load_files({"latents": str(files / "a.npy"), "audio": str(files / "a.npy")}, parameters=PARAMETERS)
    assert isinstance(loaded["latents"], torch.Tensor)
    assert isinstance(loaded["audio"], np.ndarray)


def inpaint(
    image: Image.Image | np.ndarray | torch.Tensor,
    mask_image: Image.Image | np.ndarray | torch.Tensor,
    mask: torch.Tensor,
    own,
):
    """A signature that takes both kinds of numbers, one that takes tensors alone, one that does not say."""


@pytest.mark.parametrize(
    ("shape", "arrays"),
    [
        ((8, 8), {"image", "mask_image", "own_image"}),
        ((8, 8, 3), {"image", "mask_image", "own_image"}),
        ((2, 8, 8, 1), {"image", "mask_image", "own_image"}),
        ((3, 8, 8), {"mask_image"}),
        ((2, 4, 8, 8), {"mask_image"}),
        ((7,), {"mask_image"}),
    ],
)
def test_a_numpy_file_is_an_array_where_one_is_wanted(tmp_path, shape, arrays):
    """Where arrays and tensors are taken, a NumPy file is an array if it is a mask, or if its last axis can be
    channels, as they are in diffusers' arrays; a safetensors file is a tensor. Where one kind alone is taken it is
    that."""
    np.save(tmp_path / "a.npy", np.zeros(shape, dtype=np.float32))
    save_file({"one": torch.zeros(shape)}, tmp_path / "a.safetensors")
    parameters = dict(inspect.signature(inpaint).parameters)
    parameters["own_image"] = inspect.Parameter("own_image", inspect.Parameter.KEYWORD_ONLY)
    words = ("image", "mask_image", "mask", "own_image")
    loaded, _ = load_files(dict.fromkeys(words, str(tmp_path / "a.npy")), parameters=parameters)
    assert {name for name, value in loaded.items() if isinstance(value, np.ndarray)} == arrays
    loaded, _ = load_files(dict.fromkeys(words, str(tmp_path / "a.safetensors")), parameters=parameters)
    assert all(isinstance(value, torch.Tensor) for value in loaded.values())


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "LA", "RGBA"])
def test_a_mask_keeps_its_mode(tmp_path, mode):
    """A mask arrives as it is, turned upright, because the pipeline makes it grey; any other picture is RGB, as
    diffusers loads it."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new(mode, (8, 4)).save(tmp_path / "a.png", exif=exif)
    words = dict.fromkeys(("image", "mask_image"), str(tmp_path / "a.png"))
    loaded, _ = load_files(words, parameters=inspect.signature(inpaint).parameters)
    assert (loaded["mask_image"].mode, loaded["image"].mode) == (mode, "RGB")
    assert loaded["mask_image"].size == loaded["image"].size == (4, 8)


@pytest.mark.parametrize(
    "name", ["nothing.png", "bad.png", "bad.mp4", "bad.gif", "bad.wav", "bad.npy", "pickled.npy", "two.safetensors"]
)
def test_a_wrong_file_is_one_message(files, name):
    """A file that is not there, is not what its suffix says, holds a pickle, or has several tensors: named with its
    argument."""
    (files / "bad.png").write_bytes(b"no picture")
    for suffix in ("mp4", "gif", "wav", "npy"):
        (files / f"bad.{suffix}").write_bytes(b"nothing of the kind")
    np.save(files / "pickled.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(UsageError):
        load_files({"image": str(files / name)}, parameters=PARAMETERS)


def test_a_url_is_fetched(files):
    """A picture is loaded from a server as from a file, a missing one is one message, and credentials are not
    remembered."""
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(files)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        loaded, origins = load_files({"image": f"{base}/a.png?token=secret"}, parameters=PARAMETERS)
        assert loaded["image"].tobytes() == PIXELS[:, :, :3].tobytes()
        assert origins == {"image": f"{base}/a.png"}
        with pytest.raises(UsageError, match="404"):
            load_files({"image": f"{base}/nothing.png"}, parameters=PARAMETERS)
    finally:
        server.shutdown()
        server.server_close()
