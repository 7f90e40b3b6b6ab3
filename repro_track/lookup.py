"""Look at logged runs: find one by any of its names, compare two, find a picture's run, verify, serve the UI.

It never runs a logged run, and never loads torch.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from repro_track import ledger
from repro_track.compare import Comparison, Exact, Tolerance, compare_runs
from repro_track.config import read_preset, resolve_store_uri
from repro_track.errors import ReproTrackError, StoreError, UsageError
from repro_track.fingerprint import HostTensor, digest_tensor, load_tensors
from repro_track.likeness import BITS, LIMIT, hash_views, measure_distances
from repro_track.media import VIDEO_SUFFIXES, read_record_id
from repro_track.picture import FoundPicture, read_picture
from repro_track.record import LATENTS_NAME, OUTPUT_TENSORS_NAME, RunRecord, read_record
from repro_track.store import Store, StoredRun, unpack_likenesses


@dataclass(frozen=True)
class FoundRun:
    """A record and where it is: in a store, in a folder, or both. `how` says by what a picture's run was found."""

    record: RunRecord
    run_id: str | None
    link: str | None
    store: Store | None
    stored: StoredRun | None
    folder: Path | None
    how: str | None = None

    @property
    def address(self) -> str:
        """MLflow's run id; the record's own where it is in no store."""
        return self.run_id or self.record.record_id

    @cached_property
    def opened(self) -> FoundRun:
        """This run with its store, in which it is looked up now if it was recalled without.

        Raises:
            StoreError: the record there is another one: altered since this machine logged it.
        """
        if self.folder is not None or self.stored is not None or self.run_id is None:
            return self
        store = open_store()
        stored = store.find_run(self.run_id)
        if store.load_record(stored) != self.record:
            raise StoreError(
                f"the record of run {self.run_id} in the store is not the one that this machine logged",
                expected="the record as it was logged",
                advice="see repro-track verify; to replay the stored record all the same, give a prefix of the id and --trust",
            )
        return replace(self, store=store, stored=stored, link=stored.link)

    def load_artifact(self, path: str, target: Path) -> Path | None:
        """Give the path of an artifact on this machine, loaded into `target` if need be; null: there is none."""
        if self.folder is not None:
            return self.folder / path if (self.folder / path).is_file() else None
        if self.store is None or self.stored is None:
            return None
        try:
            return self.store.load_artifact(self.stored, path, target)
        except ReproTrackError:
            return None

    def load_all(self, target: Path) -> Path:
        """Give a folder with all artifacts of the run, loaded into `target` if need be.

        Raises:
            StoreError: they cannot be loaded.
        """
        if self.folder is not None:
            return self.folder
        here = self.opened
        if here.store is None or here.stored is None:
            raise StoreError("the run is in no store", expected="a logged run")
        return here.store.load_artifacts(here.stored, target)

    def load_output_tensors(self, target: Path) -> dict[str, HostTensor]:
        """Load the exact outputs; empty where they are not to be had."""
        return self._load_tensors(OUTPUT_TENSORS_NAME, target)

    def load_exact(self, target: Path) -> Exact:
        """Load everything that is needed where digests differ."""
        return Exact(self.load_output_tensors(target), self._load_tensors(LATENTS_NAME, target))

    def _load_tensors(self, name: str, target: Path) -> dict[str, HostTensor]:
        path = self.load_artifact(name, target)
        return load_tensors(path) if path is not None else {}


_open_once = cache(Store)


def open_store() -> Store:
    """Open the store that is meant, once for the process.

    Raises:
        UsageError, StoreError: it cannot be used.
    """
    return _open_once(resolve_store_uri())


def find(text: str) -> FoundRun:
    """Find a run by MLflow's run id or a prefix, a link, a picture, a record.json, or `latest`.

    Raises:
        UsageError: there is none, or several.
        StoreError: it is not ours, or the store cannot be reached.
        RecordError: its record cannot be read.
    """
    path = Path(text)
    if path.suffix == ".json" and path.is_file():
        return FoundRun(read_record(path), None, None, None, None, path.absolute().parent)
    store = open_store()
    if path.suffix and path.is_file():  # a picture
        best = find_picture(text)[0]
        return FoundRun(store.load_record(best.run), best.run.run_id, best.run.link, store, best.run, None, best.how)
    if "/" in text and not text.startswith(("http://", "https://")):
        raise UsageError(f"{text} is not there", expected="a picture or a record.json")
    stored = store.find_run(text)
    if stored.is_sweep:
        raise UsageError(
            f"run {stored.run_id} is a sweep: its members have records, it has none",
            expected="a member, by its own id",
            advice=f"they are listed on its page, {stored.link}; replay and verify take the sweep itself, too",
        )
    return FoundRun(store.load_record(stored), stored.run_id, stored.link, store, stored, None)


