"""Run the cells of a recorded notebook again, through IPython, as they were run: the child of its replay.

    python -m repro_track.capture.notebook_child FILE.ipynb [PATH OF THE NOTEBOOK]

What failed is left out, and every cell has the number that it had. It never installs a package, never waits for
somebody at a keyboard, and writes nothing into the person's own profile of IPython.
"""

from __future__ import annotations

import ast
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repro_track.capture.cells import Failure, remember, remember_kernel, watch_cells
from repro_track.capture.notebook import OURS, check_ipython, installs_packages, read_notebook, render_call
from repro_track.errors import ReproTrackError


def run_notebook(path: Path, *, file: str | None = None) -> int:
    """Run the cells of a notebook.

    Args:
        path: what `Notebook.write` wrote.
        file: the path of the notebook as its editor would say it.

    Returns:
        the exit code: 1 where a cell failed that had not.

    Raises:
        ReplayError: IPython is not installed.
    """
    check_ipython()
    cells, in_kernel = read_notebook(path)
    if in_kernel:
        os.environ["MPLBACKEND"] = "agg"  # a kernel draws into the notebook; a replay opens no window
    shell = _make_shell(path.parent / "ipython", in_kernel=in_kernel)
    if file:
        shell.user_ns["__vsc_ipynb_file__"] = file
    number = asyncio.run(_run_cells(shell, cells)) if in_kernel else _run_in_turn(shell, cells)
    if number is None:
        return 0
    print(f"cell {number} of the notebook failed in its replay: see above", file=sys.stderr)
    return 1


def _make_shell(folder: Path, *, in_kernel: bool) -> Any:
    """Make the shell, with the folder as its own profile."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):
        """A shell without a person or a screen."""

        def enable_gui(self, gui: Any = None) -> None:
            """Open nothing: `%matplotlib inline` draws without."""

    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "nocolor"
    if not in_kernel:
        Shell.system = InteractiveShell.system_raw  # as the shell of a terminal does it
    shell = Shell.instance(config=settings, ipython_dir=str(folder))
    remember_kernel(shell, in_kernel=in_kernel)
    shell.ast_transformers.append(_WithoutInstallers())
    watch_cells()
    return shell


async def _run_cells(shell: Any, cells: Sequence[Mapping[str, Any]]) -> int | None:
    """Run cells as a kernel does, while a loop runs. Return the number of the one that failed, if one did."""
    for cell in cells:
        source = _prepare(shell, cell)
        if source is None:
            continue
        try:
            transformed, wrong = shell.transform_cell(source), None
        except Exception:
            transformed, wrong = source, sys.exc_info()
        read = {"transformed_cell": transformed, "preprocessing_exc_tuple": wrong}
        if shell.should_run_async(source, **read):
            result = await shell.run_cell_async(source, store_history=True, **read)
            shell.events.trigger("post_execute")
            shell.events.trigger("post_run_cell", result)
        else:
            result = shell.run_cell(source, store_history=True)
        if _ends_the_run(shell, result, cell):
            return int(cell["execution_count"])
        await asyncio.sleep(0)  # what waits in the background has its turn between cells
    return None


def _run_in_turn(shell: Any, cells: Sequence[Mapping[str, Any]]) -> int | None:
    """Run cells as a terminal does. Return the number of the one that failed, if one did."""
    for cell in cells:
        source = _prepare(shell, cell)
        if source is not None and _ends_the_run(shell, shell.run_cell(source, store_history=True), cell):
            return int(cell["execution_count"])
    return None


def _prepare(shell: Any, cell: Mapping[str, Any]) -> str | None:
    """Make ready for a cell: its number, and how far it is run; return its source, or `None` where nothing of it is
    run."""
    number, source, failure = int(cell["execution_count"]), "".join(cell["source"]), _read_failure(cell)
    history = shell.history_manager
    while len(history.input_hist_raw) < number:
        history.store_inputs(len(history.input_hist_raw), "")
    shell.execution_count = number
    shell.ast_transformers[:] = [one for one in shell.ast_transformers if not isinstance(one, _First)]
    if failure is None:
        return source
    print(
        f"cell {number} failed when it was recorded: {failure.statements or 'none'} of its statements are run again",
        file=sys.stderr,
    )
    if failure.statements == 0:
        history.store_inputs(number, source)  # `In` has it, too
        remember(shell, number, failure, known=True)
        return None
    shell.ast_transformers.append(_First(failure.statements))
    return source


def _read_failure(cell: Mapping[str, Any]) -> Failure | None:
    ours = cell["metadata"].get(OURS, {})
    return Failure(str(ours["error"]), int(ours["statements"])) if "statements" in ours else None


def _ends_the_run(shell: Any, result: Any, cell: Mapping[str, Any]) -> bool:
    """Whether a cell failed that is known not to have."""
    is_known = cell["metadata"].get(OURS) != {"error": None}
    failure = _read_failure(cell)
    if failure or not is_known:
        remember(shell, int(cell["execution_count"]), failure, known=is_known)
    return is_known and not result.success


class _WithoutInstallers(ast.NodeTransformer):
    """Leaves out what changes the installed packages: a replay has the recorded ones, with `--env restore`."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Leave out a call of IPython's that gives such a command to a shell or a magic."""
        self.generic_visit(node)
        command = render_call(node)
        if command is None or not installs_packages(command):
            return node
        print(f"left out in a replay: {command}", file=sys.stderr)
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("system", "getoutput"):
            node.args[0] = ast.copy_location(ast.Constant("true"), node.args[0])  # what comes after it needs its result
            return node
        return ast.copy_location(ast.Constant(None), node)


class _First(ast.NodeTransformer):
    """Leaves the first statements of the next cell, and nothing of what comes after them."""

    def __init__(self, number: int) -> None:
        self._number: int | None = number

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Cut the cell; what a magic runs inside of it stays whole."""
        if self._number is not None:
            node.body = [*node.body[: self._number], ast.Pass(lineno=1, col_offset=0)]
            self._number = None
        return node


def main(words: Sequence[str]) -> int:
    """Run the notebook that is named, as if it were the program."""
    path, *file = words
    sys.argv[:] = [path]
    sys.path[0] = ""  # as a kernel has it: the working directory, wherever a cell goes
    try:
        return run_notebook(Path(path).absolute(), file=file[0] if file else None)
    except ReproTrackError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
