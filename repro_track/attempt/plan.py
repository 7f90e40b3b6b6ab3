"""A record to a `ReplayPlan`: what would be restored, what cannot be, what can be expected. Nothing is restored here.

It reads this machine (never torch, never the network) and writes nothing but the present source's changes, into the
replay's own folder, and the digests of weight files, into their cache.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from repro_track.attempt.search_path import list_folders_of_code, list_search_path, plan_search_path
from repro_track.attempt.weights import WeightPlan, plan_weights
from repro_track.capture.checkout import SourcePlan, make_source_plan
from repro_track.capture.command import Move, find_repository_place, find_script, ignores_variables, make_child_argv
from repro_track.capture.machine import capture_environment
from repro_track.capture.outside import look_at_outside
from repro_track.capture.packages import (
    PROGRAM,
    EnvironmentPlan,
    capture_packages,
    find_editable_folder,
    list_editable_paths,
    make_environment_plan,
)
from repro_track.capture.read_files import look_at_read
from repro_track.capture.source import capture_source
from repro_track.compare.differences import (
    Difference,
    list_environment_differences,
    list_source_differences,
    make_difference,
    to_data,
)
from repro_track.compare.verdict import expect_verdict
from repro_track.config.locations import list_written_paths, resolve_store_uri
from repro_track.config.plain import decode_config
from repro_track.config.presets import read_preset
from repro_track.config.schema import PipelineConfig
from repro_track.determinism import numerics
from repro_track.errors import RefusedError, UsageError
from repro_track.record.choice import Choice
from repro_track.record.places import find_factor, name_numeric, name_package
from repro_track.record.schema import Environment, OutsideCode, Package, RunRecord, Source, Unavailable
from repro_track.tensors.digests import digest_file


@dataclass(frozen=True)
class ReplayPlan:
    """What a replay will do, and what can be expected of it. Printing, scripting and executing are its readers.

    `code`, `packages`, `script` `None`: the present ones are used; `script` is the recorded script's name where the
    script is all that was recorded; `outside` is the code from outside of the source that is restored. `move` says
    where the recorded folder of the code will be. `variables` are set for the child before it starts (`None`: unset).
    `restored` differences are brought back, `differences` stay. `argv` and `cwd` are as they will be once all is
    restored.
    """

    record_id: str
    folder: str
    argv: tuple[str, ...]
    cwd: str
    move: Move | None
    code: SourcePlan | None
    script: str | None
    outside: tuple[OutsideCode, ...]
    packages: EnvironmentPlan | None
    import_path: tuple[str, ...]
    variables: Mapping[str, str | None]
    weights: tuple[WeightPlan, ...]
    pipelines: Mapping[str, Mapping[str, Any]]
    restored: tuple[Difference, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    expected_verdict: str
    because: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as data."""
        data = to_data(self)
        if self.move:
            data["move"] = {"old": str(self.move.old), "new": str(self.move.new)}
        if self.code:
            data["code"]["submodules"] = [submodule.model_dump() for submodule in self.code.submodules]
            data["code"]["referred"] = [{**one.model_dump(), "source": found} for one, found in self.code.referred]
        data["outside"] = [one.model_dump(mode="json") for one in self.outside]
        return data


