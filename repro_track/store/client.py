"""MLflow's store: log a run, load a record, find runs.

It uses `MlflowClient` with explicit run ids, because the fluent API starts runs on its own, and sends a run in a
handful of batched calls. How runs are searched, experiments made and pictures' hashes listed is in the files beside
this one. It never runs anything that it reads from a store.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from repro_track.errors import StoreError, UsageError
from repro_track.record.names import RECORD_NAME
from repro_track.record.reading import parse_record
from repro_track.record.redaction import redact_url
from repro_track.record.schema import RunRecord
from repro_track.store.connection import find_reason, open_client, reported
from repro_track.store.experiments import ensure_experiment
from repro_track.store.likenesses import list_likenesses
from repro_track.store.searching import find_run, search_runs
from repro_track.store.stored_run import StoredRun, make_stored_run
from repro_track.store.tags import (
    FINISHED_FILTER,
    LOGGED_IMAGES,
    OURS_FILTER,
    REPLAY_OF,
    VARIATION_OF,
    VIEW,
    make_end_tags,
    make_member_filter,
    make_metrics,
    make_params,
    make_record_tags,
    make_start_tags,
    make_step_metrics,
    make_tag_filter,
)

STATUSES = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
    "killed": "KILLED",
    "running": "RUNNING",
}
"""MLflow's word for each status of a record."""


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
            where = experiment_id or ensure_experiment(self._client, experiment, uri=self.uri)
            run = self._client.create_run(where, run_name=name, tags=all_tags)
        return make_stored_run(run, uri=self.uri)

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

    def rename_run(self, run: StoredRun, *, name: str) -> None:
        """Give a run another name."""
        with reported(self.uri):
            self._client.update_run(run.run_id, name=name)

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
        """Log a record and its folder of artifacts, and end the run: one call for the record, one for the end."""
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
            self._client.set_terminated(run.run_id, status=STATUSES[record.status])

    # --- find

    def find_run(self, text: str) -> StoredRun:
        """Find a run of ours by id, by a unique prefix of 6 or more, by a link of MLflow's UI, or `latest`.

        Raises:
            UsageError: there is none, or several.
            StoreError: it was not logged by repro_track, or the store cannot be reached.
        """
        return find_run(self._client, text, uri=self.uri)

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

        Raises:
            StoreError: the store cannot be reached.
        """
        return list_likenesses(self._client, uri=self.uri)

    def _search(
        self, filter_string: str, *, most: int | None = None, experiment_id: str | None = None
    ) -> list[StoredRun]:
        return search_runs(self._client, filter_string, uri=self.uri, most=most, experiment_id=experiment_id)

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
