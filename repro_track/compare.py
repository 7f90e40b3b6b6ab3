"""Two records to differences, first divergence, causes and verdict. Pure functions: nothing is read, nothing is run.

It never decides what is good enough (the person's `--require` does), and never sums up distances in a way in which
opposite errors could cancel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from repro_track.fingerprint import Distance, HostTensor, measure_distance, measure_pictures, to_pixels
from repro_track.record import Environment, Output, PipelineCall, RunRecord, Source, Unavailable

VERDICTS = ("bit-exact", "pixel-exact", "within-tolerance", "diverged", "not-comparable")
"""Best first."""


def is_good_enough(verdict: str, *, required: str) -> bool:
    """Whether a verdict is at the required level or better.

    >>> is_good_enough("bit-exact", required="pixel-exact"), is_good_enough("diverged", required="bit-exact")
    (True, False)
    """
    return VERDICTS.index(verdict) <= VERDICTS.index(required)


@dataclass(frozen=True)
class Tolerance:
    """A tolerance profile: `|actual - expected| <= atol + rtol * |expected|`, by dtype of the expected tensor.

    `decoded_atol` stands for `atol` behind a decoder, which amplifies; the latents have to be within `atol` then.
    """

    name: str
    rtol: Mapping[str, float]
    atol: Mapping[str, float]
    decoded_atol: Mapping[str, float] = field(default_factory=dict)

    def accepts(self, expected: np.ndarray, actual: np.ndarray, *, dtype: str, decoded: bool = False) -> bool:
        """Whether every element is within the profile. No figure for the dtype: only equal elements are."""
        atol = {**self.atol, **self.decoded_atol} if decoded else self.atol
        return bool(
            np.allclose(
                actual.astype(np.float64),
                expected.astype(np.float64),
                rtol=self.rtol.get(dtype, 0.0),
                atol=atol.get(dtype, 0.0),
            )
        )


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


@dataclass(frozen=True)
class Difference:
    """One value that is not as it was. `power` ranks how likely it is to change bits: 0 is the most likely."""

    place: str
    expected: Any
    actual: Any
    kind: str
    power: int


@dataclass(frozen=True)
class Divergence:
    """Where two runs part: the pipeline call, the step (null: before the first), the first module that differs."""

    call: int
    step: int | None
    module: str | None
    text: str


@dataclass(frozen=True)
class Comparison:
    """The verdict on a replay, and why. `differences` are ordered, most likely causes first; `latents` are those of each
    call that differ."""

    verdict: str
    outputs: tuple[OutputComparison, ...]
    divergence: Divergence | None
    differences: tuple[Difference, ...]
    latents: tuple[OutputComparison, ...] = ()


@dataclass(frozen=True)
class Focus:
    """What of a run is looked at: one call, image K of every call; null: all."""

    call: int | None = None
    image: int | None = None

    def __str__(self) -> str:
        words = [
            f"call {self.call}" if self.call is not None else "",
            f"image {self.image}" if self.image is not None else "",
        ]
        return ", ".join(filter(None, words))

    def render_options(self) -> str:
        """Render it as options of `repro-track replay`.

        >>> Focus(call=1, image=0).render_options()
        ' --stage 1 --image 0'
        """
        given = (("stage", self.call), ("image", self.image))
        return "".join(f" --{name} {value}" for name, value in given if value is not None)

    def narrow(self, record: RunRecord) -> RunRecord:
        """Give a record with nothing but what is looked at. The trace of a whole batch says nothing of one image."""
        calls, outputs, generators = record.calls, record.outputs, record.seeds.generators
        if self.call is not None:
            calls = tuple(call for call in calls if call.index == self.call)
            outputs = tuple(output for output in outputs if _find_call(output.name) == f"call{self.call}")
            generators = tuple(one for one in generators if one.name.startswith(f"call{self.call}."))
        if self.image is not None:
            outputs = tuple(output for output in outputs if find_image(output.name) == self.image)
            bare = {"steps": (), "after_last": (), "noise": Unavailable(unavailable="one image is looked at")}
            calls = tuple(call.model_copy(update={"trace": call.trace.model_copy(update=bare)}) for call in calls)
        seeds = record.seeds.model_copy(update={"generators": generators})
        return record.model_copy(update={"calls": calls, "outputs": outputs, "seeds": seeds})


def find_image(name: str) -> int | None:
    """Say which image of its call an output is or belongs to; null: it has no number.

    >>> find_image("images.2"), find_image("call1.frames.0"), find_image("latents")
    (2, 0, None)
    """
    numbers = [part for part in name.split(".")[1:] if part.isdigit()]
    return int(numbers[0]) if numbers else None


def compare_runs(
    expected: RunRecord,
    actual: RunRecord,
    *,
    expected_exact: Exact,
    actual_exact: Exact,
    tolerance: Tolerance,
) -> Comparison:
    """Compare a run with what was recorded.

    Args:
        expected: the logged record.
        actual: the record of the replay.
        expected_exact: the exact tensors; needed only where digests differ.
        actual_exact: likewise.
        tolerance: the profile for `within-tolerance`.
    """
    latents = compare_latents(expected_exact, actual_exact, tolerance=tolerance)
    outputs = compare_outputs(
        expected.outputs,
        actual.outputs,
        expected_tensors=expected_exact.outputs,
        actual_tensors=actual_exact.outputs,
        tolerance=tolerance,
        # the name of a call whose pictures come out of a decoder: whether its latents are within the profile
        decoded={
            f"call{call.index}": all(
                one.verdict == "within-tolerance" for one in latents if one.name == f"call{call.index}"
            )
            for call in expected.calls
            if has_decoder(call)
        },
    )
    worst = max((VERDICTS.index(output.verdict) for output in outputs), default=VERDICTS.index("not-comparable"))
    return Comparison(
        verdict=VERDICTS[worst],
        outputs=outputs,
        divergence=find_divergence(expected.calls, actual.calls),
        differences=list_differences(expected, actual),
        latents=latents,
    )


# --- outputs ------------------------------------------------------------------------------------------------------


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
                    latents_within=(decoded or {}).get(_find_call(name)),
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


def _find_call(name: str) -> str:
    """Name the call that an output is from: outputs of later calls begin with theirs."""
    first = name.partition(".")[0]
    return first if re.fullmatch(r"call\d+", first) else "call0"


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
    notes = []
    # what a person sees or hears: files of one content can differ, by the encoder
    same_pixels = expected.decoded_sha256 is not None and expected.decoded_sha256 == actual.decoded_sha256
    if same_pixels and expected.file_sha256 != actual.file_sha256:
        notes.append(f"same {'samples' if expected.kind == 'audio' else 'pixels'}, other file bytes")
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
        if expected.kind == "image":
            similarity, share = measure_pictures(make_pixels(left), make_pixels(right))
            distance = replace(distance, ssim=similarity, share_of_pixels=share)
        decoded = latents_within is not None
        within = tolerance.accepts(left, right, dtype=expected.dtype, decoded=decoded) and latents_within is not False
        if latents_within is False:
            notes.append("the latents are further apart than the tolerance profile allows")
    elif expected.kind != "file":
        notes.append("the exact tensors are not at hand: no distance")
    # NaN has no pixel: the one that stands for it may be there by chance
    if same_pixels and actual.nonfinite == expected.nonfinite:
        return OutputComparison(expected.name, "pixel-exact", tuple(notes), distance)
    return OutputComparison(expected.name, "within-tolerance" if within else "diverged", tuple(notes), distance)


# --- where they part ----------------------------------------------------------------------------------------------


def find_divergence(expected: tuple[PipelineCall, ...], actual: tuple[PipelineCall, ...]) -> Divergence | None:
    """Find the first step, and in it the first module, whose digest differs. Null: every recorded digest agrees."""
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


# --- what differs -------------------------------------------------------------------------------------------------

# The first pattern that matches a place decides. No kind: an effect or an address, which explains nothing.
_POWER: tuple[tuple[str, str | None], ...] = (
    (r"schema_version|record_id|status|error|name|created_at|replay_of|cost\..*|outputs\..*|replayable\..*", None),
    (r"calls\.\d+\.trace\..*|seeds\..*state_after.*|seeds\.closed|seeds\..*\.(moved|drawn_at.*)|seeds\..*made_by", None),
    (r"calls\.\d+\.(name_or_path|index|stage)|calls\.\d+\.inputs\..*\.(file|origin)|.*\.location|command\..*|source\.(repository|branch|remote|bundle|dirty).*", None),
    (r"environment\.(machine\.(host|user|release)|interpreter\.executable|container.*|torch\.parallel_info|variables\.PYTHONPATH)", None),
    (r"config\.resolved\.(store|tolerance|name|log|sweep|embed|picture_format)(\..*)?|config\.resolved\.determinism\.name|config\.overrides.*", None),
    (r"seeds\.(root|images.*|.*initial_seed|.*state_before|.*device)|config\.resolved\.(seeds?|num_images|generator)", "seed"),
    (r"calls\.\d+\.components\.\w+\.(weights\..*|memory_xxh3|commit)|calls\.\d+\.(commit|adapter_files\..*sha256)", "weights"),
    (r"calls\.\d+\.(arguments|inputs)\..*|calls\.\d+\.batch|config\.resolved\.(call\..*|batch)", "call"),
    (r"calls\.\d+\.components\..*|calls\.\d+\.class_name|config\.resolved\.(pipeline|scheduler|adapters|switches|stages|dtype|device)\b.*", "pipeline"),
    (r"numerics\..*|environment\.variables\..*|config\.resolved\.determinism.*", "numerics"),
    (r"environment\.(torch.*|gpu_driver.*|machine\.(cpu_model|cpu_isa|architecture|cpu_count).*)", "machine"),
    (r"environment\.packages\.(torch|diffusers|transformers|numpy|accelerate|safetensors|tokenizers|nvidia-.*|triton)\..*", "libraries"),
    (r"config\..*", "config"),
    (r"source\..*", "source"),
    (r"environment\..*|program\..*", "other"),
)  # fmt: skip
_KINDS = tuple(dict.fromkeys(kind for _, kind in _POWER if kind))
_LISTED_BY_NAME = {
    "adapter_files", "adapters", "components", "generators", "global_generators", "inputs", "packages", "submodules", "weights",
}  # fmt: skip


def list_differences(expected: RunRecord, actual: RunRecord) -> tuple[Difference, ...]:
    """List what differs between two records that could have changed the result, the most likely causes first."""
    return _list_differences(expected.model_dump(mode="json"), actual.model_dump(mode="json"))


def list_environment_differences(expected: Environment, actual: Environment) -> tuple[Difference, ...]:
    """List what differs between the recorded environment and this one, torch's own answers (which need torch) aside."""
    left, right = expected.model_dump(mode="json"), actual.model_dump(mode="json")
    return _list_differences(
        {"environment": {**left, "torch": None}},
        {"environment": {**right, "torch": None}},
    )