def make_plan(record: RunRecord, *, folder: Path, choice: Choice) -> ReplayPlan:
    """Plan the replay of a record.

    Args:
        record: what is to be replayed.
        folder: the replay's own folder.
        choice: what is left as it is now.

    Raises:
        ReplayError: there is nothing that could be started; the source or a weight file cannot be had.
        RefusedError: a value in the record that git could take for something else.
    """
    code = _plan_code(record, folder=folder, choice=choice)
    present = _capture_present(record, choice=choice, move=code.move)
    packages = _plan_packages(record, present.packages, choice=choice, move=code.move)
    cwd, cwd_notes = _choose_cwd(record, code=code, folder=folder)
    import_path, import_notes = _plan_import_path(record, present.packages, code=code, packages=packages, cwd=cwd)
    variables, variable_notes = _plan_variables(record, present, choice=choice)
    variables |= plan_search_path(record, choice=choice, move=code.move, packages=packages)
    if ignores_variables(record.command):
        variables |= dict.fromkeys(name for name in (*variables, *os.environ) if name.startswith("PYTHON"))
    weights = plan_weights(record, code=code.source, choice=choice)
    outside = _plan_outside(record, choice=choice)
    found = _list_present_differences(record, present, folder=folder)
    found += tuple(make_difference(one.place, one.expected, one.actual) for one in weights)
    restored, staying = _split_restored(
        found, choice=choice, code=code.source, outside=outside, packages=packages, weights=weights
    )
    verdict, because = expect_verdict(staying)
    missing_device = _find_missing_device(record, present)
    interpreter = packages.interpreter if packages else sys.executable
    return ReplayPlan(
        record_id=record.record_id,
        folder=str(folder),
        argv=tuple(make_child_argv(record.command, folder=folder, interpreter=interpreter, move=code.move)),
        cwd=cwd,
        move=code.move,
        code=code.source,
        script=code.script,
        outside=outside,
        packages=packages,
        import_path=import_path,
        variables=variables,
        weights=weights,
        pipelines=_pin_pipelines(record, choice=choice),
        restored=restored,
        differences=staying,
        notes=(
            *_list_runs(record),
            *code.notes,
            *_note_outside(outside, changed=restored),
            *import_notes,
            *cwd_notes,
            *variable_notes,
            *(packages.notes if packages else ()),
        ),
        expected_verdict=verdict,
        because=(missing_device, *because) if missing_device else because,
    )


@dataclass(frozen=True)
class _CodePlan:
    """The recorded source, or the name of the script where that alone is restored; where its folder will be; what to
    tell. All empty: the present code is used."""

    source: SourcePlan | None = None
    script: str | None = None
    move: Move | None = None
    notes: tuple[str, ...] = ()


def _plan_code(record: RunRecord, *, folder: Path, choice: Choice) -> _CodePlan:
    """Plan the source, or the script alone where that is all that was recorded."""
    started = record.command
    if started.is_config or not choice.restores("code"):
        return _CodePlan()  # `repro-track run` is the present program, given the recorded config
    places = [Path.cwd()]
    if isinstance(record.source.repository, str):
        places.insert(0, Path(record.source.repository))
    source = make_source_plan(record.source, places=[place for place in places if place.is_dir()])
    if isinstance(source, SourcePlan):
        notes = [_say_left_out(record.source, name) for name in record.source.left_out]
        lost = [one.path for one, found in source.referred if found is None]
        notes += [f"{name}, which git ignores, is not there as it was: it is not restored" for name in lost]
        if source.tree is None:
            notes.insert(0, f"the restored source cannot be proven to be what ran: {_get_reason(record.source.tree)}")
        return _CodePlan(source, None, Move(Path(str(record.source.repository)), folder / "tree"), tuple(notes))
    script = find_script(started, folder=Path())
    digest = record.source.script_sha256
    if script is None or not started.is_started_by_file or started.is_notebook or not isinstance(digest, str):
        return _CodePlan()
    if script.is_file() and digest_file(script) == digest:
        return _CodePlan()
    if script.name in record.source.left_out:
        raise RefusedError(
            f"the script {script} {record.source.left_out[script.name]}, so it was not kept, and it has changed",
            expected=f"the script with sha256 {digest}",
            advice="bring it back as it was, or replay with what is there: --code current",
        )
    note = f"{_get_reason(source)}: the script alone is restored, what it imports from its folder is as it is now"
    return _CodePlan(None, script.name, Move(Path(str(started.script)).parent, folder / "script"), (note,))


def _list_runs(record: RunRecord) -> Iterator[str]:
    """List what the cells of a notebook will run besides Python."""
    return (f"runs again: {command}" for command in record.command.runs)


def _say_left_out(source: Source, name: str) -> str:
    is_there = (Path(str(source.repository)) / name).is_file()
    return f"not kept with the run: {name} ({source.left_out[name]}){': the present one is used' if is_there else ''}"


def _get_reason(value: Any) -> str:
    """Return why a value is unavailable; any other value as text."""
    return value.unavailable if isinstance(value, Unavailable) else str(value)


def _choose_cwd(record: RunRecord, *, code: _CodePlan, folder: Path) -> tuple[str, tuple[str, ...]]:
    """Return the working directory of the child, and what to tell of it."""
    recorded = record.command.cwd
    cwd = code.move.find(recorded) if code.move and code.source else recorded
    is_in_git = cwd != recorded and ".git" in Path(cwd).parts  # the restored source has another folder for that
    if (cwd != recorded or Path(cwd).is_dir()) and not is_in_git:
        return cwd, ()
    note = f"{recorded}, where the run was started, is not there: an empty folder stands for it"
    return str(folder / "cwd"), () if record.command.is_config else (note,)


