"""The first step and module at which two runs part.

It never names a later one than the first that was recorded.
"""

from __future__ import annotations

from dataclasses import dataclass

from repro_track.record.schema import PipelineCall


@dataclass(frozen=True)
class Divergence:
    """Where two runs part: the pipeline call, the step (`None`: before the first), the first module that differs."""

    call: int
    step: int | None
    module: str | None
    text: str


def find_divergence(expected: tuple[PipelineCall, ...], actual: tuple[PipelineCall, ...]) -> Divergence | None:
    """Find the first step, and in it the first module, whose digest differs. `None`: every recorded digest agrees."""
    for left, right in zip(expected, actual, strict=False):
        prefix = f"call {left.index}: " if len(expected) > 1 else ""
        if (
            isinstance(left.trace.noise, str)
            and isinstance(right.trace.noise, str)
            and left.trace.noise != right.trace.noise
        ):
            return Divergence(left.index, None, None, f"{prefix}the initial noise differs")
        for one, other in zip(left.trace.steps, right.trace.steps, strict=False):
            module = _find_module(left.trace.modules, one.modules, right.trace.modules, other.modules)
            if one.latents != other.latents or module:
                place = f" in {module}" if module else " in the scheduler or outside the watched modules"
                text = f"{prefix}step {one.index} (timestep {one.timestep:g}): first difference{place}"
                return Divergence(left.index, one.index, module, text)
        if len(left.trace.steps) != len(right.trace.steps):
            number = min(len(left.trace.steps), len(right.trace.steps))
            text = f"{prefix}{len(right.trace.steps)} steps instead of {len(left.trace.steps)}"
            return Divergence(left.index, number, None, text)
        module = _find_module(left.trace.modules, left.trace.after_last, right.trace.modules, right.trace.after_last)
        if module:
            text = f"{prefix}after the last step: first difference in {module}"
            return Divergence(left.index, len(left.trace.steps), module, text)
    if len(expected) != len(actual):
        number = min(len(expected), len(actual))
        return Divergence(number, None, None, f"{len(actual)} pipeline calls instead of {len(expected)}")
    return None


def _find_module(
    left_names: tuple[str, ...],
    left_row: tuple[str | None, ...],
    right_names: tuple[str, ...],
    right_row: tuple[str | None, ...],
) -> str | None:
    right = dict(zip(right_names, right_row, strict=False))
    for name, digest in zip(left_names, left_row, strict=False):
        if name in right and right[name] != digest:
            return name
    return None
