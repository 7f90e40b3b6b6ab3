"""Which files the weights of a model come from, told by comparing values, whoever loaded them and however.

A file that was opened, or that lies where the model says it was loaded from, counts only if it holds values that the
model has: some of each are compared, not all. It reads files, and changes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from repro_track.pipelines.values import list_values
from repro_track.tensors.checkpoints import Checkpoint, open_checkpoint
from repro_track.tensors.opened import (
    OpenedFile,
    count_opened,
    find_first_opening,
    is_weights,
    list_mapped,
    list_opened,
    list_opened_since,
    look_at,
)

_taken = 0
"""How many opened files were given to a pipeline already."""
_SAMPLES = 8
"""So many tensors of a model are looked for in files, half of them vectors, and as many of a file in a model."""
_LARGEST = 1 << 18
_SMALLEST = 4
"""So many values a tensor has at least that tells one file from another."""
_READ_LIMIT = 256
"""So many tensors of one size are read at most, to find one whose name was changed."""
_NEARBY_LIMIT = 200
"""So many files are looked into at most in the folder or repository that a model names."""

_others: WeakKeyDictionary[Any, dict[OpenedFile, None]] = WeakKeyDictionary()
_found: WeakKeyDictionary[Any, tuple[object, tuple[OpenedFile, ...]]] = WeakKeyDictionary()


def find_origins(model: Any, *, memory: object) -> tuple[OpenedFile, ...]:
    """Find the files that a model's weights come from: of those that were opened in this process first the ones that
    lie where the model says that it was loaded from, then any; then what was not seen to be opened.

    Args:
        model: a module of torch.
        memory: the digest of its weights: while it is the same and nothing else was opened, the answer is kept.

    Returns:
        the files, in the order in which they were opened; none where none holds any of its values.
    """
    opened = list_opened()
    state = (memory, count_opened())
    kept = _found.get(model)
    if kept is None or kept[0] != state or not isinstance(memory, str):
        kept = _found[model] = (state, _search(model, opened))
    return kept[1]


def take_others(pipe: Any, *, used: Collection[str]) -> list[OpenedFile]:
    """Take the files that were opened since the last time, and those that were taken for this pipeline before: of what
    is in none of its components, it may have been made.

    Args:
        pipe: a pipeline that is about to be called.
        used: the paths of the files that its components come from.
    """
    global _taken
    mine = _others.setdefault(pipe, {})
    mine.update(dict.fromkeys(list_opened_since(_taken)))
    _taken = count_opened()
    return [file for file in mine if file.path not in used]


def _search(model: Any, opened: Sequence[OpenedFile]) -> tuple[OpenedFile, ...]:
    try:
        return _search_all(model, opened)
    except Exception:  # a tensor that cannot be compared, whatever it raises: the run has to go on
        return ()


def _search_all(model: Any, opened: Sequence[OpenedFile]) -> tuple[OpenedFile, ...]:
    values = _Values(model)
    if not values.by_size:
        return ()
    chosen: list[_Candidate] = []
    places = [os.path.join(path, "") for path in _list_places(model)]  # noqa: PTH118  a prefix that ends with a slash
    named = [one for one in opened if one.path.startswith(tuple(places))]
    missing = _choose(values, [_Candidate(one) for one in reversed(named)], wanted=values.sample(), chosen=chosen)
    # what a model was given besides, it was given after it was loaded
    since = 0 if missing or not chosen else min(find_first_opening(one.file) for one in chosen)
    others = [one for one in reversed(opened) if one not in named and find_first_opening(one) > since]
    missing = _choose(values, [_Candidate(one) for one in others], wanted=missing, chosen=chosen)
    if missing:
        seen = {(one.size, one.inode, one.mtime_ns) for one in opened}
        others = [one for one in _list_others(model) if (one.size, one.inode, one.mtime_ns) not in seen]
        _choose(values, [_Candidate(one) for one in others], wanted=missing, chosen=chosen)
    order = {one: index for index, one in enumerate(opened)}
    return tuple(sorted((one.file for one in chosen), key=lambda file: (order.get(file, -1), file.path)))


def _choose(
    values: _Values, candidates: Sequence[_Candidate], *, wanted: list[_Named], chosen: list[_Candidate]
) -> list[_Named]:
    """Choose the files that hold what is wanted, the one that holds most of it first; then those that hold something
    else of the model, which none of them has: other shards, adapters.

    Returns:
        what of the wanted no file holds.
    """
    left = list(candidates)
    while wanted and left:
        held = [[one for one in wanted if candidate.holds(one)] for candidate in left]
        best = max(range(len(left)), key=lambda index: len(held[index]))
        if not held[best]:
            break
        wanted = [one for one in wanted if one not in held[best]]
        chosen.append(left.pop(best))
    for candidate in left:
        matched = [one for one in (values.find(sample) for sample in candidate.sample()) if one is not None]
        if any(not any(other.holds(one) for other in chosen) for one in matched):
            chosen.append(candidate)
    return wanted


# --- what is compared ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Named:
    """A tensor and its name."""

    name: str
    tensor: Any


class _Values:
    """The values of a model that can tell one file from another, by their number."""

    def __init__(self, model: Any) -> None:
        self.by_size: dict[int, list[_Named]] = {}
        for name, tensor in list_values(model):
            if not tensor.is_meta and tensor.is_floating_point() and tensor.numel() >= _SMALLEST:
                self.by_size.setdefault(tensor.numel(), []).append(_Named(name, tensor))

    def sample(self) -> list[_Named]:
        """Return some of the values, from all over the model, no constants among them."""
        every = [one for some in self.by_size.values() for one in some]
        return _sample(every, key=lambda one: (one.tensor.dim() != 1, one.tensor.numel()), read=lambda one: one)

    def find(self, sample: _Named) -> _Named | None:
        """Find the tensor of the model that has the values of a file's."""
        some = self.by_size.get(sample.tensor.numel(), ())
        near = sorted(some, key=lambda one: not _is_alike(one.name, sample.name))[:_READ_LIMIT]
        return next((one for one in near if _is_equal(sample.tensor, one.tensor)), None)