def _plan_import_path(
    record: RunRecord, present: tuple[Package, ...], *, code: _CodePlan, packages: EnvironmentPlan | None, cwd: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the folders that the child imports from first, and what to tell of them."""
    path: tuple[str, ...] = packages.paths if packages else ()
    notes: tuple[str, ...] = ()
    if code.move and code.source and not packages:
        path = list_editable_paths(present, relocate=code.move.find)
        notes = tuple(f"imported from the restored source: {folder}" for folder in path)
    if code.script:
        path = (str(Path(str(record.command.script)).parent), *path)
    if record.command.is_notebook:
        path = (cwd, *path)  # a notebook imports from the folder that it runs in
    return path, notes


def _list_present_differences(record: RunRecord, present: Environment, *, folder: Path) -> tuple[Difference, ...]:
    """List what differs between the recorded run and this machine: environment, and source where it has a say."""
    # what the run's own policy sets is set in the child, too
    own = _read_policy_variables(record)
    present = present.model_copy(update={"variables": {**present.variables, **own}})
    found = list_environment_differences(record.environment, present)
    found += list_source_differences(record.source, look_at_outside(record.source))
    if not record.command.is_config or Path(__file__).is_relative_to(str(record.source.repository)):
        # the repository that `repro-track run` is started in has no say, unless the program is developed there
        source = _capture_present_source(record, folder=folder)
        update: dict[str, Any] = {"outside": record.source.outside}  # looked at above
        if record.command.is_notebook:  # its cells come with the record, and are nowhere else
            update["script_sha256"] = record.source.script_sha256
        found += list_source_differences(record.source, look_at_read(record.source, source).model_copy(update=update))
    return found


def _capture_present_source(record: RunRecord, *, folder: Path) -> Source:
    """Capture the clone at hand: the recorded one, else the one that we are in."""
    place = find_repository_place(record.command)
    return capture_source(
        script=find_script(record.command, folder=folder / "recorded"),
        place=place if place.is_dir() else Path.cwd(),
        folder=folder / "present-source",
        exclude=list_written_paths(resolve_store_uri()),
    )


def _capture_present(record: RunRecord, *, choice: Choice, move: Move | None) -> Environment:
    """Capture the environment that the child has if no packages are restored: with its search path, which is not ours.

    What was imported from the recorded source itself comes back with it.
    """
    ours = {"PYTHONPATH": os.environ.get("PYTHONPATH")}
    variables = {**ours, **plan_search_path(record, choice=choice, move=move, packages=None)}
    first = list_folders_of_code(record)
    if move is None:
        started = record.command
        first.append(started.cwd if started.module else str(find_repository_place(started)))
    packages = {one.name: one for one in capture_packages(list_search_path(variables["PYTHONPATH"], first=first))}
    for one in record.environment.packages:
        place = find_editable_folder(one.origin)
        is_installed = one.name in packages and packages[one.name].origin == one.origin
        if move and place and move.find(place) != place and not is_installed:
            packages[one.name] = one
    environment = capture_environment(torch_build=Unavailable(unavailable="not read before a replay"))
    return environment.model_copy(update={"packages": tuple(packages[name] for name in sorted(packages))})


def _identify(package: Package | None) -> tuple[str, str] | None:
    return (package.version, package.origin) if package else None


def _plan_packages(
    record: RunRecord, present: tuple[Package, ...], *, choice: Choice, move: Move | None
) -> EnvironmentPlan | None:
    """Plan an environment of the recorded packages that are restored and the present ones that are not; `None`: the
    present environment is that already."""
    then = {package.name: package for package in record.environment.packages}
    now = {package.name: package for package in present}
    chosen = {
        name: (then if choice.restores(name_package(name)) else now).get(name)
        for name in sorted({*then, *now} - {PROGRAM})
    }
    python = record.environment.interpreter.version if choice.restores("env:python") else platform.python_version()
    is_same = all(_identify(package) == _identify(now.get(name)) for name, package in chosen.items())
    if python == platform.python_version() and is_same:
        return None
    program = [now[PROGRAM]] if PROGRAM in now else []
    return make_environment_plan(
        python,
        [*program, *(package for package in chosen.values() if package)],
        relocate=move.find if move else str,
    )


def _plan_variables(
    record: RunRecord, present: Environment, *, choice: Choice
) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """Return the variables to set for the child, the search path aside, and what to tell where some of them hold its
    kernels down."""
    recorded = record.environment.variables
    variables = {
        name: value for name, value in recorded.items() if choice.restores(name_numeric(name)) and name != "PYTHONPATH"
    }
    isa = present.machine.cpu_isa
    capability = record.numerics.state.get("cpu_capability")
    if not choice.restores("numerics:isa") or isinstance(isa, Unavailable):
        return variables, ()
    caps = numerics.make_isa_caps(capability, recorded, present_isa=isa)
    note = f"this machine has AVX-512, the recorded one had not: its kernels are held down ({', '.join(caps)})"
    return {**variables, **caps}, (note,) if caps else ()


def _read_policy_variables(record: RunRecord) -> dict[str, str]:
    """Read the variables that the recorded policy sets by itself; none for a policy of the script's own."""
    try:
        return dict(read_preset("determinism", record.numerics.policy)["environment"])
    except UsageError:
        return {}


def _find_missing_device(record: RunRecord, present: Environment) -> str | None:
    devices = {part.device for call in record.calls for part in call.components if part.device}
    if any(device.startswith("cuda") for device in devices) and isinstance(present.gpu_driver, Unavailable):
        return f"it ran on {', '.join(sorted(devices))}, and there is no NVIDIA driver here: it cannot run"
    return None


def _pin_pipelines(record: RunRecord, *, choice: Choice) -> dict[str, dict[str, Any]]:
    """Return the recorded pipeline group of each stage (no name: the only one); empty for a script. If weights are
    restored, the Hub's commit stands for a branch, which would move."""
    if not record.command.is_config:
        return {}
    known = {field.name for field in fields(PipelineConfig)}
    resolved = decode_config(record.config.resolved)
    stages = resolved.get("stages") or {"": resolved}
    commits = {call.stage or "": call.commit for call in record.calls}
    pinned = {}
    for stage, config in stages.items():
        recorded = {name: value for name, value in config.get("pipeline", {}).items() if name in known}
        commit = commits.get(stage)
        if recorded.get("repo_id") and isinstance(commit, str) and choice.restores("weights"):
            recorded["revision"] = commit
        pinned[stage] = recorded
    return pinned


def _plan_outside(record: RunRecord, *, choice: Choice) -> tuple[OutsideCode, ...]:
    """Return the code from outside of the source that comes back."""
    if not choice.restores("code"):
        return ()
    return tuple(one for one in record.source.outside or () if not one.left_out)


def _note_outside(outside: tuple[OutsideCode, ...], *, changed: tuple[Difference, ...]) -> tuple[str, ...]:
    """Tell which code from outside of the source is another one now, and restored."""
    places = {one.place for one in changed}
    names = [one.name for one in outside if f"source.outside.{one.name}.sha256" in places]
    return (f"code from outside of the source is run as it was recorded: {', '.join(names)}",) if names else ()


def _is_outside(difference: Difference) -> bool:
    return difference.place.startswith("source.outside.")


def _split_restored(
    found: tuple[Difference, ...],
    *,
    choice: Choice,
    code: SourcePlan | None,
    outside: tuple[OutsideCode, ...],
    packages: EnvironmentPlan | None,
    weights: tuple[WeightPlan, ...],
) -> tuple[tuple[Difference, ...], tuple[Difference, ...]]:
    """Return the differences that the plan brings back, and those that stay, both by rank."""
    kept = {f"source.outside.{one.name}.sha256" for one in outside}
    lost = {plan.place for plan in weights if plan.source is None or not choice.restores("weights")}

    def is_restored(difference: Difference) -> bool:
        label = find_factor(difference.place)
        if label is None or not choice.restores(label) or difference.place in lost:
            return False
        if label == "code":
            return difference.place in kept if _is_outside(difference) else code is not None
        return packages is not None if label.startswith("env:") else True

    ranked = sorted(found, key=lambda difference: difference.rank)
    return (
        tuple(difference for difference in ranked if is_restored(difference)),
        tuple(difference for difference in ranked if not is_restored(difference)),
    )
