"""MLflow's store: log a run, load a record, find runs.

It uses `MlflowClient` with explicit run ids, because the fluent API starts runs on its own, and sends a run in a
handful of batched calls. It never runs anything that it reads from a store.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from repro_track.config.locations import data_folder
from repro_track.errors import StoreError, UsageError
from repro_track.record.names import RECORD_NAME
from repro_track.record.reading import parse_record
from repro_track.record.redaction import redact_url
from repro_track.record.schema import RunRecord
from repro_track.store.connection import find_reason, open_client, reported, without_credentials
from repro_track.store.tags import (
    FINISHED_FILTER,
    LIKENESS,
    LOGGED_IMAGES,
    MANIFEST,
    OURS_FILTER,
    RECORD_ID,
    REPLAY_OF,
    STATUS,
    SWEEP,
    VARIATION_OF,
    VIEW,
    make_end_tags,
    make_experiment_tags,
    make_member_filter,
    make_metrics,
    make_params,
    make_record_tags,
    make_start_tags,
    make_step_metrics,
    make_tag_filter,
)
from repro_track.tensors.digests import digest_bytes

if TYPE_CHECKING:
    from mlflow.entities import Run

_CLOCKS_APART_MS = 10 * 60 * 1000
"""By so much the clocks of two machines that log to one server may differ."""
_STATUS = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
    "killed": "KILLED",
    "running": "RUNNING",
}


@dataclass(frozen=True)
class StoredRun:
    """Where a run is in MLflow. `link` opens it in MLflow's UI (for an embedded store: while `repro-track ui` runs)."""

    run_id: str
    experiment_id: str
    artifact_uri: str
    link: str

    name: str = ""
    end_ms: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def artifact_folder(self) -> Path | None:
        """The artifacts' folder, if it is on this machine."""
        return Path(self.artifact_uri.removeprefix("file://")) if self.artifact_uri.startswith("file://") else None

    @property
    def record_id(self) -> str | None:
        """The record's own id; `None` for a run without one."""
        return self.tags.get(RECORD_ID)

    @property
    def status(self) -> str | None:
        """The status in its record; `None` as long as there is none."""
        return self.tags.get(STATUS)

    @property
    def is_finished(self) -> bool:
        """Whether its record says that it came to its end."""
        return self.status == "finished"

    @property
    def manifest_sha256(self) -> str | None:
        """The digest of its list of files; `None`: an earlier version logged it, which had no such list."""
        return self.tags.get(MANIFEST)

    @property
    def is_sweep(self) -> bool:
        """Whether this is a sweep's own run, which has no record: its members have."""
        return SWEEP in self.tags


