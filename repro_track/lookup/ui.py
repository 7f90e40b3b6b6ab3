"""MLflow's UI on the configured store.

It never starts a second server where the store is one already.
"""

from __future__ import annotations

import sys

from repro_track.config.locations import is_web_url, resolve_store_uri
from repro_track.errors import UsageError
from repro_track.store.client import Store
from repro_track.store.connection import become_server


def serve_ui(*, port: int) -> None:
    """Become MLflow's server on the store, or say where the server is.

    Raises:
        UsageError: the store is a server already.
    """
    uri = resolve_store_uri()
    if is_web_url(uri):
        raise UsageError(
            f"the store is a server already: {uri}",
            expected="an embedded store or a database",
            advice=f"open {uri} in a browser",
        )
    place = Store(uri).find_view()  # this also makes the store if it is not there yet, or says why it cannot
    print(f"MLflow's UI: http://127.0.0.1:{port}/#/{place} (Ctrl-C ends it)", file=sys.stderr, flush=True)
    become_server(uri, port=port)