def list_source_differences(expected: Source, actual: Source) -> tuple[Difference, ...]:
    """List what differs between the recorded source and the present one."""
    return _list_differences({"source": expected.model_dump(mode="json")}, {"source": actual.model_dump(mode="json")})


def make_difference(place: str, expected: Any, actual: Any) -> Difference:
    """Make a difference at a place of the record, with the kind and power that such a place has."""
    kind = _find_kind(place) or "other"
    return Difference(place, expected, actual, kind, _KINDS.index(kind))


_DOOMED = {"seed", "weights", "call", "pipeline"}
_SHAKY = {"numerics", "machine", "libraries"}
_OPEN = {"config", "source"}


def expect_verdict(staying: Sequence[Difference]) -> tuple[str, tuple[str, ...]]:
    """Say the best verdict that can be expected of a replay in which these differences stay, and on which it hangs:
    other code may do the same, other kernels hardly ever do.

    >>> expect_verdict(())
    ('bit-exact', ())
    """
    for kinds, verdict in ((_DOOMED, "diverged"), (_SHAKY, "within-tolerance"), (_OPEN, "bit-exact")):
        blamed = tuple(difference.place for difference in staying if difference.kind in kinds)
        if blamed:
            return verdict, blamed
    return "bit-exact", ()


def _list_differences(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> tuple[Difference, ...]:
    left, right = dict(_flatten(expected)), dict(_flatten(actual))
    found = []
    for place in dict.fromkeys([*left, *right]):
        if _find_kind(place) is not None and left.get(place) != right.get(place):
            found.append(make_difference(place, left.get(place), right.get(place)))
    return tuple(sorted(found, key=lambda difference: difference.power))


def _find_kind(place: str) -> str | None:
    return next((kind for pattern, kind in _POWER if re.fullmatch(pattern, place)), "other")


def _flatten(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and set(value) != {"unavailable"}:
        for key, item in value.items():
            yield from _flatten(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, (list, tuple)):
        field = place.rpartition(".")[2]
        for index, item in enumerate(value):
            label = (
                item.get("name") or item.get("path")
                if field in _LISTED_BY_NAME and isinstance(item, Mapping)
                else index
            )
            yield from _flatten(item, f"{place}.{label}")
    else:
        yield place, value
