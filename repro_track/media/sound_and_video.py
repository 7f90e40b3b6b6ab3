"""Sound and moving pictures as files that a person can open, and back: WAV, MP4, GIF.

What is written is for people: exact values are kept as tensors beside it. Sound is 16-bit; MP4 and GIF lose colours. It
never guesses the rate of a sound.
"""

from __future__ import annotations

import importlib.util
import wave
from pathlib import Path

import numpy as np

from repro_track.errors import UsageError, first_line
from repro_track.media.picture import to_picture

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif")
FRAMES_PER_S = 8.0
"""The speed of a video whose call names none: what people look at, no fact about the run."""


def to_samples(values: np.ndarray) -> np.ndarray:
    """Return the 16-bit samples of sound, shape (channels, samples).

    Args:
        values: floats in [-1, 1], shape (samples,) or (channels, samples); values outside are cut, NaN is silence.

    >>> to_samples(np.array([0.0, 1.0, -2.0], dtype="float32")).tolist()
    [[0, 32767, -32767]]
    """
    scaled = np.nan_to_num(np.atleast_2d(values).astype(np.float64), nan=0.0, posinf=1.0, neginf=-1.0)
    return (np.clip(scaled, -1.0, 1.0) * 32767).round().astype(np.int16)


def write_wav(samples: np.ndarray, path: Path, *, rate_hz: int) -> None:
    """Write 16-bit samples, shape (channels, samples), as a WAV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[0])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.ascontiguousarray(samples.T, dtype="<i2").tobytes())


def read_wav(path: Path) -> np.ndarray:
    """Read a WAV file of integers as floats in [-1, 1], shape (channels, samples), float32.

    Raises:
        UsageError: it is not such a file.
    """
    try:
        with wave.open(str(path), "rb") as file:
            width, channels = file.getsampwidth(), file.getnchannels()
            content = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise UsageError(f"{path} cannot be read as sound: {first_line(error)}", expected="a WAV file (PCM)") from error
    if width not in (1, 2, 4):
        raise UsageError(f"{path} has samples of {8 * width} bits", expected="8, 16 or 32")
    values = np.frombuffer(content, dtype={1: "u1", 2: "<i2", 4: "<i4"}[width]).astype(np.float64)
    scaled = (values - 128) / 128 if width == 1 else values / 2.0 ** (8 * width - 1)
    return np.ascontiguousarray(scaled.reshape(-1, channels).T, dtype=np.float32)


def choose_video_suffix() -> str:
    """Return the suffix of the videos that can be written here: MP4 where PyAV is installed, else GIF.

    >>> choose_video_suffix() in (".mp4", ".gif")
    True
    """
    return ".mp4" if importlib.util.find_spec("av") else ".gif"


def write_video(pixels: np.ndarray, path: Path, *, rate_hz: float, record_id: str) -> None:
    """Write 8-bit pixels, shape (frames, height, width, channels), as MP4 or GIF, by the path's suffix.

    MP4 wants even sides: an odd one gets its last row or column twice.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gif":
        first, *rest = [to_picture(frame).convert("RGB") for frame in pixels]
        duration_ms = round(1000 / rate_hz)
        first.save(path, save_all=True, append_images=rest, duration=duration_ms, loop=0, comment=record_id.encode())
        return
    from fractions import Fraction

    import av

    height, width = pixels.shape[1:3]
    colours = np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels[..., :3]
    even = np.pad(colours, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    with av.open(str(path), "w") as container:
        container.metadata["comment"] = record_id
        stream = container.add_stream("libx264", rate=Fraction(rate_hz).limit_denominator(1000))
        stream.height, stream.width, stream.pix_fmt = even.shape[1], even.shape[2], "yuv420p"
        stream.options = {"crf": "12", "threads": "1"}
        for frame in even:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())


def read_record_id(path: Path) -> str | None:
    """Read the record id in a video that `write_video` wrote; `None` where there is none, or PyAV is not installed.

    Raises:
        UsageError: it is not a video.
    """
    if not importlib.util.find_spec("av"):
        return None
    import av

    try:
        with av.open(str(path)) as container:
            return container.metadata.get("comment")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a video: {first_line(error)}") from error


def read_frames(path: Path) -> list:
    """Read a video's frames as PIL pictures.

    Raises:
        UsageError: it is not a video, or PyAV is needed and not installed.
    """
    from PIL import Image, ImageSequence, UnidentifiedImageError

    try:
        if path.suffix.lower() == ".gif":
            with Image.open(path) as file:
                return [frame.convert("RGB") for frame in ImageSequence.Iterator(file)]
        import av

        with av.open(str(path)) as container:
            return [frame.to_image() for frame in container.decode(video=0)]
    except ImportError as error:
        raise UsageError(
            f"{path} is a video, and PyAV is not installed here",
            expected="a GIF, or the extra for video files",
            advice="pip install 'repro_track[video]'",
        ) from error
    except (OSError, IndexError, ValueError, UnidentifiedImageError) as error:
        raise UsageError(f"{path} cannot be read as a video: {first_line(error)}") from error
