"""Promises of store/stored_run.py: what a run's tags say, and a link that opens it."""

from types import SimpleNamespace

import pytest

from repro_track.store.stored_run import StoredRun, make_stored_run


def make(tags=None, uri="file:///tmp/artifacts"):
    return StoredRun("0" * 32, "1", uri, "link", tags=tags or {})


def test_a_run_is_what_its_tags_say():
    """Each property reads exactly its own tag; without any, a run is no run of ours."""
    bare = make()
    assert (bare.record_id, bare.status, bare.manifest_sha256) == (None, None, None)
    assert not bare.is_finished
    assert not bare.is_sweep
    full = make({"repro_track.record_id": "a", "repro_track.status": "finished", "repro_track.manifest": "b"})
    assert (full.record_id, full.status, full.manifest_sha256) == ("a", "finished", "b")
    assert full.is_finished
    assert not make({"repro_track.status": "killed"}).is_finished
    assert make({"repro_track.sweep": "running"}).is_sweep


@pytest.mark.parametrize(
    ("uri", "folder"),
    [("file:///tmp/a%20b", "/tmp/a%20b"), ("mlflow-artifacts:/1/2", None), ("s3://bucket/x", None), ("/tmp/x", None)],
)
def test_artifacts_on_this_machine_have_a_folder(uri, folder):
    """Only artifacts of a `file:` URI are read in place; all others are downloaded."""
    found = make(uri=uri).artifact_folder
    assert found == (None if folder is None else type(found)(folder))


@pytest.mark.parametrize(
    ("uri", "base"),
    [
        ("sqlite:////home/me/mlflow.db", "http://127.0.0.1:5000"),
        ("postgresql://me:word@host/db", "http://127.0.0.1:5000"),
        ("https://me:word@host:8080/path/?token=secret", "https://host:8080/path"),
        ("http://host:5000", "http://host:5000"),
    ],
)
def test_a_link_leads_to_the_page_and_has_no_password(uri, base):
    """The link is of the server, or of the embedded UI; user, password and query of the store's URI are not in it."""
    info = SimpleNamespace(run_id="0" * 32, experiment_id="1", artifact_uri="x", run_name=None, end_time=7)
    run = make_stored_run(SimpleNamespace(info=info, data=SimpleNamespace(tags={"a": "b"})), uri=uri)
    assert run.link == f"{base}/#/experiments/1/runs/{'0' * 32}?workflowType=machine_learning"
    assert (run.name, run.end_ms, run.tags) == ("", 7, {"a": "b"})
