"""One attempt at a recorded run: restore what the plan says, start it again in a child process, compare, log.

This process never loads torch, and never touches the user's working tree, environment or logged runs: everything is
restored into the replay's own folder, which is gone afterwards, or into caches.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_track import command, compare, environment, pipeline, report, source
from repro_track.config import REPLAY, data_folder, make_changed
from repro_track.errors import ReplayError
from repro_track.factors import Choice, render_options
from repro_track.findings import Findings
from repro_track.fingerprint import load_tensors
from repro_track.handover import Handover, Settings
from repro_track.lookup import FoundRun
from repro_track.outbox import log_folder
from repro_track.picture import make_contact_sheet, read_picture
from repro_track.plan import ReplayPlan, digest_present, list_weights, make_child_variables, make_plan
from repro_track.record import (
    CONFIG_NAME,
    LATENTS_NAME,
    OUTPUT_TENSORS_NAME,
    RECORD_NAME,
    STATES_NAME,
    RunRecord,
    read_record,
)
from repro_track.store import TAG, Store, StoredRun


@dataclass(frozen=True)
class Attempt:
    """A planned attempt and the folder between us and its child."""

    found: FoundRun
    handover: Handover
    plan: ReplayPlan

    @property
    def recorded_folder(self) -> Path:
        """Where artifacts of the recorded run are put."""
        return self.handover.folder / "recorded"


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt. `exact`: the recorded and the actual tensors, where any digest differs."""

    attempt: Attempt
    actual: RunRecord
    comparison: compare.Comparison
    exact: tuple[compare.Exact, compare.Exact] | None = None


@contextlib.contextmanager
def planned(found: FoundRun, *, choice: Choice, settings: Settings | None = None) -> Iterator[Attempt]:
    """Plan an attempt in a folder of its own, which is removed afterwards.

    Raises:
        ReplayError, RefusedError: as `make_plan`.
    """
    base = data_folder() / "replays"
    base.mkdir(parents=True, exist_ok=True)
    for left in base.iterdir():  # by a replay that was killed: a week is longer than any replay takes
        if time.time() - left.stat().st_mtime > 7 * 24 * 3600:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="replay-", dir=base) as name:
        folder = Path(name)
        settings = settings or Settings()
        plan = make_plan(found.record, folder=folder, choice=choice)
        if settings.changes and found.record.command.kind == "hydra":
            plan = dataclasses.replace(plan, argv=(*plan.argv, *settings.changes))
        if plan.code:
            settings = dataclasses.replace(settings, foreign=str(found.record.source.repository))
        yield Attempt(found, Handover(folder, found.record, choice, settings), plan)


# --- restoring ----------------------------------------------------------------------------------------------------


def restore(attempt: Attempt) -> None:
    """Write everything that the child needs: code, packages, weights, config, generator states, notebook cells.

    Raises:
        ReplayError: something recorded cannot be brought back.
        RefusedError: an artifact is not the recorded one.
    """
    plan, found, handover = attempt.plan, attempt.found, attempt.handover
    record, folder = found.record, handover.folder
    handover.write()
    focus = handover.settings.focus
    if focus.call is not None or any(one.made_by == "caller" for one in record.seeds.generators):
        load_into(found, STATES_NAME, handover.states_path)
    for call in record.calls:
        for one in call.inputs:
            if one.origin or handover.choice.restores("inputs") or focus.call == call.index:
                load_into(found, one.file, folder / one.file)
    if record.command.kind == "notebook":
        load_into(found, command.NOTEBOOK_NAME, folder / command.NOTEBOOK_NAME)
        source.check_kept(folder / command.NOTEBOOK_NAME, str(record.source.script_sha256))
    if plan.code and plan.move:
        for name in source.list_kept_names(plan.code):
            load_into(found, name, attempt.recorded_folder / name)
        source.restore_source(plan.code, kept=attempt.recorded_folder, target=plan.move.new)
        _link_ignored(record, move=plan.move)
        if handover.choice.restores("weights"):
            _check_restored_weights(record, move=plan.move)
    if plan.script:
        load_into(found, f"source/{plan.script}", folder / "script" / plan.script)
        source.check_kept(folder / "script" / plan.script, str(record.source.script_sha256))
    if plan.packages:
        environment.restore_environment(plan.packages)
    if record.command.kind == "config":
        _write_config(attempt)
    command.check_script(list(plan.argv), command=record.command)
    cwd = Path(plan.cwd)
    if folder in cwd.parents:
        cwd.mkdir(parents=True, exist_ok=True)


