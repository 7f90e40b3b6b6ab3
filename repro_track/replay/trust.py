"""Whether a recorded run may be started here.

It never starts anything, and never takes a store's word for who made a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from repro_track.attempt.workspace import Attempt
from repro_track.capture.checkout import list_top_level
from repro_track.config.locations import data_folder
from repro_track.errors import RefusedError
from repro_track.replay.request import Request
from repro_track.report.text import to_printable
from repro_track.store import ledger

TRUSTED_PACKAGES = (
    "accelerate", "diffusers", "hydra", "numpy", "omegaconf", "peft", "PIL", "repro_track", "safetensors", "torch",
    "torchvision", "transformers",
)  # fmt: skip
"""What a `_target_` of somebody else's config may come from; `--allow` adds to it."""


def check_trust(attempt: Attempt, *, request: Request, would_run: Iterable[str]) -> None:
    """Refuse to start somebody's code: only what this user's own process logged here runs without being asked for.

    The record in the ledger is this machine's own word for it; code, changes and notebook cells are compared with its
    digests before they are used. For all else a person has to say `--trust`, and even then a `_target_` may only come
    from known packages and the recorded source itself.

    Args:
        attempt: the attempt that would be started.
        request: what the person asked, with their consent.
        would_run: what would be started, as lines of text for the message.

    Raises:
        RefusedError: with what would be started.
    """
    found, record = attempt.found, attempt.found.record
    is_kept_here = found.folder is not None and data_folder() in found.folder.parents
    known = ledger.recall(found.run_id) if found.run_id else None
    if is_kept_here or known == record:
        return
    if not request.trusted:
        what = "was changed after this machine logged it" if known else "was not logged by this user on this machine"
        raise RefusedError(
            f"the run {what}; replaying it would run:\n" + "\n".join(would_run),
            expected="a run of this machine and user",
            advice="look at it with repro-track show, then give --trust if you know where it is from",
        )
    allowed = {*TRUSTED_PACKAGES, *request.allowed, *_list_own_packages(attempt)}
    for target in list_targets(record.config.resolved, [*record.command.argv, *record.config.overrides]):
        if target.partition(".")[0] not in allowed:
            raise RefusedError(
                f"the run's config has _target_ {to_printable(target)}",
                expected="a target in one of " + ", ".join(sorted(allowed)),
                advice=f"if you know it, give --allow {to_printable(target.partition('.')[0])}",
            )


def _list_own_packages(attempt: Attempt) -> set[str]:
    """Name the top-level modules of the recorded source: its own config may name its own classes."""
    code = attempt.plan.code
    if code is None or code.clone is None:
        return set()
    return {name.removesuffix(".py") for name in list_top_level(code)}


def list_targets(config: Any, words: Iterable[str] = ()) -> list[str]:
    """List every `_target_` of a config, however deep, and of overrides on a command line.

    >>> list_targets({"a": [{"_target_": "os.system"}]}, ["+b._target_=torch.nn.ReLU"])
    ['os.system', 'torch.nn.ReLU']
    """
    targets = []
    if isinstance(config, dict):
        for key, value in config.items():
            targets += [str(value)] if key == "_target_" else list_targets(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            targets += list_targets(value)
    for word in words:  # `+a._target_=x.y`, and nested: `a={_target_: x.y}`
        targets += re.findall(r"_target_\s*[:=]\s*['\"]?([^\s'\",}]+)", word)
    return targets
