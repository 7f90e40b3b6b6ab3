"""What a person asked of `replay`, and what came of it.

It never runs anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from repro_track.compare.comparison import Comparison
from repro_track.compare.findings import Findings
from repro_track.config.presets import make_changed
from repro_track.errors import UsageError
from repro_track.lookup.found import FoundRun
from repro_track.record.choice import DEFAULT, Choice, Focus
from repro_track.record.names import find_image
from repro_track.record.schema import RunRecord
from repro_track.report.text import comparison_to_json
from repro_track.store.client import StoredRun


@dataclass(frozen=True)
class Request:
    """What a person asked of `replay`.

    `choice` says what is left as it is now; `stage` and `image` what alone is looked at; `times`, `twice`, `localize`
    and `explain` look further into the result; `trials` bounds `explain`. `changes` (`KEY=VALUE`) make it a variation.
    `trusted` and `allowed` are consent to run what this machine did not log.
    """

    required: str = "bit-exact"
    choice: Choice = DEFAULT
    stage: str | None = None
    image: int | None = None
    tolerance: str | None = None
    dry_run: bool = False
    times: int = 1
    twice: bool = False
    localize: bool = False
    explain: bool = False
    trials: int = 16
    changes: tuple[str, ...] = ()
    trusted: bool = False
    allowed: tuple[str, ...] = ()
    as_json: bool = False


@dataclass(frozen=True)
class ReplayResult:
    """What came of a replay, or of a variation, which has no verdict. `worst` is the worst verdict of all runs that
    were asked for; `code` the exit code."""

    found: FoundRun
    run: StoredRun
    comparison: Comparison
    findings: Findings
    cautions: tuple[str, ...]
    worst: str | None
    code: int

    def to_json(self) -> dict[str, Any]:
        """Return it as data."""
        data = {
            "run_id": self.found.run_id,
            "record_id": self.found.record.record_id,
            "replay_run_id" if self.worst else "variation_run_id": self.run.run_id,
            "cautions": self.cautions,
            **comparison_to_json(self.comparison, findings=self.findings),
        }
        return {**data, "verdict": self.worst} if self.worst else data


def check_changes(record: RunRecord, *, request: Request) -> Choice:
    """Check that a variation can be made, and say what of the record cannot be restored beside its changes.

    Raises:
        UsageError: the run is a script or notebook, or a change is not one of its config.
    """
    if not request.changes:
        return request.choice
    if record.command.kind not in ("config", "hydra"):
        raise UsageError(
            f"the run is a {record.command.kind}, and --set changes a config",
            expected="a run of repro-track run or of a Hydra app",
            advice="change the script",
        )
    if request.stage or request.image is not None or request.times > 1 or request.explain or request.localize:
        raise UsageError(
            "a variation is a run of its own: there is nothing that it could fall short of",
            expected="--set without --stage, --image, --times, --explain and --localize",
        )
    if record.command.kind == "config":
        make_changed(record.config.resolved, request.changes)
    changed = {change.lstrip("+~").partition("=")[0].partition(".")[0] for change in request.changes}
    labels = {"numerics"} if "determinism" in changed else set()
    labels |= {"weights"} if changed & {"pipeline", "adapters", "stages"} else set()
    return request.choice.leave(labels)


def make_focus(record: RunRecord, *, stage: str | None, image: int | None) -> Focus:
    """Say what of a run is looked at: a stage by its name or the number of its call, an image by its number.

    Raises:
        UsageError: the run has no such stage or image.
    """
    names = {str(call.index): call.index for call in record.calls}
    names |= {call.stage: call.index for call in record.calls if call.stage}
    if stage is not None and stage not in names:
        raise UsageError(f"the run has no stage {stage!r}", expected="one of " + (", ".join(names) or "none"))
    focus = Focus(names[stage] if stage is not None else None, image)
    if image is not None and not focus.narrow(record).outputs:
        images = sorted({number for one in record.outputs if (number := find_image(one.name)) is not None})
        raise UsageError(f"the run has no image {image}", expected="one of " + (", ".join(map(str, images)) or "none"))
    return focus
