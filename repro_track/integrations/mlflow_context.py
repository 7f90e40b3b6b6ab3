"""An MLflow plugin: a run that is started inside a tracked one says so, by tags.

MLflow loads it in every program that starts a run; it loads nothing itself, and looks only whether something is
tracked.
"""

from __future__ import annotations

import sys
from typing import Any


class ReproTrackContext:
    """MLflow's `RunContextProvider`, by its two methods: its base class would have to be imported."""

    def in_context(self) -> bool:
        """Whether a run is tracked in this process now."""
        return _find_run() is not None

    def tags(self) -> dict[str, str]:
        """Return the tags: the record that the run belongs to, and the seed of it."""
        run = _find_run()
        return {} if run is None else {"repro_track.inside": run.record_id, "repro_track.seed": str(run.seed)}


def _find_run() -> Any:
    tracking = sys.modules.get("repro_track.tracking.run")
    return tracking.get_current_run() if tracking is not None else None
