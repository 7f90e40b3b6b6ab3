"""Where a module is imported from: the one that is loaded, else the one that a search path would give.

It never imports anything, and never runs code of what it finds.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path


def find_loaded_folder(name: str) -> Path | None:
    """Find the folder on the search path from which a loaded top-level module came; `None`: it is not loaded, or has no
    file (built in, a namespace)."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    return _get_folder(file) if isinstance(file, str) else None


def find_import_folder(name: str, *, path: Sequence[str] | None) -> Path | None:
    """Find the folder from which a top-level module would be imported; `None`: it would not, or has no file.

    Args:
        name: of the module.
        path: the search path; `None`: the present one.
    """
    try:
        spec = PathFinder.find_spec(name, path)
    except (ImportError, ValueError, AttributeError):  # a path hook of somebody's that fails
        return None
    if spec is None or not spec.has_location or not spec.origin:
        return None
    return _get_folder(spec.origin)


def _get_folder(file: str) -> Path:
    path = Path(file).absolute()  # `__path__` is not asked: six, a file, says that it is a package
    return (path.parent.parent if path.name.startswith("__init__.") else path.parent).resolve()


_VERSION = re.compile(r"^__version__\s*(?::\s*\w+\s*)?=\s*(?:version\s*=\s*)?['\"]([^'\"]+)['\"]", re.MULTILINE)


def read_module_version(folder: Path, *, name: str) -> str | None:
    """Read the `__version__` that the files of a module give as a literal; `None`: they give none.

    Args:
        folder: on the search path.
        name: of the top-level module.
    """
    places = [f"{name}.py", *(f"{name}/{file}.py" for file in ("__init__", "version", "_version", "__about__"))]
    for place in places:
        try:
            text = (folder / place).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if found := _VERSION.search(text):
            return found[1]
    return None
