"""Values as printable words: facts, caveats, distances, JSON.

It never loads anything, and trusts no value: control characters are shown and not passed on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from repro_track.compare.comparison import Comparison
from repro_track.compare.differences import Difference, to_data
from repro_track.compare.findings import Explanation, Findings
from repro_track.record.places import find_factor
from repro_track.record.schema import GlobalGenerator, RunRecord, Unavailable
from repro_track.record.seeds import render_seeds

MEANING = {
    "bit-exact": "every output tensor has the same dtype, shape and bytes",
    "pixel-exact": "the 8-bit pixels agree, the tensors do not",
    "within-tolerance": "the tolerance profile holds, the pixels differ",
    "diverged": "an output is further away than the tolerance profile allows",
    "not-comparable": "an output is missing, extra, empty or of another shape",
}


def to_printable(value: Any, *, limit: int = 100) -> str:
    """Return a value as one short line without control characters.

    >>> to_printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    if isinstance(value, dict) and set(value) == {"unavailable"}:
        value = f"unavailable: {value['unavailable']}"
    if isinstance(value, Unavailable):
        value = f"unavailable: {value.unavailable}"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return text if len(text) <= limit else f"{text[: limit - 20]}…{text[-19:]}"


def shorten_digest(digest: str) -> str:
    """Return the first 12 digits of a digest, enough to tell a few apart."""
    return digest[:12]


def list_caveats(record: RunRecord) -> list[str]:
    """List in sentences what may keep this run from coming out again, and what is proven about its randomness."""
    caveats = []
    if record.seeds.closed:
        caveats.append("Seed-closed: every random draw came from a recorded generator.")
    for one in record.seeds.global_generators:
        if one.moved and not record.seeds.closed:
            places = to_printable(", ".join(one.drawn_at) or "something", limit=300)
            caveats.append(
                f"Not seed-closed: the global generator of {one.name} was drawn from ({places}). "
                "It was seeded and recorded." + (" A replay names the lines." if _has_line_to_find(one) else "")
            )
        elif one.moved:
            caveats.append(
                f"The global generator of {one.name} was drawn from between the calls, by the run's own code or while "
                "a pipeline was loaded; what the calls were given of that is recorded."
            )
    caveats += [f"Not replayable: {to_printable(reason, limit=300)}." for reason in record.replayable.reasons]
    caveats += [to_printable(caution, limit=300) for caution in record.cautions]
    for dtype in sorted({str(call.noise_drawn_in) for call in record.calls} - {"float32", "None"}):
        caveats.append(
            f"The noise was drawn in {dtype}, for which torch can give other numbers than in float32: in another "
            "precision this seed can be another picture. With noise=float32 it is one in all."
        )
    bound = {one.device for one in record.seeds.generators if not one.device.startswith("cpu")}
    if bound:
        caveats.append(f"The noise is bound to the device: a generator on {', '.join(sorted(bound))}.")
    if record.source.dirty:
        caveats.append("The source had changes that are not committed; they are under source/.")
    return caveats


def _has_line_to_find(one: GlobalGenerator) -> bool:
    """Whether a call drew from it, and the line is not known."""
    return any(re.fullmatch(r"call \d+", place) for place in one.drawn_at)


def list_draws(record: RunRecord) -> list[str]:
    """List the lines of code that a replay saw draw from a global generator, a sentence each."""
    return [
        f"the global generator of {one.name} was drawn from at {to_printable(place, limit=300)}"
        for one in record.seeds.global_generators
        for place in one.drawn_at
        if " in " in place
    ]


def list_findings(findings: Findings) -> list[str]:
    """List what was found beyond the comparison, a sentence each."""
    return [part.text for part in vars(findings).values() if part is not None]


def name_cause(difference: Difference, explanation: Explanation | None) -> str:
    """Return whether a difference is a proven cause, a possible one, or an effect: it was there only while a proven
    cause was. Nothing where it was not looked into."""
    if explanation is None:
        return ""
    names = {difference.place, find_factor(difference.place)}
    return (
        "proven" if names & set(explanation.proven) else "possible" if names & set(explanation.possible) else "effect"
    )


