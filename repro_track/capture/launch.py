"""What a person started: the words that were typed, taken apart, and the file whose code ran.

A person starts a script, a module, a console script, or a launcher that starts these; what runs may be another process:
a worker of a pool, one rank of several. It reads this process, its stack and the processes above it; it never starts
or changes anything.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from repro_track.record.schema import Launcher

RUNNER = "repro_track.capture.entry_point"
"""The module that starts a console script's function again."""

_LAUNCHERS = ("torch", "accelerate", "deepspeed", "lightning", "lightning_fabric", "colossalai", "horovod")
"""The packages whose programs start a script that they are given, in one or more processes."""

_WORKERS = (
    r"-c from (multiprocessing|joblib\.externals\.loky|loky)\b.*",
    r"-m (joblib\.externals\.)?loky\..*",
    r"-m (submitit|distributed)\..*",
    r"(.*/)?loky/backend/\w+\.py\b.*",
    r"(.*/)?ray/_private/workers/\w+\.py\b.*",
)
"""What starts a process that waits for work, as its words after the interpreter's options."""

_POOL_LOOPS = {
    ("concurrent.futures.process", "_process_worker"),
    ("joblib.externals.loky.process_executor", "_process_worker"),
    ("loky.process_executor", "_process_worker"),
    ("multiprocessing.pool", "worker"),
}
"""The functions, by module and name, in which a worker of a pool waits for its next job."""

_LAUNCHER_MARKS = (
    "LOCAL_RANK", "WORLD_SIZE",
    "ACCELERATE_DYNAMO_BACKEND", "ACCELERATE_MIXED_PRECISION", "ACCELERATE_USE_CPU", "ACCELERATE_USE_DEEPSPEED",
    "ACCELERATE_USE_FSDP",
)  # fmt: skip
"""The environment variables by which a process knows that a launcher started it."""

_LAUNCHER_VARIABLES = (
    *_LAUNCHER_MARKS, "ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "GROUP_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR",
    "MASTER_PORT", "RANK",
)  # fmt: skip
"""What a launcher tells the processes that it starts."""

TargetKind = Literal["file", "module", "text", "input"]


@dataclass(frozen=True)
class Typed:
    """A command line of Python, taken apart: the interpreter's options, what it runs, the words for that.

    `kind` says what `target` is: a `file` (also a folder or an archive), the name of a `module`, `text` given with
    `-c`, or nothing (`input`: what is typed or piped in).
    """

    options: tuple[str, ...]
    kind: TargetKind
    target: str
    words: tuple[str, ...]

    @property
    def is_worker(self) -> bool:
        """Whether it starts a process that another one gives its work."""
        mark = {"module": "-m ", "text": "-c "}.get(self.kind, "")
        return any(re.match(pattern, mark + self.target, re.DOTALL) for pattern in _WORKERS)


def take_apart(argv: Sequence[str]) -> Typed:
    """Take a command line of Python apart, as the interpreter does.

    >>> take_apart(["python", "-Om", "pkg.app", "seed=1"])
    Typed(options=('-O',), kind='module', target='pkg.app', words=('seed=1',))
    >>> take_apart(["python", "-W", "error", "x.py", "-O"])
    Typed(options=('-W', 'error'), kind='file', target='x.py', words=('-O',))
    """
    words, options = list(argv[1:]), list[str]()
    while words:
        word = words.pop(0)
        if word == "-":
            return Typed(tuple(options), "input", "", tuple(words))
        if word == "--":
            break
        if not word.startswith("-"):
            words.insert(0, word)
            break
        if word.startswith("--"):
            options += [word, *([words.pop(0)] if word == "--check-hash-based-pycs" and words else [])]
            continue
        found = re.fullmatch(r"-([^WXcm]*)(?:([WXcm])(.*))?", word, re.DOTALL)
        letters, taking, joined = found.groups() if found else (word[1:], None, None)
        kept = letters.replace("i", "")  # would wait for a person at the end
        options += [f"-{kept}"] if kept else []
        if taking is None:
            continue
        value = joined or (words.pop(0) if words else "")
        if taking in "cm":
            return Typed(tuple(options), "text" if taking == "c" else "module", value, tuple(words))
        options += [f"-{taking}", value]
    if not words:
        return Typed(tuple(options), "input", "", ())
    return Typed(tuple(options), "file", words[0], tuple(words[1:]))


