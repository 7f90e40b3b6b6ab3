"""MLflow's experiments: found by name, made where there is none, with our columns.

It never changes what an experiment shows already, and never restores one that was deleted.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from repro_track.config.locations import data_folder, is_web_url
from repro_track.errors import StoreError
from repro_track.store.tags import make_experiment_tags
from repro_track.tensors.digests import digest_bytes

if TYPE_CHECKING:
    from mlflow import MlflowClient


def ensure_experiment(client: MlflowClient, name: str, *, uri: str) -> str:
    """Find an experiment by its name, or make it; return its id. What of our view it lacks is added.

    Raises:
        StoreError: it was deleted.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        location = choose_artifact_location(name, uri=uri)
        try:
            return client.create_experiment(name, artifact_location=location, tags=make_experiment_tags())
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process was faster
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise StoreError(
            f"the MLflow experiment {name!r} is deleted",
            expected="an active experiment",
            advice=f"restore it (mlflow experiments restore -x {found.experiment_id})"
            " or choose store.experiment_name=NAME",
        )
    for key, value in make_experiment_tags().items():
        if key not in found.tags:  # an experiment of somebody else's, or of an earlier version
            client.set_experiment_tag(found.experiment_id, key, value)
    return found.experiment_id


def choose_artifact_location(experiment: str, *, uri: str) -> str | None:
    """Choose where the artifacts of a new experiment go; `None`: the store is a server, which knows its own place.

    On a local store MLflow's default would be `./mlruns` of whoever comes first. So it is a folder beside a SQLite
    file, and in our data folder for another database; its name tells experiments apart that differ only in characters
    which a file name cannot have.
    """
    if is_web_url(uri):
        return None
    base = Path(uri.removeprefix("sqlite:///")).parent if uri.startswith("sqlite:///") else data_folder()
    name = f"{re.sub(r'[^A-Za-z0-9._-]+', '_', experiment)}-{digest_bytes(experiment.encode())[:8]}"
    return (base / "artifacts" / name).as_uri()