def list_facts(record: RunRecord) -> list[tuple[str, str]]:
    """List the few facts about a run that a person looks for first: (name, value)."""
    environment, torch_build, state = record.environment, record.environment.torch, record.numerics.state
    machine = environment.machine
    facts = [
        ("status", record.status),
        ("created", record.created_at),
        ("seed", render_seeds(record)),
    ]
    if any(one.made_by == "caller" for one in record.seeds.generators):
        facts.append(("root seed", f"{record.seeds.root} ({record.seeds.origin}), of the global generators"))
    for call in record.calls:
        stage = f"{call.stage}: " if call.stage else ""
        facts.append(("pipeline", f"{stage}{call.class_name} from {call.name_or_path}"))
        facts += [("scheduler", name) for name in call.schedulers]
        weights = {weight.sha256: weight for part in call.components for weight in part.weights}
        facts += [("weights", f"{weight.path} {digest}") for digest, weight in weights.items()]
        if isinstance(call.trace.noise, str):
            facts.append(("noise", call.trace.noise))
        facts.append(("steps", str(len(call.trace.steps))))
        facts += [("input", f"{part.name} {part.sha256}") for part in call.inputs]
        facts += [
            ("adapter", f"{adapter.name} ({adapter.kind}) in {part.name}, scale {', '.join(map(str, adapter.scales))}")
            for part in call.components
            for adapter in part.adapters
        ]
    facts += [
        (
            "determinism",
            f"{record.numerics.policy}, {state.get('num_threads')} threads, {state.get('cpu_capability')}",
        ),
        (
            "machine",
            f"{to_printable(machine.cpu_model)}, {machine.system} {machine.architecture}",
        ),
        ("torch", torch_build.version if not isinstance(torch_build, Unavailable) else to_printable(torch_build)),
    ]
    if not isinstance(torch_build, Unavailable):
        facts += [("GPU", f"{gpu.name}, compute capability {gpu.compute_capability}") for gpu in torch_build.gpus]
    commit = record.source.commit
    facts.append(("commit", to_printable(commit) + (" with changes" if record.source.dirty else "")))
    facts += [("code from outside", f"{one.name} from {one.path}") for one in record.source.outside or ()]
    return facts


def list_effects(comparison: Comparison) -> list[tuple[str, str]]:
    """List what the differences led to, in the order in which it happened: where the runs part, the latents and outputs
    that differ; (what, how)."""
    effects = [("first divergence", comparison.divergence.text)] if comparison.divergence else []
    for row in [*comparison.latents, *comparison.outputs]:
        if row.verdict == "bit-exact":
            continue
        name = row.name if row in comparison.outputs else f"{row.name} latents"
        words = [row.verdict, *row.notes]
        if row.distance:
            words.insert(1, f"max {row.distance.max_abs:.3g}, mean {row.distance.mean_abs:.3g}")
        effects.append((name, ", ".join(words)))
    return effects


def list_distances(row: Any) -> list[str]:
    """Return the distances of one compared output as short texts: max, mean, PSNR, SSIM, shares of values and
    pixels."""
    distance = row.distance
    if distance is None:
        return ["-"] * 6
    shares = [distance.share_different, distance.share_of_pixels]
    return [
        f"{distance.max_abs:.3g}",
        f"{distance.mean_abs:.3g}",
        f"{distance.psnr_db:.1f}",
        "-" if distance.ssim is None else f"{distance.ssim:.4f}",
        *("-" if share is None else f"{share:.1%}" for share in shares),
    ]


def fold_consequences(differences: Sequence[Difference]) -> list[Difference]:
    """Leave out what only follows from another root seed: every generator's seed and state."""
    if not any(one.place == "seeds.root" for one in differences):
        return list(differences)
    follows = r"seeds\.(images\..*|.*initial_seed|.*state_before)|config\.resolved\.seed"
    return [one for one in differences if not re.fullmatch(follows, one.place)]


def shorten(value: Any) -> str:
    """Return a value as a short text; a digest by its first digits."""
    is_digest = isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32,}", value)
    return f"{shorten_digest(value)}…" if is_digest else to_printable(value, limit=60)


def comparison_to_json(comparison: Comparison, *, findings: Findings | None = None) -> dict[str, Any]:
    """Return a comparison, and what was looked into besides, as JSON data; NaN and infinity as strings, as in
    records."""

    def clean(value: Any) -> Any:
        if isinstance(value, float) and value - value != 0:
            return str(value)
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [clean(item) for item in value]
        return value

    return clean({**to_data(comparison), **(findings.to_json() if findings else {})})
