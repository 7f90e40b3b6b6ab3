"""Promises of notebook.py: the cells that were run, and nothing where there are none."""

import sys

from repro_track.capture.notebook import read_cells


def test_outside_of_ipython_there_are_no_cells(monkeypatch):
    """Where IPython is not loaded, or loaded by a program that is no notebook, there is no notebook."""
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert read_cells() is None
    import IPython  # noqa: F401

    assert read_cells() is None
