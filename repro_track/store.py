"""MLflow: log a run, load a record, find runs. The only file that imports mlflow, and only inside its functions.

It uses `MlflowClient` with explicit run ids, because the fluent API starts runs on its own, and sends a run in a
handful of batched calls. It never runs anything that it reads from a store.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from repro_track.config import data_folder
from repro_track.errors import ReproTrackError, StoreError, UsageError
from repro_track.fingerprint import digest_bytes, digest_many
from repro_track.record import RECORD_NAME, RunRecord, Unavailable, parse_record
from repro_track.redaction import redact_text, redact_url

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TAG = "repro_track."
VIEW = "repro_track"
"""The name of the saved view of our columns: an experiment tag, which MLflow's UI lists under Views (read in its 3.17.2)."""
COLUMNS = {
    # MLflow's names of columns, and the widths at which their headers can be read
    "params.`seed`": 70,
    f"tags.`{TAG}verdict`": 140,
    f"tags.`{TAG}pipeline`": 150,
    f"tags.`{TAG}scheduler`": 165,
    f"tags.`{TAG}steps`": 130,
    f"tags.`{TAG}seed_closed`": 170,
    f"tags.`{TAG}digest`": 140,
    f"tags.`{TAG}commit`": 145,
    f"tags.`{TAG}dirty`": 130,
}
LIKENESS = f"{TAG}likeness"
"""The tag with the perceptual hashes of a run's pictures."""
_FINISHED = f"tags.`{TAG}record_id` != '' AND tags.`{TAG}replay_of` IS NULL AND attributes.status = 'FINISHED'"
"""Finds our finished runs that are no replays."""
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
        """The record's own id; null for a run without one."""
        return self.tags.get(f"{TAG}record_id")

    @property
    def is_finished(self) -> bool:
        """Whether its record says that it came to its end."""
        return self.tags.get(f"{TAG}status") == "finished"

    @property
    def is_sweep(self) -> bool:
        """Whether this is a sweep's own run, which has no record: its members have."""
        return f"{TAG}sweep" in self.tags


