"""Write everything that the child of a replay needs: code, packages, weights, config, states, cells.

It never writes outside of the attempt's folder and the user's caches.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from repro_track.attempt.weights import digest_present, list_weights
from repro_track.attempt.workspace import Attempt
from repro_track.capture.checkout import (
    check_kept,
    exclude_from_source,
    list_kept_names,
    place_ignored,
    restore_source,
)
from repro_track.capture.command import Move, check_script
from repro_track.capture.notebook import check_ipython
from repro_track.capture.outside import list_moved_caches, restore_outside
from repro_track.capture.packages import restore_environment
from repro_track.capture.redirect import write_startup
from repro_track.config.builtin import BUILTIN, find_builtin
from repro_track.config.plain import decode_config, encode_config
from repro_track.config.presets import make_changed
from repro_track.errors import ReplayError
from repro_track.lookup.found import FoundRun
from repro_track.record.names import (
    CHILD_CONFIG_NAME,
    NOTEBOOK_NAME,
    OLD_NOTEBOOK_NAME,
    OUTSIDE_FOLDER,
    OUTSIDE_NAME,
    STATES_NAME,
)
from repro_track.record.schema import RunRecord


def restore_recorded(attempt: Attempt) -> None:
    """Write everything that the child needs: code, packages, weights, config, generator states, notebook cells.

    Raises:
        ReplayError: something recorded cannot be brought back.
        RefusedError: an artifact is not the recorded one.
    """
    plan, found, handover = attempt.plan, attempt.found, attempt.handover
    record, folder = found.record, handover.folder
    handover.write()
    focus = handover.settings.focus
    if focus.call is not None or _needs_states(record):
        load_into(found, STATES_NAME, handover.states_path)
    for call in record.calls:
        for one in call.inputs:
            if one.origin or handover.choice.restores("inputs") or focus.call == call.index:
                load_into(found, one.file, folder / one.file)
    if record.command.is_notebook:
        name = OLD_NOTEBOOK_NAME if record.command.script == OLD_NOTEBOOK_NAME else NOTEBOOK_NAME
        if name == NOTEBOOK_NAME and not plan.packages:
            check_ipython()
        load_into(found, name, folder / name)
        check_kept(folder / name, str(record.source.script_sha256))
    if plan.code and plan.move:
        for name in list_kept_names(plan.code):
            load_into(found, name, attempt.recorded_folder / name)
        restore_source(plan.code, kept=attempt.recorded_folder, target=plan.move.new)
        _link_ignored(record, move=plan.move, replaced=_list_replaced(attempt))
        place_ignored(plan.code, target=plan.move.new)
        _link_left_out(record, move=plan.move)
        if handover.choice.restores("weights"):
            _check_restored_weights(record, move=plan.move)
    if plan.script:
        load_into(found, f"source/{plan.script}", folder / "script" / plan.script)
        check_kept(folder / "script" / plan.script, str(record.source.script_sha256))
    _restore_outside(attempt)
    if plan.packages:
        restore_environment(plan.packages)
    if record.command.is_config:
        _write_config(attempt)
    check_script(record.command, folder=folder, move=plan.move)
    cwd = Path(plan.cwd)
    if folder in cwd.parents:
        cwd.mkdir(parents=True, exist_ok=True)


def _needs_states(record: RunRecord) -> bool:
    """Whether states of generators may have to come back that no seed explains: of the caller's own, and in the run of
    a config of global ones that were drawn from, in old records also while a pipeline was loaded."""
    if any(one.made_by == "caller" for one in record.seeds.generators):
        return True
    return record.command.is_config and any(one.moved for one in record.seeds.global_generators)


def load_into(found: FoundRun, path: str, target: Path) -> None:
    """Copy one artifact of the recorded run to the file `target`; where the run has none, nothing is written."""
    with tempfile.TemporaryDirectory() as folder:
        loaded = found.open().load_artifact(path, Path(folder))
        if loaded is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(loaded, target)


def _list_replaced(attempt: Attempt) -> dict[Path, Path]:
    """List the weight files for which files found elsewhere stand; none where the present ones are wanted."""
    if not attempt.handover.choice.restores("weights"):
        return {}
    plans = attempt.plan.weights
    return {Path(one.path): Path(one.source) for one in plans if one.source and Path(one.source).is_file()}


def _restore_outside(attempt: Attempt) -> None:
    """Restore the code that ran from outside of the source, and let the child read it, and what of the source is named
    by its recorded place.

    Raises:
        RefusedError: the archive is not the recorded one.
    """
    plan, folder, source = attempt.plan, attempt.handover.folder, attempt.found.record.source
    moves = [(str(plan.move.old), str(plan.move.new))] if plan.move else []
    if plan.outside:
        archive, target = attempt.recorded_folder / OUTSIDE_NAME, folder / OUTSIDE_FOLDER
        load_into(attempt.found, OUTSIDE_NAME, archive)
        check_kept(archive, str(source.outside_sha256))
        for path in restore_outside(archive, target=target):
            kept = target / path.relative_to("/")
            if plan.code and plan.move and path.is_relative_to(plan.move.old):  # a file that git ignores
                inside = plan.move.new / path.relative_to(plan.move.old)
                if not os.path.lexists(inside):
                    inside.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(kept, inside)
        moves.append(("/", str(target)))
        moves += [(now, str(target) + then) for now, then in list_moved_caches(plan.outside)]
    if moves:
        write_startup(folder, moves=moves)


def _link_ignored(record: RunRecord, *, move: Move, replaced: Mapping[Path, Path]) -> None:
    """Link into the restored source the weights that lie in the clone and are not part of its tree, because git ignores
    them: whole folders, but where a file found elsewhere stands for one in it, or some of a folder are in the tree."""
    named = [Path(record.command.cwd) / call.name_or_path for call in record.calls if call.name_or_path]
    weights = list_weights(record)
    for path in [*named, *(one.path.parent for one in weights)]:
        missing = move.new / path.relative_to(move.old) if path.is_relative_to(move.old) else None
        if missing is None or missing.exists():
            continue
        inside = {one: other for one, other in replaced.items() if one.is_relative_to(path)}
        if inside:
            _shadow_folder(path, replaced=inside, target=missing)
        elif path.exists():
            while not missing.parent.exists():
                missing = missing.parent
            missing.symlink_to(move.old / missing.relative_to(move.new))
        exclude_from_source(move.new, [str(missing.relative_to(move.new))])
    for one in weights:
        source = replaced.get(one.path, one.path)
        if one.path.is_relative_to(move.old) and source.is_file():
            target = move.new / one.path.relative_to(move.old)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source.absolute())
                exclude_from_source(move.new, [str(target.relative_to(move.new))])


def _link_left_out(record: RunRecord, *, move: Move) -> None:
    """Link into the restored source the files that were not kept, such as `.env`, where they are still in the clone."""
    for name in record.source.left_out:
        present, restored = move.old / name, move.new / name
        if ".." in present.parts or not present.is_file() or os.path.lexists(restored):
            continue
        restored.parent.mkdir(parents=True, exist_ok=True)
        restored.symlink_to(present)


def _check_restored_weights(record: RunRecord, *, move: Move) -> None:
    """Check that weights that are part of the restored source are the recorded ones, before anything runs.

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
    plan, folder = attempt.plan, attempt.handover.folder
    resolved = decode_config(attempt.handover.expected.config.resolved)
    replaced = _list_replaced(attempt)
    for stage, pinned in plan.pipelines.items():
        config = resolved["stages"][stage] if stage else resolved
        config["pipeline"] = chosen = dict(pinned)
        if path := chosen.get("path"):
            base = Path(find_builtin(path.removeprefix(BUILTIN)) if path.startswith(BUILTIN) else path)
            inside = {one: other for one, other in replaced.items() if one.is_relative_to(base)}
            if inside:
                _check_pipeline(base, replaced=inside)
                target = folder / f"pipeline-{stage or 'only'}"
                _shadow_folder(base, replaced=inside, target=target)
                chosen["path"] = str(target)
        for wanted in config.get("adapters", {}).values():
            for adapter in wanted.values():
                adapter["path"] = str(replaced.get(Path(adapter["path"]), adapter["path"]))
    if changes := attempt.handover.settings.changes:
        resolved = make_changed(resolved, changes)
    changed = {change.lstrip("+~").partition("=")[0] for change in changes}
    recorded = attempt.found.record.config.references
    references = {place: name for place, name in recorded.items() if place not in changed}
    # JSON: a reader of YAML, and one that resolves interpolations, would take some text for something else
    left = {"config": encode_config(resolved), "references": references}
    (folder / CHILD_CONFIG_NAME).write_text(json.dumps(left, indent=1), encoding="utf-8")


