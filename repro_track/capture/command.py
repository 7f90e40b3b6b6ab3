"""How a run was started: capture, and the command line that starts it again.

Only Python files and modules are ever started again, by this interpreter or the one of a restored environment; never a
shell, never a `-c` text.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from repro_track.capture.cells import count_cell_block, find_shell, is_embedded
from repro_track.capture.notebook import capture_notebook
from repro_track.errors import ReplayError
from repro_track.record.names import CONFIG_NAME, NOTEBOOK_NAME
from repro_track.record.redaction import redact_words
from repro_track.record.schema import Command, CommandKind, Unavailable


def capture_command(*, ordinal: int, folder: Path) -> Command:
    """Capture how this process was started.

    Args:
        ordinal: which `track()` block of the process this is, from 0.
        folder: the run's folder; the cells of a notebook are written into it.
    """
    overrides = read_hydra_overrides()
    if overrides is not None:
        script = _find_main_script() or Unavailable(unavailable="the app has no main file")
        overrides += _read_callback_overrides()
        return _make_command("hydra", overrides, script, cwd=_read_hydra_cwd(), ordinal=ordinal)
    notebook = capture_notebook()
    if notebook is not None:
        notebook.write(folder / NOTEBOOK_NAME)
        argv = [notebook.file] if notebook.file else []
        command = _make_command("notebook", argv, NOTEBOOK_NAME, cwd=str(Path.cwd()), ordinal=ordinal)
        return command.model_copy(update={"runs": notebook.commands})
    if is_embedded(find_shell()):
        script = Unavailable(unavailable="typed into a shell that a program had opened: its cells are not all that ran")
        return _make_command("interactive", [], script, cwd=str(Path.cwd()), ordinal=ordinal)
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return _make_command("module", sys.argv[1:], spec.name, cwd=str(Path.cwd()), ordinal=ordinal)
    found = _find_main_script()
    if found is None:
        script = Unavailable(unavailable="typed into an interpreter or given with -c: there is no file to start again")
        return _make_command("interactive", [], script, cwd=str(Path.cwd()), ordinal=ordinal)
    return _make_command("script", sys.argv[1:], found, cwd=str(Path.cwd()), ordinal=ordinal)


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
    script = Unavailable(unavailable="repro-track run has no script: the config is the command")
    return _make_command("config", [], script, cwd=str(Path.cwd()), ordinal=0)


def _make_command(kind: CommandKind, argv: list[str], script: str | Unavailable, *, cwd: str, ordinal: int) -> Command:
    return Command(kind=kind, argv=redact_words(argv), script=script, cwd=cwd, ordinal=ordinal)


def _find_main_script() -> str | None:
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return str(Path(path).absolute()) if path and Path(path).is_file() else None


def read_hydra_overrides() -> list[str] | None:
    """Read the overrides of the Hydra app that runs us (of this job, in a sweep); `None` outside one."""
    if "hydra.core.hydra_config" not in sys.modules:
        return None
    from hydra.core.hydra_config import HydraConfig

    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else None


def _read_callback_overrides() -> list[str]:
    """Read the overrides that gave the app callbacks: ours may be one of them, and a replay needs it, too."""
    from hydra.core.hydra_config import HydraConfig

    words = HydraConfig.get().overrides.hydra
    return [word for word in words if word.lstrip("+").startswith("hydra.callbacks.")]


def _read_hydra_cwd() -> str:
    """Hydra may have changed the working directory of the job: this is the one that the app was started in."""
    from hydra.core.hydra_config import HydraConfig

    return HydraConfig.get().runtime.cwd


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


def make_child_argv(
    command: Command, *, folder: Path, interpreter: str = sys.executable, move: Move | None = None
) -> list[str]:
    """Make the command line that starts a recorded command again.

    Args:
        command: from a record.
        folder: the hand-over folder of the replay: it holds `config.yaml`, and the cells of a notebook.
        interpreter: the Python that runs it.
        move: where the code of the command is now.

    Raises:
        ReplayError: there is nothing that could be started.
    """
    if command.is_config:
        return [interpreter, "-P", "-m", "repro_track.run", str(folder / CONFIG_NAME)]
    if isinstance(command.script, Unavailable):
        raise ReplayError(
            f"the run cannot be started again: {command.script.unavailable}",
            expected="a run of repro-track run, of a script, a module, a Hydra app or a notebook",
        )
    find = move.find if move else str
    if command.is_module:
        return [interpreter, "-m", command.script, *command.argv]
    if command.script == NOTEBOOK_NAME:
        return [interpreter, "-m", "repro_track.capture.notebook_child", str(folder / command.script), *command.argv]
    script = str(folder / command.script) if command.is_notebook else find(command.script)
    words = [interpreter, script, *command.argv]
    if command.is_hydra:
        words += [f"hydra.run.dir={folder / 'hydra'}", "hydra.output_subdir=null"]
    return words


def check_script(argv: list[str], *, command: Command) -> None:
    """Check that the script of a child's command line is there.

    Raises:
        ReplayError: it is not.
    """
    if command.has_script and not command.is_notebook and not Path(argv[1]).is_file():
        raise ReplayError(
            f"{argv[1]} is not there any more",
            expected="the script that was run",
            advice="bring it back; one that was part of a git repository comes back with --code restore",
        )