class Store:
    """An opened MLflow store.

    Raises:
        StoreError: it cannot be reached, or its database cannot be opened.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._client = open_client(uri)

    # --- log

    def start_run(
        self,
        *,
        experiment: str,
        name: str,
        user: str,
        source: str,
        experiment_id: str | None = None,
        parent_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> StoredRun:
        """Create a run that is shown as running until it is ended.

        Args:
            experiment: the experiment's name; it is made if it is not there.
            name: the run's name.
            user: who runs it.
            source: what runs it.
            experiment_id: an experiment that is there, instead of a name.
            parent_id: the run under which this one is shown.
            tags: more tags.
        """
        all_tags = {**make_start_tags(user=user, source=source, parent_id=parent_id), **(tags or {})}
        with reported(self.uri):
            run = self._client.create_run(
                experiment_id or self._ensure_experiment(experiment), run_name=name, tags=all_tags
            )
        return self._to_stored(run)

    def end_run(
        self, run: StoredRun, *, folder: Path, tags: Mapping[str, str], description: str, is_failed: bool
    ) -> None:
        """Log a folder of artifacts, tags and the description of a run without a record, and end it."""
        from mlflow.entities import RunTag

        all_tags = {**tags, **make_end_tags(description=description)}
        with reported(self.uri):
            self._client.log_batch(run.run_id, tags=[RunTag(name, value) for name, value in all_tags.items()])
            self._client.log_artifacts(run.run_id, str(folder))
            self._client.set_terminated(run.run_id, status="FAILED" if is_failed else "FINISHED")

    def log_files(self, run: StoredRun, folder: Path) -> None:
        """Log a folder of artifacts of a run that goes on."""
        with reported(self.uri):
            self._client.log_artifacts(run.run_id, str(folder))

    def reopen_run(self, run: StoredRun) -> None:
        """Show a run that had ended as running again."""
        with reported(self.uri):
            self._client.update_run(run.run_id, status="RUNNING")

    def delete_run(self, run: StoredRun) -> None:
        """Delete a run that came to nothing; MLflow keeps it until its garbage is collected."""
        with reported(self.uri):
            self._client.delete_run(run.run_id)

    def log_run(
        self,
        run: StoredRun,
        *,
        record: RunRecord,
        folder: Path,
        description: str,
        tags: Mapping[str, str],
        metrics: Mapping[str, float],
    ) -> None:
        """Log a record and its folder of artifacts, and end the run: four calls, whatever the run's size."""
        from mlflow.entities import Metric, Param, RunTag

        now_ms = int(time.time() * 1000)
        end_tags = make_end_tags(description=description, has_pictures=(folder / LOGGED_IMAGES).is_dir())
        all_tags = {**make_record_tags(record), **end_tags, **tags}
        all_metrics = [(name, value, 0) for name, value in {**make_metrics(record), **metrics}.items()]
        with reported(self.uri):
            self._client.log_batch(
                run.run_id,
                metrics=[
                    Metric(name, value, now_ms, step)
                    for name, value, step in [*all_metrics, *make_step_metrics(record)]
                ],
                params=[Param(name, value) for name, value in make_params(record).items()],
                tags=[RunTag(name, value) for name, value in all_tags.items()],
            )
            self._client.log_artifacts(run.run_id, str(folder))
            self._client.set_terminated(run.run_id, status=_STATUS[record.status])

    def _ensure_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return self._client.create_experiment(
                    name, artifact_location=self._choose_artifact_location(name), tags=make_experiment_tags()
                )
            except MlflowException:
                found = self._client.get_experiment_by_name(name)  # another process was faster
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise StoreError(
                f"the MLflow experiment {name!r} is deleted",
                expected="an active experiment",
                advice=f"restore it (mlflow experiments restore -x {found.experiment_id}) or choose store.experiment_name=NAME",
            )
        for key, value in make_experiment_tags().items():
            if key not in found.tags:  # an experiment of somebody else's, or of an earlier version
                self._client.set_experiment_tag(found.experiment_id, key, value)
        return found.experiment_id

    def _choose_artifact_location(self, experiment: str) -> str | None:
        """On a local store the default would be `./mlruns` of whoever comes first: name a folder. A server knows its
        own."""
        if self.uri.startswith(("http://", "https://")):
            return None
        base = Path(self.uri.removeprefix("sqlite:///")).parent if self.uri.startswith("sqlite:///") else data_folder()
        return (
            base
            / "artifacts"
            / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', experiment)}-{digest_bytes(experiment.encode())[:8]}"
        ).as_uri()

    # --- find

    def find_run(self, text: str) -> StoredRun:
        """Find a run of ours by id, by a unique prefix of 6 or more, by a link of MLflow's UI, or `latest`.

        Raises:
            UsageError: there is none, or several.
            StoreError: it was not logged by repro_track, or the store cannot be reached.
        """
        if text == "latest":
            runs = self._search(FINISHED_FILTER, most=1)
            if not runs:
                raise UsageError("there is no run yet", expected="a logged run", advice="repro-track run")
            return runs[0]
        linked = re.search(r"/runs/([0-9a-f]{32})", text)
        prefix = linked[1] if linked else text.lower()
        if not re.fullmatch(r"[0-9a-f]{6,32}", prefix):
            raise UsageError(
                f"{text!r} names no run",
                expected="an MLflow run id or a unique prefix of 6 or more, a link of MLflow's UI, a picture, a record.json, or latest",
                advice="repro-track ui shows the runs",
            )
        runs = self._search(f"attributes.run_id LIKE '{prefix}%'", most=3)
        if not runs:
            raise UsageError(
                f"no run begins with {prefix!r} in {redact_url(self.uri)}",
                expected="a run that was logged there",
                advice="check the id, or name the store it is in: MLFLOW_TRACKING_URI=…",
            )
        if len(runs) > 1:
            raise UsageError(
                f"{prefix!r} begins several run ids: " + ", ".join(run.run_id for run in runs),
                expected="a unique prefix",
                advice="give more of the id",
            )
        if not {RECORD_ID, SWEEP} & set(runs[0].tags):
            raise StoreError(
                f"run {runs[0].run_id} was not logged by repro_track",
                expected="a run with a record",
                advice="only runs of repro-track run, rt.track() and replay can be replayed and shown",
            )
        return runs[0]

    def find_members(self, parent_id: str) -> list[StoredRun]:
        """Find our runs that are shown under another one, the oldest first; replays and variations are none of them."""
        runs = reversed(self._search(make_member_filter(parent_id)))
        return [run for run in runs if not {REPLAY_OF, VARIATION_OF} & set(run.tags)]

    def find_runs(self, experiment: str, filter_string: str | None) -> list[StoredRun]:
        """Find our finished runs of an experiment, the oldest first; replays are none of them.

        Raises:
            UsageError: there is no such experiment, or MLflow does not understand the filter.
        """
        from mlflow.exceptions import MlflowException

        with reported(self.uri):
            found = self._client.get_experiment_by_name(experiment)
        if found is None:
            raise UsageError(f"there is no experiment {experiment!r} in {redact_url(self.uri)}", expected="its name")
        condition = f"{FINISHED_FILTER} AND {filter_string}" if filter_string else FINISHED_FILTER
        try:
            return self._search(condition, experiment_id=found.experiment_id)[::-1]
        except StoreError as error:
            if isinstance(error.__cause__, MlflowException) and error.__cause__.error_code == "INVALID_PARAMETER_VALUE":
                raise UsageError(
                    f"MLflow does not understand the filter {filter_string!r}: {find_reason(error.__cause__)}",
                    expected="a query as in MLflow's search box, such as params.seed = '3'",
                ) from error
            raise

    def find_view(self) -> str:
        """Find the page of MLflow's UI that shows our newest runs in our columns; the list of experiments if there are
        none."""
        runs = self._search(OURS_FILTER, most=1)
        if not runs:
            return "experiments?workflowType=machine_learning"
        return f"experiments/{runs[0].experiment_id}/runs?viewStateShareKey={VIEW}&workflowType=machine_learning"

    def find_by_tag(self, name: str, value: str | None = None) -> list[StoredRun]:
        """Find the runs with a tag, with `value` those where it is exactly this; the newest first, replays last."""
        runs = self._search(make_tag_filter(name, value), most=100)
        return sorted(runs, key=lambda run: REPLAY_OF in run.tags)

    def find_runs_by_id(self, run_ids: Sequence[str]) -> list[StoredRun]:
        """Find the runs with these ids that are not deleted, in their order."""
        listed = ", ".join(f"'{run_id}'" for run_id in run_ids)
        runs = self._search(f"attributes.run_id IN ({listed})", most=len(run_ids)) if run_ids else []
        by_id = {run.run_id: run for run in runs}
        return [by_id[run_id] for run_id in run_ids if run_id in by_id]

    def list_likenesses(self) -> dict[str, str]:
        """List the packed perceptual hashes of all runs by run id; runs that were deleted may be among them.

        MLflow gives runs only whole, some 3 ms each. So a database is asked for that one tag, and what a server
        once gave is kept, so that only newer runs have to be listed.
        """
        if self.uri.startswith(("http://", "https://")):
            return self._list_likenesses_of_server()
        import sqlalchemy

        tags = sqlalchemy.table("tags", *(sqlalchemy.column(name) for name in ("run_uuid", "key", "value")))
        query = sqlalchemy.select(tags.c.run_uuid, tags.c.value).where(tags.c.key == LIKENESS)
        engine = sqlalchemy.create_engine(self.uri)
        with reported(self.uri), engine.connect() as connection:
            rows = connection.execute(query).all()
        engine.dispose()
        return {row[0]: row[1] for row in rows}

    def _list_likenesses_of_server(self) -> dict[str, str]:
        path = data_folder() / "likeness" / f"{digest_bytes(without_credentials(self.uri).encode())[:16]}.json"
        kept: dict[str, Any] = {"until_ms": 0, "runs": {}}
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
        since_ms = kept["until_ms"] - _CLOCKS_APART_MS
        new = self._search(f"tags.`{LIKENESS}` != '' AND attributes.end_time > {max(since_ms, 0)}")
        runs = {**kept["runs"], **{run.run_id: run.tags[LIKENESS] for run in new}}
        until_ms = max([kept["until_ms"], *(run.end_ms or 0 for run in new)])
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.part")
        partial.write_text(json.dumps({"until_ms": until_ms, "runs": runs}), encoding="utf-8")
        partial.replace(path)
        return runs

    def _search(
        self, filter_string: str, *, most: int | None = None, experiment_id: str | None = None
    ) -> list[StoredRun]:
        """Search page by page, the newest first, all experiments unless one is given."""
        found: list[StoredRun] = []
        token = None
        with reported(self.uri):
            experiments = [one.experiment_id for one in self._client.search_experiments()] if not experiment_id else []
            while True:
                page = self._client.search_runs(
                    [experiment_id] if experiment_id else experiments,
                    filter_string,
                    max_results=most or 1000,
                    order_by=["attributes.start_time DESC"],
                    page_token=token,
                )
                found += [self._to_stored(run) for run in page]
                token = page.token
                if most is not None or not token:
                    return found

    # --- load

    def load_record(self, run: StoredRun) -> RunRecord:
        """Load the record of a run.

        Raises:
            StoreError: the artifact is not there.
            RecordError: it cannot be read.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = self.load_artifact(run, RECORD_NAME, Path(folder))
            return parse_record(path.read_bytes(), origin=f"the record of run {run.run_id}")

    def load_artifact(self, run: StoredRun, path: str, folder: Path) -> Path:
        """Load one artifact, or a folder of them, into `folder`; return its path there.

        Raises:
            StoreError: it is not there, or the store cannot be reached.
        """
        local = run.artifact_folder
        if local is not None and (local / path).is_file():
            return local / path
        with reported(self.uri, what=f"{path} of run {run.run_id}"):
            return Path(self._client.download_artifacts(run.run_id, path, str(folder)))

    def load_artifacts(self, run: StoredRun, folder: Path) -> Path:
        """Load all artifacts of a run; return the folder that has them: the store's own if it is on this machine.

        Raises:
            StoreError: the store cannot be reached.
        """
        if run.artifact_folder is not None and run.artifact_folder.is_dir():
            return run.artifact_folder
        with reported(self.uri, what=f"the artifacts of run {run.run_id}"):
            return Path(self._client.download_artifacts(run.run_id, "", str(folder)))

    def _to_stored(self, run: Run) -> StoredRun:
        base = self.uri if self.uri.startswith(("http://", "https://")) else "http://127.0.0.1:5000"
        info = run.info
        link = f"{without_credentials(base)}/#/experiments/{quote(info.experiment_id)}/runs/{info.run_id}?workflowType=machine_learning"
        tags = dict(run.data.tags)
        return StoredRun(
            info.run_id, info.experiment_id, info.artifact_uri, link, info.run_name or "", info.end_time, tags
        )
