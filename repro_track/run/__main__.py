"""The child of a replay: `python -m repro_track.run CONFIG.json` runs a resolved config from a file.

It never composes a config, and prints no run id.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from repro_track.config.plain import decode_config, encode_config
from repro_track.config.references import put_references
from repro_track.config.schema import RunConfig
from repro_track.config.typed import make_typed
from repro_track.errors import ExitCode, ReproTrackError
from repro_track.run.from_config import run_config


def main(words: Sequence[str]) -> int:
    """Run a resolved config from a file, and return the exit code: `python -m repro_track.run CONFIG.json`."""
    try:
        config, references = load_config(Path(words[0]))
        run_config(config, references=references)
    except ReproTrackError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return ExitCode.SUCCESS


def load_config(path: Path) -> tuple[RunConfig, dict[str, str]]:
    """Load a resolved config as a replay writes it: every text in it is the text that was recorded. What was withheld
    comes from the environment variables that are named for it.

    Returns:
        the config, and the names of those variables by the places of what is in them.

    Raises:
        UsageError: a key that a config does not have, or a value of another type.
    """
    left = json.loads(path.read_bytes())
    values = {place: encode_config(os.environ.get(name)) for place, name in left["references"].items()}
    config = put_references(left["config"], {place: value for place, value in values.items() if value is not None})
    return make_typed(RunConfig, decode_config(config)), left["references"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
