"""Two runs' outputs compared: by digest, and by value where those differ.

It never sums up distances in a way in which opposite errors could cancel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from repro_track.compare.verdict import Tolerance
from repro_track.media.kinds import get_kind
from repro_track.record.names import find_output_call
from repro_track.record.schema import Output, PipelineCall
from repro_track.tensors.distance import Distance, measure_distance, measure_pictures
from repro_track.tensors.host import HostTensor, to_pixels


@dataclass(frozen=True)
class Exact:
    """The exact tensors of a run, needed only where digests differ: its outputs by name, its latents by `call0`."""

    outputs: Mapping[str, HostTensor] = field(default_factory=dict)
    latents: Mapping[str, HostTensor] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputComparison:
    """One output, the lowest level at which it agrees, and in words what does not."""

    name: str
    verdict: str
    notes: tuple[str, ...] = ()
    distance: Distance | None = None


def has_decoder(call: PipelineCall) -> bool:
    """Whether a call's pipeline decodes its latents into pictures."""
    return any(re.search(r"Autoencoder|VQModel|VAE", part.class_name) for part in call.components)


def compare_latents(expected: Exact, actual: Exact, *, tolerance: Tolerance) -> tuple[OutputComparison, ...]:
    """Compare what the last step of each call gave; those that are equal, or not on both sides, are left out."""
    compared = []
    for name in expected.latents.keys() & actual.latents.keys():
        left, right = expected.latents[name], actual.latents[name]
        if (left.dtype, left.shape) != (right.dtype, right.shape):
            compared.append(OutputComparison(name, "not-comparable"))
        elif left.data != right.data:
            values = left.to_numpy(), right.to_numpy()
            within = tolerance.accepts(*values, dtype=left.dtype)
            verdict = "within-tolerance" if within else "diverged"
            compared.append(OutputComparison(name, verdict, distance=measure_distance(*values)))
    return tuple(sorted(compared, key=lambda one: one.name))


def compare_outputs(
    expected: tuple[Output, ...],
    actual: tuple[Output, ...],
    *,
    expected_tensors: Mapping[str, HostTensor],
    actual_tensors: Mapping[str, HostTensor],
    tolerance: Tolerance,
    decoded: Mapping[str, bool] | None = None,
) -> tuple[OutputComparison, ...]:
    """Compare outputs by name. Extra, missing, swapped and empty outputs are differences.

    With no output on either side the result is empty: nothing was compared, and nothing is proven.

    Args:
        expected: the recorded outputs.
        actual: those of the replay.
        expected_tensors: the exact ones by name.
        actual_tensors: likewise.
        tolerance: the profile for `within-tolerance`.
        decoded: for each call (`call0`) with a decoder, whether its latents are within the profile.
    """
    expected_by_name = {output.name: output for output in expected}
    actual_by_name = {output.name: output for output in actual}
    compared = []
    for name in dict.fromkeys([*expected_by_name, *actual_by_name]):
        left, right = expected_by_name.get(name), actual_by_name.get(name)
        if left is None:
            compared.append(OutputComparison(name, "not-comparable", ("extra: the recorded run has no such output",)))
        elif right is None:
            compared.append(OutputComparison(name, "not-comparable", ("missing: the replay has no such output",)))
        else:
            compared.append(
                _compare_output(
                    left,
                    right,
                    expected_tensors.get(name),
                    actual_tensors.get(name),
                    tolerance=tolerance,
                    latents_within=(decoded or {}).get(find_output_call(name)),
                    namesakes=[other.name for other in expected if other.sha256 == right.sha256 and other.name != name],
                )
            )
    return tuple(compared)


def make_pixels(values: np.ndarray) -> np.ndarray:
    """Make the 8-bit pixels of a recorded picture, shape (height, width, channels); torch's have the channels first.

    >>> make_pixels(np.zeros((3, 8, 9), dtype="float32")).shape
    (8, 9, 3)
    """
    return to_pixels(values.transpose(1, 2, 0) if has_channels_first(values) else values)


def has_channels_first(values: np.ndarray) -> bool:
    """Whether a recorded picture has its channels first, as torch's have, and not last."""
    channels = (1, 3, 4)
    return values.ndim == 3 and values.shape[0] in channels and values.shape[-1] not in channels


def _compare_output(
    expected: Output,
    actual: Output,
    expected_tensor: HostTensor | None,
    actual_tensor: HostTensor | None,
    *,
    tolerance: Tolerance,
    latents_within: bool | None,
    namesakes: list[str],
) -> OutputComparison:
    kind, notes = get_kind(expected.kind), []
    # what a person sees or hears: files of one content can differ, by the encoder
    same_pixels = expected.decoded_sha256 is not None and expected.decoded_sha256 == actual.decoded_sha256
    if same_pixels and expected.file_sha256 != actual.file_sha256:
        notes.append(f"same {kind.decoded}, other file bytes")
    if expected.sha256 == actual.sha256:
        return OutputComparison(expected.name, "bit-exact", tuple(notes))
    notes += [f"equals the recorded {name}: swapped" for name in namesakes]
    if actual.nonfinite != expected.nonfinite:
        size = int(np.prod(actual.shape))
        notes.append(f"{actual.nonfinite} of {size} values are NaN or infinite (recorded: {expected.nonfinite})")
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        notes.append(f"{actual.dtype}{list(actual.shape)} instead of {expected.dtype}{list(expected.shape)}")
        return OutputComparison(expected.name, "not-comparable", tuple(notes))
    distance, within = None, False
    if expected_tensor is not None and actual_tensor is not None:
        left, right = expected_tensor.to_numpy(), actual_tensor.to_numpy()
        distance = measure_distance(left, right)
        if kind.is_picture:
            similarity, share = measure_pictures(make_pixels(left), make_pixels(right))
            distance = replace(distance, ssim=similarity, share_of_pixels=share)
        decoded = latents_within is not None
        within = tolerance.accepts(left, right, dtype=expected.dtype, decoded=decoded) and latents_within is not False
        if latents_within is False:
            notes.append("the latents are further apart than the tolerance profile allows")
    elif kind.has_tensor:
        notes.append("the exact tensors are not at hand: no distance")
    # NaN has no pixel: the one that stands for it may be there by chance
    if same_pixels and actual.nonfinite == expected.nonfinite:
        return OutputComparison(expected.name, "pixel-exact", tuple(notes), distance)
    return OutputComparison(expected.name, "within-tolerance" if within else "diverged", tuple(notes), distance)