def expand(text: str) -> list[str]:
    """Give the runs that a name stands for: the finished members of a sweep, else itself, also where there is no such run.

    Raises:
        UsageError: the sweep has none.
    """
    if not re.search(r"[0-9a-f]{6,}", text) or Path(text).is_file() or recall(text):
        return [text]
    store = open_store()
    try:
        run = store.find_run(text)
    except ReproTrackError:
        return [text]  # whoever looks at it says so
    if not run.is_sweep:
        return [text]
    members = [member.run_id for member in store.find_members(run.run_id) if member.is_finished]
    if not members:
        raise UsageError(
            f"the sweep {run.run_id} has no finished member yet", advice=f"repro-track run sweep.run={run.run_id}"
        )
    return members


def recall(text: str) -> FoundRun | None:
    """Find a run by its whole id among those that this machine logged, without opening the store."""
    record = ledger.recall(text) if re.fullmatch(r"[0-9a-f]{32}", text) else None
    return FoundRun(record, text, None, None, None, None) if record else None


@dataclass(frozen=True)
class Match:
    """A run that made a picture, or one that looks like it; `how` says in words by what it was found. `distance` is that
    of the perceptual hashes, in bits."""

    run: StoredRun
    how: str
    distance: int = 0


def find_picture(text: str) -> list[Match]:
    """Find the runs that made a picture, best first: by the id in the file, else by its pixels, else by likeness; or by a
    digest.

    Args:
        text: a file, or the sha256 of an output's pixels, its tensor, or the noise.

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
        matches = matches or _find_pixels(store, digests) or _find_likeness(store, picture)
    if not matches:
        raise UsageError(
            f"no run in the store made {path}, or anything that looks like it",
            expected="a picture of a logged run; one of a screenshot has to be cut out of what is around it",
        )
    return matches


def _find_id(store: Store, record_id: str | None, *, digest: str | None, is_changed: bool = False) -> list[Match]:
    """Find by what is embedded. The digest of the pixels goes first: it is in the tag's key, which has an index."""
    if record_id is None or not re.fullmatch(r"[0-9a-f]{32}", record_id):
        return []
    runs = store.find_by_tag(f"pixels.{digest}") if digest and re.fullmatch(r"[0-9a-f]{64}", digest) else []
    runs = [run for run in runs if run.record_id == record_id] or store.find_by_tag("record_id", record_id)
    how = "by the id in it" + ("; its pixels were changed since" if is_changed else "")
    return [Match(run, how) for run in runs]


def _find_pixels(store: Store, digests: Sequence[str]) -> list[Match]:
    for digest in digests:
        runs = store.find_by_tag(f"pixels.{digest}")
        if runs:
            return [Match(run, "by its pixels, which are exactly these") for run in runs]
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
        )
        for run in store.find_runs_by_id(list(best)[:10])
    ]


def _find_digest(store: Store, text: str) -> list[Match]:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise UsageError(
            f"{text!r} is neither a file nor a digest", expected="a picture, or 64 hexadecimal digits of sha256"
        )
    runs = store.find_by_tag(f"pixels.{text}")
    for name in ("output_sha256", "pixels_sha256", "noise_sha256"):
        runs = runs or store.find_by_tag(name, text)
    if not runs:
        raise UsageError(
            f"no run in the store has the digest {text}",
            expected="the sha256 of an output's tensor or pixels, or of the noise",
        )
    return [Match(run, "by its digest") for run in runs]


def make_tolerance(name: str | None, *, recorded: RunRecord) -> Tolerance:
    """Make a tolerance profile: the one of `conf/tolerance` that is named, else the one that the run was made with."""
    preset = recorded.config.resolved.get("tolerance") if name is None else None
    if not isinstance(preset, dict) or not {"name", "rtol", "atol"} <= set(preset):
        preset = read_preset("tolerance", name or "same_device")
    return Tolerance(preset["name"], preset["rtol"], preset["atol"], preset.get("decoded_atol", {}))


def compare(expected: str, actual: str) -> Comparison:
    """Compare two logged runs."""
    left, right = find(expected), find(actual)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        return compare_runs(
            left.record,
            right.record,
            expected_exact=left.load_exact(Path(one)),
            actual_exact=right.load_exact(Path(other)),
            tolerance=make_tolerance(None, recorded=left.record),
        )


def serve_ui(*, port: int) -> None:
    """Become MLflow's server on the store, or say where the server is.

    Raises:
        UsageError: the store is a server already.
    """
    uri = resolve_store_uri()
    if uri.startswith(("http://", "https://")):
        raise UsageError(
            f"the store is a server already: {uri}",
            expected="an embedded store or a database",
            advice=f"open {uri} in a browser",
        )
    place = Store(uri).find_view()  # this also makes the store if it is not there yet, or says why it cannot
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # 1.6 GB and 8 s for nothing that we use
    words = [
        sys.executable,
        "-P",
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        uri,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    print(
        f"MLflow's UI: http://127.0.0.1:{port}/#/{place} (Ctrl-C ends it)",
        file=sys.stderr,
        flush=True,
    )
    os.execv(sys.executable, words)
