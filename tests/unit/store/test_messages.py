"""Promises of store/messages.py: what one process says the other hears; what is no message is one clear error."""

import inspect
import io
import json
from dataclasses import asdict

import pytest

from repro_track import errors
from repro_track.errors import RefusedError, ReproTrackError, StoreError, UsageError
from repro_track.store import messages
from repro_track.store.messages import (
    VERSION,
    Address,
    Done,
    Failed,
    Log,
    Open,
    Start,
    Started,
    make_order_error,
    read_message,
    write_message,
)
from repro_track.store.stored_run import StoredRun

ADDRESS = Address("sqlite:////tmp/mlflow.db", "cats", "a name", "me", "repro-track run", "/tmp/folder")
RUN = StoredRun("0" * 32, "1", "file:///tmp/artifacts", "http://127.0.0.1:5000/#/runs", "a name", 7, {"a": "b"})
ALL = [
    Open(ADDRESS),
    Open(Address("u", "e", "n", "me", "s", "f", parent_id="1" * 32)),
    Start(),
    Log("**finished**\nin two lines, with “signs” of every 種類 \u2028 and a\rreturn"),
    Started(RUN),
    Started(StoredRun("0" * 32, "1", "s3://bucket/x", "link")),
    Done(),
    Failed("StoreError", "found"),
    Failed("UsageError", "found", "expected", "advice"),
]


def write(message):
    stream = io.StringIO()
    write_message(stream, message)
    return stream.getvalue()


@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_what_is_written_is_read(message):
    """Each message comes out as it went in, in its own type, from one line; no other message is equal to it."""
    text = write(message)
    assert text.count("\n") == 1
    found = read_message(io.StringIO(text))
    assert found == message
    assert asdict(found) == asdict(message)  # a run's tags, too, which its equality leaves out
    assert type(found) is type(message)
    assert [one for one in ALL if one == found] == [message]


def test_messages_come_in_their_order_and_then_none():
    """Each reading takes one message; at the end of the input there is `None`, again and again."""
    stream = io.StringIO("".join(map(write, ALL)))
    assert [read_message(stream) for _ in ALL] == ALL
    assert read_message(stream) is None
    assert read_message(stream) is None


@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_who_dies_over_a_message_has_not_sent_it(message):
    """A line without its end is a death wherever it was cut, also after its last brace; with its end, a message."""
    text = write(message)
    for length in range(len(text)):
        assert read_message(io.StringIO(text[:length])) is None
    assert read_message(io.StringIO(text)) == message


def change(message, /, **changes):
    """Write a message with changed fields, and without those that are `...`."""
    data = {**json.loads(write(message)), **changes}
    return json.dumps({name: value for name, value in data.items() if value is not ...}) + "\n"


DAMAGED = {
    "an empty line": "\n",
    "no JSON": "hello\n",
    "a traceback": 'Traceback (most recent call last): File "x.py"\n',
    "half a message": write(Log("text"))[:20] + "\n",
    "a number": "1\n",
    "a list": "[]\n",
    "null": "null\n",
    "too deep": "[" * 100_000 + "\n",
    "no name": change(Start(), message=...),
    "a name that is none": change(Start(), message=["Start"]),
    "a field too many": change(Start(), more=1),
    "a field too few": change(Log("text"), description=...),
    "an optional field too few": change(Failed("StoreError", "found"), advice=...),
    "a field of another type": change(Log("text"), description=1),
    "a field that is null": change(Log("text"), description=None),
    "an address that is none": change(Open(ADDRESS), address="here"),
    "an address with a field too many": change(Open(ADDRESS), address={**asdict(ADDRESS), "more": 1}),
    "a run with a field too many": change(Started(RUN), run={**asdict(RUN), "more": 1}),
    "a run without an id": change(Started(RUN), run={"link": "x"}),
    "a run whose time is text": change(Started(RUN), run={**asdict(RUN), "end_ms": "7"}),
    "an error that is not ours": change(Failed("StoreError", "found"), kind="SystemExit"),
    "a class of errors.py that is no error": change(Failed("StoreError", "found"), kind="first_line"),
}


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_line_is_one_clear_error(line):
    """Whatever is not exactly a message is a `StoreError` with all three sentences."""
    with pytest.raises(StoreError) as caught:
        read_message(io.StringIO(line))
    assert "message" in caught.value.found
    assert len(caught.value.found) < 300
    assert caught.value.expected
    assert caught.value.advice


def test_bytes_that_are_no_text_are_damage():
    """What is no UTF-8 is damage like any other, not a traceback."""
    stream = io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n"), encoding="utf-8")
    with pytest.raises(StoreError, match="damaged"):
        read_message(stream)


@pytest.mark.parametrize("version", [VERSION + 1, VERSION - 1, str(VERSION), None, True, ...])
@pytest.mark.parametrize("message", [Start(), Log("text")], ids=["Start", "Log"])
def test_another_version_is_refused(message, version):
    """A message of another version, or of none, is refused before its fields are looked at, and the versions named."""
    for changes in ({}, {"new_field": 1}):
        with pytest.raises(StoreError, match="different versions") as caught:
            read_message(io.StringIO(change(message, version=version, **changes)))
        assert caught.value.expected == f"version {VERSION}"
    assert read_message(io.StringIO(change(message, version=VERSION))) == message


def test_an_unknown_message_is_refused():
    """A name that this version does not know is refused, with those that it knows."""
    with pytest.raises(StoreError, match="there is no message 'Stop'") as caught:
        read_message(io.StringIO(change(Start(), message="Stop")))
    assert "Start" in caught.value.expected


def list_kinds():
    """List our exceptions as they are in errors.py."""
    found = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, ReproTrackError)]
    assert len(found) >= 8
    return found


@pytest.mark.parametrize("kind", list_kinds())
def test_every_error_of_ours_crosses(kind):
    """An error arrives as the same class with the same words; one with other words is another message."""
    told = Failed.from_error(kind("found", expected="expected", advice="advice"))
    error = read_message(io.StringIO(write(told))).to_error()
    assert type(error) is kind
    assert (error.found, error.expected, error.advice) == ("found", "expected", "advice")
    assert told != Failed.from_error(kind("found", expected="expected"))


def test_an_error_of_a_narrower_class_crosses_as_ours():
    """A class that the other side may not have arrives as the nearest one that is in errors.py."""

    class Narrow(UsageError):
        pass

    assert Failed.from_error(Narrow("found")).kind == "UsageError"
    assert type(Failed.from_error(Narrow("found")).to_error()) is UsageError


def test_advice_can_be_replaced():
    """Who tells the error to a person may know better what to do."""
    told = Failed("RefusedError", "found", advice="its own")
    assert isinstance(told.to_error(), RefusedError)
    assert told.to_error().advice == "its own"
    assert told.to_error(advice="better").advice == "better"


def test_a_message_out_of_turn_is_named():
    """Both the message that came and the one that is due are named."""
    error = make_order_error(Log("text"), expected=Start)
    assert "Log" in error.found
    assert error.expected == "Start"


def test_each_message_says_what_it_is_for():
    """Every message has a docstring of its own, and is known by its name."""
    for name, kind in messages._MESSAGES.items():
        assert kind.__name__ == name
        assert not kind.__doc__.startswith(f"{name}(")  # what a dataclass gets that has none
