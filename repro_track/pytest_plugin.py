"""A pytest plugin: `assert_replays`, a fixture that makes "this run still comes out" a test.

It loads nothing of repro_track in a session that does not use it, and torch never: a replay has its own process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def assert_replays() -> Callable[..., None]:
    """Give a function that replays a logged run, and fails the test where it falls short.

        def test_the_golden_cat(assert_replays):
            assert_replays("4f1c…", require="within-tolerance")

    `assert_replays(run, *, require="bit-exact", code="restore", env="current", numerics="restore", weights="restore",
    trust=False, **options)`: the words are those of `repro-track replay`. A run that cannot be replayed fails the test, too.
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

        from repro_track import many, replay
        from repro_track.compare import VERDICTS
        from repro_track.errors import ReproTrackError
        from repro_track.factors import make_choice

        if require not in VERDICTS:
            raise ValueError(f"require is {require!r}, expected one of {', '.join(VERDICTS)}")
        request = replay.Request(
            required=require,
            choice=make_choice(code=code, env=env, numerics=numerics, weights=weights),
            trusted=trust,
            **options,
        )
        try:
            replayed = replay.replay_run(run, request=request, console=Console(quiet=True), quiet=True)
        except ReproTrackError as error:
            pytest.fail(f"run {run} could not be replayed: {error}", pytrace=False)
        if replayed.code:
            reason = many.explain_shortfall(replayed)
            pytest.fail(
                f"run {run} is {replayed.worst}, required {require}\n{reason}\nsee {replayed.run.link}", pytrace=False
            )

    return assert_replays