def _find_layout(base: Path, *, replaced: Mapping[Path, Path]) -> Path | None:
    """Find the folder that is as a saved model's was: itself, else the one in which a file that was found has the same
    place; `None`: there is none."""
    if base.is_dir():
        return base
    for recorded, other in replaced.items():
        inside = recorded.relative_to(base)
        moved = other.parents[len(inside.parts) - 1]
        if moved / inside == other and any((moved / name).is_file() for name in ("model_index.json", "config.json")):
            return moved
    return None


def _check_pipeline(base: Path, *, replaced: Mapping[Path, Path]) -> None:
    """Check that there is a folder with what a pipeline is made of besides its weights.

    Raises:
        ReplayError: the pipeline's folder is gone, and the weights that were found are not in another like it.
    """
    layout = _find_layout(base, replaced=replaced)
    if layout is None or not (layout / "model_index.json").is_file():
        raise ReplayError(f"the pipeline's folder {base} is not there", expected="the folder that was loaded")


def _shadow_folder(base: Path, *, replaced: Mapping[Path, Path], target: Path) -> None:
    """Make a folder that looks like a saved model's, by links, in which some files are other ones: of those that are
    there, and of those that are gone."""
    layout = _find_layout(base, replaced=replaced)
    files = [file for file in sorted(layout.rglob("*")) if file.is_file()] if layout else []
    linked = {base / file.relative_to(layout): file for file in files if layout} | dict(replaced)
    for place, file in linked.items():
        link = target / place.relative_to(base)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.absolute())
