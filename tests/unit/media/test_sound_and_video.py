"""Promises of sound_and_video.py: what is written for people is read back as far as its format keeps it."""

import importlib.util
import wave

import numpy as np
import pytest
from PIL import Image

from repro_track.errors import UsageError
from repro_track.media.sound_and_video import (
    choose_video_suffix,
    read_frames,
    read_record_id,
    read_wav,
    to_samples,
    write_video,
    write_wav,
)

NOISE = np.random.default_rng(0).uniform(-1, 1, size=(2, 400)).astype(np.float32)
NEEDS_PYAV = pytest.mark.skipif(not importlib.util.find_spec("av"), reason="PyAV is not installed")


def make_frames(height=8, width=8, channels=3):
    """Four plain frames, from dark to bright: what a lossy encoder keeps."""
    levels = np.array([20, 90, 160, 230], dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (4, height, width, channels)).copy()


def test_samples_are_cut_and_silent_where_there_is_none():
    """Values outside of [-1, 1] are cut, NaN is silence, one channel becomes a row; other values are other samples."""
    samples = to_samples(np.array([np.nan, np.inf, -np.inf, 0.5, 2.0]))
    assert samples.dtype == np.int16
    assert samples.tolist() == [[0, 32767, -32767, 16384, 32767]]
    assert to_samples(np.array([0.5])).tolist() != to_samples(np.array([0.25])).tolist()


def test_a_wav_file_holds_every_sample_of_every_channel(tmp_path):
    """What is written is read back to the sample, with its rate; the channels are not mixed up."""
    samples = to_samples(NOISE)
    write_wav(samples, tmp_path / "a" / "x.wav", rate_hz=16000)
    back = read_wav(tmp_path / "a" / "x.wav")
    assert np.array_equal((back * 32768).round().astype(np.int16), samples)
    assert not np.array_equal(back[0], back[1])
    with wave.open(str(tmp_path / "a" / "x.wav")) as file:
        assert (file.getframerate(), file.getnchannels()) == (16000, 2)


@pytest.mark.parametrize(
    ("width", "content", "value"), [(1, b"\xc0", 0.5), (2, b"\x00\x40", 0.5), (4, b"\0\0\0\xc0", -0.5)]
)
def test_samples_of_any_width_are_read(tmp_path, width, content, value):
    """8, 16 and 32 bits are read as the same floats; 24 bits are refused by their number."""
    for size, name in ((width, "good.wav"), (3, "bad.wav")):
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setparams((1, size, 8000, 0, "NONE", ""))
            file.writeframes(content if size == width else b"\0\0\0")
    assert read_wav(tmp_path / "good.wav").tolist() == [[value]]
    with pytest.raises(UsageError, match="24 bits"):
        read_wav(tmp_path / "bad.wav")


def test_what_is_no_sound_is_refused(tmp_path):
    """A file that is not WAV, and one that is not there, are each one message."""
    (tmp_path / "x.wav").write_bytes(b"not a sound")
    for name in ("x.wav", "gone.wav"):
        with pytest.raises(UsageError, match="cannot be read as sound"):
            read_wav(tmp_path / name)


def test_a_gif_keeps_frames_and_the_id(tmp_path):
    """A GIF has as many frames, in their order, and the id as its comment."""
    write_video(make_frames(), tmp_path / "x.gif", rate_hz=5, record_id="r" * 32)
    frames = read_frames(tmp_path / "x.gif")
    assert [frame.size for frame in frames] == [(8, 8)] * 4
    assert np.all(np.diff([np.asarray(frame).mean() for frame in frames]) > 0)
    with Image.open(tmp_path / "x.gif") as file:
        assert file.info["comment"] == b"r" * 32


@NEEDS_PYAV
@pytest.mark.parametrize(("height", "width", "channels"), [(16, 16, 3), (17, 15, 3), (16, 16, 1), (16, 16, 4)])
def test_an_mp4_keeps_frames_and_the_id(tmp_path, height, width, channels):
    """An MP4 has as many frames and the id; an odd side gets one row or column more, never less."""
    path = tmp_path / "x.mp4"
    write_video(make_frames(height, width, channels), path, rate_hz=5, record_id="r" * 32)
    frames = read_frames(path)
    assert [frame.size for frame in frames] == [(width + width % 2, height + height % 2)] * 4
    assert np.all(np.diff([np.asarray(frame).mean() for frame in frames]) > 30)
    assert read_record_id(path) == "r" * 32
    assert choose_video_suffix() == ".mp4"


def test_what_is_no_video_is_refused(tmp_path):
    """A file that is neither GIF nor a video is one message, and not taken for one without an id."""
    for name in ("x.gif", "x.mp4"):
        (tmp_path / name).write_bytes(b"not a video")
        with pytest.raises(UsageError, match="cannot be read as a video|PyAV is not installed"):
            read_frames(tmp_path / name)
