"""Promises of record/handover.py: what one side of a replay leaves is what the other reads, or it is refused."""

import json
import math
from pathlib import Path

import pytest

from repro_track.errors import ReplayError
from repro_track.record.choice import Choice, Focus
from repro_track.record.handover import VERSION, Handover, SecondCall, Settings
from repro_track.record.reading import parse_record

DATA = Path(__file__).parents[2] / "data" / "records"
RECORD = parse_record((DATA / "v3.json").read_bytes(), origin="v3.json")
SETTINGS = Settings(
    trace="modules",
    inputs=True,
    twice=True,
    foreign="/a/clone",
    focus=Focus(call=1, image=0),
    changes=("seed=4", "call.prompt=a dog"),
)


@pytest.mark.parametrize("settings", [Settings(), SETTINGS], ids=["ordinary", "everything"])
def test_the_child_finds_what_the_replay_wrote(tmp_path, settings):
    """Record, choice and settings come out of the folder as they went in, each in its own type; another is unequal."""
    given = Handover(tmp_path, RECORD, Choice(frozenset({"env", "numerics:threads"})), settings)
    given.write()
    found = Handover.find(tmp_path, ordinal=RECORD.command.ordinal)
    assert found == given
    assert found != Handover(tmp_path, RECORD, Choice(frozenset({"env"})), settings)
    assert isinstance(found.settings.focus, Focus)
    assert isinstance(found.settings.changes, tuple)


def test_a_process_of_its_own_has_no_hand_over(tmp_path):
    """Without a folder there is none, and none for another `track()` block than the recorded one."""
    Handover(tmp_path, RECORD).write()
    assert Handover.find(None, ordinal=0) is None
    assert Handover.find(tmp_path, ordinal=RECORD.command.ordinal + 1) is None
    assert Handover.find(tmp_path, ordinal=RECORD.command.ordinal) is not None


def test_a_subclass_finds_itself(tmp_path):
    """`find` makes what it is called on: the child adds to it what restores."""

    class Restoring(Handover):
        pass

    Handover(tmp_path, RECORD).write()
    assert type(Restoring.find(tmp_path, ordinal=RECORD.command.ordinal)) is Restoring


def test_a_variation_is_no_replay(tmp_path):
    """A replay points at the recorded run; with changes it is a run of its own."""
    assert Handover(tmp_path, RECORD).replay_of == RECORD.record_id
    assert Handover(tmp_path, RECORD, settings=SETTINGS).replay_of is None


def test_recorded_calls_are_found_by_their_number(tmp_path):
    """A call is found by its number; there is none of a number that was not recorded."""
    given = Handover(tmp_path, RECORD)
    assert given.find_call(0) == RECORD.calls[0]
    assert given.find_call(1) is None


@pytest.mark.parametrize("mean", [0.25, math.inf, -math.inf, math.nan])
def test_the_replay_reads_what_the_child_left(tmp_path, mean):
    """Second calls come out as they went in, also with statistics that JSON has no number for."""
    call = RECORD.calls[0]
    step = call.trace.steps[0].model_copy(update={"mean": mean})
    call = call.model_copy(update={"trace": call.trace.model_copy(update={"steps": (step,)})})
    given = Handover(tmp_path, RECORD)
    given.leave_second_calls([SecondCall(call, {"images.0": "0" * 64})])
    (found,) = given.read_second_calls()
    assert repr(found) == repr(SecondCall(call, {"images.0": "0" * 64}))  # NaN is not equal to itself
    assert found.digests != {"images.0": "1" * 64}


def test_a_child_that_left_nothing(tmp_path):
    """Where no call was made twice, there are no second calls."""
    assert Handover(tmp_path, RECORD).read_second_calls() == []


