"""What a run looks like in MLflow: every tag, param, metric, column and filter, whoever writes or reads it.

Pure: it never speaks to a store.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from repro_track.config.plain import decode_config
from repro_track.media.kinds import get_kind
from repro_track.record.names import name_call
from repro_track.record.schema import RunRecord, Unavailable
from repro_track.record.seeds import find_main_seed, list_drawn, list_image_generators
from repro_track.tensors.digests import digest_many
from repro_track.tensors.distance import Distance

TAG = "repro_track."
"""What the names of our tags begin with; nobody else puts it before a name."""
RECORD_ID = f"{TAG}record_id"
STATUS = f"{TAG}status"
REPLAY_OF = f"{TAG}replay_of"
VARIATION_OF = f"{TAG}variation_of"
VERDICT = f"{TAG}verdict"
SWEEP = f"{TAG}sweep"
OVERRIDES = f"{TAG}overrides"
MANIFEST = f"{TAG}manifest"
"""The tag with the digest of a run's list of files."""
LIKENESS = f"{TAG}likeness"
"""The tag with the perceptual hashes of a run's pictures."""
DIGESTS = (f"{TAG}output_sha256", f"{TAG}pixels_sha256", f"{TAG}noise_sha256")
"""The tags with the digests of all outputs, of all pictures' pixels, and of the noise."""
PARENT = "mlflow.parentRunId"
_LONGEST = 5000
"""So many characters of a text that may be long go into a tag; MLflow takes 8,000 (read in its 3.17.2)."""

OURS_FILTER = f"tags.`{RECORD_ID}` != ''"
"""Finds our runs that have a record."""
FINISHED_FILTER = f"{OURS_FILTER} AND tags.`{REPLAY_OF}` IS NULL AND attributes.status = 'FINISHED'"
"""Finds our finished runs that are no replays."""

VIEW = "repro_track"
"""The name of the saved view of our columns: an experiment tag, which MLflow's UI lists under Views (read in its
3.17.2)."""
COLUMNS = {
    # MLflow's names of columns, and the widths at which their headers can be read
    "params.`seed`": 70,
    f"tags.`{VERDICT}`": 140,
    f"tags.`{TAG}pipeline`": 150,
    f"tags.`{TAG}scheduler`": 165,
    f"tags.`{TAG}steps`": 130,
    f"tags.`{TAG}seed_closed`": 170,
    f"tags.`{TAG}digest`": 140,
    f"tags.`{TAG}commit`": 145,
    f"tags.`{TAG}dirty`": 130,
}

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


def name_pixels_tag(digest: str) -> str:
    """Name the tag of one picture's pixels. What people look up is in the tag's *name*, which has an index."""
    return f"{TAG}pixels.{digest}"


def name_output_tag(digest: str) -> str:
    """Name the tag of one output's tensor: its name is the digest, as that of the pixels."""
    return f"{TAG}output.{digest}"


def name_seed_tag(seed: int | str) -> str:
    """Name the tag of one image's seed, whoever made the generator; its value names the image."""
    return f"{TAG}seed.{seed}"


def make_member_filter(parent_id: str) -> str:
    """Make the filter that finds our runs that are shown under another one, replays and variations among them."""
    return f"tags.`{PARENT}` = '{parent_id}' AND {OURS_FILTER}"


def make_tag_filter(name: str, value: str | None) -> str:
    """Make the filter that finds the runs with a tag; with `value`, those where it is exactly this.

    >>> make_tag_filter(RECORD_ID, "abc"), make_tag_filter(SWEEP, None)
    ("tags.`repro_track.record_id` = 'abc'", "tags.`repro_track.sweep` != ''")
    """
    return f"tags.`{name}` " + (f"= '{value}'" if value is not None else "!= ''")


