"""One image of a batch as a run of its own: the record that it would have had, made alone from its own seed.

Pure: it reads a record, and never says that the image comes out bit for bit as it did among the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from repro_track.config.plain import decode_config, encode_config
from repro_track.errors import UsageError
from repro_track.pipelines.arguments import count_images, count_prompts, split_arguments
from repro_track.record.choice import Focus
from repro_track.record.names import find_image
from repro_track.record.schema import Generator, Input, PipelineCall, RunRecord
from repro_track.record.seeds import list_call_generators


def has_several_images(record: RunRecord) -> bool:
    """Whether a run made more than one image a call, so that one has to be named."""
    return len({find_image(output.name) for output in record.outputs} - {None}) > 1


def make_alone(record: RunRecord, *, image: int) -> RunRecord:
    """Make the record of a run that makes one image of another one's batch alone: with its seed, its prompt, its
    inputs, and without what was said of the whole batch.

    Raises:
        UsageError: its code is not the present program's; the images came from one generator, so that this one has no
            seed of its own; or an argument is a batch that cannot be taken apart.
    """
    if not has_several_images(record):
        return record
    if not record.command.is_config:
        raise UsageError(
            f"the run is a {record.command.kind}, whose own code decides how many images it makes",
            expected="--image with --set for a run of repro-track run",
            advice="give the seed of the image to the code (repro-track show says it)",
        )
    narrowed = Focus(image=image).narrow(record)
    generators = tuple(_choose_own(narrowed, call, image=image) for call in record.calls)
    resolved = decode_config(record.config.resolved)
    resolved |= {"num_images": 1, "seeds": None, "seed": generators[0].initial_seed if generators else None}
    for call in record.calls:
        place = resolved["stages"][call.stage] if call.stage else resolved
        place["call"] = _split(place.get("call", {}), call=call, image=image)
    outputs = tuple(one.model_copy(update={"name": rename_output(one.name)}) for one in narrowed.outputs)
    seeds = record.seeds.model_copy(
        update={
            "root": generators[0].initial_seed,
            "origin": "given",
            "images": (generators[-1].initial_seed,),
            "generators": generators,
            # they are seeded by the root seed, which is the image's own now; nothing was drawn from them
            "global_generators": () if record.seeds.closed else record.seeds.global_generators,
        }
    )
    changes = {
        "config": record.config.model_copy(update={"resolved": encode_config(resolved)}),
        "seeds": seeds,
        "calls": tuple(_make_call(one, image=image) for one in narrowed.calls),
        "outputs": outputs,
    }
    return record.model_copy(update=changes)


def rename_output(name: str) -> str:
    """Name an output of one image of a batch as that of an image made alone.

    >>> rename_output("images.4"), rename_output("call1.images.4")
    ('images.0', 'call1.images.0')
    """
    return re.sub(r"\.\d+(?=\.|$)", ".0", name, count=1)


def say_alone(record: RunRecord, *, image: int) -> str:
    """Say what an image made alone shares with the one in the batch."""
    alone = make_alone(record, image=image)
    said = f"image {image} alone, from its seed {alone.seeds.root}: it begins with the noise that it had in the batch"
    if all(call.batch == "independent" for call in record.calls):
        return said
    return f"{said}, and would not come out bit for bit the same even unchanged: arithmetic depends on the batch's size"


def _choose_own(record: RunRecord, call: PipelineCall, *, image: int) -> Generator:
    """Choose the generator of one image of a call, named as that of an image made alone.

    Raises:
        UsageError: it has none of its own.
    """
    generators = list_call_generators(record.seeds.generators, f"call{call.index}")
    if len(generators) < 2 or image >= len(generators):
        what = "no generator" if not generators else "one generator for all its images"
        raise UsageError(
            f"image {image} has no seed of its own: {call.class_name} was given {what}",
            expected="a run whose images have a generator each",
            advice="repro-track run with batch=independent makes each image from its own seed",
        )
    return generators[image].model_copy(update={"name": f"call{call.index}.generator0"})


def _split(given: Mapping[str, Any], *, call: PipelineCall, image: int) -> dict[str, Any]:
    """Return those of a call's arguments that make one of its images.

    A list of numbers is a size or the like, and stays; but for the first argument, which says what is made.

    Raises:
        UsageError: an argument is a batch in one piece.
    """
    bound = call.arguments
    whole = next((one for one in call.inputs if _is_batch(one, call=call)), None)
    if whole is not None:
        raise UsageError(
            f"the argument {whole.name} of {call.class_name} is a batch of {whole.shape[0]} in one piece",
            expected="a list, from which the part of one image can be taken",
            advice="give its part in a run of its own",
        )
    split = split_arguments(given, bound=bound, index=image)
    first = next(iter(bound), "")
    return {name: value if name != first and _is_numbers(value) else split[name] for name, value in given.items()}


def _is_batch(one: Input, *, call: PipelineCall) -> bool:
    """Whether an input is an array with a row for each image or prompt of its call."""
    rows = {count_images(call.arguments), count_prompts(call.arguments)} - {1}
    is_whole = one.mode is None and "." not in one.name and len(one.shape) not in (0, 3)
    return is_whole and one.shape[0] in rows


def _is_numbers(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(one, (bool, int, float)) for one in value)


def _make_call(call: PipelineCall, *, image: int) -> PipelineCall:
    """Return the part of a call that is of one image, with the inputs of that image."""
    arguments = _split(call.arguments, call=call, image=image)
    inputs = []
    for one in call.inputs:
        name, _, rest = one.name.partition(".")
        was, now = call.arguments.get(name), arguments.get(name)
        if isinstance(was, list) and isinstance(now, list) and len(now) < len(was):
            row, _, inside = rest.partition(".")
            rows = count_images(call.arguments)
            wanted = image if len(was) == rows else image * len(was) // rows
            if row != str(wanted):
                continue
            one = one.model_copy(update={"name": f"{name}.0" + (f".{inside}" if inside else "")})
        inputs.append(one)
    return call.model_copy(update={"arguments": arguments, "inputs": tuple(inputs)})