class Store:
    """An opened MLflow store.

    Raises:
        StoreError: it cannot be reached, or its database cannot be opened.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._client = _open_client(uri)

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
        tags = {"mlflow.user": user, "mlflow.source.name": source, "mlflow.source.type": "LOCAL", **(tags or {})}
        if parent_id is not None:
            tags["mlflow.parentRunId"] = parent_id
        with _reported(self.uri):
            run = self._client.create_run(
                experiment_id or self._ensure_experiment(experiment), run_name=name, tags=tags
            )
        return self._to_stored(run)

    def end_run(
        self, run: StoredRun, *, folder: Path, tags: Mapping[str, str], description: str, is_failed: bool
    ) -> None:
        """Log a folder of artifacts, tags and the description of a run without a record, and end it."""
        from mlflow.entities import RunTag

        all_tags = {**tags, "mlflow.note.content": description}
        with _reported(self.uri):
            self._client.log_batch(run.run_id, tags=[RunTag(name, value) for name, value in all_tags.items()])
            self._client.log_artifacts(run.run_id, str(folder))
            self._client.set_terminated(run.run_id, status="FAILED" if is_failed else "FINISHED")

    def log_files(self, run: StoredRun, folder: Path) -> None:
        """Log a folder of artifacts of a run that goes on."""
        with _reported(self.uri):
            self._client.log_artifacts(run.run_id, str(folder))

    def reopen_run(self, run: StoredRun) -> None:
        """Show a run that had ended as running again."""
        with _reported(self.uri):
            self._client.update_run(run.run_id, status="RUNNING")

    def delete_run(self, run: StoredRun) -> None:
        """Delete a run that came to nothing; MLflow keeps it until its garbage is collected."""
        with _reported(self.uri):
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
        all_tags = {**make_tags(record), "mlflow.note.content": description, **tags}
        if (folder / _LOGGED_IMAGES).is_dir():
            all_tags["mlflow.loggedImages"] = "True"
        all_metrics = [(name, value, 0) for name, value in {**make_metrics(record), **metrics}.items()]
        with _reported(self.uri):
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
        """On a local store the default would be `./mlruns` of whoever comes first: name a folder. A server knows its own."""
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
            runs = self._search(_FINISHED, most=1)
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
        if not {f"{TAG}record_id", f"{TAG}sweep"} & set(runs[0].tags):
            raise StoreError(
                f"run {runs[0].run_id} was not logged by repro_track",
                expected="a run with a record",
                advice="only runs of repro-track run, rt.track() and replay can be replayed and shown",
            )
        return runs[0]

    def find_members(self, parent_id: str) -> list[StoredRun]:
        """Find our runs that are shown under another one, the oldest first; replays and variations are none of them."""
        condition = f"tags.`mlflow.parentRunId` = '{parent_id}' AND tags.`{TAG}record_id` != ''"
        return [
            run
            for run in reversed(self._search(condition))
            if not {f"{TAG}replay_of", f"{TAG}variation_of"} & set(run.tags)
        ]

    def find_runs(self, experiment: str, filter_string: str | None) -> list[StoredRun]:
        """Find our finished runs of an experiment, the oldest first; replays are none of them.

        Raises:
            UsageError: there is no such experiment, or MLflow does not understand the filter.
        """
        from mlflow.exceptions import MlflowException

        with _reported(self.uri):
            found = self._client.get_experiment_by_name(experiment)
        if found is None:
            raise UsageError(f"there is no experiment {experiment!r} in {redact_url(self.uri)}", expected="its name")
        condition = f"{_FINISHED} AND {filter_string}" if filter_string else _FINISHED
        try:
            return self._search(condition, experiment_id=found.experiment_id)[::-1]
        except StoreError as error:
            if isinstance(error.__cause__, MlflowException) and error.__cause__.error_code == "INVALID_PARAMETER_VALUE":
                raise UsageError(
                    f"MLflow does not understand the filter {filter_string!r}: {_find_reason(error.__cause__)}",
                    expected="a query as in MLflow's search box, such as params.seed = '3'",
                ) from error
            raise

    def find_view(self) -> str:
        """Find the page of MLflow's UI that shows our newest runs in our columns; the list of experiments if there are none."""
        runs = self._search(f"tags.`{TAG}record_id` != ''", most=1)
        if not runs:
            return "experiments?workflowType=machine_learning"
        return f"experiments/{runs[0].experiment_id}/runs?viewStateShareKey={VIEW}&workflowType=machine_learning"

    def find_by_tag(self, name: str, value: str | None = None) -> list[StoredRun]:
        """Find our runs by a tag without its `repro_track.` (and its value), the newest first; replays last."""
        condition = f"tags.`{TAG}{name}` " + (f"= '{value}'" if value is not None else "!= ''")
        runs = self._search(condition, most=100)
        return sorted(runs, key=lambda run: f"{TAG}replay_of" in run.tags)

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
        with _reported(self.uri), engine.connect() as connection:
            rows = connection.execute(query).all()
        engine.dispose()
        return {row[0]: row[1] for row in rows}

    def _list_likenesses_of_server(self) -> dict[str, str]:
        path = data_folder() / "likeness" / f"{digest_bytes(_without_credentials(self.uri).encode())[:16]}.json"
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
        with _reported(self.uri):
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
        """Load one artifact, or a folder of them, into `folder`; gives its path there.

        Raises:
            StoreError: it is not there, or the store cannot be reached.
        """
        local = run.artifact_folder
        if local is not None and (local / path).is_file():
            return local / path
        with _reported(self.uri, what=f"{path} of run {run.run_id}"):
            return Path(self._client.download_artifacts(run.run_id, path, str(folder)))

    def load_artifacts(self, run: StoredRun, folder: Path) -> Path:
        """Load all artifacts of a run; gives the folder that has them: the store's own if it is on this machine.

        Raises:
            StoreError: the store cannot be reached.
        """
        if run.artifact_folder is not None and run.artifact_folder.is_dir():
            return run.artifact_folder
        with _reported(self.uri, what=f"the artifacts of run {run.run_id}"):
            return Path(self._client.download_artifacts(run.run_id, "", str(folder)))

    def _to_stored(self, run: Run) -> StoredRun:
        base = self.uri if self.uri.startswith(("http://", "https://")) else "http://127.0.0.1:5000"
        info = run.info
        link = f"{_without_credentials(base)}/#/experiments/{quote(info.experiment_id)}/runs/{info.run_id}?workflowType=machine_learning"
        tags = dict(run.data.tags)
        return StoredRun(
            info.run_id, info.experiment_id, info.artifact_uri, link, info.run_name or "", info.end_time, tags
        )


def _without_credentials(url: str) -> str:
    return redact_url(url).rstrip("/")


