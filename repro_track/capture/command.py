"""How a run was started: capture, and the command line that starts it again.

Only Python files and modules are ever started again, by this interpreter or the one of a restored environment; never a
shell, never a `-c` text.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from repro_track.capture.cells import count_cell_block, find_shell, is_embedded
from repro_track.capture.hydra import Job, find_job, read_hydra_overrides
from repro_track.capture.launch import (
    RUNNER,
    Start,
    find_start,
    read_cwd,
    read_facts,
    read_process_name,
    read_rank,
)
from repro_track.capture.notebook import capture_notebook
from repro_track.errors import ReplayError, first_line
from repro_track.record.names import CHILD_CONFIG_NAME, NOTEBOOK_NAME
from repro_track.record.redaction import redact_words
from repro_track.record.schema import Command, CommandKind, Unavailable


def capture_command(*, ordinal: int, folder: Path) -> Command:
    """Capture how the program was started that this process runs, or works for. Where that cannot be read, the reason
    stands in the place of the script.

    Args:
        ordinal: which `track()` block of the process this is, from 0.
        folder: the run's folder; the cells of a notebook are written into it.
    """
    try:
        return _capture_started(ordinal=ordinal, folder=folder)
    except Exception as error:  # whatever somebody's program has done to its process: the run goes on
        reason = f"how it was started cannot be read: {type(error).__name__}: {first_line(error)}"
        return _make_command("interactive", Start(cwd=read_cwd()), ordinal=ordinal, missing=reason)


def _capture_started(*, ordinal: int, folder: Path) -> Command:
    job = find_job()
    facts = read_facts()
    if job is not None:  # it is replayed by itself, whichever worker it was given to
        start = find_start(replace(facts, is_in_pool=False))
        own = facts.typed.options if facts.typed else ()  # a worker may have been started without those of its program
        return _make_hydra_command(job, replace(start, options=own), ordinal=ordinal)
    notebook = capture_notebook()
    if notebook is not None:
        notebook.write(folder / NOTEBOOK_NAME)
        start = Start(script=NOTEBOOK_NAME, words=(notebook.file,) if notebook.file else (), cwd=read_cwd())
        command = _make_command("notebook", start, ordinal=ordinal)
        return command.model_copy(update={"runs": notebook.commands, "withheld": notebook.withheld})
    if is_embedded(find_shell()):
        reason = "typed into a shell that a program had opened: its cells are not all that ran"
        return _make_command("interactive", Start(cwd=read_cwd()), ordinal=ordinal, missing=reason)
    start = find_start(facts)
    if start.script is None and start.module is None:
        reason = "typed into an interpreter, piped into it or given with -c: there is no file to start again"
        return _make_command("interactive", replace(start, words=()), ordinal=ordinal, missing=reason)
    return _make_command("module" if start.module else "script", start, ordinal=ordinal)


def _make_hydra_command(job: Job, start: Start, *, ordinal: int) -> Command:
    """Make the command of a Hydra job: what starts its app, and the words for this job alone, in whatever process of a
    launcher it runs."""
    if start.script is None and start.entry_point is None:  # on another machine than the one that it was started on
        start = replace(
            start,
            script=job.file,
            module=None if job.entry_point else job.module,
            entry_point=job.entry_point,
        )
    elif start.entry_point is not None:
        start = replace(start, script=job.file or start.script)
    start = replace(start, words=job.words, cwd=job.cwd)
    return _make_command("hydra", start, ordinal=ordinal, missing="the app has no main file")


def read_own_process() -> str | None:
    """Read which one this process is of those that the command started, as `Command.process` has it. A Hydra job is the
    same in every worker."""
    return read_rank() if read_hydra_overrides() is not None else read_process_name()


_blocks: Counter[tuple[str, ...]] = Counter()


def count_block() -> int:
    """Count this `track()` block: its place among those of the process, from 0. The jobs of a Hydra sweep that share a
    process count each for itself, because each is replayed by itself; so do the cells of a notebook."""
    job = read_hydra_overrides()
    if job is None and (place := count_cell_block()) is not None:
        return place
    key = ("process",) if job is None else ("job", *job)
    _blocks[key] += 1
    return _blocks[key] - 1


def make_config_command() -> Command:
    """Make the command of `repro-track run`: its resolved config is all that there is to it."""
    missing = "repro-track run has no script: the config is the command"
    return _make_command("config", Start(cwd=read_cwd()), ordinal=0, missing=missing)


def _make_command(
    kind: CommandKind,
    start: Start,
    *,
    ordinal: int,
    missing: str = "the module has no file",
) -> Command:
    launcher = start.launcher
    return Command(
        kind=kind,
        argv=redact_words(start.words),
        script=start.script or Unavailable(unavailable=missing),
        cwd=start.cwd,
        ordinal=ordinal,
        options=start.options,
        module=start.module,
        entry_point=start.entry_point,
        launcher=launcher.model_copy(update={"words": redact_words(launcher.words)}) if launcher else None,
        process=None if kind == "config" else read_own_process(),
        obstacles=start.obstacles,
    )


def find_script(command: Command, *, folder: Path) -> Path | None:
    """Find the file whose content is the code of a command: the script, or a notebook's cells in the run's folder."""
    return folder / str(command.script) if command.has_script else None  # an absolute path stays itself


def find_repository_place(command: Command) -> Path:
    """Return the folder in whose repository the code of a command is: the script's, else the working directory."""
    if command.has_script and not command.is_notebook:
        return Path(str(command.script)).parent
    return Path(command.cwd)