@dataclass(frozen=True)
class Process:
    """A process above this one: its command line, its working directory (`None`: it cannot be read)."""

    argv: tuple[str, ...]
    cwd: str | None


def list_ancestors() -> list[Process]:
    """List the processes above this one that run Python, the nearest first, as far as they can be read."""
    try:
        import psutil
    except ImportError:  # an environment of recorded packages that had it not
        return []
    found = []
    try:
        for process in psutil.Process().parents():
            argv = tuple(process.cmdline())
            if argv and re.fullmatch(r"(python|pypy)[\d.]*\w?(\.exe)?", Path(argv[0]).name):
                found.append(Process(argv, process.cwd()))
    except (psutil.Error, OSError):
        return found  # of another user, or gone
    return found


# --- the code that ran --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Code:
    """A file whose code is on the stack. `module`: its name, where it was started by that (`python -m`).

    `is_main`: it is the program itself, not something that the program called.
    """

    path: str
    module: str | None = None
    is_main: bool = False


@cache
def _list_installed_folders() -> tuple[Path, ...]:
    places = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "scripts")}
    places |= {str(Path(sys.executable).parent), str(Path(__file__).parents[1])}
    return tuple(Path(place) for place in places if place)


def is_installed(path: str | Path) -> bool:
    """Whether a file is part of Python, of an installed package or of this program: not somebody's own code.

    >>> is_installed("/env/lib/python3.11/site-packages/tool/run.py"), is_installed("/home/me/run.py")
    (True, False)
    """
    path = Path(path)
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    return any(path.is_relative_to(folder) for folder in _list_installed_folders())


def find_real_file(path: str) -> str | None:
    """Return the absolute path of a file of code, or of the archive that it is in; `None`: there is no such file."""
    try:
        place = Path(path).absolute()
    except OSError:  # a relative path, and the working directory was removed
        return None
    return next((str(one) for one in (place, place.parent) if one.is_file()), None)


def _walk_stack() -> Iterator[FrameType]:
    """Walk through the frames of this thread, and then of the main one, the innermost first."""
    import threading

    frame: FrameType | None = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back
    main = threading.main_thread().ident
    if main is not None and main != threading.get_ident():
        frame = sys._current_frames().get(main)
        while frame is not None:
            yield frame
            frame = frame.f_back


def list_code() -> list[Code]:
    """List the files of somebody's own whose code is on the stack, the outermost first."""
    found = []
    for frame in reversed(list(_walk_stack())):
        code, names = frame.f_code, frame.f_globals
        path = find_real_file(code.co_filename)
        if path is None or is_installed(path):
            continue
        is_main = names.get("__name__") == "__main__" and code.co_name == "<module>"
        found.append(Code(path, name_main_module(names, path=path) if is_main else None, is_main))
    return found


def name_main_module(names: Mapping[str, Any], *, path: str) -> str | None:
    """Return the name by which a main module was started with `-m`; `None`: it was started as a file.

    >>> name_main_module({"__package__": "pkg"}, path="/x/pkg/app.py")
    'pkg.app'
    """
    package = names.get("__package__")
    if not package:
        spec = getattr(names.get("__spec__"), "name", None)
        return spec if spec != "__main__" else None
    return package if Path(path).stem == "__main__" else f"{package}.{Path(path).stem}"


def is_in_pool() -> bool:
    """Whether this process is a worker of a pool: which job it gets is decided while the program runs."""
    return any((frame.f_globals.get("__name__"), frame.f_code.co_name) in _POOL_LOOPS for frame in _walk_stack())


