"""One call of a pipeline, ready to be made: all images together or each alone, once or again.

It keeps nothing and records nothing: `tracking.py` does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from repro_track import inputs, outputs, pipeline, seeding
from repro_track.record import Batch


@dataclass(frozen=True)
class Call:
    """A pipeline, what it is given, and the generators that it draws from.

    `arguments` are the caller's, `bound` all of the signature. `plain` is `bound` as JSON, as it was before the pipeline could
    write into it.
    """

    index: int
    pipe: Any
    arguments: Mapping[str, Any]
    bound: Mapping[str, Any]
    plain: Mapping[str, Any]
    watch: seeding.GeneratorWatch
    batch: Batch

    def make(self, *, image: int | None = None) -> Any:
        """Call the pipeline.

        Args:
            image: where images are independent of each other, the only one to make; the others are null in the result.
        """
        number = pipeline.count_images(self.bound)
        if self.batch == "together" or number == 1:
            return self._call(self.arguments, self.watch.generators)
        results: list[Any] = [None] * number
        for index in range(number) if image is None else [image]:
            alone = pipeline.split_arguments(self.arguments, bound=self.bound, index=index)
            several = len(self.watch.generators) == number
            results[index] = self._call(
                alone, self.watch.generators[index : index + 1] if several else self.watch.generators
            )
        return outputs.join_results(results)

    def _call(self, arguments: Mapping[str, Any], generators: list[Any]) -> Any:
        named = {"generator": generators if len(generators) > 1 else generators[0]} if generators else {}
        return self.pipe(**{**arguments, **named})

    def list_outputs(self, result: Any) -> Iterator[outputs.RawOutput]:
        """List the outputs of a result; those of the second and later calls have the call in their names."""
        prefix = f"{seeding.name_call(self.index)}." if self.index else ""
        for raw in outputs.list_outputs(result, latent=self.bound.get("output_type") == "latent"):
            yield dataclasses.replace(raw, name=f"{prefix}{raw.name}")

    def find_rates(self) -> outputs.Rates:
        """Find how many samples a second the sound has that is made, and frames the videos; null: nothing says so."""
        given = next((self.bound[name] for name in ("frame_rate", "fps") if self.bound.get(name)), None)
        frames = float(given) if isinstance(given, (int, float)) else None
        return outputs.Rates(pipeline.find_sampling_rate(self.pipe), frames)


def make_call(
    pipe: Any, arguments: Mapping[str, Any], *, index: int, watch: seeding.GeneratorWatch, batch: Batch
) -> Call:
    """Make a call of arguments whose files are loaded."""
    bound = pipeline.bind_arguments(pipe, arguments)
    plain = {name: inputs.to_plain(value) for name, value in bound.items() if name != "generator"}
    return Call(index, pipe, arguments, bound, plain, watch, batch)
