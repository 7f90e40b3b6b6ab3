"""Search a store for runs, page by page.

It only reads, and never looks into a run's artifacts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from repro_track.errors import StoreError, UsageError
from repro_track.record.redaction import redact_url
from repro_track.store.connection import reported
from repro_track.store.stored_run import StoredRun, make_stored_run
from repro_track.store.tags import FINISHED_FILTER, RECORD_ID, SWEEP

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PAGE = 1000


def search_runs(
    client: MlflowClient,
    filter_string: str,
    *,
    uri: str,
    most: int | None = None,
    experiment_id: str | None = None,
) -> list[StoredRun]:
    """Find the runs that a filter of MLflow's describes, the newest first.

    Args:
        client: MLflow's client on the store.
        filter_string: the condition, as in MLflow's search box.
        uri: the store, for messages and links.
        most: so many at most; `None`: all.
        experiment_id: where to look; `None`: in all experiments.

    Raises:
        StoreError: the store cannot be reached, or MLflow does not understand the condition.
    """
    found: list[StoredRun] = []
    token = None
    with reported(uri):
        everywhere = [one.experiment_id for one in client.search_experiments()] if not experiment_id else []
        while True:
            page = client.search_runs(
                [experiment_id] if experiment_id else everywhere,
                filter_string,
                max_results=most or _PAGE,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            found += [make_stored_run(run, uri=uri) for run in page]
            token = page.token
            if most is not None or not token:
                return found


def find_run(client: MlflowClient, text: str, *, uri: str) -> StoredRun:
    """Find a run of ours by id, by a unique prefix of 6 or more, by a link of MLflow's UI, or `latest`.

    Raises:
        UsageError: there is none, or several.
        StoreError: it was not logged by repro_track, or the store cannot be reached.
    """
    if text == "latest":
        runs = search_runs(client, FINISHED_FILTER, uri=uri, most=1)
        if not runs:
            raise UsageError("there is no run yet", expected="a logged run", advice="repro-track run")
        return runs[0]
    prefix = parse_name(text)
    runs = search_runs(client, f"attributes.run_id LIKE '{prefix}%'", uri=uri, most=3)
    if not runs:
        raise UsageError(
            f"no run begins with {prefix!r} in {redact_url(uri)}",
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


def parse_name(text: str) -> str:
    """Return the run id, or the beginning of one, that a text is or links to.

    Raises:
        UsageError: it is neither.

    >>> parse_name("0A1B2C3D"), parse_name("http://host/#/experiments/1/runs/" + "0" * 32)[:8]
    ('0a1b2c3d', '00000000')
    """
    linked = re.search(r"/runs/([0-9a-f]{32})", text)
    prefix = linked[1] if linked else text.lower()
    if not re.fullmatch(r"[0-9a-f]{6,32}", prefix):
        raise UsageError(
            f"{text!r} names no run",
            expected="an MLflow run id or a unique prefix of 6 or more, a link of MLflow's UI, a picture,"
            " a record.json, or latest",
            advice="repro-track ui shows the runs",
        )
    return prefix