# --- what was started ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """What this process knows of its start, read once.

    Attributes:
        typed: its own command line; `None`: a program that has Python inside.
        argv: `sys.argv`, which a tool may have changed for the script that it runs.
        cwd: the working directory now.
        code: somebody's own files on the stack, the outermost first.
        main_file: the file of the main module; `None`: it has none.
        variables: of the environment.
        is_in_pool: whether it is a worker of a pool.
        list_ancestors: lists the processes above, when they are needed.
    """

    typed: Typed | None
    argv: tuple[str, ...]
    cwd: str
    code: tuple[Code, ...] = ()
    main_file: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    is_in_pool: bool = False
    list_ancestors: Callable[[], Sequence[Process]] = list


def read_cwd() -> str:
    """Read the working directory; of one that was removed meanwhile, what the shell calls it."""
    try:
        return str(Path.cwd())
    except OSError:
        return os.environ.get("PWD", "/")


def read_facts() -> Facts:
    """Read what this process knows of its start."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return Facts(
        typed=take_apart(sys.orig_argv) if sys.orig_argv else None,
        argv=tuple(sys.argv),
        cwd=read_cwd(),
        code=tuple(list_code()),
        main_file=find_real_file(main) if main else None,
        variables=dict(os.environ),
        is_in_pool=is_in_pool(),
        list_ancestors=list_ancestors,
    )


def read_process_name() -> str | None:
    """Read which process of a program this is: its rank among those of a launcher, its name among those of
    `multiprocessing`; `None`: the only one, or the first."""
    names = [rank] if (rank := read_rank()) else []
    if "multiprocessing.process" in sys.modules:
        from multiprocessing.process import current_process, parent_process

        names += [current_process().name] if parent_process() is not None else []
    return ", ".join(names) or None


def read_rank() -> str | None:
    """Read the rank of this process among those of a launcher; `None`: there is one process."""
    return f"rank {os.environ['RANK']}" if read_world_size(os.environ) > 1 else None


def read_launch_key() -> str | None:
    """Read a key that all processes share which one launcher started: the process that did, and when that began.
    `None`: there is one process, or it cannot be read."""
    if read_rank() is None:
        return None
    try:
        import psutil
    except ImportError:
        return None
    try:
        above = psutil.Process(os.getppid())
        began = int(above.create_time() * 100)
    except psutil.Error:
        return None
    return f"{re.sub(r'[^A-Za-z0-9]', '_', platform.node())}-{above.pid}-{began}"


def read_world_size(variables: Mapping[str, str]) -> int:
    """Read how many processes a launcher says that there are; 1 where it says nothing."""
    text = variables.get("WORLD_SIZE", "")
    return int(text) if text.isdecimal() and "RANK" in variables else 1


@dataclass(frozen=True)
class Start:
    """What was started: by a file, by the name of a module, or by that of a console script.

    Attributes:
        options: the interpreter's.
        script: the file that was started; for a module or function the file whose code ran. `None`: there is none.
        module: the module's name; `None`: it was started otherwise.
        entry_point: the console script, `NAME=MODULE:FUNCTION`; `None`: it was started otherwise.
        words: what it was given.
        cwd: the working directory in which it was started.
        launcher: what started it, where that is a launcher.
        obstacles: why a replay cannot start the same, a sentence each.
    """

    options: tuple[str, ...] = ()
    script: str | None = None
    module: str | None = None
    entry_point: str | None = None
    words: tuple[str, ...] = ()
    cwd: str = "."
    launcher: Launcher | None = None
    obstacles: tuple[str, ...] = ()


