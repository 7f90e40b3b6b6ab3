"""What a person asks of `replay`, whether it is consistent, and what came of it with its exit code.

It never runs anything, and asks no store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from repro_track.attempt.alone import has_several_images, make_alone
from repro_track.compare.comparison import Comparison
from repro_track.compare.findings import Findings
from repro_track.compare.verdict import is_good_enough
from repro_track.config.plain import decode_config
from repro_track.config.presets import make_changed
from repro_track.errors import ExitCode, UsageError
from repro_track.lookup.found import FoundRun
from repro_track.record.choice import DEFAULT, Choice, Focus, make_choice
from repro_track.record.names import find_image
from repro_track.record.schema import RunRecord
from repro_track.report.text import comparison_to_json
from repro_track.store.stored_run import StoredRun


@dataclass(frozen=True)
class Request:
    """What a person asks of `replay`.

    Which runs: `runs`, by any of their names, or those of an `experiment` that fit `filter_string`. Of each: `choice`
    says what is left as it is now; `stage` and `image` what alone is looked at; `times`, `twice`, `localize` and
    `explain` look further into the result; `trials` bounds `explain`. `changes` (`KEY=VALUE`) make it a variation,
    of `image` alone if there is one.
    `trusted` and `allowed` are consent to run what this machine did not log. `junit` is a file for the verdicts.

    Raises:
        UsageError: two of them exclude each other, one needs another, or `junit` cannot be written.
    """

    runs: tuple[str, ...] = ()
    experiment: str | None = None
    filter_string: str | None = None
    junit: str | None = None
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

    def __post_init__(self) -> None:
        if bool(self.runs) == bool(self.experiment):
            given = "both" if self.runs else "nothing"
            raise UsageError(f"replay was given {given}", expected="RUN..., or --experiment NAME")
        if self.junit and not Path(self.junit).absolute().parent.is_dir():
            raise UsageError(
                f"--junit is {self.junit!r}, and its folder is not there", expected="a file in a folder that is there"
            )
        if self.filter_string and not self.experiment:
            raise UsageError("--filter was given without --experiment", expected="both")
        looks_further = self.stage or self.times > 1 or self.explain or self.localize
        if self.changes and looks_further:
            raise UsageError(
                "a variation is a run of its own: there is nothing that it could fall short of",
                expected="--set without --stage, --times, --explain and --localize",
            )

    @classmethod
    def from_options(
        cls,
        *,
        require: str,
        code: str,
        env: str,
        numerics: str,
        weights: str,
        trust: bool,
        allow: Sequence[str],
        **others: Any,
    ) -> Self:
        """Make a request of the options of the command, by their names there.

        Args:
            require: the verdict that counts as reproduced.
            code: `restore` or `current`, as `env`, `numerics` and `weights`.
            env: packages.
            numerics: numeric settings.
            weights: weight files.
            trust: run what this machine did not log.
            allow: packages that a `_target_` may come from.
            others: the rest, named as the fields of a request.

        Raises:
            UsageError: the options are not consistent.

        >>> words = dict.fromkeys(("code", "numerics", "weights"), "restore") | {"env": "current", "allow": ()}
        >>> Request.from_options(require="pixel-exact", trust=False, runs=("latest",), **words).required
        'pixel-exact'
        """
        choice = make_choice(code=code, env=env, numerics=numerics, weights=weights)
        return cls(required=require, choice=choice, trusted=trust, allowed=tuple(allow), **others)

    @property
    def wants_summary(self) -> bool:
        """Whether a table is wanted even of a single run: of an experiment, and where CI reads it."""
        return bool(self.experiment or self.junit)


@dataclass(frozen=True)
class ReplayResult:
    """What came of a replay, or of a variation, which has no verdict: `worst` is `None` then.

    `worst` is the worst verdict of all runs that were asked for, `required` the one that counts as reproduced;
    `cautions` say why the replay itself could not be replayed.
    """

    found: FoundRun
    run: StoredRun
    comparison: Comparison
    findings: Findings
    cautions: tuple[str, ...]
    worst: str | None
    required: str

    @property
    def code(self) -> ExitCode:
        """The exit code: success for a variation, and where the worst verdict suffices and no state leaks."""
        if self.worst is None:
            return ExitCode.SUCCESS
        is_clean = self.findings.leak is None or self.findings.leak.is_clean
        is_good = is_clean and is_good_enough(self.worst, required=self.required)
        return ExitCode.SUCCESS if is_good else ExitCode.FELL_SHORT

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


def choose_image(found: FoundRun, *, request: Request) -> int | None:
    """Choose the image that is looked at alone: the one that was asked for; of a variation, the one whose picture named
    the run. `None`: all, or the only one.

    Raises:
        UsageError: a picture named a run of several images, and does not say which of them it is.
    """
    if not request.changes or request.image is not None:
        is_only = bool(request.changes) and request.image == 0 and not has_several_images(found.record)
        return None if is_only else request.image
    if found.how is None or not has_several_images(found.record):
        return None
    image = find_image(found.output or "")
    if image is None:
        raise UsageError(
            f"the picture does not say which image of run {found.address} it is",
            expected="a picture as it was written, or under the name that it had",
            advice="name the image: --image K; or give the run's id to vary all of them",
        )
    return image


def check_changes(record: RunRecord, *, request: Request, image: int | None = None) -> Choice:
    """Check that a record can be varied as asked, or one image of it, and return the request's choice without what the
    changes replace.

    A variation cannot have the recorded numerics beside another policy, or the recorded weights beside another
    pipeline.

    Raises:
        UsageError: the run is a script or notebook, or a change is not one of its config.
    """
    if not request.changes:
        return request.choice
    if not record.command.can_be_varied:
        raise UsageError(
            f"the run is a {record.command.kind}, and --set changes a config",
            expected="a run of repro-track run or of a Hydra app",
            advice="change the script",
        )
    if record.command.is_config:
        one = record if image is None else make_alone(record, image=image)
        make_changed(decode_config(one.config.resolved), request.changes)
    changed = {change.lstrip("+~").partition("=")[0].partition(".")[0] for change in request.changes}
    labels = {"numerics"} if "determinism" in changed else set()
    labels |= {"weights"} if changed & {"pipeline", "adapters", "stages"} else set()
    return request.choice.leave(labels)


def make_focus(record: RunRecord, *, stage: str | None, image: int | None) -> Focus:
    """Make what of a run is looked at: a stage by its name or the number of its call, an image by its number; `None`:
    all.

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