def make_start_tags(*, user: str, source: str, parent_id: str | None) -> dict[str, str]:
    """Make the tags that MLflow shows of every run: who runs it, what runs it, and the run it is shown under."""
    tags = {"mlflow.user": user, "mlflow.source.name": source, "mlflow.source.type": "LOCAL"}
    return tags if parent_id is None else {**tags, PARENT: parent_id}


def make_end_tags(*, description: str, has_pictures: bool = False) -> dict[str, str]:
    """Make the tags of a run's page in MLflow: its description, and whether it has pictures by step."""
    tags = {"mlflow.note.content": description}
    return {**tags, "mlflow.loggedImages": "True"} if has_pictures else tags


def make_replay_tags(run_id: str, *, verdict: str | None = None, focus: str = "") -> dict[str, str]:
    """Make the tags of a replay.

    Args:
        run_id: the run that is replayed, by its address: MLflow's run id, or that of its record if it is in no store.
        verdict: what came of it; `None`: it failed, and has none.
        focus: the call and image that were looked at alone; empty: all.
    """
    tags = {REPLAY_OF: run_id, VERDICT: verdict, f"{TAG}replay_focus": focus}
    return {name: value for name, value in tags.items() if value}


def make_trial_tags(run_id: str, *, verdict: str, name: str) -> dict[str, str]:
    """Make the tags of a trial: a replay that is run only to find a cause, with what it tries as its name."""
    return {**make_replay_tags(run_id, verdict=verdict), f"{TAG}trial": name}


def make_variation_tags(run_id: str, *, changes: str) -> dict[str, str]:
    """Make the tags of a variation: the run that it was made from, and what was changed, as `KEY=VALUE` words."""
    return {VARIATION_OF: run_id, f"{TAG}variation": changes}


def make_sweep_tags(*, overrides: str) -> dict[str, str]:
    """Make the tags of a sweep that goes on, with the words that it was begun with."""
    return {SWEEP: "running", OVERRIDES: overrides[:_LONGEST]}


def make_ended_sweep_tags(*, members: int) -> dict[str, str]:
    """Make the tags that a sweep gets at its end: how many members it has."""
    return {SWEEP: str(members)}


def make_inside_tags(*, record_id: str, seed: int) -> dict[str, str]:
    """Make the tags of somebody's own MLflow run that is started while a run of ours goes on."""
    return {f"{TAG}inside": record_id, f"{TAG}seed": str(seed)}


