"""Keep secrets out of records: config values, overrides, command lines, URLs, files.

A value is withheld for its name (`api_key`) or for its form, that of a well-known token. It never hides that something
was removed: a withheld value is `WITHHELD`, and its place is reported.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

WITHHELD = "***withheld***"

_SECRET_NAME = re.compile(
    r"(?:^|[_.\-])"
    r"(?:password|passwd|pwd|secret|secrets|token|api[_\-]?key|access[_\-]?key|private[_\-]?key|credentials?|auth)"
    r"(?:$|[_.\-])",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|glpat-[A-Za-z0-9_\-]{20,}"
    r"|AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9_\-]{20,}|xox[abprs]-[A-Za-z0-9\-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_URL_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*://)[^/\s@]+@")
_SECRET_FILES = re.compile(
    r"(?:^|/)(?:\.env(?:\..*)?|\.netrc|\.pypirc|\.npmrc|\.git-credentials|id_[a-z0-9]+|credentials(?:\.json)?"
    r"|.*\.(?:pem|key|p12|pfx|kdbx))$",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Whether a config key or variable of this name holds a secret.

    >>> is_secret_name("hub_token"), is_secret_name("tokenizer")
    (True, False)
    """
    return _SECRET_NAME.search(name) is not None


def is_secret_file(path: str) -> bool:
    """Whether a file of this name is kept out by its name alone.

    >>> is_secret_file("conf/.env"), is_secret_file("environment.py")
    (True, False)
    """
    return _SECRET_FILES.search(path) is not None


def has_secret(content: bytes) -> bool:
    """Whether some text in `content` has the form of a well-known access token or private key."""
    return _SECRET_VALUE.search(content.decode("latin-1")) is not None


def redact_text(text: str) -> str:
    """Remove credentials from URLs, and access tokens wherever they stand.

    >>> redact_text("https://me:pw@host/x.git")
    'https://host/x.git'
    """
    return _SECRET_VALUE.sub(WITHHELD, _URL_CREDENTIALS.sub(r"\g<scheme>", text))


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
    kept: list[str] = []
    secret_follows = False
    for word in words:
        key, equals, _ = word.partition("=")
        if secret_follows and not word.startswith("-"):
            kept.append(WITHHELD)
            secret_follows = False
            continue
        secret = is_secret_name(key.lstrip("-+~"))
        secret_follows = secret and not equals and word.startswith("--")
        kept.append(f"{key}={WITHHELD}" if secret and equals else redact_text(word))
    return tuple(kept)


def redact_tree(value: Any, *, place: str = "") -> tuple[Any, tuple[str, ...]]:
    """Withhold secrets in nested dicts and lists; also return the places (`a.b.0`) where something was withheld.

    >>> redact_tree({"hub": {"token": "abc", "seed": 0}})
    ({'hub': {'token': '***withheld***', 'seed': 0}}, ('hub.token',))
    """
    withheld: list[str] = []
    if isinstance(value, dict):
        kept: Any = {}
        for key, item in value.items():
            inner = f"{place}.{key}" if place else str(key)
            if is_secret_name(str(key)) and item is not None and not isinstance(item, (bool, dict, list)):
                kept[str(key)] = WITHHELD
                withheld.append(inner)
            else:
                kept[str(key)], found = redact_tree(item, place=inner)
                withheld.extend(found)
    elif isinstance(value, (list, tuple)):
        kept = []
        for index, item in enumerate(value):
            one, found = redact_tree(item, place=f"{place}.{index}")
            kept.append(one)
            withheld.extend(found)
    elif isinstance(value, str):
        kept = redact_text(value)
        if kept != value:
            withheld.append(place)
    else:
        kept = value
    return kept, tuple(withheld)