def load_into(found: FoundRun, path: str, target: Path) -> None:
    """Copy one artifact of the recorded run to a file; where there is none, there is none."""
    with tempfile.TemporaryDirectory() as folder:
        loaded = found.opened.load_artifact(path, Path(folder))
        if loaded is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(loaded, target)


def _link_ignored(record: RunRecord, *, move: command.Move) -> None:
    """Let the restored source see the weights that lie in the clone and are not part of its tree (ignored by git)."""
    named = [Path(record.command.cwd) / call.name_or_path for call in record.calls if call.name_or_path]
    for path in [*named, *(one.path.parent for one in list_weights(record))]:
        if not path.is_relative_to(move.old) or not path.exists():
            continue
        missing = move.new / path.relative_to(move.old)
        if missing.exists():
            continue
        while not missing.parent.exists():
            missing = missing.parent
        missing.symlink_to(move.old / missing.relative_to(move.new))


def _check_restored_weights(record: RunRecord, *, move: command.Move) -> None:
    """See that weights that are part of the restored source are the recorded ones, before anything runs.

    Raises:
        ReplayError: one is not.
    """
    for one in list_weights(record):
        if not one.path.is_relative_to(move.old) or one.weight.origin == "hub":
            continue
        actual = digest_present(move.new / one.path.relative_to(move.old))
        if actual != one.weight.sha256:
            raise ReplayError(
                f"the weights {one.path} of the restored source are not the recorded ones: {actual}",
                expected=f"sha256 {one.weight.sha256}",
                advice="replay with what is there: --weights current",
            )


def _write_config(attempt: Attempt) -> None:
    """Write the resolved config for the child, with each pipeline pinned, and found where its weights are now."""
    import yaml

    plan, folder = attempt.plan, attempt.handover.folder
    resolved = copy.deepcopy(attempt.found.record.config.resolved)
    replaced = {Path(one.path): Path(one.source) for one in plan.weights if one.source and Path(one.source).is_file()}
    for stage, pinned in plan.pipelines.items():
        config = resolved["stages"][stage] if stage else resolved
        config["pipeline"] = chosen = dict(pinned)
        if path := chosen.get("path"):
            base = Path(
                pipeline.find_builtin(path.removeprefix(pipeline.BUILTIN))
                if path.startswith(pipeline.BUILTIN)
                else path
            )
            inside = {one: other for one, other in replaced.items() if one.is_relative_to(base)}
            if inside:
                chosen["path"] = str(
                    _shadow_pipeline(base, replaced=inside, target=folder / f"pipeline-{stage or 'only'}")
                )
        for wanted in config.get("adapters", {}).values():
            for adapter in wanted.values():
                adapter["path"] = str(replaced.get(Path(adapter["path"]), adapter["path"]))
    if changes := attempt.handover.settings.changes:
        resolved = make_changed(resolved, changes)
    (folder / CONFIG_NAME).write_text(yaml.safe_dump(resolved, sort_keys=False), encoding="utf-8")


def _shadow_pipeline(base: Path, *, replaced: Mapping[Path, Path], target: Path) -> Path:
    """Make a folder that looks like a saved pipeline, by links, in which some files are other ones.

    Raises:
        ReplayError: the pipeline's folder is gone, and the weights that were found are not in another like it.
    """
    if not base.is_dir():
        recorded, other = next(iter(replaced.items()))
        inside = recorded.relative_to(base)
        moved = other.parents[len(inside.parts) - 1]
        if moved / inside != other or not (moved / "model_index.json").is_file():
            raise ReplayError(f"the pipeline's folder {base} is not there", expected="the folder that was loaded")
    else:
        moved = base
    for file in sorted(moved.rglob("*")):
        if file.is_file():
            inside = file.relative_to(moved)
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            (target / inside).symlink_to(replaced.get(base / inside, file).absolute())
    return target


