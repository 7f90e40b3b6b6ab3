"""Which seed made which output of a run, and where it came from.

Pure: it reads a record of any version, and never draws from a generator or looks at a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from repro_track.record.names import find_image, find_output_call
from repro_track.record.schema import Generator, RunRecord


def choose_generator(name: str, generators: Sequence[Generator]) -> Generator | None:
    """Choose the one of a call's generators that an output was drawn from: the only one, or that of its image; `None`:
    it cannot be told, or there is none."""
    if len(generators) == 1:
        return generators[0]
    number = find_image(name)
    return generators[number] if number is not None and number < len(generators) else None


def list_call_generators(generators: Iterable[Generator], call: str) -> list[Generator]:
    """List those of a run's generators that a call was given."""
    return [one for one in generators if one.name.startswith(f"{call}.")]


def list_image_generators(record: RunRecord) -> dict[str, Generator]:
    """List the generators that the outputs of a run's calls were drawn from, by the outputs' names."""
    is_known = any(output.seed is not None for output in record.outputs)
    calls: dict[str, list[Generator]] = {}
    for one in record.seeds.generators:
        calls.setdefault(one.name.partition(".")[0], []).append(one)
    found = {}
    for output in record.outputs:
        chosen = choose_generator(output.name, calls.get(find_output_call(output.name), []))
        # before schema 4 no output said which seed it had, and the run's own outputs have none
        if chosen is not None and (output.seed if is_known else output.decoded_sha256) is not None:
            found[output.name] = chosen
    return found


def list_image_seeds(record: RunRecord) -> dict[str, int]:
    """List the seeds that outputs were made from, by the outputs' names; those that have none are left out."""
    return {name: one.initial_seed for name, one in list_image_generators(record).items()}


def list_drawn(record: RunRecord) -> list[Generator]:
    """List the generators that the outputs came from, each once; where no output says so, those of the first call."""
    found = {one.name: one for one in list_image_generators(record).values()}
    return [*found.values()] or list_call_generators(record.seeds.generators, "call0")


def find_main_seed(record: RunRecord) -> int:
    """Find the seed by which a person knows a run: that of its first image, whoever made the generator; else the root
    seed."""
    drawn = list_drawn(record)
    return drawn[0].initial_seed if drawn and drawn[0].made_by == "caller" else record.seeds.root


def render_seeds(record: RunRecord) -> str:
    """Render the seeds of a run, and where they came from: `40 to 48 (given)`, `7, advanced (your own generator)`."""
    drawn = list_drawn(record)
    made = [one.initial_seed for one in drawn if one.made_by != "caller"]
    words = [f"{_render_ranges(made)} ({record.seeds.origin})"] if made else []
    for is_advanced in (False, True):
        own = [one.initial_seed for one in drawn if one.made_by == "caller" and (one.advanced is True) == is_advanced]
        if own:
            words.append(f"{_render_ranges(own)}{', advanced' if is_advanced else ''} (your own generator)")
    return "; ".join(words) or f"{record.seeds.root} ({record.seeds.origin})"


def _render_ranges(seeds: Sequence[int]) -> str:
    """Render seeds in their order, each once; three and more that follow each other by the first and the last.

    >>> _render_ranges([1, 2, 3, 7, 9]), _render_ranges([3, 4])
    ('1 to 3, 7, 9', '3, 4')
    """
    runs: list[list[int]] = []
    for seed in dict.fromkeys(seeds):  # several calls begin with the same
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