@dataclass(frozen=True)
class Move:
    """A recorded folder that is somewhere else in the replay: the repository, restored."""

    old: Path
    new: Path

    def find(self, path: str) -> str:
        """Return the new place of an absolute path inside the old folder; any other text as it is.

        >>> Move(Path("/a"), Path("/b")).find("/a/x.py"), Move(Path("/a"), Path("/b")).find("/ab/x.py")
        ('/b/x.py', '/ab/x.py')
        """
        if not Path(path).is_absolute():
            return path
        for place, root in ((Path(path), self.old), (Path(path).resolve(), self.old.resolve())):
            if place.is_relative_to(root):  # the second: one of them was named by way of a link
                return str(self.new / place.relative_to(root))
        return path

    def find_in(self, word: str) -> str:
        """Return a word of a command line with the paths in it that are inside the old folder and there in the new one.

        A word is a path, or has one behind its first `=` (`--config-dir=/a/conf`), or names one as a URL
        (`file:///a/conf`).
        """
        key, equals, value = word.rpartition("=") if word.startswith("-") else word.partition("=")
        for start, path in (("", word), (f"{key}{equals}", value)):
            moved = self.find(path)
            if moved != path and os.path.lexists(moved):
                return start + moved
        return re.sub(r"(?<=file://)/[^\s,\]'\"]+", lambda found: self._find_there(found[0]), word)

    def _find_there(self, path: str) -> str:
        moved = self.find(path)
        return moved if os.path.lexists(moved) else path


def make_child_argv(
    command: Command, *, folder: Path, interpreter: str = sys.executable, move: Move | None = None
) -> list[str]:
    """Make the command line that starts a recorded command again.

    Args:
        command: from a record.
        folder: the hand-over folder of the replay: it holds `config.json`, and the cells of a notebook.
        interpreter: the Python that runs it.
        move: where the code of the command is now.

    Raises:
        ReplayError: there is nothing that could be started.
    """
    if command.is_config:
        return [interpreter, "-P", "-m", "repro_track.run", str(folder / CHILD_CONFIG_NAME)]
    options = [*make_options(command.options)]
    if command.launcher is not None:
        launcher = command.launcher
        program = _make_program_words(launcher.module, launcher.entry_point)
        words = [*make_options(launcher.options), *program, *launcher.words]
        words += [_find_script(command, folder=folder, move=move) if command.module is None else command.module]
    elif command.entry_point or command.module:
        words = [*options, *_make_program_words(command.module, command.entry_point)]
    elif command.script == NOTEBOOK_NAME:
        words = ["-m", "repro_track.capture.notebook_child", str(folder / NOTEBOOK_NAME)]
    elif command.is_module and isinstance(command.script, str):
        words = [*options, "-m", command.script]  # a record before schema 4
    else:
        words = [*options, _find_script(command, folder=folder, move=move)]
    words += command.argv
    if command.is_hydra:
        words += ["hydra.mode=RUN", f"hydra.run.dir={folder / 'hydra'}"]
    return [interpreter, *words]


def make_options(options: Sequence[str]) -> list[str]:
    """Return an interpreter's options for a replay, which tells its child things by variables that Python reads: `-E`
    and `-I` let it read none, so that the variables are left out instead.

    >>> make_options(["-I", "-Es", "-O", "-W", "error"])
    ['-sP', '-s', '-O', '-W', 'error']
    """
    kept = []
    follows = False
    for word in options:
        if not follows and re.fullmatch(r"-[A-Za-z]+", word):
            word = word.replace("I", "sP").replace("E", "")
        follows = not follows and word in ("-W", "-X", "--check-hash-based-pycs")
        kept += [word] if word != "-" else []
    return kept


def ignores_variables(command: Command) -> bool:
    """Whether the interpreter was told to ignore the variables that are Python's own (`-E`, `-I`)."""
    words = [*command.options, *(command.launcher.options if command.launcher else ())]
    return any(re.fullmatch(r"-[A-Za-z]*[EI][A-Za-z]*", word) for word in words)


def _make_program_words(module: str | None, entry_point: str | None) -> list[str]:
    return ["-P", "-m", RUNNER, entry_point] if entry_point else ["-m", str(module)]


def _find_script(command: Command, *, folder: Path, move: Move | None) -> str:
    """Return the path by which a script is started now.

    Raises:
        ReplayError: there is no file.
    """
    if isinstance(command.script, Unavailable):
        raise ReplayError(
            f"the run cannot be started again: {command.script.unavailable}",
            expected="a run of repro-track run, of a script, a module, a Hydra app or a notebook",
        )
    if command.is_notebook:
        return str(folder / command.script)
    return move.find(command.script) if move else command.script


def check_script(command: Command, *, folder: Path, move: Move | None = None) -> None:
    """Check that the script is there that a child's command line starts by its path.

    Raises:
        ReplayError: it is not.
    """
    if not command.is_started_by_file or command.is_notebook:
        return
    path = _find_script(command, folder=folder, move=move)
    if not Path(path).is_file():
        raise ReplayError(
            f"{path} is not there any more",
            expected="the script that was run",
            advice="bring it back; one that was part of a git repository comes back with --code restore",
        )
