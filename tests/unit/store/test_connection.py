"""Promises of store/connection.py: whatever goes wrong with a store is one message, without secrets."""

import re
from pathlib import Path

import pytest

from repro_track.errors import StoreError, UsageError
from repro_track.store import connection
from repro_track.store.connection import find_reason, reported

URI = "https://me:s3cret@host:5000"


def report(error, **options):
    with pytest.raises(StoreError) as caught, reported(URI, **options):
        raise error
    assert caught.value.__cause__ is error
    assert "s3cret" not in str(caught.value)
    assert "host:5000" in caught.value.found
    assert caught.value.expected
    assert caught.value.advice
    return caught.value


def test_nothing_is_reported_where_nothing_fails():
    """A block that ends as it should is left alone."""
    with reported(URI):
        done = True
    assert done


def test_each_failure_says_what_to_do():
    """A store that cannot be used, an artifact that is not there and a missing password are told apart."""
    plain = report(OSError(111, "Connection refused"))
    assert "cannot be used: [Errno 111] Connection refused" in plain.found
    missing = report(OSError(2, "No such file"), what="record.json of run 1")
    assert missing.found.startswith("record.json of run 1 cannot be loaded from")
    unknown = report(RuntimeError("API request failed with error code 401 != 200"))
    assert "does not know who you are" in unknown.found
    assert "MLFLOW_TRACKING_PASSWORD" in unknown.advice
    assert len({plain.advice, missing.advice, unknown.advice}) == 3


def test_our_own_errors_and_ctrl_c_pass():
    """An error of ours keeps its class and its words, and an interrupt stays one."""
    for error in (UsageError("found", advice="advice"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, reported(URI):
            raise error
        assert caught.value is error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("first line\nsecond line"), "first line"),
        (ValueError(""), "ValueError"),
        (ValueError("x" * 900), "x" * 200),
        (ValueError("HTTPConnectionPool(...): [Errno 111] Connection refused'))"), "[Errno 111] Connection refused"),
        (ValueError("(psycopg2.OperationalError) [Errno -2] Name or service"), "[Errno -2] Name or service"),
    ],
)
def test_the_reason_is_short(error, reason):
    """Of what a library says at length the first line, or the system's own words, are shown."""
    assert find_reason(error) == reason


def test_nobody_else_sets_a_variable_of_mlflow():
    """MLflow's variables are set in one place: no other module assigns one."""
    package = Path(connection.__file__).parents[1]
    pattern = re.compile(r"""environ(\.setdefault\(|\[)\s*["']MLFLOW_[A-Z_]+["'](,|\]\s*=[^=])""")
    assert len(pattern.findall(Path(connection.__file__).read_text(encoding="utf-8"))) >= 5
    for path in package.rglob("*.py"):
        if path != Path(connection.__file__):
            assert not pattern.search(path.read_text(encoding="utf-8")), path
