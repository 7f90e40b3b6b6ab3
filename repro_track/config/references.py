"""Values of a config that come from environment variables as a whole: `${oc.env:HF_TOKEN}`.

It never reads a variable: where such a value is a secret, the record has the variable's name, and the child of a
replay reads it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_REFERENCE = re.compile(r"\$\{oc\.env:\s*([A-Za-z_]\w*)\s*\}")


def list_references(config: Any) -> dict[str, str]:
    """List the environment variables that values of an unresolved DictConfig are, by the places of those values.

    >>> from omegaconf import OmegaConf
    >>> list_references(OmegaConf.create({"hub": {"token": "${oc.env:HF_TOKEN}", "name": "a ${oc.env:USER}"}}))
    {'hub.token': 'HF_TOKEN'}
    """
    from omegaconf import OmegaConf

    return dict(_find(OmegaConf.to_container(config, resolve=False), ""))


def _find(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and (reference := _REFERENCE.fullmatch(value)):
        yield place, reference[1]
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in members:
        yield from _find(item, f"{place}.{key}" if place else str(key))


def put_references(config: Any, values: Mapping[str, Any], *, place: str = "") -> Any:
    """Return a config's data with other values at the places that `list_references` gave.

    >>> put_references({"hub": {"token": "***withheld***"}}, {"hub.token": "abc"})
    {'hub': {'token': 'abc'}}
    """
    if place in values:
        return values[place]
    if isinstance(config, Mapping):
        return {
            key: put_references(item, values, place=f"{place}.{key}" if place else str(key))
            for key, item in config.items()
        }
    if isinstance(config, (list, tuple)):
        return [put_references(item, values, place=f"{place}.{index}") for index, item in enumerate(config)]
    return config
