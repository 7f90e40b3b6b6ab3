"""What this process was told that is a secret by its name: environment variables and options of its command line.

It only reads. While a run is open, these texts are withheld wherever they stand, not only behind their names.
"""

from __future__ import annotations

import os
import re
import sys

from repro_track.record.redaction import list_secret_words
from repro_track.record.secret_names import is_secret


def read_known_secrets() -> tuple[str, ...]:
    """Read the secrets in the environment and on the command line that can be told from ordinary words."""
    named = [value for name, value in os.environ.items() if is_secret(name, value)]
    return tuple(dict.fromkeys(value for value in [*named, *list_secret_words(sys.argv[1:])] if is_telling(value)))


def is_telling(value: str) -> bool:
    """Whether a text is so much of its own that it means the secret wherever it stands: `password` is a word.

    >>> is_telling("password"), is_telling("hunter2-hunter2"), is_telling("/run/secrets/1")
    (False, True, False)
    """
    if len(value) < 8 or value.startswith(("/", "~", "http://", "https://")):
        return False
    return re.search(r"\d", value) is not None or (len(value) >= 12 and re.search(r"[^A-Za-z ]", value) is not None)
