"""What of a record a replay brings back, and what of a run is looked at.

Pure values: it restores nothing, and never knows how that is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from repro_track.record.names import find_image, find_output_call, name_call
from repro_track.record.places import GROUPS
from repro_track.record.schema import RunRecord, Unavailable


@dataclass(frozen=True)
class Choice:
    """What a replay leaves as it is now, by label or whole group; everything else is restored."""

    current: frozenset[str]

    def restores(self, label: str) -> bool:
        """Whether a label is restored.

        >>> choice = Choice(frozenset({"env", "numerics:threads"}))
        >>> choice.restores("code"), choice.restores("env:torch"), choice.restores("numerics:isa")
        (True, False, True)
        """
        return label not in self.current and label.partition(":")[0] not in self.current

    def leave(self, labels: Iterable[str]) -> Choice:
        """Return a choice that leaves these as they are now, too."""
        return Choice(self.current | frozenset(labels))


AS_MADE = frozenset(name for name, group in GROUPS.items() if not group.is_chosen)
"""Schedulers, inputs and seeds are as the code makes them."""

DEFAULT = Choice(AS_MADE | {"env"})
"""Code, numerics and weights as recorded, packages as they are."""


def make_choice(**groups: str) -> Choice:
    """Make a choice from `restore` or `current` for each group; schedulers, inputs and seeds are as the code makes
    them.

    >>> make_choice(code="restore", env="restore", numerics="current", weights="restore").restores("env:torch")
    True
    """
    return Choice(AS_MADE | {name for name, what in groups.items() if what == "current"})


def render_options(choice: Choice) -> str:
    """Render a choice as options of `repro-track replay`, those that differ from its defaults; nothing for single
    labels.

    >>> render_options(make_choice(code="current", env="restore", numerics="restore", weights="restore"))
    ' --code current --env restore'
    """
    words = []
    for group in (name for name in GROUPS if name not in AS_MADE):
        is_current = group in choice.current
        if is_current != (group in DEFAULT.current):
            words.append(f" --{group} {'current' if is_current else 'restore'}")
    return "".join(words)


@dataclass(frozen=True)
class Focus:
    """What of a run is looked at: one call, image K of every call; `None`: all."""

    call: int | None = None
    image: int | None = None

    def __str__(self) -> str:
        words = [
            f"call {self.call}" if self.call is not None else "",
            f"image {self.image}" if self.image is not None else "",
        ]
        return ", ".join(filter(None, words))

    def render_options(self) -> str:
        """Render it as options of `repro-track replay`.

        >>> Focus(call=1, image=0).render_options()
        ' --stage 1 --image 0'
        """
        given = (("stage", self.call), ("image", self.image))
        return "".join(f" --{name} {value}" for name, value in given if value is not None)

    def narrow(self, record: RunRecord) -> RunRecord:
        """Return a record with nothing but what is looked at. The trace of a whole batch says nothing of one image."""
        calls, outputs, generators = record.calls, record.outputs, record.seeds.generators
        if self.call is not None:
            calls = tuple(call for call in calls if call.index == self.call)
            name = name_call(self.call)
            outputs = tuple(output for output in outputs if find_output_call(output.name) == name)
            generators = tuple(one for one in generators if one.name.startswith(f"{name}."))
        if self.image is not None:
            outputs = tuple(output for output in outputs if find_image(output.name) == self.image)
            bare = {"steps": (), "after_last": (), "noise": Unavailable(unavailable="one image is looked at")}
            calls = tuple(call.model_copy(update={"trace": call.trace.model_copy(update=bare)}) for call in calls)
        seeds = record.seeds.model_copy(update={"generators": generators})
        return record.model_copy(update={"calls": calls, "outputs": outputs, "seeds": seeds})