class _Candidate:
    """A file that a model's weights may come from."""

    def __init__(self, file: OpenedFile) -> None:
        self.file = file
        self._kept: dict[str, Any] = {}

    @cached_property
    def _checkpoint(self) -> Checkpoint | None:
        return open_checkpoint(Path(self.file.path)) if self.file.is_unchanged else None

    def holds(self, wanted: _Named) -> bool:
        """Whether the file has a tensor with the values of one of the model's."""
        checkpoint = self._checkpoint
        if checkpoint is None:
            return False
        names = checkpoint.by_size.get(wanted.tensor.numel(), ())
        if wanted.name in names:
            return _is_equal(self._read(wanted.name), wanted.tensor)
        near = sorted(names, key=lambda name: not _is_alike(wanted.name, name))[:_READ_LIMIT]
        return any(_is_equal(self._read(name), wanted.tensor) for name in near)

    def _read(self, name: str) -> Any:
        if name not in self._kept:
            self._kept[name] = self._checkpoint.read(name) if self._checkpoint else None
        return self._kept[name]

    def sample(self) -> list[_Named]:
        """Return some of the file's tensors, no constants among them."""
        checkpoint = self._checkpoint
        if checkpoint is None:
            return []
        names = [name for name, size in checkpoint.sizes.items() if size >= _SMALLEST]

        def read(name: str) -> _Named | None:
            tensor = self._read(name)
            return _Named(name, tensor) if tensor.is_floating_point() else None

        return _sample(names, key=lambda name: (False, checkpoint.sizes[name]), read=read)


def _sample(some: Iterable[Any], *, key: Any, read: Any) -> list[_Named]:
    """Take `_SAMPLES` of some, evenly spread, half of each kind that `key` tells apart; huge ones only where there are
    no others."""
    every = list(some)
    small = [one for one in every if key(one)[1] <= _LARGEST] or sorted(every, key=key)[:_SAMPLES]
    kinds = [[one for one in small if key(one)[0] == kind] for kind in {key(one)[0] for one in small}]
    taken: list[_Named] = []
    for kind in kinds:
        found = 0
        for one in _spread(kind):
            named = read(one)
            if named is not None and not _is_constant(named.tensor):
                taken.append(named)
                found += 1
            if found == _SAMPLES // len(kinds):
                break
    return taken


