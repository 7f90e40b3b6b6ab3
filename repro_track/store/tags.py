"""What a run looks like in MLflow: every tag, param, metric and column.

Pure: it never speaks to a store.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

from repro_track.record.schema import RunRecord, Unavailable
from repro_track.tensors.digests import digest_many

TAG = "repro_track."
VIEW = "repro_track"
"""The name of the saved view of our columns: an experiment tag, which MLflow's UI lists under Views (read in its
3.17.2)."""
COLUMNS = {
    # MLflow's names of columns, and the widths at which their headers can be read
    "params.`seed`": 70,
    f"tags.`{TAG}verdict`": 140,
    f"tags.`{TAG}pipeline`": 150,
    f"tags.`{TAG}scheduler`": 165,
    f"tags.`{TAG}steps`": 130,
    f"tags.`{TAG}seed_closed`": 170,
    f"tags.`{TAG}digest`": 140,
    f"tags.`{TAG}commit`": 145,
    f"tags.`{TAG}dirty`": 130,
}
LIKENESS = f"{TAG}likeness"
"""The tag with the perceptual hashes of a run's pictures."""
FINISHED_FILTER = f"tags.`{TAG}record_id` != '' AND tags.`{TAG}replay_of` IS NULL AND attributes.status = 'FINISHED'"
"""Finds our finished runs that are no replays."""

LOGGED_IMAGES = "images"


def name_logged_images(key: str, *, step: int) -> tuple[str, str]:
    """Name the artifacts of one picture by step as MLflow's `log_image` does: the picture and its thumbnail.

    That would send each by itself; so they travel with the other artifacts (names as in MLflow 3.17.2).
    """
    name = f"{LOGGED_IMAGES}/{key}+step+{step}+timestamp+{int(time.time() * 1000)}+{uuid.uuid4()}"
    return f"{name}.png", f"{name}+compressed.webp"


def pack_likenesses(hashes: Mapping[str, str]) -> str:
    """Pack perceptual hashes (64 hexadecimal digits) by output name into a tag's value.

    >>> pack_likenesses({"images.0": "0" * 64})[:14]
    'images.0:00000'
    """
    return " ".join(f"{quote(name)}:{digest}" for name, digest in hashes.items())


def unpack_likenesses(value: str) -> dict[str, str]:
    """Unpack what `pack_likenesses` made; what is not of that form is left out: anybody can write a tag.

    >>> list(unpack_likenesses(pack_likenesses({"my image": "0" * 64, "short": "00"}) + " x"))
    ['my image']
    """
    return {unquote(name): digest for name, digest in re.findall(r"(\S+):([0-9a-f]{64})(?!\S)", value)}


def make_experiment_tags() -> dict[str, str]:
    """Make the tags of an experiment: its kind, so that MLflow opens the list of runs, and the view with our
    columns."""
    state = json.dumps({"selectedColumns": list(COLUMNS), "columnOrder": list(COLUMNS), "columnWidths": COLUMNS})
    view = {"name": VIEW, "createdAt": 0, "updatedAt": 0, "state": state}
    return {"mlflow.experimentKind": "custom_model_development", f"mlflow.sharedViewState.{VIEW}": json.dumps(view)}


