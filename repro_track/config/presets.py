"""The presets of `conf/`, and the config of a variation.

It reads the files that Hydra composes, and never changes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, cast

from repro_track.config.schema import make_schema
from repro_track.errors import UsageError, first_line

PRESET_GROUPS = ("scheduler", "determinism", "trace", "tolerance")
"""Groups of `conf/` whose presets are a part of the config each."""


def make_changed(resolved: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Make the resolved config of a variation: that of a run, with `KEY=VALUE` or `GROUP=PRESET` changed.

    Raises:
        UsageError: a change is not of that form, names no key of the config, or has a value of another type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config: Any = OmegaConf.merge(make_schema(), dict(resolved))
    for change in changes:
        key, is_given, value = change.partition("=")
        if not key or not is_given:
            raise UsageError(f"the change is {change!r}", expected="KEY=VALUE, such as call.num_inference_steps=20")
        try:
            if key in PRESET_GROUPS:
                config[key] = OmegaConf.merge(make_schema()[key], read_preset(key, value))
            else:
                config = OmegaConf.merge(config, OmegaConf.from_dotlist([change]))
        except OmegaConfBaseException as error:
            raise UsageError(
                f"{change!r} cannot be applied: {first_line(error)}",
                expected="a key of the run's config (repro-track show RUN --json) and a value of its type, "
                "or one of the groups " + ", ".join(PRESET_GROUPS),
            ) from error
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


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
