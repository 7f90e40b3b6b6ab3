"""The generators of a run's calls: one for each image, from the run's seeds; passed on where the calls are stages.

It never draws from one, and leaves those that the caller gives as they are.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from repro_track.capture.hydra import read_hydra_overrides
from repro_track.config.schema import check_seed
from repro_track.determinism.generators import GeneratorWatch, make_generators, make_image_seeds
from repro_track.errors import UsageError
from repro_track.pipelines.arguments import count_images, takes_several_generators
from repro_track.record.names import name_call
from repro_track.record.schema import SeedOrigin
from repro_track.tracking.options import Options
from repro_track.tracking.replayed import Replayed

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Seeding:
    """The seeds of a run, as they are after its last call.

    Attributes:
        root: the root seed.
        origin: whether somebody gave it.
        images: the seed of each image of the last call for which generators were made; before one, of the first image.
        passed_on: the generators that every later stage goes on with; empty where the calls are no stages.
        earlier: the root seeds that blocks before this one drew from entropy, by ordinal.
    """

    root: int
    origin: SeedOrigin
    images: tuple[int, ...]
    passed_on: tuple[torch.Generator, ...] = ()
    earlier: Mapping[str, int] = field(default_factory=dict)


_drawn: dict[tuple[str, ...], dict[str, int]] = {}
"""The root seeds that the blocks of this process drew from entropy: those of each job of a Hydra app by themselves."""


def begin_seeding(options: Options, *, replayed: Replayed, ordinal: int = 0) -> Seeding:
    """Choose the root seed: the one given; the first of an explicit list; a replay's recorded one; else entropy.

    Args:
        options: the run's.
        replayed: what a replay puts back.
        ordinal: which block of the process this is; the run of a config is the only one of its command.

    Raises:
        UsageError: a seed beyond 32 bits, or an empty list of seeds.
    """
    seeds = options.seeds
    root, origin = _choose_root(options.seed, seeds=seeds, replayed=replayed)
    drawn = {} if options.is_config else _drawn.setdefault(tuple(read_hydra_overrides() or ()), {})
    earlier = dict(drawn)
    if origin == "entropy":
        drawn[str(ordinal)] = root
    images = make_image_seeds(root, num_images=len(seeds or ()) or 1, seeds=seeds)
    return Seeding(root, origin, images, earlier=earlier)


def _choose_root(seed: int | None, *, seeds: Sequence[int] | None, replayed: Replayed) -> tuple[int, SeedOrigin]:
    if seed is not None:
        return check_seed(seed), "given"
    if seeds:
        return check_seed(seeds[0], name="seeds[0]"), "given"
    return replayed.choose_root()


def watch_generators(
    pipe: Any, bound: Mapping[str, Any], *, index: int, seeding: Seeding, options: Options, replayed: Replayed
) -> tuple[GeneratorWatch, Seeding]:
    """Take the caller's generators, or make our own; a replay puts back the states of those that no seed explains.

    Args:
        pipe: the pipeline that is going to be called; one that takes no generator gets none.
        bound: the call's arguments, bound to its signature.
        index: which call of the run this is.
        seeding: the run's, as the call before left it.
        options: the run's.
        replayed: what a replay puts back.

    Returns:
        the generators, watched from now on, and the run's seeding after this call.

    Raises:
        UsageError: seeds, or the generators of an earlier stage, and images do not agree.
    """
    given = bound.get("generator")
    if given is None:
        given = _copy_of_state(bound.get("state"))
    if given is not None:
        generators = list(given) if isinstance(given, (list, tuple)) else [given]
    elif "generator" in bound:
        generators, seeding = _make_generators(pipe, bound, seeding=seeding, options=options)
    else:
        generators = []
    replayed.restore_generators(generators, call=index)
    return GeneratorWatch(name_call(index), generators, made_by="repro_track" if given is None else "caller"), seeding


def _copy_of_state(state: Any) -> Any:
    """Copy the generators that the state of a modular pipeline goes on with, as its call would; `None`: it has none."""
    values = getattr(state, "values", None)
    return copy.deepcopy(values.get("generator")) if isinstance(values, Mapping) else None


def _make_generators(
    pipe: Any, bound: Mapping[str, Any], *, seeding: Seeding, options: Options
) -> tuple[list[torch.Generator], Seeding]:
    """Make a generator for each image, or one for all where the pipeline takes no list."""
    number = max(count_images(bound), 1)
    if seeding.passed_on:
        if len(seeding.passed_on) not in (1, number):
            raise UsageError(
                f"this stage makes {number} images, and {len(seeding.passed_on)} generators are passed on to it",
                expected="as many images in each stage",
            )
        return list(seeding.passed_on), seeding
    seeds = options.seeds
    if seeds is not None and number != len(seeds):
        raise UsageError(
            f"the call makes {number} images, and there are {len(seeds)} seeds",
            expected="one seed for each image",
        )
    if number > 1 and options.batch == "together" and not takes_several_generators(pipe):
        if seeds is not None:
            raise UsageError(
                f"there are {number} seeds, and {type(pipe).__name__} takes one generator for all its images",
                expected="one seed",
                advice="batch=independent makes each image alone, from its own seed",
            )
        number = 1
    images = make_image_seeds(seeding.root, num_images=number, seeds=seeds)
    made = make_generators(images, device="cpu" if options.generator == "cpu" else str(pipe.device))
    return made, dataclasses.replace(seeding, images=images, passed_on=tuple(made) if options.stages else ())
