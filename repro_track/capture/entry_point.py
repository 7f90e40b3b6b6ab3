"""Starts a console script's function, as the script that pip makes of it does: `NAME=MODULE:FUNCTION WORDS`.

A replay starts installed apps with it, so that the script itself need not be where it was. It never runs anything but
that one function.
"""

from __future__ import annotations

import sys
from importlib import import_module
from operator import attrgetter


def main() -> object:
    """Call the function that the first word names, with the other words as its command line; return what it does."""
    name, _, value = sys.argv[1].partition("=")
    module, _, function = value.partition(":")
    sys.argv = [name, *sys.argv[2:]]
    called: object = attrgetter(function)(import_module(module))()
    return called


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[arg-type]
