"""What is only known when a run ends: the cells of its notebook, what it took from around it.

It reads what was noted meanwhile, and runs nothing.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from repro_track.capture.read_files import refer_to_read
from repro_track.capture.standard_input import list_taken_input
from repro_track.capture.variables import list_taken_variables
from repro_track.errors import first_line
from repro_track.record.schema import Command
from repro_track.tracking.kept import Kept
from repro_track.tracking.notebook import finish_notebook
from repro_track.tracking.surroundings import Seen


def finish_command(command: Command, seen: Seen, *, kept: Kept, folder: Path) -> tuple[Command, Seen]:
    """Add what a run of somebody's own program has taken from around it.

    Args:
        command: how the run was started.
        seen: what is around the run now.
        kept: what there is to say is added to it.
        folder: the run's; the cells of a notebook are written into it.

    Returns:
        both, with the cells that were run and the files that were read by now.
    """
    if command.is_config:
        return command, seen
    command, seen = finish_notebook(command, seen, kept=kept, folder=folder)
    if not command.is_notebook:  # which says it of its cells
        kept.unknown.extend(list_taken_input())
    try:
        kept.cautions.extend(list_taken_variables(command, source=seen.source))
        source, reasons = refer_to_read(seen.source, weights=_list_weight_names(kept))
    except Exception as error:  # a file that goes away meanwhile: what is only looked for ends no run
        kept.cautions.append(f"what it has read could not be looked at: {first_line(error)}")
        return command, seen
    kept.unknown.extend(reasons)
    return command, dataclasses.replace(seen, source=source)


def _list_weight_names(kept: Kept) -> set[str]:
    """List the names of the files of weights that the record has, with their digests."""
    files = [weight for call in kept.calls for part in call.components for weight in part.weights]
    files += [weight for call in kept.calls for weight in (*call.adapter_files, *call.other_weights)]
    return {Path(weight.path).name for weight in files}
