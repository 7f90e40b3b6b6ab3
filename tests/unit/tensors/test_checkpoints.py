"""Promises of checkpoints.py: the tensors of every format by name, one by one, and no code of a file runs."""

import pickle

import torch
from safetensors.torch import save_file

from repro_track.tensors.checkpoints import open_checkpoint

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}


def test_every_format_gives_the_same(tmp_path):
    """The names, the numbers of values and the values are the same in each format, nested dicts by their path."""
    save_file(WEIGHTS, tmp_path / "a")
    torch.save(WEIGHTS, tmp_path / "b")
    torch.save(WEIGHTS, tmp_path / "c", _use_new_zipfile_serialization=False)
    for name in "abc":
        checkpoint = open_checkpoint(tmp_path / name)
        assert checkpoint.sizes == {"a": 6, "b": 4}
        assert checkpoint.by_size == {6: ["a"], 4: ["b"]}
        assert torch.equal(checkpoint.read("a"), WEIGHTS["a"])
    torch.save({"step": 3, "ema": WEIGHTS}, tmp_path / "d")
    assert open_checkpoint(tmp_path / "d").sizes == {"ema.a": 6, "ema.b": 4}


class Code:
    def __reduce__(self):
        return print, ("it ran",)


def test_code_in_a_file_does_not_run(tmp_path, capsys):
    """A pickle that would run code is not looked into; a damaged file and one that is not there are not, either."""
    torch.save({"a": Code()}, tmp_path / "code")
    (tmp_path / "damaged").write_bytes(b"\x40\0\0\0\0\0\0\0{")
    assert [open_checkpoint(tmp_path / name) for name in ("code", "damaged", "none")] == [None] * 3
    assert capsys.readouterr().out == ""
    pickle.loads(pickle.dumps(Code()))
    assert capsys.readouterr().out == "it ran\n"
