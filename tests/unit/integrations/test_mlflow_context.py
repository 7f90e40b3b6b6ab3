"""Promises of mlflow_context.py: a run of MLflow's inside a tracked one says so, any other says nothing."""

import sys

import pytest

from repro_track.integrations.mlflow_context import ReproTrackContext


def test_inside_a_tracked_run_the_tags_are_its_own(child):
    """In the block the tags name its record and seed, in one inside it those of the inner; outside there are none."""
    from repro_track.tracking.track import track

    context = ReproTrackContext()
    assert (context.in_context(), context.tags()) == (False, {})
    with track(seed=3, determinism="fast") as outer:
        assert context.in_context()
        assert context.tags() == {"repro_track.inside": outer.record_id, "repro_track.seed": "3"}
        with track(seed=4, determinism="fast") as inner:
            assert context.tags() == {"repro_track.inside": inner.record_id, "repro_track.seed": "4"}
        assert context.tags()["repro_track.inside"] == outer.record_id
    assert (context.in_context(), context.tags()) == (False, {})


def test_a_program_that_never_tracks_has_no_tags(monkeypatch):
    """Where our tracking was never loaded there is no run, and asking does not load it."""
    monkeypatch.delitem(sys.modules, "repro_track.tracking.open_runs", raising=False)
    assert (ReproTrackContext().in_context(), ReproTrackContext().tags()) == (False, {})
    assert "repro_track.tracking.open_runs" not in sys.modules


@pytest.mark.parametrize("name", ["in_context", "tags"])
def test_it_has_the_methods_that_mlflow_calls(name):
    """MLflow asks by these names, without arguments."""
    assert callable(getattr(ReproTrackContext(), name))