# --- running ------------------------------------------------------------------------------------------------------


_CHILD_LOG = "child.log"


@contextlib.contextmanager
def started_child(attempt: Attempt, *, quiet: bool) -> Iterator[subprocess.Popen[bytes]]:
    """Start the plan's command; whatever happens to us, it does not outlive us. Its stdout is not ours: to stderr; both go
    to a file in the attempt's folder if it is to be quiet."""
    plan = attempt.plan
    program = environment.copy_program() if plan.packages else None
    variables = {**make_child_variables(plan, program=program), REPLAY: plan.folder}
    argv = [plan.argv[0], *(_relocate(word, attempt) for word in plan.argv[1:])]
    with contextlib.ExitStack() as stack:
        target = stack.enter_context((Path(plan.folder) / _CHILD_LOG).open("wb")) if quiet else sys.stderr
        child = subprocess.Popen(
            argv,
            cwd=plan.cwd,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=target.fileno(),
            stderr=target.fileno(),
        )
        try:
            yield child
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()


def _relocate(word: str, attempt: Attempt) -> str:
    """Let an argument that names a file of the recorded source name the restored one."""
    moved = attempt.plan.move.find(word) if attempt.plan.move else word
    return moved if os.path.lexists(moved) else word


def read_result(attempt: Attempt, *, code: int) -> RunRecord:
    """Read the record that the child left.

    Raises:
        ReplayError: it left none.
    """
    path = attempt.handover.result_folder / RECORD_NAME
    if not path.is_file():
        log = Path(attempt.plan.folder) / _CHILD_LOG
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
        advice = f"its last words: {report.to_printable(lines[-1], limit=200)}" if lines else "see its output above"
        if attempt.plan.code:
            advice += "; what git ignores is not part of the restored source: --code current runs where the clone is"
        raise ReplayError(
            f"the replay's process ended with code {code} and left no record",
            expected="the same track() block as in the recorded run",
            advice=advice,
        )
    return read_record(path)


def judge(attempt: Attempt, actual: RunRecord, *, profile: compare.Tolerance) -> Outcome:
    """Compare what the child left with what was recorded. The exact tensors are loaded only where a digest differs."""
    focus, folder = attempt.handover.settings.focus, attempt.handover.result_folder
    expected, actual_part = focus.narrow(attempt.found.record), focus.narrow(actual)
    attempt.recorded_folder.mkdir(exist_ok=True)
    equal = [output.sha256 for output in expected.outputs] == [output.sha256 for output in actual_part.outputs]
    exact = None if equal else (attempt.found.opened.load_exact(attempt.recorded_folder), _load_exact(folder))
    expected_exact, actual_exact = exact or (compare.Exact(), compare.Exact())
    if focus.image is not None:  # the latents are those of the whole batch
        expected_exact, actual_exact = (compare.Exact(one.outputs) for one in (expected_exact, actual_exact))
    comparison = compare.compare_runs(
        expected, actual_part, expected_exact=expected_exact, actual_exact=actual_exact, tolerance=profile
    )
    return Outcome(attempt, actual, comparison, exact)


def _load_exact(folder: Path) -> compare.Exact:
    latents = folder / LATENTS_NAME
    return compare.Exact(load_tensors(folder / OUTPUT_TENSORS_NAME), load_tensors(latents) if latents.is_file() else {})


def perform(
    attempt: Attempt,
    *,
    profile: compare.Tolerance,
    meanwhile: Callable[[], object] = lambda: None,
    quiet: bool = False,
) -> Outcome:
    """Restore, run, compare.

    Args:
        attempt: from `planned`.
        profile: for `within-tolerance`.
        meanwhile: called while the child runs.
        quiet: keep what the child says to ourselves.

    Raises:
        ReplayError: something cannot be restored, or the child left no finished run.
    """
    restore(attempt)
    with started_child(attempt, quiet=quiet) as child:
        meanwhile()
        code = child.wait()
    return judge(attempt, read_result(attempt, code=code), profile=profile)