def find_start(facts: Facts) -> Start:
    """Find out what was started, from what a process knows of it."""
    typed, cwd, code, argv, main_file = facts.typed, facts.cwd, facts.code, facts.argv[1:], facts.main_file
    obstacles: list[str] = []
    if typed is not None and typed.is_worker:
        ancestors = list(facts.list_ancestors())
        while ancestors and take_apart(ancestors[0].argv).is_worker:
            ancestors.pop(0)
        if typed.kind != "text":
            main_file = None  # that of the worker; `multiprocessing` loads the program's own
        typed = take_apart(ancestors[0].argv) if ancestors else None
        code = ()
        if typed is not None:
            cwd, argv = ancestors[0].cwd or cwd, typed.words
            code = tuple(_find_target(typed, cwd=cwd))
    if facts.is_in_pool:
        obstacles.append("it ran in a worker of a process pool, and which worker gets which job is not the same again")
    launched = None
    if typed is not None and (facts.variables.keys() & set(_LAUNCHER_MARKS)):
        launched = find_launcher(typed, ancestors=facts.list_ancestors(), variables=facts.variables)
    if launched is None and (size := read_world_size(facts.variables)) > 1:
        obstacles.append(f"it was one of {size} processes, and what started them is not known here")
    found = _find_program(typed, cwd=cwd, argv=argv, code=code, main_file=main_file)
    return Start(
        options=typed.options if typed else (),
        cwd=(launched.cwd if launched else None) or found.cwd or cwd,
        launcher=launched.launcher if launched else None,
        obstacles=tuple(obstacles),
        script=found.script,
        module=found.module,
        entry_point=found.entry_point,
        words=launched.words if launched else found.words,
    )


def _find_function_file(entry_point: str, *, cwd: str) -> str | None:
    return _find_module_file(_split_entry_point(entry_point)[1], cwd=cwd)


def _find_target(typed: Typed, *, cwd: str) -> list[Code]:
    """Return the file that another process's command line starts, if it is somebody's own."""
    if typed.kind == "module":
        file = _find_module_file(typed.target, cwd=cwd)
        return [Code(file, typed.target, True)] if file and not is_installed(file) else []
    path = find_real_file(str(Path(cwd) / typed.target)) if typed.kind == "file" else None
    return [Code(path, None, True)] if path and not is_installed(path) else []


def _find_module_file(name: str, *, cwd: str) -> str | None:
    """Return the file of a module that is loaded, or lies in the working directory; `None`: there is none. Nothing is
    imported for it."""
    loaded = getattr(sys.modules.get(name), "__file__", None)
    base = Path(cwd).joinpath(*name.split("."))
    inside = [base / "__main__.py", base.parent / f"{base.name}.py"]
    return next((str(path) for path in [*([Path(loaded)] if loaded else []), *inside] if path.is_file()), None)


@dataclass(frozen=True)
class _Program:
    script: str | None = None
    module: str | None = None
    entry_point: str | None = None
    words: tuple[str, ...] = ()
    cwd: str | None = None


def _find_program(
    typed: Typed | None, *, cwd: str, argv: tuple[str, ...], code: Sequence[Code], main_file: str | None
) -> _Program:
    """Find the program: somebody's own main file where there is one, else the tool that was typed."""
    main = next((one for one in code if one.is_main), None)
    if main is not None and find_entry_point(main.path):  # in a folder of programs that nobody knows
        code, main = [one for one in code if one is not main], None
    own = next((one.path for one in code), None)
    if main is not None:
        if typed is None:
            return _Program(main.path, main.module, words=argv)
        if typed.kind == "module" and main.module in (typed.target, f"{typed.target}.__main__"):
            return _Program(main.path, typed.target, words=typed.words)
        started = _find_started_cwd(typed, path=main.path)
        if typed.kind == "file" and (started or _is_same(typed.target, main.path, cwd=cwd)):
            return _Program(main.path, words=typed.words, cwd=started)
        return _Program(main.path, main.module, words=argv)  # a debugger, a profiler, a shell that ran it
    if typed is None or typed.kind in ("text", "input"):
        return _Program(main_file, words=argv) if main_file and not is_installed(main_file) else _Program()
    if typed.kind == "module":
        if typed.target == RUNNER and typed.words:
            called, words = typed.words[0], typed.words[1:]
            return _Program(own or _find_function_file(called, cwd=cwd), entry_point=called, words=words)
        return _Program(own or _find_module_file(typed.target, cwd=cwd) or main_file, typed.target, words=typed.words)
    path = find_real_file(str(Path(cwd) / typed.target))
    if path and (point := find_entry_point(path)):
        return _Program(own or _find_function_file(point, cwd=cwd), entry_point=point, words=typed.words)
    return _Program(path or main_file, words=typed.words if path else argv)


