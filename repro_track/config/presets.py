"""The presets of `conf/`, and the config of a variation.

It reads the files that Hydra composes, and never changes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from typing import Any

from repro_track.config.schema import RunConfig
from repro_track.config.typed import list_types, make_typed
from repro_track.config.words import MISSING, parse_change, shield_texts, unshield_texts
from repro_track.errors import UsageError, first_line

PRESET_GROUPS = ("scheduler", "determinism", "trace", "tolerance")
"""Groups of `conf/` whose presets are a part of the config each."""


def make_changed(resolved: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Make the resolved config of a variation: that of a run, with `KEY=VALUE` or `GROUP=PRESET` changed. The values
    are in Hydra's grammar, their interpolations name keys of the run's config; its own text is left as it is.

    Raises:
        UsageError: a change is not of that form, names no key of the config, or has a value of another type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config: Any = OmegaConf.create(shield_texts(resolved))
    typed = changed = dict(resolved)
    for word in changes:
        change = parse_change(word)
        is_preset = change.key in PRESET_GROUPS and not change.is_removal
        preset = read_preset(change.key, str(change.value)) if is_preset else {}
        try:
            if is_preset:
                whole = make_typed(list_types(RunConfig)[change.key], preset)
                config[change.key] = shield_texts(asdict(whole))
            elif change.is_removal:
                _remove(config, change.key)
            else:
                OmegaConf.update(
                    config,
                    change.key,
                    shield_texts(change.value) if change.value == MISSING else change.value,
                    force_add=True,
                )
            changed = unshield_texts(OmegaConf.to_container(config, resolve=True))
            typed = asdict(make_typed(RunConfig, changed))
        except (OmegaConfBaseException, UsageError) as error:
            raise UsageError(
                f"{word!r} cannot be applied: {first_line(error)}",
                expected="a key of the run's config (repro-track show RUN --json) and a value of its type, "
                "or one of the groups " + ", ".join(PRESET_GROUPS),
            ) from error
    return {key: typed[key] for key in changed}


def _remove(config: Any, key: str) -> None:
    """Take a key away from OmegaConf's config.

    Raises:
        UsageError: it is not there.
    """
    from omegaconf import OmegaConf

    place, _, name = key.rpartition(".")
    parent = OmegaConf.select(config, place) if place else config
    if not OmegaConf.is_dict(parent) or name not in parent:
        raise UsageError(f"the config has no key {key!r}")
    del parent[name]


def read_preset(group: str, name: str) -> dict[str, Any]:
    """Read one preset of `conf/` (a file of one of its groups), the same file that Hydra composes. Each call returns a
    value of its own.

    Raises:
        UsageError: there is no such preset.
    """
    import yaml

    folder = resources.files("repro_track.conf") / group
    preset = folder / f"{name}.yaml"
    if not preset.is_file():
        known = sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))
        raise UsageError(f"{group} is {name!r}", expected="one of " + ", ".join(known))
    return yaml.safe_load(preset.read_text(encoding="utf-8"))
