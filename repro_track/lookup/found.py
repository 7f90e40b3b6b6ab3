"""A logged run and where it is, and the store that is meant, opened once.

It never runs a logged run, and never loads torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from repro_track.compare.outputs import Exact
from repro_track.config.locations import resolve_store_uri
from repro_track.errors import ReproTrackError, StoreError
from repro_track.record.names import LATENTS_NAME, OUTPUT_TENSORS_NAME
from repro_track.record.schema import RunRecord
from repro_track.store.client import Store
from repro_track.store.stored_run import StoredRun
from repro_track.tensors.host import HostTensor, load_tensors


@dataclass(frozen=True)
class FoundRun:
    """A record and where it is: in a store, in a folder, or not looked up yet (`None`: not known).

    `run_id`, `link` and `stored` are MLflow's; `how` says by what a picture's run was found, `output` which of its
    outputs that picture is (`None`: not known).
    """

    record: RunRecord
    run_id: str | None = None
    link: str | None = None
    store: Store | None = None
    stored: StoredRun | None = None
    folder: Path | None = None
    how: str | None = None
    output: str | None = None

    @property
    def address(self) -> str:
        """MLflow's run id; the record's own where it is in no store."""
        return self.run_id or self.record.record_id

    def open(self) -> FoundRun:
        """Return this run with its store. One that was recalled without is looked up in it, the first time.

        Raises:
            UsageError: it is not there any more.
            StoreError: the store cannot be reached, or the record there was altered since this machine logged it.
        """
        return self._opened

    @cached_property
    def _opened(self) -> FoundRun:
        if self.folder is not None or self.stored is not None or self.run_id is None:
            return self
        store = open_store()
        stored = store.find_run(self.run_id)
        if store.load_record(stored) != self.record:
            raise StoreError(
                f"the record of run {self.run_id} in the store is not the one that this machine logged",
                expected="the record as it was logged",
                advice="see repro-track verify; to replay the stored record all the same, "
                "give a prefix of the id and --trust",
            )
        return replace(self, store=store, stored=stored, link=stored.link)

    def load_artifact(self, path: str, target: Path) -> Path | None:
        """Return the path of an artifact on this machine, loaded into `target` if need be; `None`: it cannot be had."""
        if self.folder is not None:
            return self.folder / path if (self.folder / path).is_file() else None
        if self.store is None or self.stored is None:
            return None
        try:
            return self.store.load_artifact(self.stored, path, target)
        except ReproTrackError:
            return None

    def load_all(self, target: Path) -> Path:
        """Return a folder with all artifacts of the run, loaded into `target` if need be.

        Raises:
            StoreError: they cannot be loaded.
        """
        if self.folder is not None:
            return self.folder
        here = self.open()
        if here.store is None or here.stored is None:
            raise StoreError("the run is in no store", expected="a logged run")
        return here.store.load_artifacts(here.stored, target)

    def load_output_tensors(self, target: Path) -> dict[str, HostTensor]:
        """Load the exact outputs by name; empty where they cannot be had."""
        return self._load_tensors(OUTPUT_TENSORS_NAME, target)

    def load_exact(self, target: Path) -> Exact:
        """Load the exact outputs and latents, which are compared where digests differ; empty where they cannot be
        had."""
        return Exact(self.load_output_tensors(target), self._load_tensors(LATENTS_NAME, target))

    def _load_tensors(self, name: str, target: Path) -> dict[str, HostTensor]:
        path = self.load_artifact(name, target)
        return load_tensors(path) if path is not None else {}


_open_once = cache(Store)


def open_store() -> Store:
    """Open the store that the environment or the preset names, once for the process.

    Raises:
        UsageError: its address is none.
        StoreError: it cannot be reached.
    """
    return _open_once(resolve_store_uri())
