"""A pytest plugin: `assert_replays`, a fixture that makes "this run still comes out" a test.

It loads nothing of repro_track in a session that does not use it, and torch never: a replay has its own process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def assert_replays() -> Callable[..., None]:
    """Return a function that replays a logged run, and fails the test where it falls short.

        def test_the_golden_cat(assert_replays):
            assert_replays("4f1c…", require="within-tolerance")

    `assert_replays(run, *, require="bit-exact", code="restore", env="current", numerics="restore", weights="restore",
    trust=False, **options)`: the words are those of `repro-track replay`. A run that cannot be replayed fails the test,
    too.
    """

    def assert_replays(
        run: str,
        *,
        require: str = "bit-exact",
        code: str = "restore",
        env: str = "current",
        numerics: str = "restore",
        weights: str = "restore",
        trust: bool = False,
        **options: Any,
    ) -> None:
        __tracebackhide__ = True
        from rich.console import Console

        from repro_track.compare.verdict import VERDICTS
        from repro_track.errors import ReproTrackError
        from repro_track.lookup.find import NamedRun
        from repro_track.record.choice import make_choice
        from repro_track.replay.command import replay_run
        from repro_track.replay.many import explain_shortfall
        from repro_track.replay.request import Request

        if require not in VERDICTS:
            raise ValueError(f"require is {require!r}, expected one of {', '.join(VERDICTS)}")
        choice = make_choice(code=code, env=env, numerics=numerics, weights=weights)
        try:
            request = Request(runs=(run,), required=require, choice=choice, trusted=trust, **options)
            replayed = replay_run(NamedRun(run), request=request, console=Console(quiet=True), quiet=True)
        except ReproTrackError as error:
            pytest.fail(f"run {run} could not be replayed: {error}", pytrace=False)
        if replayed.code:
            reason = explain_shortfall(replayed)
            pytest.fail(
                f"run {run} is {replayed.worst}, required {require}\n{reason}\nsee {replayed.run.link}", pytrace=False
            )

    return assert_replays