def make_tags(record: RunRecord) -> dict[str, str]:
    """Make the searchable tags of a record. A digest that people look up is in a tag's *key*, which has an index."""
    pictures = [output for output in record.outputs if output.pixels_sha256]
    noises = [call.trace.noise for call in record.calls if isinstance(call.trace.noise, str)]
    tags = {
        f"{TAG}record_id": record.record_id,
        f"{TAG}schema": str(record.schema_version),
        f"{TAG}status": record.status,
        f"{TAG}seed_closed": _to_tag_value(record.seeds.closed),
        f"{TAG}replayable": _to_tag_value(record.replayable.yes),
        f"{TAG}output_sha256": _one_digest([output.sha256 for output in record.outputs]),
        f"{TAG}pixels_sha256": _one_digest([output.pixels_sha256 or "" for output in pictures]),
        f"{TAG}noise_sha256": _one_digest(noises),
        **{f"{TAG}pixels.{output.pixels_sha256}": output.name for output in pictures},
    }
    if record.replay_of:
        tags[f"{TAG}replay_of"] = record.replay_of
    if record.config.overrides:
        tags[f"{TAG}overrides"] = " ".join(record.config.overrides)[:5000]
    source = record.source
    schedulers = {name.rpartition(".")[2] for call in record.calls for name in call.schedulers}
    weights = {weight.sha256: part.name for call in record.calls for part in call.components for weight in part.weights}
    shown = {
        "pipeline": " ".join(dict.fromkeys(call.class_name for call in record.calls)),
        "scheduler": " ".join(sorted(schedulers)),
        "steps": " ".join(str(len(call.trace.steps)) for call in record.calls if call.trace.steps),
        "weights": " ".join(f"{name}:{digest[:12]}" for digest, name in weights.items())[:5000],
        "digest": tags[f"{TAG}output_sha256"][:12],
        "commit": source.commit[:12] if isinstance(source.commit, str) else "",
        "dirty": _to_tag_value(source.dirty) if isinstance(source.commit, str) else "",
    }
    tags |= {f"{TAG}{name}": value for name, value in shown.items()}
    git = {
        "commit": source.commit,
        "branch": source.branch,
        "repoURL": source.remote,
        "dirty": _to_tag_value(source.dirty),
    }
    if not isinstance(source.repository, Unavailable):
        tags |= {f"mlflow.source.git.{key}": value for key, value in git.items() if isinstance(value, str)}
    return {name: value for name, value in tags.items() if value}


def _to_tag_value(value: bool) -> str:
    return "true" if value else "false"


def _one_digest(digests: list[str]) -> str:
    """The digest itself if there is one, one over all in their order if there are several."""
    return digests[0] if len(digests) == 1 else digest_many(digests) if digests else ""


def make_params(record: RunRecord) -> dict[str, str]:
    """Make the params: the flattened resolved config; for a script without one, what its first call was given."""
    tree: dict[str, Any] = dict(record.config.resolved)
    tree["seed"] = record.seeds.root
    if record.calls:
        first = record.calls[0]
        tree.setdefault("pipeline", {"class_name": first.class_name})
        tree.setdefault("call", first.arguments)
    return {_clean_key(key): str(value)[:6000] for key, value in _flatten_config(tree)}


def _flatten_config(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flatten_config(item, f"{place}.{key}" if place else str(key))
    elif value is not None:
        yield place, value


def _clean_key(key: str) -> str:
    """MLflow's keys: up to 250 characters, letters, digits and `_ - . / : space`, no empty part."""
    return re.sub(r"/{2,}", "/", re.sub(r"[^\w\-./: ]", "_", key))[:250]


def make_metrics(record: RunRecord) -> dict[str, float]:
    """Make the metrics of the whole run: seconds of each phase, peak memory, the guide's statistic of the output."""
    metrics = {f"duration.{name}_s": value for name, value in record.cost.phases_s.items()}
    metrics["peak_memory_bytes"] = float(record.cost.peak_memory_bytes)
    if record.cost.peak_gpu_memory_bytes is not None:
        metrics["peak_gpu_memory_bytes"] = float(record.cost.peak_gpu_memory_bytes)
    sums = [output.abs_sum for output in record.outputs if output.kind == "image" and output.abs_sum is not None]
    if sums:
        metrics["output.abs_sum"] = sum(sums)
    return metrics


def make_step_metrics(record: RunRecord) -> list[tuple[str, float, int]]:
    """Make the latents' statistics by step: (name, value, step)."""
    metrics = []
    for call in record.calls:
        prefix = "latents" if call.index == 0 else f"call{call.index}.latents"
        for step in call.trace.steps:
            metrics += [(f"{prefix}.{name}", getattr(step, name), step.index) for name in ("mean", "std", "abs_max")]
    return metrics
