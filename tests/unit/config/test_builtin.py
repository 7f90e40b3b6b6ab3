"""Promises of builtin.py: the model that ships with the package is found by its name."""

from pathlib import Path

import pytest

from repro_track.config.builtin import find_builtin
from repro_track.errors import UsageError


def test_the_model_that_ships_is_there():
    """The folder of `digits` is a saved pipeline whose weights are safetensors."""
    folder = Path(find_builtin("digits"))
    assert (folder / "model_index.json").is_file()
    assert list(folder.rglob("*.safetensors"))
    assert not [path for path in folder.rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]


@pytest.mark.parametrize("name", ["letters", "", "../templates"])
def test_another_name_is_refused(name):
    """A name that no model has is refused, with the one that there is; a path out of the folder is no name."""
    with pytest.raises(UsageError) as refused:
        find_builtin(name)
    assert refused.value.expected == "digits"
