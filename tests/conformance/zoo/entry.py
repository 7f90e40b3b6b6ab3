"""What an entry of the zoo is, and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Entry:
    """One pipeline of the zoo: what builds it, what it is called with, its family in the table.

    `call` holds plain values for the config; `files` pictures and tensors by argument, which are given as paths.
    `batch`: whether two can be made in one call. `is_variant`: it is made of the parts of others or like them; one
    thread and two are not compared then, and no other scheduler is tried. `class_name`: the class that it is loaded
    as, where it is not the built one's. `prepare` saves adapters for the built pipeline into a folder, and gives what
    the config says of them. `next_stage` is given what its `take` names.
    """

    name: str
    family: str
    build: Callable[[], Any]
    call: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Callable[[], Any]] = field(default_factory=dict)
    batch: bool = True
    is_variant: bool = False
    prepare: Callable[[Any, Any], dict[str, Any]] | None = None
    next_stage: str | None = None
    take: dict[str, str] = field(default_factory=dict)
    is_later_stage: bool = False
    class_name: str | None = None


ZOO: dict[str, Entry] = {}


def add_entry(name: str, family: str, build: Callable[[], Any], **details: Any) -> None:
    """Put a pipeline into the zoo; its weights are drawn from a seeded generator."""

    def seeded() -> Any:
        torch.manual_seed(0)
        return build()

    ZOO[name] = Entry(name, family, seeded, **details)


def entry(family: str, **details: Any) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Put a builder into the zoo under its own name."""

    def add(build: Callable[[], Any]) -> Callable[[], Any]:
        add_entry(build.__name__, family, build, **details)
        return build

    return add
