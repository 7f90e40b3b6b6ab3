"""What a run takes: seconds by phase, peak memory.

It measures, and never decides what a phase is.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Iterator

from repro_track.record.schema import Cost


class Stopwatch:
    """Seconds by the name of a phase, in the order in which the phases first ended."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter()

    def restart(self) -> None:
        """Begin at zero; phases that were timed already stay."""
        self._began = time.perf_counter()

    def read(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self._began

    @contextlib.contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the seconds that the block takes to a phase, also where it raises."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - began


def measure_cost(watch: Stopwatch) -> Cost:
    """Return the seconds so far, and the peak memory of this process and of torch's part of the GPU."""
    import torch

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    uses_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    return Cost(
        phases_s={name: round(value, 4) for name, value in watch.seconds.items()},
        peak_memory_bytes=peak if sys.platform == "darwin" else peak * 1024,  # Linux counts in KiB
        peak_gpu_memory_bytes=torch.cuda.max_memory_allocated() if uses_gpu else None,
    )