def make_record_tags(record: RunRecord) -> dict[str, str]:
    """Make the searchable tags of a record; what is empty or not known has none."""
    pictures = [output for output in record.outputs if output.pixels_sha256]
    digests = (
        [output.sha256 for output in record.outputs],
        [output.pixels_sha256 or "" for output in pictures],
        [call.trace.noise for call in record.calls if isinstance(call.trace.noise, str)],
    )
    tags = {
        RECORD_ID: record.record_id,
        f"{TAG}schema": str(record.schema_version),
        STATUS: record.status,
        f"{TAG}seed_closed": _to_tag_value(record.seeds.closed),
        f"{TAG}replayable": _to_tag_value(record.replayable.yes),
        **dict(zip(DIGESTS, map(_one_digest, digests), strict=True)),
        **{name_pixels_tag(output.pixels_sha256 or ""): output.name for output in pictures},
        **{name_output_tag(output.sha256): output.name for output in record.outputs},
        **{name_seed_tag(one.initial_seed): name for name, one in reversed(list_image_generators(record).items())},
    }
    if record.replay_of:
        tags[REPLAY_OF] = record.replay_of
    if record.config.overrides:
        tags[OVERRIDES] = " ".join(record.config.overrides)[:_LONGEST]
    source = record.source
    schedulers = {name.rpartition(".")[2] for call in record.calls for name in call.schedulers}
    weights = {weight.sha256: part.name for call in record.calls for part in call.components for weight in part.weights}
    drawn = list_drawn(record)
    shown = {
        "seed_origin": "own generator" if drawn and drawn[0].made_by == "caller" else record.seeds.origin,
        "pipeline": " ".join(dict.fromkeys(call.class_name for call in record.calls)),
        "scheduler": " ".join(sorted(schedulers)),
        "steps": " ".join(str(len(call.trace.steps)) for call in record.calls if call.trace.steps),
        "weights": " ".join(f"{name}:{digest[:12]}" for digest, name in weights.items())[:_LONGEST],
        "digest": tags[DIGESTS[0]][:12],
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
    return {name: _to_storable(value) for name, value in tags.items() if value}


def _to_tag_value(value: bool) -> str:
    return "true" if value else "false"


def _one_digest(digests: Sequence[str]) -> str:
    """The digest itself if there is one, one over all in their order if there are several."""
    return digests[0] if len(digests) == 1 else digest_many(digests) if digests else ""


def make_params(record: RunRecord) -> dict[str, str]:
    """Make the params: the flattened resolved config; for a script without one, what its first call was given."""
    tree: dict[str, Any] = dict(decode_config(record.config.resolved))
    drawn = list_drawn(record)
    tree["seed"] = find_main_seed(record)
    if len(drawn) > 1 or tree.get("seeds") is not None:
        tree["seeds"] = [one.initial_seed for one in drawn]
    if record.calls:
        first = record.calls[0]
        tree.setdefault("pipeline", {"class_name": first.class_name})
        tree.setdefault("call", first.arguments)
    return {_clean_key(key): _to_storable(str(value))[:6000] for key, value in _flatten_config(tree)}


def _flatten_config(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flatten_config(item, f"{place}.{key}" if place else str(key))
    elif value is not None:
        yield place, value


def _clean_key(key: str) -> str:
    """MLflow's keys: up to 250 characters, letters, digits and `_ - . / : space`, no part that is empty or leads to
    another folder."""
    parts = re.sub(r"[^\w\-./: ]", "_", key)[:250].split("/")
    return "/".join(part for part in parts if part.strip(".")) or "_"


def _to_storable(text: str) -> str:
    """Return a text that any database takes: without NUL and halves of surrogate pairs, which are written out.

    >>> _to_storable("a cat")
    'a cat'
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def make_metrics(record: RunRecord) -> dict[str, float]:
    """Make the metrics of the whole run: seconds of each phase, peak memory, the guide's statistic of the output."""
    metrics = {f"duration.{name}_s": value for name, value in record.cost.phases_s.items()}
    metrics["peak_memory_bytes"] = float(record.cost.peak_memory_bytes)
    if record.cost.peak_gpu_memory_bytes is not None:
        metrics["peak_gpu_memory_bytes"] = float(record.cost.peak_gpu_memory_bytes)
    pictures = [output for output in record.outputs if get_kind(output.kind).is_picture]
    sums = [output.abs_sum for output in pictures if output.abs_sum is not None]
    if sums:
        metrics["output.abs_sum"] = sum(sums)
    return metrics


def make_step_metrics(record: RunRecord) -> list[tuple[str, float, int]]:
    """Make the latents' statistics by step: (name, value, step)."""
    metrics = []
    for call in record.calls:
        prefix = "latents" if call.index == 0 else f"{name_call(call.index)}.latents"
        for step in call.trace.steps:
            metrics += [(f"{prefix}.{name}", getattr(step, name), step.index) for name in ("mean", "std", "abs_max")]
    return metrics


def make_distance_metrics(distances: Sequence[Distance]) -> dict[str, float]:
    """Make the metrics of a replay from the distances of the outputs that are not equal: the worst of each kind."""
    if not distances:
        return {}
    metrics = {
        "distance.max_abs": max(distance.max_abs for distance in distances),
        "distance.mean_abs": max(distance.mean_abs for distance in distances),
        "distance.share_different": max(distance.share_different for distance in distances),
        "distance.psnr_db": min(distance.psnr_db for distance in distances),
    }
    similarities = [distance.ssim for distance in distances if distance.ssim is not None]
    return {**metrics, "distance.ssim": min(similarities)} if similarities else metrics
