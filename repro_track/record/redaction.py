"""Keep secrets out of records: config values, overrides, command lines, URLs, texts.

A value is withheld for its name (`api_key`) or for its form, that of a well-known token. It never hides that something
was removed: a withheld value is `WITHHELD`, and its place is reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from repro_track.record.secret_forms import find_secrets
from repro_track.record.secret_names import Suspicion, is_secret, judge_name

WITHHELD = "***withheld***"


def has_secret(content: str | bytes, *, is_data: bool = False) -> bool:
    """Whether some text in `content` is a secret: an access token, a private key, a password after its name.

    In data, as `find_secrets` has it, the best-known tokens and private keys alone are.

    >>> has_secret(b'password = "hunter2"'), has_secret(b"password = ask()")
    (True, False)
    """
    return bool(find_secrets(content, is_data=is_data))


def redact_text(text: str) -> str:
    """Withhold the secrets in a text, wherever they stand: this is the one function that every text passes.

    >>> redact_text("https://me:pw@host/x.git")
    'https://***withheld***@host/x.git'
    """
    kept, at = [], 0
    for start, end in find_secrets(text):
        kept += [text[at:start], WITHHELD]
        at = end
    return "".join([*kept, text[at:]])


def redact_url(url: str) -> str:
    """Remove user, password, query and fragment from a remote's URL. What has no host part stays.

    >>> redact_url("https://token@host/x.git?a=b")
    'https://host/x.git'
    """
    parts = urlsplit(url)
    if not parts.netloc:  # git@host:path, sqlite:///path
        return redact_text(url)
    host = parts.netloc.rpartition("@")[2]
    return redact_text(urlunsplit((parts.scheme, host, parts.path, "", "")))


def redact_words(words: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Withhold secrets in a command line or a list of overrides: `key=value`, `--key value` and `--key=value`.

    >>> redact_words(["--api-key", "abc", "hub.token=xyz", "seed=3"])
    ('--api-key', '***withheld***', 'hub.token=***withheld***', 'seed=3')
    """
    return tuple(kept for kept, _ in _look_at_words(words))


def list_secret_words(words: list[str] | tuple[str, ...]) -> list[str]:
    """List the words of a command line, or their values, that are secrets for the option before them.

    >>> list_secret_words(["--api-key", "abc", "hub.token=xyz", "seed=3"])
    ['abc', 'xyz']
    """
    return [secret for _, secret in _look_at_words(words) if secret is not None]


def _look_at_words(words: list[str] | tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    """Return for each word what is kept of it, and the secret that it is or has for its name."""
    option = ""
    for word in words:
        key, equals, value = word.partition("=")
        if option and not word.startswith("--") and is_secret(option, word):
            yield WITHHELD, word
        elif equals and value[:1] not in ("{", "[") and is_secret(key, value):
            yield f"{key}={WITHHELD}", value
        else:
            yield _redact_nested(word), None
        option = word if word.startswith("-") and not equals else ""


def redact_tree(value: Any, *, place: str = "") -> tuple[Any, tuple[str, ...]]:
    """Withhold secrets in nested dicts and lists; also return the places (`a.b.0`) where something was withheld.

    >>> redact_tree({"hub": {"token": "abc", "seed": 0}})
    ({'hub': {'token': '***withheld***', 'seed': 0}}, ('hub.token',))
    """
    withheld: list[str] = []
    return _redact(value, place, "", withheld), tuple(withheld)


def _redact(value: Any, place: str, name: str, withheld: list[str]) -> Any:
    """Redact one value of a tree. `name` is the key that speaks of it: its own, or one above that holds a secret."""
    if isinstance(value, dict) and set(value) == {"unavailable"}:
        return {"unavailable": redact_text(str(value["unavailable"]))}
    if isinstance(value, dict):
        # as Kubernetes and GitHub's workflows write variables
        named = str(value["name"]) if {"name", "value"} <= set(value) else ""
        kept: dict[str, Any] = {}
        for key, item in value.items():
            text = str(key)
            whole = f"{place}.{text}" if place else text  # `api: {key: abc}` says what `api.key` says
            speaks = judge_name(whole) is not Suspicion.NONE
            inner = whole if speaks else named if text == "value" and named else name
            clean = redact_text(text)
            if clean != text:
                withheld.append(f"{place}.{clean}" if place else clean)
            kept[clean] = _redact(item, f"{place}.{clean}" if place else clean, inner, withheld)
        return kept
    if isinstance(value, (list, tuple)):
        return [
            _redact(item, f"{place}.{index}" if place else str(index), name, withheld)
            for index, item in enumerate(value)
        ]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if judge_name(name) is Suspicion.SURE and not name.lower().endswith(("token", "tokens")):
            withheld.append(place)
            return WITHHELD
        return value
    if isinstance(value, str):
        text = WITHHELD if is_secret(name, value) else redact_text(value)
        if text != value:
            withheld.append(place)
        return text
    return value


_PAIR = re.compile(r"(?P<before>[{,]\s*['\"]?(?P<name>[\w.\-]+)['\"]?\s*:\s*)(?P<value>[^,{}\[\]]+)")


def _redact_nested(word: str) -> str:
    """Redact one word: also the pairs of a dict in Hydra's grammar, `hub={token:abc}`."""

    def keep(pair: re.Match[str]) -> str:
        is_withheld = is_secret(f"{key}.{pair['name']}", pair["value"].strip("'\" "))
        return pair["before"] + (WITHHELD if is_withheld else pair["value"])

    key, equals, value = word.partition("=")
    if equals and value[:1] in ("{", "[") and "${" not in value and judge_name(key) is Suspicion.SURE:
        return f"{key}={WITHHELD}"
    return redact_text(_PAIR.sub(keep, word) if "{" in word else word)
