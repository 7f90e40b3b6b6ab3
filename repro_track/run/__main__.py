"""The child of a replay: `python -m repro_track.run CONFIG.yaml` runs a resolved config from a file.

It never composes a config, and prints no run id.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from repro_track.config.references import list_references
from repro_track.config.schema import RunConfig
from repro_track.errors import ExitCode, ReproTrackError
from repro_track.run.from_config import run_config


def main(words: Sequence[str]) -> int:
    """Run a resolved config from a file, and return the exit code: `python -m repro_track.run CONFIG.yaml`."""
    from omegaconf import OmegaConf

    try:
        merged = OmegaConf.merge(OmegaConf.structured(RunConfig), OmegaConf.load(Path(words[0])))
        run_config(cast(RunConfig, OmegaConf.to_object(merged)), references=list_references(merged))
    except ReproTrackError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return ExitCode.SUCCESS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
