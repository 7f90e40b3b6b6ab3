"""Names in a run's folder and in a record: artifacts, calls, states of generators.

It names things, and never looks whether they are there.
"""

from __future__ import annotations

import re

RECORD_NAME = "record.json"
CONFIG_NAME = "config.yaml"
CHILD_CONFIG_NAME = "config.json"
"""The config in the folder between a replay and its child."""
OUTPUT_TENSORS_NAME = "outputs/outputs.safetensors"
LATENTS_NAME = "outputs/latents.safetensors"
STATES_NAME = "inputs/generator_states.safetensors"
SOURCE_FOLDER = "source"
BUNDLE_FILE = "repository.bundle"
OUTSIDE_NAME = "source/outside.tar.gz"
OUTSIDE_FOLDER = "outside"
NOTEBOOK_NAME = "source/notebook.ipynb"
OLD_NOTEBOOK_NAME = "source/notebook.py"
"""The cells of a notebook as one Python file, as up to schema 3."""
REPORT_NAME = "report.html"
PREVIEW_NAME = "preview.png"
SIDE_BY_SIDE_NAME = "side_by_side.png"
SHEET_NAME = "contact_sheet.png"
MANIFEST_NAME = "SHA256SUMS"
SWEEP_NAME = "sweep.json"


def name_inside(number: int) -> str:
    """Name the folder below `source/` that holds what is kept of a repository inside; 0: the outer one, which has none
    of its own.

    >>> name_inside(0), name_inside(2)
    ('', 'inside/2')
    """
    return f"inside/{number}" if number else ""


def name_call(index: int) -> str:
    """Name a call, as its generators' names begin in a record."""
    return f"call{index}"


def name_global(call: int, generator: str) -> str:
    """Name the state of a global generator when a call began.

    >>> name_global(0, "torch")
    'call0.global.torch'
    """
    return f"{name_call(call)}.global.{generator}"


def name_call_draw(index: int) -> str:
    """Name a call as the place of a draw whose line is not known.

    >>> name_call_draw(0)
    'call 0'
    """
    return f"call {index}"


INPUTS = " inputs"
"""Ends the name of a column that has a module's inputs and not its output."""


def find_output_call(name: str) -> str:
    """Return the name of the call that an output is from: the names of later calls' outputs begin with the call.

    >>> find_output_call("images.0"), find_output_call("call1.images.0")
    ('call0', 'call1')
    """
    first = name.partition(".")[0]
    return first if re.fullmatch(r"call\d+", first) else name_call(0)


def find_image(name: str) -> int | None:
    """Return the number of the image of its call that an output is or belongs to; `None`: it has no number.

    >>> find_image("images.2"), find_image("call1.frames.0"), find_image("latents")
    (2, 0, None)
    """
    numbers = [part for part in name.split(".")[1:] if part.isdigit()]
    return int(numbers[0]) if numbers else None
