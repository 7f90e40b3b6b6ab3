"""The text of a run's own code: the modules that are loaded and lie in its repository, or beside its script.

It never imports or runs any of it, and leaves out what is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from repro_track.capture.launch import is_installed
from repro_track.record.schema import Command, Source

_MOST_FILES, _LARGEST_BYTES = 400, 400_000


def read_own_code(command: Command, *, source: Source) -> Iterator[tuple[str, str]]:
    """Read the files of a run's own code, the script first; those that cannot be read are left out.

    Args:
        command: what was started.
        source: says which folder the code is in.

    Yields:
        each file's path in that folder, and its text.
    """
    script = Path(command.script) if isinstance(command.script, str) else None
    root = Path(source.repository) if isinstance(source.repository, str) else script.parent if script else None
    if root is None:
        return
    for file in _list_own_files(root, script=None if command.is_notebook else script):
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue
        yield str(file.relative_to(root)), text


def _list_own_files(root: Path, *, script: Path | None) -> list[Path]:
    """List the files of the modules that are loaded now and lie in a folder, the script first."""
    loaded = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    files = dict.fromkeys([*([script] if script else []), *(Path(file) for file in loaded if isinstance(file, str))])
    own = (one for one in files if one.suffix == ".py" and one.is_relative_to(root) and not is_installed(one))
    return [one for one in own if one.is_file() and one.stat().st_size < _LARGEST_BYTES][:_MOST_FILES]
