"""One process that does the same thing for cell after cell: `worker.py build`, `worker.py record` or `worker.py
replay`.

It is asked in lines of JSON on stdin, and answers each with one on stdout; whatever a library prints goes to stderr. It
runs the program's own code: `build` none of it, `record` what `repro-track run` runs, `replay` the command of a planned
replay's child. It decides nothing, and never compares.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def serve(answer: Callable[..., Mapping[str, Any]]) -> None:
    """Answer every line of stdin until there is none left; what goes wrong with one line is its answer."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            reply = answer(**json.loads(line))
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            reply = {"problem": (str(error).strip().splitlines() or [type(error).__name__])[0]}
        sys.stdout.flush()
        print(json.dumps(reply), file=replies, flush=True)


# --- building -----------------------------------------------------------------------------------------------------


def build(name: str, folder: str, idle: list[str]) -> dict[str, Any]:
    """Build the model of a cell, and try the schedulers that no cell has with its pipeline."""
    from tests.conformance import cells

    cells.build_model(name, Path(folder))
    return {"drives": cells.try_schedulers(name, idle)}


# --- recording ----------------------------------------------------------------------------------------------------


class InlineOutbox:
    """Stands for `Outbox`: logs a run to MLflow with the same code, at the same moment, but in this process.

    A run has a process of its own for that only so that nobody waits for MLflow, and so that a killed run is logged.
    Here MLflow is loaded once for all runs."""

    made = 0

    def __init__(self, address: Any) -> None:
        InlineOutbox.made += 1
        self._address, self._run = address, None

    def start(self) -> None:
        """Do nothing: nobody looks at these runs while they run."""

    check = close = start

    def wait_started(self) -> Any:
        from repro_track.lookup.found import open_store

        if self._run is None:
            wanted = {
                name: getattr(self._address, name) for name in ("experiment", "name", "user", "source", "parent_id")
            }
            self._run = open_store().start_run(**wanted)
        return self._run

    def log(self, *, description: str) -> Any:
        from repro_track.lookup.found import open_store
        from repro_track.store.filing import log_folder

        run, folder = self.wait_started(), Path(self._address.folder)
        log_folder(open_store(), run, folder=folder, description=description)
        shutil.rmtree(folder)
        return run


def record(words: list[str]) -> dict[str, Any]:
    """Run `repro-track run` with these words, but in this process; gives the id of the run that it prints."""
    import contextlib
    import io

    from repro_track.store import outbox

    outbox.Outbox = InlineOutbox  # before `tracking` is imported, which takes it from there
    from repro_track.run.app import run_hydra

    made = InlineOutbox.made
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        run_hydra(words)
    if InlineOutbox.made != made + 1:
        raise RuntimeError(f"{InlineOutbox.made - made} runs were logged by this process, expected: 1")
    return {"run": printed.getvalue().split()[-1]}


# --- replaying ----------------------------------------------------------------------------------------------------


def replay(argv: list[str], cwd: str, variable: str, folder: str, log: str) -> dict[str, Any]:
    """Be the child of one replay: run the module that its command line names, as `python -m` would.

    Args:
        argv: the planned command line, `PYTHON -P -m MODULE WORDS`.
        cwd: where it is to be run.
        variable: the name of the variable that names the hand-over folder.
        folder: the hand-over folder.
        log: the file for what it prints.
    """
    _, _, _, module, *words = argv
    if argv[1:3] != ["-P", "-m"]:
        raise ValueError(f"the child's command is {argv}, expected: PYTHON -P -m MODULE")
    os.environ[variable] = folder
    os.chdir(cwd)
    sys.argv = [module, *words]
    outputs = [os.dup(1), os.dup(2)]
    with Path(log).open("wb") as target:
        for number in (1, 2):
            os.dup2(target.fileno(), number)
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            code: Any = 0
        except SystemExit as error:
            code = error.code
        except Exception:
            traceback.print_exc()
            code = 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, former in zip((1, 2), outputs, strict=True):
                os.dup2(former, number)
                os.close(former)
    return {"code": code or 0}


if __name__ == "__main__":
    serve({"build": build, "record": record, "replay": replay}[sys.argv[1]])
