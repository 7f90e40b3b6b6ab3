"""What a notebook says of itself when a run in it ends.

It never runs a cell.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from repro_track.capture.notebook import capture_notebook
from repro_track.record.names import NOTEBOOK_NAME
from repro_track.record.schema import Command
from repro_track.tensors.digests import digest_file
from repro_track.tracking.kept import Kept
from repro_track.tracking.surroundings import Seen


def finish_notebook(command: Command, seen: Seen, *, kept: Kept, folder: Path) -> tuple[Command, Seen]:
    """Keep the cells of a notebook again, since a block may go on over several; of anything else nothing.

    Args:
        command: how the run was started.
        seen: what is around the run now; its source has the digest of the cells.
        kept: what the cells have to say is added to it.
        folder: the run's; the cells are written into it.

    Returns:
        both, as they are with the cells that were run by now.
    """
    notebook = capture_notebook() if command.is_notebook else None
    if notebook is None:
        return command, seen
    notebook.write(folder / NOTEBOOK_NAME)
    kept.cautions.extend(notebook.cautions)
    kept.unknown.extend(notebook.reasons)
    source = seen.source.model_copy(update={"script_sha256": digest_file(folder / NOTEBOOK_NAME)})
    return command.model_copy(update={"runs": notebook.commands, "withheld": notebook.withheld}), dataclasses.replace(
        seen, source=source
    )
