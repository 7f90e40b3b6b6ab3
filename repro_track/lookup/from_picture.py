"""Find the runs that made a picture: by the id in the file, by pixels, by likeness.

It never changes the picture, and never says that two pictures are the same because they look alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from repro_track.errors import UsageError
from repro_track.lookup.found import open_store
from repro_track.media.perceptual_hash import BITS, LIMIT, hash_views, measure_distances
from repro_track.media.picture import FoundPicture, read_picture
from repro_track.media.sound_and_video import VIDEO_SUFFIXES, read_record_id
from repro_track.record.schema import RunRecord
from repro_track.store.client import Store
from repro_track.store.stored_run import StoredRun
from repro_track.store.tags import (
    DIGESTS,
    RECORD_ID,
    REPLAY_OF,
    name_output_tag,
    name_pixels_tag,
    name_seed_tag,
    unpack_likenesses,
)
from repro_track.tensors.digests import digest_tensor


@dataclass(frozen=True)
class Match:
    """A run that made a picture, or one that looks like it; `how` says in words by what it was found. `distance` is
    that of the perceptual hashes, in bits. `output` is which of the run's outputs it is, where that is known."""

    run: StoredRun
    how: str
    distance: int = 0
    output: str | None = None


def find_picture(text: str) -> list[Match]:
    """Find the runs that made a picture, best first: by the id in the file, else by its pixels, else by likeness; or by
    a digest.

    Args:
        text: a file, the sha256 of an output's pixels, its tensor, or the noise, or `seed=N`.

    Raises:
        UsageError: it is neither a file nor a digest, or no run made it.
    """
    store, path = open_store(), Path(text)
    if not path.is_file():
        return _find_digest(store, text)
    if path.suffix.lower() in VIDEO_SUFFIXES and path.suffix.lower() != ".gif":
        matches = _find_id(store, read_record_id(path), digest=None)
    else:
        picture = read_picture(path)
        digests = [digest_tensor(pixels) for pixels in picture.list_variants()]
        # a JPEG's never are what was digested
        is_changed = path.suffix.lower() in (".png", ".webp") and picture.pixels_sha256 not in digests
        matches = _find_id(store, picture.record_id, digest=picture.pixels_sha256, is_changed=is_changed)
        matches = [replace(match, output=picture.output or match.output) for match in matches]
        matches = matches or _find_pixels(store, digests) or _find_likeness(store, picture)
    if not matches:
        raise UsageError(
            f"no run in the store made {path}, or anything that looks like it",
            expected="a picture of a logged run; one of a screenshot has to be cut out of what is around it",
        )
    return matches


def identify_output(record: RunRecord, match: Match, *, path: Path) -> str | None:
    """Identify which output of a run a picture is: by what is embedded in it, by its pixels, by likeness; else by the
    name that its file has. `None`: it cannot be told."""
    names = {output.name for output in record.outputs}
    if match.output in names:
        return match.output
    return next((name for name in names if re.fullmatch(rf"{re.escape(name)}(?!\.?\d).*", path.name)), None)


def _find_id(store: Store, record_id: str | None, *, digest: str | None, is_changed: bool = False) -> list[Match]:
    """Find by what is embedded. The digest of the pixels goes first: it is in the tag's key, which has an index."""
    if record_id is None or not re.fullmatch(r"[0-9a-f]{32}", record_id):
        return []
    runs = store.find_by_tag(name_pixels_tag(digest)) if digest and re.fullmatch(r"[0-9a-f]{64}", digest) else []
    runs = [run for run in runs if run.record_id == record_id] or store.find_by_tag(RECORD_ID, record_id)
    how = "by the id in it" + ("; its pixels were changed since" if is_changed else "")
    name = name_pixels_tag(digest or "")
    return [Match(run, how, output=run.tags.get(name)) for run in runs]


def _find_pixels(store: Store, digests: Sequence[str]) -> list[Match]:
    for digest in digests:
        name = name_pixels_tag(digest)
        if runs := store.find_by_tag(name):
            return [Match(run, "by its pixels, which are exactly these", output=run.tags.get(name)) for run in runs]
    return []


def _find_likeness(store: Store, picture: FoundPicture) -> list[Match]:
    """Rank runs by how like the picture their own are; at most ten, and none that is not alike at all."""
    packed = store.list_likenesses()
    known = [(run_id, name, one) for run_id, value in packed.items() for name, one in unpack_likenesses(value).items()]
    hashes = [one for _, _, one in known]
    near: dict[tuple[str, str], tuple[int, int]] = {}
    for view in hash_views(picture.image):
        distances = measure_distances(view, hashes)
        for index in np.flatnonzero(distances[:, 0] <= LIMIT):
            place, pair = known[index][:2], (int(distances[index, 0]), int(distances[index, 1]))
            near[place] = min(near.get(place, pair), pair)
    best: dict[str, tuple[str, int]] = {}
    for (run_id, name), (distance, _) in sorted(near.items(), key=lambda item: item[1]):
        best.setdefault(run_id, (name, distance))
    return [
        Match(
            run,
            f"by likeness to {best[run.run_id][0]}: {best[run.run_id][1]} of {BITS} bits differ",
            best[run.run_id][1],
            best[run.run_id][0],
        )
        for run in store.find_runs_by_id(list(best)[:10])
    ]


def _find_digest(store: Store, text: str) -> list[Match]:
    if seed := re.fullmatch(r"seed=(\d+)", text):
        return _find_seed(store, seed[1])
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise UsageError(
            f"{text!r} is neither a file nor a digest",
            expected="a picture, 64 hexadecimal digits of sha256, or seed=N",
        )
    runs = store.find_by_tag(name_pixels_tag(text)) or store.find_by_tag(name_output_tag(text))
    for name in DIGESTS:
        runs = runs or store.find_by_tag(name, text)
    if not runs:
        raise UsageError(
            f"no run in the store has the digest {text}",
            expected="the sha256 of an output's tensor or pixels, or of the noise",
        )
    return [Match(run, "by its digest") for run in runs]


def _find_seed(store: Store, seed: str) -> list[Match]:
    """Find the runs that made an image from a seed, whoever made the generator; replays of them are left out."""
    name = name_seed_tag(seed)
    runs = [run for run in store.find_by_tag(name) if REPLAY_OF not in run.tags]
    if not runs:
        raise UsageError(f"no run in the store has an image of seed {seed}", expected="the seed of one image")
    return [Match(run, f"by the seed of its {run.tags[name]}") for run in runs]