def _spread(some: Sequence[Any]) -> Iterator[Any]:
    """Yield the members of a sequence so that the first ones already are from all over it.

    >>> list(_spread("abcdefgh"))
    ['a', 'e', 'c', 'g', 'b', 'd', 'f', 'h']
    """
    step, seen = 1 << max(len(some) - 1, 0).bit_length(), set()
    while step:
        for index in range(0, len(some), step):
            if index not in seen:
                seen.add(index)
                yield some[index]
        step //= 2


def _is_alike(name: str, other: str) -> bool:
    """Whether two names may be of the same tensor: one ends as the other does."""
    return name.endswith(other) or other.endswith(name)


def _is_constant(tensor: Any) -> bool:
    import torch

    flat = tensor.detach().reshape(-1).to(torch.float32)
    return bool((flat == flat[0]).all())


def _is_equal(stored: Any, present: Any) -> bool:
    """Whether a file's tensor has a model's values, once it is rounded as the model's are: to its dtype, perhaps by way
    of a shorter one."""
    import torch

    if not stored.is_floating_point():
        return False
    target = present.detach().reshape(-1)
    flat = stored.detach().reshape(-1).to(target.device)
    ways = [flat, flat.to(torch.float16), flat.to(torch.bfloat16)] if target.dtype == torch.float32 else [flat]
    # as bytes: torch compares no floats of eight bits
    bits = target.contiguous().view(torch.uint8)
    return any(torch.equal(way.to(target.dtype).contiguous().view(torch.uint8), bits) for way in ways)


# --- where to look, where nothing was seen to be opened -------------------------------------------------------------


def _list_others(model: Any) -> list[OpenedFile]:
    """List the files that were not seen to be opened and may have been: before anybody looked."""
    paths = [path for folder in _list_places(model) for path in _list_nearby(folder)]
    near = [seen for path in paths if is_weights(path) and (seen := look_at(path))]
    return list(dict.fromkeys([*list_mapped(), *near]))


def _list_places(model: Any) -> list[Path]:
    """List the folders that a model names as its origin: its own, or a repository's in the Hub's cache, the snapshot
    that was loaded first."""
    config = getattr(model, "config", None)
    named = read_origin(model)
    if named is None:
        return []
    if Path(named).is_dir():
        return [Path(named)]
    repository = find_repository(named)
    if repository is None:
        return []
    commit = getattr(config, "_commit_hash", None)
    if not isinstance(commit, str):
        main = repository / "refs" / "main"
        commit = main.read_text(encoding="utf-8").strip() if main.is_file() else ""
    snapshots = sorted((repository / "snapshots").glob("*"), key=lambda path: path.name != commit)
    return [path for path in snapshots if path.is_dir()]


def _list_nearby(folder: Path) -> list[str]:
    """List the files in a folder that is named as a model's origin, and in the folders in it."""
    paths = [path for pattern in ("*", "*/*") for path in sorted(folder.glob(pattern))[:_NEARBY_LIMIT]]
    return [os.fspath(path) for path in paths if path.is_file() and path.stat().st_size > 64]


def read_origin(part: Any) -> str | None:
    """Read what a component says it was loaded from: a folder, a file or a repository of the Hub; `None`: nothing."""
    config: Any = getattr(part, "config", None)
    named = getattr(part, "name_or_path", None) or getattr(config, "_name_or_path", None)
    if not named and hasattr(config, "get"):
        named = config.get("_name_or_path")
    return str(named) if named else None


def find_repository(named: str) -> Path | None:
    """Find the folder that the Hub's cache has of a repository; `None`: it has none, or it is no repository's name."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", named):
        return None
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{named.replace('/', '--')}"
    return folder if folder.is_dir() else None
