"""Promises of opened.py: whatever opens a file of weights is seen, and nothing else is taken for one."""

import os
import pickle
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file

from repro_track.tensors.opened import (
    count_opened,
    is_weights,
    list_mapped,
    list_opened,
    list_opened_since,
    look_at,
    unwatched,
    watch_files,
)


@pytest.fixture
def files(tmp_path):
    """Three files of the same weights, one of each format, under names that say nothing."""
    watch_files()
    weights = {"a": torch.arange(100.0)}
    save_file(weights, tmp_path / "one.data")
    torch.save(weights, tmp_path / "two.data")
    torch.save(weights, tmp_path / "three.data", _use_new_zipfile_serialization=False)
    return tmp_path


READERS = {
    "load_file": lambda path: load_file(path),
    "safe_open": lambda path: safetensors.safe_open(path, framework="pt").__enter__(),
    "in memory": lambda path: safetensors.torch.load(path.read_bytes()),
    "torch.load": lambda path: torch.load(path.with_name("two.data")),
    "mapped by torch": lambda path: torch.load(path.with_name("two.data"), mmap=True),
    "an older torch": lambda path: torch.load(path.with_name("three.data")),
    "mapped by NumPy": lambda path: np.memmap(path, mode="r"),
}


@pytest.mark.parametrize("reader", READERS)
def test_whatever_opens_a_file_it_is_seen(files, reader):
    """A file is seen by whichever function it is opened, by its content and not by its name; our own reading is not."""
    before = count_opened()
    with unwatched():
        READERS[reader](files / "one.data")
    assert list_opened_since(before) == []
    READERS[reader](files / "one.data")
    (seen,) = list_opened_since(before)
    assert seen.path.endswith(".data") and seen.path.startswith(str(files))
    assert seen == list_opened()[-1] == look_at(seen.path)


def test_what_holds_no_weights_is_not_taken_for_one(tmp_path):
    """A pickle of something else, an archive of arrays, a text and a file that is not there are no weights."""
    (tmp_path / "a").write_bytes(pickle.dumps({"a": 1}))
    np.savez(tmp_path / "b.npz", a=np.zeros(3))
    (tmp_path / "c").write_text('{"a": 1}        {')
    with zipfile.ZipFile(tmp_path / "d", "w") as archive:
        archive.writestr("x.txt", "x")
    (tmp_path / "e").write_bytes(b"GGUF")
    assert [is_weights(str(tmp_path / name)) for name in ("a", "b.npz", "c", "d", "e", "none")] == [
        False, False, False, False, True, False,
    ]  # fmt: skip


def test_a_file_that_was_changed_is_another_one(files):
    """A file is what it was when it was opened: written again, it is seen as new, and the former one as changed."""
    load_file(files / "one.data")
    first = list_opened()[-1]
    assert first.is_unchanged and first.is_new
    save_file({"a": torch.zeros(7)}, files / "one.data")
    assert not first.is_unchanged
    load_file(files / "one.data")
    assert list_opened()[-1] != first
    (files / "one.data").unlink()
    assert look_at(str(files / "one.data")) is None


def test_a_pipe_is_left_to_whoever_opens_it(tmp_path):
    """What comes through a named pipe reaches its reader, all of it: it is not looked into."""
    watch_files()
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(b"GGUF and more"))
    writer.start()
    before = count_opened()
    assert (tmp_path / "pipe").read_bytes() == b"GGUF and more"
    writer.join()
    assert count_opened() == before


def test_what_is_mapped_into_memory_is_listed(files):
    """Weights that lie in a file's mapping are told from memory alone; once nothing holds them, they are not."""
    path = str(files / "one.data")
    with unwatched():
        held = load_file(path)
    assert path in [file.path for file in list_mapped()]
    del held
    assert path not in [file.path for file in list_mapped()]


ORDERS = {
    "before": "import repro_track\nfrom safetensors import safe_open",
    "after": "from safetensors import safe_open\nimport repro_track",
}


@pytest.mark.starts(Path(sys.executable).name)
@pytest.mark.parametrize("order", ORDERS)
def test_safetensors_is_watched_wherever_its_function_was_taken_to(files, order):
    """A file that safetensors opens by itself is seen, whether the function was imported before the program or after
    it; it is the same function to whoever asks."""
    path = str(files / "one.data")
    script = f"""
{ORDERS[order]}
from repro_track.tensors.opened import list_opened
with safe_open({path!r}, framework="np") as file:
    print([one.path for one in list_opened()], isinstance(file, safe_open))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{[path]} True"
