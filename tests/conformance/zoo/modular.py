"""The same models, put together of diffusers' modular blocks instead of called as one pipeline."""

from __future__ import annotations

from typing import Any

from tests.conformance.zoo import families, recent, variants  # noqa: F401  whose entries it takes
from tests.conformance.zoo.entry import ZOO, add_entry
from tests.conformance.zoo.parts import SQUARE, TWO_STEPS

VIDEO = {**SQUARE, "num_frames": 9}

CALLS: dict[str, dict[str, Any]] = {
    "sdxl": SQUARE,
    "sd3": SQUARE,
    "flux": {**SQUARE, "max_sequence_length": 16},
    "flux_2": {**SQUARE, "max_sequence_length": 16, "text_encoder_out_layers": [1]},
    "flux_2_klein": {**SQUARE, "max_sequence_length": 16, "text_encoder_out_layers": [1]},
    "qwen_image": {**SQUARE, "max_sequence_length": 16},
    "z_image": {**SQUARE, "max_sequence_length": 16},
    "wan": {**VIDEO, "height": 16, "width": 16},
    "ltx": {**VIDEO, "max_sequence_length": 16},
    "cosmos_3": {"prompt": "a small cat", **TWO_STEPS, "height": 32, "width": 32, "num_frames": 5},
}
"""What each is called with: modular pipelines take other arguments than those that are named alike."""

for _name, _call in CALLS.items():
    add_entry(
        f"modular_{_name}", "modular", ZOO[_name].build, call=_call, files=ZOO[_name].files, is_variant=True,
        class_name="ModularPipeline",
    )  # fmt: skip
