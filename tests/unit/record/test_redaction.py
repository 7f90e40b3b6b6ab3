"""Promises of redaction.py: no secret passes, and ordinary values do."""

import pytest

from repro_track.record.redaction import (
    WITHHELD,
    has_secret,
    is_secret_file,
    redact_text,
    redact_tree,
    redact_url,
    redact_words,
)

TOKEN = "hf_" + "a1B2" * 8


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://user:pw@host.example/a/b.git", "https://host.example/a/b.git"),
        (f"https://{TOKEN}@host.example/a.git", "https://host.example/a.git"),
        ("https://host.example/a.git?private_token=x", "https://host.example/a.git"),
        ("ssh://git@host.example:22/a.git", "ssh://host.example:22/a.git"),
        ("git@host.example:a/b.git", "git@host.example:a/b.git"),
        ("sqlite:////home/me/mlflow.db", "sqlite:////home/me/mlflow.db"),
    ],
)
def test_urls_lose_their_credentials(url, kept):
    """A remote's URL keeps its place and loses user, password, token and query."""
    assert redact_url(url) == kept


@pytest.mark.parametrize(
    "words",
    [["--token", "abc"], ["--token=abc"], ["hub.api_key=abc"], ["+password=abc"], [f"note={TOKEN}"], ["x", TOKEN]],
)
def test_command_lines_lose_their_secrets(words):
    """A secret on a command line is withheld, by its name or by its form."""
    kept = redact_words(words)
    assert any(WITHHELD in word for word in kept)
    assert not any("abc" in word or TOKEN in word for word in kept)


@pytest.mark.parametrize("words", [["seed=3"], ["tokenizer=clip"], ["--steps", "5"], ["author=me"], ["max_tokens=77"]])
def test_ordinary_words_stay(words):
    """What only looks a little like a secret stays."""
    assert redact_words(words) == tuple(words)


def test_trees_lose_their_secrets_and_say_where():
    """Nested configs lose secrets by name and by form; the places are listed."""
    tree = {"a": {"password": "x", "seed": 0}, "b": ["ok", TOKEN], "token": None, "use_auth": True}
    kept, places = redact_tree(tree)
    assert kept == {"a": {"password": WITHHELD, "seed": 0}, "b": ["ok", WITHHELD], "token": None, "use_auth": True}
    assert places == ("a.password", "b.1")


def test_text_keeps_everything_else():
    """Only the secret itself is cut out of a text."""
    assert redact_text(f"could not load with {TOKEN} today") == f"could not load with {WITHHELD} today"


@pytest.mark.parametrize("name", [".env", "a/.env.local", "id_rsa", "x/server.pem", ".netrc", "credentials.json"])
def test_secret_files_are_known_by_name(name):
    """Files that hold secrets by custom are known; their twins are not."""
    assert is_secret_file(name)
    assert not is_secret_file(name.replace(".", "_").replace("id_", "identity") + ".txt")


def test_secrets_are_found_in_content():
    """A token inside a file is found, also beside bytes that are no text."""
    assert has_secret(b"\xff\x00 key = " + TOKEN.encode())
    assert not has_secret(b"\xff\x00 key = 3")