def leave(folder, **changes):
    """Write what the replay leaves, with changes in its settings' file."""
    Handover(folder, RECORD, settings=SETTINGS).write()
    path = folder / "handover.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["version"] == VERSION
    data |= changes
    data = {name: value for name, value in data.items() if value is not None}
    path.write_text(json.dumps(data), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"version": VERSION + 1}, f"it has version {VERSION + 1}"),
        ({"version": str(VERSION)}, f"it has version {VERSION}"),
        ({"version": True}, "it has version True"),
        ({"version": VERSION + 1, "settings": {"new": 1}}, f"it has version {VERSION + 1}"),
        ({"version": None}, "it has no version"),
        ({"current": "env"}, "current"),
        ({"current": [1]}, "current.0"),
        ({"settings": {"trace": "everything"}}, "settings.trace"),
        ({"settings": {"twice": "perhaps"}}, "settings.twice"),
        ({"settings": {"focus": {"call": "first"}}}, "settings.focus.call"),
        ({"settings": {"unheard": 1}}, "settings.unheard"),
        ({"unheard": 1}, "unheard"),
    ],
)
def test_a_child_refuses_what_it_does_not_know(tmp_path, changes, word):
    """A hand-over of another version, with an unknown or a wrong field, is one message that names the file and it."""
    leave(tmp_path)
    assert Handover.find(tmp_path, ordinal=RECORD.command.ordinal).settings == SETTINGS
    leave(tmp_path, **changes)
    with pytest.raises(ReplayError) as caught:
        Handover.find(tmp_path, ordinal=RECORD.command.ordinal)
    assert "handover.json" in caught.value.found
    assert word in caught.value.found
    assert f"version {VERSION}" in caught.value.expected
    assert caught.value.advice


@pytest.mark.parametrize("name", ["handover.json", "record.json"])
@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000],
    ids=["empty", "half", "a list", "null", "no text", "too deep"],
)
def test_a_child_refuses_damage(tmp_path, name, text):
    """Damage of either file is a `ReplayError`, no traceback of a parser."""
    leave(tmp_path)
    (tmp_path / name).write_bytes(text)
    with pytest.raises(ReplayError, match=name):
        Handover.find(tmp_path, ordinal=RECORD.command.ordinal)


@pytest.mark.parametrize("name", ["handover.json", "record.json"])
def test_a_child_misses_a_file(tmp_path, name):
    """A file that is not there is a `ReplayError`, too."""
    leave(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ReplayError, match=name):
        Handover.find(tmp_path, ordinal=RECORD.command.ordinal)


LEFT = {
    "empty": "",
    "half": "{",
    "a list": "[]",
    "null": "null",
    "too deep": "[" * 100_000,
    "another version": '{"version": 9, "calls": []}',
    "a version that is no number": '{"version": true, "calls": []}',
    "no version": '{"calls": []}',
    "no calls": '{"version": 2}',
    "calls that are no list": '{"version": 2, "calls": {}}',
    "more than calls": '{"version": 2, "calls": [], "more": 1}',
    "an empty call": '{"version": 2, "calls": [{"call": {}, "digests": {}}]}',
    "text for a call": '{"version": 2, "calls": ["second"]}',
}


@pytest.mark.parametrize("text", LEFT.values(), ids=LEFT.keys())
def test_a_replay_refuses_what_its_child_should_not_have_left(tmp_path, text):
    """The child runs recorded code: whatever is there instead of second calls is a `ReplayError`."""
    given = Handover(tmp_path, RECORD)
    (tmp_path / "second_calls.json").write_text('{"version": 2, "calls": []}', encoding="utf-8")
    assert given.read_second_calls() == []
    (tmp_path / "second_calls.json").write_text(text, encoding="utf-8")
    with pytest.raises(ReplayError, match=r"second_calls\.json"):
        given.read_second_calls()


def test_wrong_digests_of_a_second_call_are_refused(tmp_path):
    """Each field of a second call is checked: digests are text by name."""
    given = Handover(tmp_path, RECORD)
    given.leave_second_calls([SecondCall(RECORD.calls[0], {"images.0": "0" * 64})])
    path = tmp_path / "second_calls.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    for digests in ([], {"images.0": 1}, None):
        data["calls"][0]["digests"] = digests
        path.write_text(json.dumps(data), encoding="utf-8")
        with pytest.raises(ReplayError, match=r"calls\.0\.digests"):
            given.read_second_calls()