def _is_same(target: str, path: str, *, cwd: str) -> bool:
    """Whether the target of a command line is this file, or the folder or archive whose main file it is."""
    place = Path(cwd) / target
    return any(one.exists() and one.samefile(path) for one in (place, place / "__main__.py"))


def _find_started_cwd(typed: Typed, *, path: str) -> str | None:
    """Return the working directory in which a script was started, which it may have left since: its absolute path ends
    with what was typed. `None`: an absolute path was typed, or something else.

    >>> _find_started_cwd(take_apart(["python", "app/x.py"]), path="/home/me/app/x.py")
    '/home/me'
    """
    ending = f"/{typed.target.removeprefix('./')}"
    if typed.kind != "file" or Path(typed.target).is_absolute() or not path.endswith(ending):
        return None
    return path.removesuffix(ending) or "/"


def _split_entry_point(text: str) -> tuple[str, str, str]:
    """Take `NAME=MODULE:FUNCTION` apart.

    >>> _split_entry_point("tool=pkg.cli:main")
    ('tool', 'pkg.cli', 'main')
    """
    name, _, value = text.partition("=")
    module, _, function = value.partition(":")
    return name, module, function


def find_entry_point(path: str) -> str | None:
    """Find the console script that a file in a folder of programs is, as `NAME=MODULE:FUNCTION`; `None`: it is none."""
    file = Path(path)
    if file.suffix not in ("", ".exe") or file.parent.name not in ("bin", "Scripts"):
        return None
    points: Iterable[metadata.EntryPoint] = metadata.entry_points(group="console_scripts", name=file.stem)
    try:
        content = file.read_bytes()
    except OSError:
        return None
    for point in points:
        module, _, function = point.value.partition(" ")[0].partition(":")
        if module.encode() in content:
            return f"{point.name}={module}:{function}"
    return None


# --- launchers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Launched:
    """A launcher that was found: its working directory (`None`: it cannot be read), and the words that it was given
    for the program."""

    launcher: Launcher
    cwd: str | None
    words: tuple[str, ...]


def find_launcher(typed: Typed, *, ancestors: Iterable[Process], variables: Mapping[str, str]) -> Launched | None:
    """Find the launcher that started a program: a process above that was given it, with its words, as its own last
    words. Of several the first that was started: it starts the others. `None`: there is none that is known.

    Args:
        typed: the program's own command line.
        ancestors: the processes above, the nearest first.
        variables: of the environment, some of which the launcher set.
    """
    told = {name: variables[name] for name in _LAUNCHER_VARIABLES if name in variables}
    found = None
    for process in ancestors:
        above = take_apart(process.argv)
        point = find_entry_point(above.target) if above.kind == "file" else None
        if above.target == RUNNER and above.words:
            point, above = above.words[0], replace(above, words=above.words[1:])
        name = _split_entry_point(point)[1] if point else above.target
        if name.partition(".")[0] not in _LAUNCHERS:
            continue
        number = count_own_words(above.words, typed=typed)
        if number is None:
            continue
        own = len(above.words) - number
        launcher = Launcher(
            options=above.options,
            module=None if point else above.target,
            entry_point=point,
            words=above.words[:own],
            variables=told,
        )
        found = Launched(launcher, process.cwd, above.words[own + 1 :])
    return found


def count_own_words(words: Sequence[str], *, typed: Typed) -> int | None:
    """Count the last words of a launcher that are the program it starts and the program's own; `None`: it starts
    another one. The launcher may have added words of its own to the program's (`--local-rank=0`).

    >>> count_own_words(["--nproc_per_node=2", "x.py", "a"], typed=take_apart(["python", "-u", "x.py", "a"]))
    2
    """
    for index, word in enumerate(words):
        if word == typed.target and _is_within(words[index + 1 :], typed.words):
            return len(words) - index
    return None


def _is_within(few: Sequence[str], many: Sequence[str]) -> bool:
    """Whether all of the few are among the many, in the same order."""
    left = iter(many)
    return all(word in left for word in few)
