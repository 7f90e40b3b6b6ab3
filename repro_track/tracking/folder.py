"""A run's folder while it is open: every file in it, the record written atomically.

It never reads a file back, and knows no store: what is in it is logged as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from repro_track.capture.packages import render_packages
from repro_track.config.plain import decode_config, render_yaml
from repro_track.errors import first_line
from repro_track.media.outputs import UNKNOWN_RATES, Rates, RawOutput, get_preview, keep_file, keep_output, to_exact
from repro_track.media.picture import make_contact_sheet
from repro_track.record.names import (
    CONFIG_NAME,
    LATENTS_NAME,
    OUTPUT_TENSORS_NAME,
    PREVIEW_NAME,
    RECORD_NAME,
    REPORT_NAME,
    STATES_NAME,
    name_call,
)
from repro_track.record.reading import render_record
from repro_track.record.redaction import redact_text
from repro_track.record.schema import Output, RunRecord, Unavailable
from repro_track.report.page import render_run_page
from repro_track.store.tags import name_logged_images
from repro_track.tensors.host import HostTensor, save_tensors

SHEET_LIMIT = 16
"""So many pictures are on the sheet of a run; no more are made ready for it."""


@dataclass(frozen=True)
class KeptOutput:
    """One output as it was kept.

    Attributes:
        part: of the record; `Unavailable` for what cannot be compared, of which nothing is kept.
        tensor: its exact values, a copy; `None` for a file.
        picture: 8-bit pixels that stand for it on a page, (height, width, channels); `None` for what is none, or where
            none was asked for.
    """

    part: Output | Unavailable
    tensor: HostTensor | None = None
    picture: np.ndarray | None = None


@dataclass(frozen=True)
class RunFolder:
    """The folder in which a run's files are collected.

    Attributes:
        path: where it is.
        owner: the record that pictures in it name. In a replay the one that is replayed: then equal pictures are equal
            files.
        picture_format: what pictures are written as.
    """

    path: Path
    owner: str
    picture_format: str

    def make(self) -> None:
        """Make the folder, where it is not there already."""
        self.path.mkdir(parents=True, exist_ok=True)

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def write_record(self, record: RunRecord) -> None:
        """Write the record in the place of an earlier one: whoever reads sees the whole old one or the whole new
        one."""
        partial = self.path / f"{RECORD_NAME}.part"
        partial.write_text(render_record(record), encoding="utf-8")
        partial.replace(self.path / RECORD_NAME)

    def write_texts(self, record: RunRecord) -> None:
        """Write the parts of a record that people read by themselves: config, overrides, packages."""
        texts = {
            CONFIG_NAME: render_yaml(decode_config(record.config.resolved)),
            "overrides.yaml": render_yaml(list(record.config.overrides)),
            "environment/packages.txt": render_packages(record.environment.packages),
        }
        for name, text in texts.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def write_error(self, text: str) -> None:
        """Write what ended the run, with its traceback."""
        (self.path / "error.txt").write_text(text, encoding="utf-8")

    def write_page(self, record: RunRecord, *, run_id: str) -> None:
        """Write the run's page, which shows the pictures of the folder."""
        page = render_run_page(record, run_id=run_id, folder=self.path)
        (self.path / REPORT_NAME).write_text(page, encoding="utf-8")

    def save_tensors(
        self, *, outputs: Mapping[str, Any], states: Mapping[str, Any], latents: Mapping[str, Any]
    ) -> None:
        """Write the exact outputs, the states of generators, the last latents; of the last two only what there is."""
        save_tensors(self.path / OUTPUT_TENSORS_NAME, outputs)
        for name, tensors in ((STATES_NAME, states), (LATENTS_NAME, latents)):
            if tensors:
                save_tensors(self.path / name, tensors)

    def save_sheet(self, pictures: Sequence[np.ndarray], *, seeds: Sequence[int | None]) -> None:
        """Write one picture with all of these on it, each with its seed if there are several; without pictures none."""
        if pictures:
            has_labels = len(pictures) > 1 and any(seed is not None for seed in seeds)
            labels = ["" if seed is None else f"seed {seed}" for seed in seeds] if has_labels else []
            make_contact_sheet(pictures, labels=labels).save(self.path / PREVIEW_NAME)

    def keep_output(
        self,
        raw: RawOutput,
        *,
        rates: Rates = UNKNOWN_RATES,
        settings: Mapping[str, Any] | None = None,
        seed: int | None = None,
        with_picture: bool = True,
    ) -> KeptOutput:
        """Keep one output: its digests, a file that a person can open, its exact values.

        Args:
            raw: one leaf of a result, of any kind.
            rates: of sound and video.
            settings: what else goes into a picture's file.
            seed: that it was made from.
            with_picture: also make the pixels that stand for it on a page.
        """
        if not raw.is_known:
            reason = f"output {raw.name} is a {type(raw.value).__name__}, which cannot be compared"
            return KeptOutput(Unavailable(unavailable=reason))
        try:
            part = keep_output(
                raw,
                folder=self.path / "outputs",
                record_id=self.owner,
                rates=rates,
                picture_format=self.picture_format,
                settings=settings,
                seed=seed,
            )
            # a copy: the caller may write into the value afterwards
            return KeptOutput(part, to_exact(raw).copy(), get_preview(raw) if with_picture else None)
        except Exception as error:  # whatever somebody's pipeline gives must not end the run
            reason = f"output {raw.name} could not be kept: {first_line(error)}"
            return KeptOutput(Unavailable(unavailable=redact_text(reason)))

    def keep_file(self, name: str, path: Path) -> KeptOutput:
        """Keep a copy of a file that the run made."""
        return KeptOutput(keep_file(name, path, folder=self.path / "outputs"))

    def save_preview(self, picture: Image.Image, *, call: int, step: int) -> None:
        """Write a picture of a call's latents after a step, where MLflow's page of the run looks for pictures by
        step."""
        key = "denoising" if call == 0 else f"{name_call(call)}.denoising"
        for name in name_logged_images(key, step=step):
            path = self.path / name
            path.parent.mkdir(exist_ok=True)
            picture.save(path)
