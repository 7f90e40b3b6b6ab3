"""Renew the rules by which secrets are found: `config/betterleaks.toml` of a release of Betterleaks to our JSON.

    python benchmarks/secret_rules.py betterleaks.toml 2.0.0

The TOML is in Betterleaks' repository, and inside every program of it. Prints how many rules were taken and which were
not, and why. What changes on the way is said in `.github/decisions/0010-secrets.md`.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
import warnings
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "repro_track" / "rules" / "betterleaks.json"
AFTER = (r"""(?:\\?['"\x60]|[\s;]|\\[nr]|$)""", r"""(?:$|[\\'"\x60\s<),])""")
"""What Betterleaks wants after a token. In a call, a URL, a list or a sentence something else stands there."""
LEFT_OUT = {
    "curl-auth-header": "steps back over the lines before it; headers and options are found by name",
    "curl-auth-user": "steps back over the lines before it",
    "gcp-application-default-credentials": "quadratic in Python; its fields are found by name",
    "gcp-service-account": "quadratic in Python; the private key in it is found",
    "influxdb-api-token": "quadratic in Python; it is found by name",
    "mongodb-connection-string": "exponential in Python; user and password are found in any URL",
    "private-key": "quadratic in Python; keys are found by their first and last line",
}
_ENTROPY = re.compile(r'entropy\(finding\["secret"\]\)\s*<=?\s*([\d.]+)')
_WORDS = re.compile(r'tokenRatio\(finding\["secret"\]\)\s*>=\s*[\d.]+|failsTokenEfficiency\(finding\["secret"\]\)')
_LIST = re.compile(r'(!?)(matchesAny|containsAny)\(finding\["secret"\],\s*\[(.*)\]\)', re.DOTALL)
_PATHS = re.compile(r'matchesAny\(attributes\["path"\],.*\)', re.DOTALL)
_STRING = re.compile(r'`([^`]*)`|"((?:[^"\\]|\\.)*)"')
_CLASSES = {"[:alnum:]": "a-zA-Z0-9", "[:alpha:]": "a-zA-Z", "[:digit:]": "0-9", "[:xdigit:]": "0-9a-fA-F"}


def to_python(pattern: str) -> str:
    """Translate a pattern of RE2 to Python's: flags in the middle of a group get a group of their own."""
    out: list[str] = []
    flags: list[str | None] = [None]
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            out.append(pattern[at : at + 2].replace(r"\z", r"\Z"))
            at += 2
        elif char == "[":
            end = at + 1 + (pattern[at + 1] == "^")
            end += pattern[end] == "]"
            while pattern[end] != "]":
                end += 2 if pattern[end] == "\\" else 1
                if pattern[end - 1 : end + 1] == "[:":
                    end = pattern.index(":]", end) + 2
            text = pattern[at + 1 : end]
            for name, chars in _CLASSES.items():
                text = text.replace(name, chars)
            out.append("[" + re.sub(r"(?<!\\)\[", r"\\[", text) + "]")
            at = end + 1
        elif given := re.match(r"\(\?([a-z]+)\)", pattern[at:]):
            out.append((")" if flags[-1] else "") + f"(?{given[1]}:")
            flags[-1] = given[1]
            at += given.end()
        else:
            if char == "(":
                flags.append(None)
            if char == ")" and flags.pop():
                out.append(")")
            out.append(f")|(?{flags[-1]}:" if char == "|" and flags[-1] else char)
            at += 1
    return "".join(out) + (")" if flags[-1] else "")


def read_filter(text: str) -> dict[str, Any] | None:
    """Read the filter of a rule, which says what is no secret after all; `None`: it says more than we can."""
    found: dict[str, Any] = {}
    for term in filter(None, (one.strip() for one in text.split("||"))):
        if entropy := _ENTROPY.fullmatch(term):
            found["entropy"] = float(entropy[1])
        elif _WORDS.fullmatch(term):
            found["mixed"] = True
        elif listed := _LIST.fullmatch(term):
            words = [raw or json.loads(f'"{quoted}"') for raw, quoted in _STRING.findall(listed[3])]
            if listed[2] == "containsAny":
                words = [re.escape(word) for word in words]
            found.setdefault("only" if listed[1] else "unless", []).extend(to_python(word) for word in words)
        elif not _PATHS.fullmatch(term):
            return None
    return found


def convert(rule: Mapping[str, Any]) -> dict[str, Any] | str:
    """Return one rule as we keep it, or why it is left out."""
    if rule["id"] in LEFT_OUT:
        return LEFT_OUT[rule["id"]]
    if rule.get("skipReport"):
        return "no secret by itself: Betterleaks does not report it"
    if "regex" not in rule or not rule.get("keywords"):
        return "no pattern or no keyword"
    limits = read_filter(rule.get("filter", ""))
    if limits is None:
        return "its filter is a program"
    pattern = to_python(reduce(lambda text, after: text.replace(after, r"(?!\w)"), AFTER, rule["regex"]))
    # whole example keys stay away: they would be taken for secrets in this repository, too
    limits["unless"] = [text for text in limits.get("unless", []) if not re.search(pattern, text)]
    limits = {name: value for name, value in limits.items() if value}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in [pattern, *limits.get("only", []), *limits.get("unless", [])]:
            re.compile(text.encode())
    group = {"group": rule["valueGroup"]} if "valueGroup" in rule else {}
    return {"id": rule["id"], "keywords": rule["keywords"], "pattern": pattern, **group, **limits}


def main(path: str, version: str) -> None:
    rules = tomllib.loads(Path(path).read_text(encoding="utf-8"))["rules"]
    kept = []
    for rule in rules:
        converted = convert(rule)
        if isinstance(converted, str):
            print(f"{rule['id']}: {converted}")
        else:
            kept.append(converted)
    head = {
        "source": "Betterleaks, config/betterleaks.toml",
        "version": version,
        "licence": "MIT (LICENSE-betterleaks)",
    }
    lines = ",\n".join(json.dumps(rule) for rule in kept)
    TARGET.write_text(json.dumps(head)[:-1] + f', "rules": [\n{lines}\n]}}\n', encoding="utf-8")
    print(f"{len(kept)} of {len(rules)} rules taken")


if __name__ == "__main__":
    main(*sys.argv[1:])
