"""Promises of ui.py: where the store is a server already, no second one is started."""

import pytest

from repro_track.errors import UsageError
from repro_track.lookup.ui import serve_ui


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "https://host.invalid/mlflow"])
def test_a_store_that_is_a_server_is_opened_in_a_browser(uri, monkeypatch, capsys):
    """It is refused with its own address, before anything is asked of it or started."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UsageError) as refused:
        serve_ui(port=5000)
    assert uri in refused.value.found
    assert refused.value.advice == f"open {uri} in a browser"
    assert capsys.readouterr() == ("", "")


def test_any_other_store_is_not_refused(monkeypatch, tmp_path):
    """A database is opened, which needs MLflow: here that is where it ends; tests/lookup/test_ui.py goes on."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(ImportError, match="mlflow"):
        serve_ui(port=5000)
