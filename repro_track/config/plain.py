"""A config as JSON data and as YAML, and back: every value comes back as it was, of the kind that it was.

Text is never looked into: what looks like a number, a date or an interpolation in it is text. JSON has no keys but
texts, and no infinity: what it does not have is a text that begins with `MARK`. It never resolves an interpolation.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import yaml

MARK = "repro_track:"
"""What begins a text that stands for something else: the rest is that in JSON, as Python writes it."""


def encode_config(value: Any) -> Any:
    """Return a config as data that JSON has. What is no data (a path, a member of an enumeration, any object) becomes
    text.

    >>> encode_config({"steps": 2, 1: float("inf"), "prompt": "repro_track:x"})
    {'steps': 2, 'repro_track:1': 'repro_track:Infinity', 'prompt': 'repro_track:"repro_track:x"'}
    """
    if isinstance(value, Mapping):
        return {_encode_key(key): encode_config(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode_config(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((encode_config(item) for item in value), key=repr)
    if isinstance(value, str):
        return _encode_text(str(value))
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if value - value == 0 else MARK + json.dumps(float(value))
    if isinstance(value, enum.Enum):
        return value.name
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a single number of NumPy or torch
        return encode_config(value.item())
    return _encode_text(str(value) if isinstance(value, PurePath) or hasattr(value, "isoformat") else repr(value))


def _encode_text(text: str) -> str:
    return MARK + json.dumps(text) if text.startswith(MARK) else text


def _encode_key(key: Any) -> str:
    if isinstance(key, str):
        return _encode_text(str(key))
    if key is None or isinstance(key, (bool, int, float)):
        return MARK + json.dumps(key)
    return _encode_text(key.name if isinstance(key, enum.Enum) else str(key))


def decode_config(data: Any) -> Any:
    """Return the config that `encode_config` made this data of.

    >>> decode_config({"repro_track:1": "repro_track:Infinity", "a": "1e5"})
    {1: inf, 'a': '1e5'}
    """
    if isinstance(data, Mapping):
        return {_decode_text(key): decode_config(item) for key, item in data.items()}
    if isinstance(data, (list, tuple)):
        return [decode_config(item) for item in data]
    return _decode_text(data) if isinstance(data, str) else data


def _decode_text(text: str) -> Any:
    if not text.startswith(MARK):
        return text
    try:
        value = json.loads(text.removeprefix(MARK))
    except ValueError:
        return text  # of a record from before there was the tag
    return text if isinstance(value, (dict, list)) else value


class _Dumper(yaml.SafeDumper):
    """Puts in quotes what any reader of YAML (1.1, 1.2, Hydra's) would take for something else than text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


# PyYAML writes a text bare where its own reader takes it for text; others read more as numbers and truth values
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)$|^[-+]?\.?(?:inf|nan)$", re.IGNORECASE
    ),
    list("-+.0123456789iInN"),
)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?0[oOxXbB][0-9a-fA-F_]+$"), list("-+0"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^[yYnN]$"), list("yYnN"))


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # line ends of Unicode are folded into a space, unless they are escaped
    style = '"' if re.search("[\x85\u2028\u2029\ufeff]", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def render_yaml(value: Any) -> str:
    """Render data as YAML that every reader takes for the same values; it holds no interpolations, only text.

    >>> print(render_yaml({"prompt": "1e5", "steps": 2, "scale": 1e5}), end="")
    prompt: '1e5'
    steps: 2
    scale: 100000.0
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**20)
