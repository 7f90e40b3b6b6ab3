"""The words of a command that set keys of the config, in Hydra's grammar: what is text stays text.

It composes nothing, and never says which keys there are but those that hold text.
"""

from __future__ import annotations

import dataclasses
import re
import secrets
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repro_track.config.schema import AdapterConfig, AdaptersConfig, RunConfig, StageConfig
from repro_track.config.typed import list_types
from repro_track.errors import UsageError, first_line

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

_MEMBERS: dict[tuple[Any, str], type] = {
    (RunConfig, "stages"): StageConfig,
    **{(AdaptersConfig, name): AdapterConfig for name in list_types(AdaptersConfig)},
}
"""The open places that hold parts of the config by name."""


def is_text_key(key: str) -> bool:
    """Whether a key of the config holds text, whatever that looks like.

    >>> is_text_key("pipeline.revision"), is_text_key("stages.base.pipeline.revision"), is_text_key("call.prompt")
    (True, True, False)
    """
    part: Any = RunConfig
    names = key.split(".")
    while names and dataclasses.is_dataclass(part):
        owner, name = part, names.pop(0)
        part = list_types(owner).get(name)
        if (owner, name) in _MEMBERS and len(names) > 1:
            part = _MEMBERS[(owner, name)]
            names.pop(0)
    options = typing.get_args(part) if isinstance(part, types.UnionType) else (part,)
    if names:  # a dict of texts
        return len(names) == 1 and typing.get_origin(part) is dict and typing.get_args(part)[1] is str
    return str in options


def quote_texts(words: Iterable[str]) -> list[str]:
    """Put in quotes what is given for a key that holds text and looks like something else to Hydra: the revision
    `695e0514` is no number. In a sweep each value is looked at.

    >>> quote_texts(["pipeline.revision=695e0514,main", "seed=1e2"])
    ['pipeline.revision="695e0514",main', 'seed=1e2']
    """
    return [_quote_text(word) for word in words]


def _quote_text(word: str) -> str:
    key, is_given, value = word.partition("=")
    if not is_given or not is_text_key(key.lstrip("+")):
        return word
    parsed = _parse(f"{key}={value}")
    if parsed is None:
        return word
    is_simple = parsed.is_choice_sweep() and getattr(parsed.value(), "simple_form", False)
    items = value.split(",") if is_simple else [value]
    if not is_simple and parsed.is_sweep_override():
        return word
    quoted = [f'"{item.strip()}"' if _is_no_text(key, item) else item for item in items]
    return f"{key}={','.join(quoted)}"


def _is_no_text(key: str, item: str) -> bool:
    parsed = _parse(f"{key}={item}")
    return parsed is not None and isinstance(parsed.value(), (bool, int, float))


def _parse(word: str) -> Override | None:
    """Parse one word in Hydra's grammar; `None`: it is no override."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        return None


@dataclass(frozen=True)
class Change:
    """A key that a word sets, or takes away; `value` may hold interpolations, which are resolved where it is set."""

    key: str
    value: Any
    is_removal: bool = False


def parse_change(word: str) -> Change:
    """Parse a word that changes one key, as `repro-track run` takes it. There is nothing to sweep here: what Hydra
    would take for a list of choices, or not understand, is text.

    Raises:
        UsageError: it is not of the form KEY=VALUE, or the value is a list, a dict or a text that does not end.

    >>> parse_change("call.prompt=a cat, sitting").value, parse_change("call.steps=2").value
    ('a cat, sitting', 2)
    """
    key, is_given, value = word.partition("=")
    if key.startswith("~"):
        return Change(key[1:], None, is_removal=True)
    if not key or not is_given:
        raise UsageError(f"the change is {word!r}", expected="KEY=VALUE, such as call.num_inference_steps=20")
    key = key.lstrip("+")
    parsed = _parse(_quote_text(f"{key}={value}"))
    if parsed is not None and not parsed.is_sweep_override():
        return Change(key, parsed.value())
    if value.lstrip()[:1] in ("[", "{", '"', "'"):
        raise UsageError(
            f"{word!r} cannot be read: {_explain(word)}", expected="a value in Hydra's grammar, such as [1,2] or 'a, b'"
        )
    return Change(key, escape_text(value))


def _explain(word: str) -> str:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(word)
    except HydraException as error:
        return first_line(error)
    return "it is a sweep"


def escape_text(text: str) -> str:
    """Return what OmegaConf resolves to exactly this text.

    >>> escape_text("a ${x}")
    'a \\\\${x}'
    """
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", text)


MISSING = "???"
"""What OmegaConf takes for a value that has to be given, wherever it stands."""
_STANDS_FOR_MISSING = f"<{secrets.token_hex(16)}>"


def shield_texts(data: Any) -> Any:
    """Return data for OmegaConf whose texts mean nothing to it; when it has resolved them, `unshield_texts` gives them
    back."""
    if isinstance(data, Mapping):
        return {key: shield_texts(item) for key, item in data.items()}
    if isinstance(data, (list, tuple)):
        return [shield_texts(item) for item in data]
    if not isinstance(data, str):
        return data
    return _STANDS_FOR_MISSING if data == MISSING else escape_text(data)


def unshield_texts(data: Any) -> Any:
    """Return resolved data with the texts that `shield_texts` was given."""
    if isinstance(data, Mapping):
        return {key: unshield_texts(item) for key, item in data.items()}
    if isinstance(data, (list, tuple)):
        return [unshield_texts(item) for item in data]
    return data.replace(_STANDS_FOR_MISSING, MISSING) if isinstance(data, str) else data


def list_set_keys(words: Sequence[str]) -> list[str]:
    """List the keys that the words of a command set."""
    parsed = [_parse(word) for word in words]
    return [str(one.key_or_group) for one in parsed if one is not None]
