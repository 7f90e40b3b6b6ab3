"""One call of a pipeline, ready to be made: all images together or each alone, once or again, without a trace.

It keeps nothing and records nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from repro_track.determinism.generators import GeneratorWatch
from repro_track.determinism.noise import drawn_in_float32
from repro_track.media.inputs import to_plain
from repro_track.media.outputs import Rates, RawOutput, join_results, list_outputs
from repro_track.pipelines.arguments import bind_arguments, count_images, is_modular, split_arguments
from repro_track.record.names import name_call
from repro_track.record.schema import Batch, Noise


@dataclass(frozen=True)
class Call:
    """A pipeline, what it is given, and the generators that it draws from.

    `arguments` are the caller's, `bound` all of the signature. `plain` is `bound` as JSON, as it was before the
    pipeline could write into it.
    """

    index: int
    pipe: Any
    arguments: Mapping[str, Any]
    bound: Mapping[str, Any]
    plain: Mapping[str, Any]
    watch: GeneratorWatch
    batch: Batch
    noise: Noise = "pipeline"

    def make(self, *, image: int | None = None) -> Any:
        """Call the pipeline.

        Args:
            image: where images are independent of each other, the only one to make; the others are `None` in the
                result.
        """
        number = count_images(self.bound)
        if self.batch == "together" or number == 1:
            return self._call(self.arguments, self.watch.generators)
        results: list[Any] = [None] * number
        for index in range(number) if image is None else [image]:
            alone = split_arguments(self.arguments, bound=self.bound, index=index)
            several = len(self.watch.generators) == number
            results[index] = self._call(
                alone, self.watch.generators[index : index + 1] if several else self.watch.generators
            )
        return self._join(results)

    def _join(self, results: list[Any]) -> Any:
        """Join the results of single images; of a modular pipeline's states the outputs, in the first state."""
        states = [one for one in results if isinstance(getattr(one, "values", None), Mapping)]
        if not states:
            return join_results(results)
        joined = join_results([None if one is None else name_result(self.pipe, one) for one in results])
        return dataclasses.replace(states[0], values={**states[0].values, **joined})

    def _call(self, arguments: Mapping[str, Any], generators: list[Any]) -> Any:
        named = {"generator": generators if len(generators) > 1 else generators[0]} if generators else {}
        with contextlib.ExitStack() as stack:
            if self.noise == "float32":
                is_double = str(getattr(self.pipe, "dtype", None)) == "torch.float64"
                stack.enter_context(drawn_in_float32(also_double=is_double))
            return self.pipe(**{**arguments, **named})

    def list_outputs(self, result: Any, *, videos: Iterable[str] = ()) -> Iterator[RawOutput]:
        """List the outputs of a result; those of the second and later calls have the call in their names.

        Pictures in nested lists are the frames of videos where an argument of the call speaks of frames.

        Args:
            result: what the call gave.
            videos: names of outputs that are videos in any case.
        """
        prefix = f"{name_call(self.index)}." if self.index else ""
        listed = list_outputs(
            name_result(self.pipe, result, asked=self.bound.get("output")),
            latent=self.bound.get("output_type") == "latent",
            makes_frames=any("frame" in name for name in self.bound),
            videos=[name.removeprefix(prefix) for name in videos],
        )
        for raw in listed:
            yield dataclasses.replace(raw, name=f"{prefix}{raw.name}")

    def find_rates(self) -> Rates:
        """Find how many samples a second the sound has that is made, and frames the videos; `None`: nothing says so."""
        given = next((self.bound[name] for name in ("frame_rate", "fps") if self.bound.get(name)), None)
        frames = float(given) if isinstance(given, (int, float)) else None
        return Rates(find_sampling_rate(self.pipe), frames)


def make_call(
    pipe: Any,
    arguments: Mapping[str, Any],
    *,
    index: int,
    watch: GeneratorWatch,
    batch: Batch,
    noise: Noise = "pipeline",
) -> Call:
    """Make a call of arguments whose files are loaded."""
    bound = bind_arguments(pipe, arguments)
    plain = {name: to_plain(value) for name, value in bound.items() if name != "generator"}
    return Call(index, pipe, arguments, bound, plain, watch, batch, noise)


def name_result(pipe: Any, result: Any, *, asked: Any = None) -> Any:
    """Return what a modular pipeline gave with names, of any other pipeline the result as it is.

    Args:
        pipe: the pipeline.
        result: the whole state of its blocks: of that the outputs that they declare, not all that lies between; or what
            was asked for.
        asked: `output=` of the call; one name gives a value without it.
    """
    if not is_modular(pipe):
        return result
    if isinstance(asked, str):
        return {asked: result}
    values = getattr(result, "values", None)
    if not isinstance(values, Mapping):
        return result
    declared = [one.name for one in pipe.blocks.outputs if one.name in values]
    return {name: values[name] for name in declared or values}


@contextlib.contextmanager
def undisturbed(pipe: Any) -> Iterator[None]:
    """Let a pipeline be called, and the call be broken off, without a trace: fresh schedulers for the time, no progress
    bar, and models that were moved to a device go back."""
    schedulers = {
        name: part for name, part in pipe.components.items() if hasattr(part, "from_config") and hasattr(part, "step")
    }
    bar = getattr(pipe, "_progress_bar_config", {})
    for name, scheduler in schedulers.items():
        setattr(pipe, name, type(scheduler).from_config(scheduler.config))
    has_bar = not is_modular(pipe)  # whose blocks have a bar each
    if has_bar:
        pipe.set_progress_bar_config(disable=True)
    try:
        yield
    finally:
        if hasattr(pipe, "maybe_free_model_hooks"):
            pipe.maybe_free_model_hooks()
        if has_bar:
            pipe.set_progress_bar_config(**bar)
        for name, scheduler in schedulers.items():
            setattr(pipe, name, scheduler)


def find_location(pipe: Any) -> str | None:
    """Find the folder or repository that a pipeline was loaded from; `None`: it was built in Python."""
    found = getattr(pipe, "name_or_path", None) or getattr(getattr(pipe, "config", None), "_name_or_path", None)
    found = found or getattr(pipe, "_pretrained_model_name_or_path", None)  # the last: of modular pipelines
    return str(found) if found else None  # a script may have said it as a path


def find_sampling_rate(pipe: Any) -> int | None:
    """Find how many samples a second of sound has that the pipeline makes, from its components; `None`: they do not
    say.

    A vocoder makes the sound where there is one, and is asked first.
    """
    for _, part in sorted(pipe.components.items(), key=lambda item: item[0] != "vocoder"):
        config = getattr(part, "config", None)
        for name in ("output_sampling_rate", "sampling_rate", "sample_rate"):
            found = getattr(part, name, None) or getattr(config, name, None)
            if isinstance(found, (int, float)) and not isinstance(found, bool) and hasattr(part, "parameters"):
                return int(found)
    return None
