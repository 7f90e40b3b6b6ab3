"""The model that ships with the package.

It finds the model's folder, and never loads it.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from repro_track.errors import UsageError

BUILTIN = "builtin:"


def find_builtin(name: str) -> str:
    """Find the folder of a model that ships with the package, for `from_pretrained`.

    Args:
        name: `digits`, 8x8 handwritten digits.

    Raises:
        UsageError: there is no such model.
    """
    folder = Path(str(resources.files("repro_track") / "weights" / name))
    if not (folder / "model_index.json").is_file():
        raise UsageError(f"there is no builtin model {name!r}", expected="digits")
    return str(folder)
