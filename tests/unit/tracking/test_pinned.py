"""Promises of pinned.py: in a replay a repository of the Hub is loaded at the recorded commit, elsewhere as it is asked
for."""

import functools
import importlib
import inspect

import pytest
import wrapt

from repro_track.record.choice import DEFAULT
from repro_track.record.handover import Handover
from repro_track.tracking import pinned

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def recorded(record):
    """A record whose UNet came from a repository at a commit."""
    call = record.calls[0]
    unet = next(part for part in call.components if part.name == "unet")
    weight = unet.weights[0].model_copy(update={"repo_id": "someone/tiny", "commit": OLD})
    part = unet.model_copy(update={"weights": (weight,), "repo_id": "someone/tiny", "commit": OLD})
    return record.model_copy(update={"calls": (call.model_copy(update={"components": (part,)}),)})


def test_a_repository_of_one_commit_is_pinned(recorded):
    """A repository is pinned to its commit; one that was loaded at two commits is left as the code asks for it."""
    assert pinned.list_pins(recorded) == {"someone/tiny": OLD}
    call = recorded.calls[0]
    other = call.components[0].weights[0].model_copy(update={"commit": NEW})
    both = recorded.model_copy(update={"calls": (call.model_copy(update={"other_weights": (other,)}),)})
    assert pinned.list_pins(both) == {}


@pytest.mark.parametrize(
    ("asked", "revision"), [({}, OLD), ({"revision": None}, OLD), ({"revision": "main"}, OLD), ({"revision": NEW}, NEW)]
)
def test_a_branch_is_the_recorded_commit_in_a_replay(recorded, tmp_path, monkeypatch, asked, revision):
    """What names a branch or nothing gets the recorded commit in a replay that restores weights, a commit stays; with
    the present weights, and outside of a replay, all is as it was asked for."""

    def load(repo_id, filename, *, revision=None):
        return revision

    watched = wrapt.FunctionWrapper(load, pinned._make_pinned(inspect.signature(load)))
    assert watched("someone/tiny", "x", **asked) == asked.get("revision")
    for current, expected in ((frozenset(), revision), (frozenset({"weights"}), asked.get("revision"))):
        folder = tmp_path / f"replay{len(current)}"
        folder.mkdir()
        Handover(folder, recorded, DEFAULT.leave(current)).write()
        monkeypatch.setenv("REPRO_TRACK_REPLAY", str(folder))
        assert watched("someone/tiny", "x", **asked) == expected
        assert watched("someone/else", filename="x", **asked) == asked.get("revision")


def test_the_loaders_are_those_of_the_hub():
    """Every loader that is pinned is there, and takes the repository and the revision by name."""
    for module, names in pinned._LOADERS.items():
        for name in names:
            loader = functools.reduce(getattr, name.split("."), importlib.import_module(module))
            assert {"repo_id", "revision"} <= set(inspect.signature(loader).parameters)
