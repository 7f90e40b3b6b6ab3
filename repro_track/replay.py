"""Replay a logged run: plan, start it again in a child process, compare, log the verdict.

This process never loads torch, and never touches the user's working tree: the child does what the first run did, with
the recorded numeric settings in its environment before torch is imported.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_track import command, compare, environment, ledger, lookup, report, source
from repro_track.config import REPLAY, data_folder, list_written_paths, resolve_store_uri
from repro_track.errors import RefusedError, ReplayError, StoreError
from repro_track.fingerprint import digest_weight_file, load_tensors
from repro_track.handover import Handover
from repro_track.lookup import FoundRun
from repro_track.outbox import log_folder
from repro_track.record import OUTPUT_TENSORS_NAME, RECORD_NAME, STATES_NAME, RunRecord, Unavailable, read_record
from repro_track.store import TAG, Store, StoredRun


@dataclass(frozen=True)
class ReplayPlan:
    """What a replay will do, and what is different here before it does it. Printing and executing are its readers.

    `variables` are set for the child before it starts (null: unset). `differences` are those that stay.
    """

    record_id: str
    argv: tuple[str, ...]
    cwd: str
    variables: Mapping[str, str | None]
    restores_numerics: bool
    differences: tuple[compare.Difference, ...]


def make_plan(record: RunRecord, *, folder: Path, restores_numerics: bool) -> ReplayPlan:
    """Plan the replay of a record in the present code and packages.

    Args:
        record: what is to be replayed.
        folder: the hand-over folder; nothing but the present source's changes is written there.
        restores_numerics: whether the recorded numeric settings and variables are imposed.

    Raises:
        ReplayError: there is nothing that could be started.
    """
    argv = command.make_child_argv(record.command, folder=folder)
    cwd = Path(record.command.cwd)
    if not cwd.is_dir():
        if record.command.kind != "config":
            raise ReplayError(
                f"{cwd}, where the run was started, is not there", expected="the folder", advice="bring it back"
            )
        cwd = folder
    variables = record.environment.variables if restores_numerics else {}
    present = environment.capture_environment(torch_build=Unavailable(unavailable="not read before a replay"))
    present = present.model_copy(update={"variables": {**present.variables, **variables}})
    found = compare.list_environment_differences(record.environment, present)
    found += compare.list_source_differences(record.source, _capture_present_source(record, folder=folder))
    found += _list_weight_differences(record)
    return ReplayPlan(
        record_id=record.record_id,
        argv=tuple(argv),
        cwd=str(cwd),
        variables=variables,
        restores_numerics=restores_numerics,
        differences=tuple(sorted(found, key=lambda difference: difference.power)),
    )


def _capture_present_source(record: RunRecord, *, folder: Path) -> source.Source:
    return source.capture_source(
        script=command.find_script(record.command, folder=folder),
        place=command.find_repository_place(record.command),
        folder=folder / "present-source",
        exclude=list_written_paths(resolve_store_uri()),
    )


def _list_weight_differences(record: RunRecord) -> tuple[compare.Difference, ...]:
    """Compare the weight files where they were loaded from; the digests are kept between runs, so this is quick."""
    differences = []
    for call in record.calls:
        for component in call.components:
            for weight in component.weights:
                path = Path(component.location or "") / weight.path
                actual = digest_weight_file(path)[0] if path.is_file() else "the file is not there"
                if actual != weight.sha256:
                    place = f"calls.{call.index}.components.{component.name}.weights.{weight.path}.sha256"
                    differences.append(compare.make_difference(place, weight.sha256, actual))
    return tuple(differences)


# --- doing it -----------------------------------------------------------------------------------------------------


def replay_and_show(
    text: str,
    *,
    required: str,
    restores_numerics: bool,
    tolerance: str | None,
    dry_run: bool,
    trusted: bool,
    as_json: bool,
) -> int:
    """Replay one run and show what came of it.

    Returns:
        0 if it was reproduced at the required level, else 1.

    Raises:
        ReplayError, RefusedError, and whatever finding a run can raise.
    """
    console = report.open_console()
    # one of our own, by its whole id, needs no store to begin with: MLflow is loaded while the child runs
    found = lookup.recall(text) or lookup.find(text)
    profile = lookup.make_tolerance(tolerance, recorded=found.record)
    with _made_handover(found, restores_numerics=restores_numerics) as handover:
        plan = make_plan(found.record, folder=handover.folder, restores_numerics=restores_numerics)
        _print_plan(plan, found.record, console=console)
        if dry_run:
            if as_json:
                print(json.dumps(dataclasses.asdict(plan), indent=1))
            return 0
        _check_trust(found, plan, trusted=trusted)
        with _started_child(plan, folder=handover.folder) as child:
            store = found.store or Store(resolve_store_uri())
            stored = _find_stored(store, found)
            code = child.wait()
        actual = _read_result(handover, code=code)
        run, comparison = _judge(found, actual, handover=handover, store=store, stored=stored, profile=profile)
    report.print_comparison(comparison, console=console)
    console.print(f"  logged as run {run.run_id}: {run.link}")
    if as_json:
        names = {"run_id": found.run_id, "record_id": found.record.record_id, "replay_run_id": run.run_id}
        print(json.dumps({**names, **report.comparison_to_json(comparison)}, indent=1))
    else:
        print(comparison.verdict)
    return 0 if compare.is_good_enough(comparison.verdict, required=required) else 1


@contextlib.contextmanager
def _made_handover(found: FoundRun, *, restores_numerics: bool) -> Iterator[Handover]:
    """Make the hand-over folder: the record, its config, the generator states, the cells of a notebook."""
    with tempfile.TemporaryDirectory(prefix="repro_track-replay-") as name:
        handover = Handover(Path(name), found.record, restores_numerics)
        handover.write()
        if any(one.made_by == "caller" for one in found.record.seeds.generators):
            _load_into(found, STATES_NAME, handover.states_path)
        if found.record.command.kind == "notebook":
            _load_into(found, command.NOTEBOOK_NAME, handover.folder / command.NOTEBOOK_NAME)
        yield handover


def _load_into(found: FoundRun, path: str, target: Path) -> None:
    """Copy one artifact of the recorded run to a file; where there is none, there is none."""
    if found.store is None and found.run_id is not None:
        store = Store(resolve_store_uri())
        found = dataclasses.replace(found, store=store, stored=store.find_run(found.run_id))
    with tempfile.TemporaryDirectory() as folder:
        loaded = found.load_artifact(path, Path(folder))
        if loaded is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(loaded, target)


def _check_trust(found: FoundRun, plan: ReplayPlan, *, trusted: bool) -> None:
    """Refuse to start somebody's command: only what this machine logged itself runs without being asked for.

    Raises:
        RefusedError: with what would be started.
    """
    is_kept_here = found.folder is not None and data_folder() in found.folder.parents
    known = ledger.recall(found.run_id) if found.run_id else None
    if trusted or is_kept_here or known == found.record:
        return
    what = "was changed after this machine logged it" if known else "was not logged by this machine"
    raise RefusedError(
        f"the run {what}; replaying it would start: {report.to_printable(' '.join(plan.argv), limit=300)}",
        expected="a run of this machine and user",
        advice="look at it with repro-track show, then give --trust if you know where it is from",
    )


@contextlib.contextmanager
def _started_child(plan: ReplayPlan, *, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the plan's command; whatever happens to us, it does not outlive us. Its stdout is not ours: to stderr."""
    variables = {**os.environ, REPLAY: str(folder)}
    for name, value in plan.variables.items():
        variables.pop(name, None)
        if value is not None:
            variables[name] = value
    child = subprocess.Popen(
        plan.argv, cwd=plan.cwd, env=variables, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno()
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()


def _find_stored(store: Store, found: FoundRun) -> StoredRun | None:
    """Find the run in the store, and see that its record there is the one that is being replayed.

    Raises:
        StoreError: it is another one: altered since this machine logged it.
    """
    if found.stored is not None or found.run_id is None:
        return found.stored
    stored = store.find_run(found.run_id)
    if store.load_record(stored) != found.record:
        raise StoreError(
            f"the record of run {found.run_id} in the store is not the one that this machine logged",
            expected="the record as it was logged",
            advice="see repro-track verify; to replay the stored record all the same, give a prefix of the id and --trust",
        )
    return stored


def _read_result(handover: Handover, *, code: int) -> RunRecord:
    path = handover.result_folder / RECORD_NAME
    if not path.is_file():
        raise ReplayError(
            f"the replay's process ended with code {code} and left no record",
            expected="the same track() block as in the recorded run",
            advice="see its output above",
        )
    return read_record(path)


def _judge(
    found: FoundRun,
    actual: RunRecord,
    *,
    handover: Handover,
    store: Store,
    stored: StoredRun | None,
    profile: compare.Tolerance,
) -> tuple[StoredRun, compare.Comparison]:
    """Compare, write the report, and log the replay as a run of its own that points at the first.

    Raises:
        ReplayError: the replay failed; it is logged as failed.
    """
    expected, folder = found.record, handover.result_folder
    first_id = found.run_id or expected.record_id

    def log(description: str, *, tags: Mapping[str, str], metrics: Mapping[str, float]) -> StoredRun:
        run = store.start_run(
            experiment="repro_track",
            experiment_id=stored.experiment_id if stored else None,
            name=f"replay of {expected.name}",
            user=actual.environment.machine.user,
            source="repro-track replay",
        )
        tags = {f"{TAG}replay_of": first_id, **tags}
        log_folder(store, run, folder=folder, description=description, tags=tags, metrics=metrics)
        return run

    if actual.status != "finished":
        run = log(report.render_description(actual, run_id=first_id), tags={}, metrics={})
        raise ReplayError(
            f"the replay failed: {actual.error}", expected="a run like the recorded one", advice=f"see run {run.run_id}"
        )
    recorded = dataclasses.replace(found, store=store, stored=stored)
    target = handover.folder / "recorded"
    target.mkdir()
    # the exact tensors are needed only where a digest differs
    equal = [output.sha256 for output in expected.outputs] == [output.sha256 for output in actual.outputs]
    comparison = compare.compare_runs(
        expected,
        actual,
        expected_tensors={} if equal else recorded.load_output_tensors(target),
        actual_tensors={} if equal else load_tensors(folder / OUTPUT_TENSORS_NAME),
        tolerance=profile,
    )
    for output in expected.outputs:
        if output.kind == "image" and output.file:
            _load_into(recorded, output.file, target / output.file)
    page = report.render_replay_page(
        expected, actual, comparison, run_id=first_id, expected_folder=target, actual_folder=folder
    )
    (folder / report.REPORT_NAME).write_text(page, encoding="utf-8")
    data = json.dumps(report.comparison_to_json(comparison), indent=1)
    (folder / "comparison.json").write_text(data, encoding="utf-8")
    run = log(
        report.render_description(actual, run_id=first_id, comparison=comparison),
        tags={f"{TAG}verdict": comparison.verdict},
        metrics=_make_distance_metrics(comparison),
    )
    return run, comparison


def _make_distance_metrics(comparison: compare.Comparison) -> dict[str, float]:
    distances = [output.distance for output in comparison.outputs if output.distance]
    if not distances:
        return {}
    return {
        "distance.max_abs": max(distance.max_abs for distance in distances),
        "distance.mean_abs": max(distance.mean_abs for distance in distances),
        "distance.share_different": max(distance.share_different for distance in distances),
        "distance.psnr_db": min(distance.psnr_db for distance in distances),
    }


def _print_plan(plan: ReplayPlan, record: RunRecord, *, console: Any) -> None:
    from rich.text import Text

    console.print(
        Text(
            f"replaying {report.to_printable(record.name)}, recorded {record.created_at} on {report.to_printable(record.environment.machine.host)}"
        )
    )
    console.print(Text(f"  command   {report.to_printable(' '.join(plan.argv), limit=200)}"))
    threads = record.numerics.state.get("num_threads")
    numerics = (
        f"as recorded: {threads} threads, {record.numerics.policy}" if plan.restores_numerics else "as they are here"
    )
    console.print(Text(f"  numerics  {report.to_printable(numerics)}"))
    for reason in record.replayable.reasons:
        console.print(Text(f"  recorded as not replayable: {report.to_printable(reason, limit=200)}"))
    if plan.differences:
        report.print_differences(plan.differences, console=console, title="Different here, before anything runs")
    else:
        console.print("  same machine, packages and source as recorded")