# --- logging ------------------------------------------------------------------------------------------------------


def start_run(attempt: Attempt, *, store: Store, name: str, parent: StoredRun | None = None) -> StoredRun:
    """Begin the attempt's own run in MLflow, in the experiment of the recorded run and under it, or under `parent`."""
    stored = attempt.found.opened.stored
    above = parent or stored
    return store.start_run(
        experiment="repro_track",
        experiment_id=stored.experiment_id if stored else None,
        name=name,
        user=environment.read_user(),
        source="repro-track replay",
        parent_id=above.run_id if above else None,
    )


def log(outcome: Outcome, run: StoredRun, *, store: Store, findings: Findings, tags: Mapping[str, str]) -> None:
    """Write the report, and log the attempt as a run that points at the recorded one."""
    found, actual, comparison = outcome.attempt.found, outcome.actual, outcome.comparison
    handover, recorded_folder = outcome.attempt.handover, outcome.attempt.recorded_folder
    first_id, folder = found.address, handover.result_folder
    for output in found.record.outputs:
        if output.kind == "image" and output.file:
            load_into(found, output.file, recorded_folder / output.file)
    page = report.render_replay_page(
        found.record,
        actual,
        comparison,
        run_id=first_id,
        expected_folder=recorded_folder,
        actual_folder=folder,
        findings=findings,
        exact=outcome.exact,
        options=render_options(handover.choice) + handover.settings.focus.render_options(),
    )
    _write_report(folder, page, comparison, findings)
    log_folder(
        store,
        run,
        folder=folder,
        description=report.render_description(actual, run_id=first_id, comparison=comparison, findings=findings),
        tags={f"{TAG}replay_of": first_id, f"{TAG}verdict": comparison.verdict, **tags},
        metrics=make_distance_metrics(comparison),
    )


def _write_report(folder: Path, page: str, comparison: compare.Comparison, findings: Findings | None = None) -> None:
    (folder / report.REPORT_NAME).write_text(page, encoding="utf-8")
    data = report.comparison_to_json(comparison, findings=findings)
    (folder / "comparison.json").write_text(json.dumps(data, indent=1), encoding="utf-8")


def log_variation(outcome: Outcome, run: StoredRun, *, store: Store) -> None:
    """Log a variation as a run of its own that points at the recorded one, with a picture of both side by side."""
    found, folder = outcome.attempt.found, outcome.attempt.handover.result_folder
    first_id, changes = found.address, " ".join(outcome.attempt.handover.settings.changes)
    page = report.render_run_page(outcome.actual, run_id=run.run_id, folder=folder)
    _write_report(folder, page, outcome.comparison)
    load_into(found, report.PREVIEW_NAME, outcome.attempt.recorded_folder / report.PREVIEW_NAME)
    pair = [outcome.attempt.recorded_folder / report.PREVIEW_NAME, folder / report.PREVIEW_NAME]
    if all(path.is_file() for path in pair):
        pictures = [read_picture(path).pixels for path in pair]
        sheet = make_contact_sheet(pictures, labels=["recorded", report.to_printable(changes, limit=60)], columns=1)
        sheet.save(folder / report.SIDE_BY_SIDE_NAME)
    log_folder(
        store,
        run,
        folder=folder,
        description=report.render_variation_description(
            outcome.actual, run_id=run.run_id, of=first_id, changes=changes
        ),
        tags={f"{TAG}variation_of": first_id, f"{TAG}variation": changes},
    )


def log_failure(attempt: Attempt, actual: RunRecord, *, store: Store, run: StoredRun) -> None:
    """Log an attempt whose child failed."""
    first_id = attempt.found.address
    description = report.render_description(actual, run_id=first_id)
    tags = {f"{TAG}replay_of": first_id}
    log_folder(store, run, folder=attempt.handover.result_folder, description=description, tags=tags)


def make_distance_metrics(comparison: compare.Comparison) -> dict[str, Any]:
    """Make the metrics of a replay: the largest distance of any output; empty where all are equal."""
    distances = [output.distance for output in comparison.outputs if output.distance]
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
