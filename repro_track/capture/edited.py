"""Installed code that was edited where it lies: a record names the package's version, and the edit is in none.

Only modules that are loaded, and whose package has their name, are looked at: by their time first, by their content
where that is later than the installation's. It never keeps or repairs anything.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from pathlib import Path

_SITE = "/site-packages/"
_MOST = 200
"""Where more files are later than their installation, an environment was copied."""


def list_edited_files() -> list[str]:
    """List the loaded files of installed packages whose content is not the installed one, by their path in the
    environment: `diffusers/schedulers/scheduling_ddim.py`."""
    later: dict[Path, list[str]] = {}
    listings: dict[str, dict[str, Path]] = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or _SITE not in file:
            continue
        site, _, name = file.rpartition(_SITE)
        if site not in listings:
            listings[site] = _list_listings(Path(site + _SITE))
        listing = listings[site].get(name.partition("/")[0].removesuffix(".py").lower())
        if listing is not None and _is_later(file, listing):
            later.setdefault(listing, []).append(name)
    if sum(map(len, later.values())) > _MOST:
        return []
    return sorted(name for listing, names in later.items() for name in _list_edited(names, listing=listing))


def _list_listings(site: Path) -> dict[str, Path]:
    """List the files that say what was installed, by the name of the package."""
    try:
        folders = [one.name for one in os.scandir(site) if one.name.endswith(".dist-info")]
    except OSError:
        return {}
    return {one.partition("-")[0].lower(): site / one / "RECORD" for one in folders}


def _is_later(file: str, listing: Path) -> bool:
    try:
        return Path(file).stat().st_mtime > listing.stat().st_mtime + 1
    except OSError:
        return False


def _list_edited(names: list[str], *, listing: Path) -> list[str]:
    """List the files that have another digest than their package's list says; where that says none, nobody knows."""
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [name for name in names if _is_edited(name, site=listing.parent.parent, lines=lines)]


def _is_edited(name: str, *, site: Path, lines: list[str]) -> bool:
    try:
        content = (site / name).read_bytes()
    except OSError:
        return False
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    known = next((line for line in lines if line.startswith(f"{name},sha256=")), None)
    return known is not None and not known.startswith(f"{name},sha256={digest},")