def _open_client(uri: str) -> MlflowClient:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # it would print links on stdout, which is for data
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # MLflow's own default is seven tries over four minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    if uri.startswith(("http://", "https://")):
        _knock(uri)
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)  # after MLflow has set up its own
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with _reported(uri):
        if uri.startswith("sqlite:///"):
            # four processes on a fresh file: three fail in the migrations (FIELD.md, section 4)
            from filelock import FileLock

            database = Path(uri.removeprefix("sqlite:///"))
            database.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{database}.lock"):
                client = MlflowClient(tracking_uri=uri, registry_uri=uri)
                client.search_experiments(max_results=1)
        else:
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            client.search_experiments(max_results=1)
    return client


def _knock(url: str) -> None:
    """Open a connection and close it: whether anybody listens is known at once, MLflow's retries take long."""
    parts = urlsplit(url)
    with (
        _reported(url),
        socket.create_connection((parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)), timeout=10),
    ):
        pass


@contextlib.contextmanager
def _reported(uri: str, *, what: str | None = None) -> Iterator[None]:
    """Turn every failure of MLflow, its database driver or the network into one message."""
    try:
        yield
    except ReproTrackError:
        raise
    except Exception as error:  # MLflow lets through what SQLAlchemy, requests, psycopg and the disk raise
        first = _find_reason(error)
        if what is not None:
            raise StoreError(
                f"{what} cannot be loaded from {redact_url(uri)}: {first}",
                expected="the artifacts as they were logged",
                advice="check that the run was not deleted and that its artifact location can be reached from here",
            ) from error
        if "error code 401" in str(error):
            raise StoreError(
                f"the MLflow server {redact_url(uri)} does not know who you are",
                expected="a user name and password",
                advice="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            ) from error
        raise StoreError(
            f"the MLflow store {redact_url(uri)} cannot be used: {first}",
            expected="a database that can be written, or a running MLflow server",
            advice="check MLFLOW_TRACKING_URI (or store.uri), and that the server is up",
        ) from error


def _find_reason(error: Exception) -> str:
    """Find the short reason in what a network or database library says at length."""
    text = str(error).strip() or type(error).__name__
    errno = re.search(r"\[Errno -?\d+\] [\w ]+", text)
    return errno[0] if errno else redact_text(text.splitlines()[0][:200])


# --- what a record looks like in MLflow: pure functions -----------------------------------------------------------


_LOGGED_IMAGES = "images"


def name_logged_images(key: str, *, step: int) -> tuple[str, str]:
    """Name the artifacts of one picture by step as MLflow's `log_image` does: the picture and its thumbnail.

    That would send each by itself; so they travel with the other artifacts (names as in MLflow 3.17.2).
    """
    name = f"{_LOGGED_IMAGES}/{key}+step+{step}+timestamp+{int(time.time() * 1000)}+{uuid.uuid4()}"
    return f"{name}.png", f"{name}+compressed.webp"


def pack_likenesses(hashes: Mapping[str, str]) -> str:
    """Pack perceptual hashes (64 hexadecimal digits) by output name into a tag's value.

    >>> pack_likenesses({"images.0": "0" * 64})[:14]
    'images.0:00000'
    """
    return " ".join(f"{quote(name)}:{digest}" for name, digest in hashes.items())


def unpack_likenesses(value: str) -> dict[str, str]:
    """Unpack what `pack_likenesses` made; what is not of that form is left out: anybody can write a tag.

    >>> list(unpack_likenesses(pack_likenesses({"my image": "0" * 64, "short": "00"}) + " x"))
    ['my image']
    """
    return {unquote(name): digest for name, digest in re.findall(r"(\S+):([0-9a-f]{64})(?!\S)", value)}


def make_experiment_tags() -> dict[str, str]:
    """Make the tags of an experiment: its kind, so that MLflow opens the list of runs, and the view with our columns."""
    state = json.dumps({"selectedColumns": list(COLUMNS), "columnOrder": list(COLUMNS), "columnWidths": COLUMNS})
    view = {"name": VIEW, "createdAt": 0, "updatedAt": 0, "state": state}
    return {"mlflow.experimentKind": "custom_model_development", f"mlflow.sharedViewState.{VIEW}": json.dumps(view)}


def make_tags(record: RunRecord) -> dict[str, str]:
    """Make the searchable tags of a record. A digest that people look up is in a tag's *key*, which has an index."""
    pictures = [output for output in record.outputs if output.pixels_sha256]
    noises = [call.trace.noise for call in record.calls if isinstance(call.trace.noise, str)]
    tags = {
        f"{TAG}record_id": record.record_id,
        f"{TAG}schema": str(record.schema_version),
        f"{TAG}status": record.status,
        f"{TAG}seed_closed": _word(record.seeds.closed),
        f"{TAG}replayable": _word(record.replayable.yes),
        f"{TAG}output_sha256": _one_digest([output.sha256 for output in record.outputs]),
        f"{TAG}pixels_sha256": _one_digest([output.pixels_sha256 or "" for output in pictures]),
        f"{TAG}noise_sha256": _one_digest(noises),
        **{f"{TAG}pixels.{output.pixels_sha256}": output.name for output in pictures},
    }
    if record.replay_of:
        tags[f"{TAG}replay_of"] = record.replay_of
    if record.config.overrides:
        tags[f"{TAG}overrides"] = " ".join(record.config.overrides)[:5000]
    source = record.source
    schedulers = {name.rpartition(".")[2] for call in record.calls for name in call.schedulers}
    weights = {weight.sha256: part.name for call in record.calls for part in call.components for weight in part.weights}
    shown = {
        "pipeline": " ".join(dict.fromkeys(call.class_name for call in record.calls)),
        "scheduler": " ".join(sorted(schedulers)),
        "steps": " ".join(str(len(call.trace.steps)) for call in record.calls if call.trace.steps),
        "weights": " ".join(f"{name}:{digest[:12]}" for digest, name in weights.items())[:5000],
        "digest": tags[f"{TAG}output_sha256"][:12],
        "commit": source.commit[:12] if isinstance(source.commit, str) else "",
        "dirty": _word(source.dirty) if isinstance(source.commit, str) else "",
    }
    tags |= {f"{TAG}{name}": value for name, value in shown.items()}
    git = {"commit": source.commit, "branch": source.branch, "repoURL": source.remote, "dirty": _word(source.dirty)}
    if not isinstance(source.repository, Unavailable):
        tags |= {f"mlflow.source.git.{key}": value for key, value in git.items() if isinstance(value, str)}
    return {name: value for name, value in tags.items() if value}


def _word(value: bool) -> str:
    return "true" if value else "false"


def _one_digest(digests: list[str]) -> str:
    """The digest itself if there is one, one over all in their order if there are several."""
    return digests[0] if len(digests) == 1 else digest_many(digests) if digests else ""


def make_params(record: RunRecord) -> dict[str, str]:
    """Make the params: the flattened resolved config; for a script without one, what its first call was given."""
    tree: dict[str, Any] = dict(record.config.resolved)
    tree["seed"] = record.seeds.root
    if record.calls:
        first = record.calls[0]
        tree.setdefault("pipeline", {"class_name": first.class_name})
        tree.setdefault("call", first.arguments)
    return {_clean_key(key): str(value)[:6000] for key, value in _flatten(tree)}


def _flatten(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flatten(item, f"{place}.{key}" if place else str(key))
    elif value is not None:
        yield place, value


def _clean_key(key: str) -> str:
    """MLflow's keys: up to 250 characters, letters, digits and `_ - . / : space`, no empty part."""
    return re.sub(r"/{2,}", "/", re.sub(r"[^\w\-./: ]", "_", key))[:250]


def make_metrics(record: RunRecord) -> dict[str, float]:
    """Make the metrics of the whole run: seconds of each phase, peak memory, the guide's statistic of the output."""
    metrics = {f"duration.{name}_s": value for name, value in record.cost.phases_s.items()}
    metrics["peak_memory_bytes"] = float(record.cost.peak_memory_bytes)
    if record.cost.peak_gpu_memory_bytes is not None:
        metrics["peak_gpu_memory_bytes"] = float(record.cost.peak_gpu_memory_bytes)
    sums = [output.abs_sum for output in record.outputs if output.kind == "image" and output.abs_sum is not None]
    if sums:
        metrics["output.abs_sum"] = sum(sums)
    return metrics


def make_step_metrics(record: RunRecord) -> list[tuple[str, float, int]]:
    """Make the latents' statistics by step: (name, value, step)."""
    metrics = []
    for call in record.calls:
        prefix = "latents" if call.index == 0 else f"call{call.index}.latents"
        for step in call.trace.steps:
            metrics += [(f"{prefix}.{name}", getattr(step, name), step.index) for name in ("mean", "std", "abs_max")]
    return metrics
