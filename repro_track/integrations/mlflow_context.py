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
        if run is None:
            return {}
        from repro_track.store.tags import make_inside_tags  # whoever tracks has loaded it

        return make_inside_tags(record_id=run.record_id, seed=run.seed)


def _find_run() -> Any:
    tracking = sys.modules.get("repro_track.tracking.open_runs")
    return tracking.get_current_run() if tracking is not None else None
