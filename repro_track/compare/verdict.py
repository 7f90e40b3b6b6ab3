"""Levels of agreement, tolerance profiles, and the verdict that can be expected.

It never decides what is good enough: the person's `--require` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from repro_track.compare.differences import Difference

VERDICTS = ("bit-exact", "pixel-exact", "within-tolerance", "diverged", "not-comparable")
"""Best first."""


def is_good_enough(verdict: str, *, required: str) -> bool:
    """Whether a verdict is at the required level or better.

    >>> is_good_enough("bit-exact", required="pixel-exact"), is_good_enough("diverged", required="bit-exact")
    (True, False)
    """
    return VERDICTS.index(verdict) <= VERDICTS.index(required)


@dataclass(frozen=True)
class Tolerance:
    """A tolerance profile: `|actual - expected| <= atol + rtol * |expected|`, by dtype of the expected tensor.

    `decoded_atol` stands for `atol` behind a decoder, which amplifies; the latents have to be within `atol` then.
    """

    name: str
    rtol: Mapping[str, float]
    atol: Mapping[str, float]
    decoded_atol: Mapping[str, float] = field(default_factory=dict)

    def accepts(self, expected: np.ndarray, actual: np.ndarray, *, dtype: str, decoded: bool = False) -> bool:
        """Whether every element is within the profile. No figure for the dtype: only equal elements are."""
        atol = {**self.atol, **self.decoded_atol} if decoded else self.atol
        return bool(
            np.allclose(
                actual.astype(np.float64),
                expected.astype(np.float64),
                rtol=self.rtol.get(dtype, 0.0),
                atol=atol.get(dtype, 0.0),
            )
        )


_DOOMED = {"seed", "weights", "call", "pipeline"}
_SHAKY = {"numerics", "machine", "libraries"}
_OPEN = {"config", "source"}


def expect_verdict(staying: Sequence[Difference]) -> tuple[str, tuple[str, ...]]:
    """Return the best verdict that can be expected of a replay in which these differences stay, and the places that it
    hangs on: other code may do the same, other kernels hardly ever do.

    >>> expect_verdict(())
    ('bit-exact', ())
    """
    for kinds, verdict in ((_DOOMED, "diverged"), (_SHAKY, "within-tolerance"), (_OPEN, "bit-exact")):
        blamed = tuple(difference.place for difference in staying if difference.kind in kinds)
        if blamed:
            return verdict, blamed
    return "bit-exact", ()
