"""Promises of launch.py: what a person typed is found, with the file whose code ran, whatever process that runs in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from repro_track.capture.launch import (
    Code,
    Facts,
    Process,
    find_entry_point,
    find_start,
    is_installed,
    list_ancestors,
    list_code,
    read_launch_key,
    read_rank,
    take_apart,
)

LOKY = ("python", "-m", "joblib.externals.loky.backend.popen_loky_posix", "--process-name", "LokyProcess-1")
SPAWN = ("python", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(pipe_handle=9)", "--multiprocessing")
SUBMITIT = ("python", "-u", "-m", "submitit.core._submit", "/logs")


@pytest.mark.parametrize(
    ("words", "options", "kind", "target", "rest"),
    [
        (["x.py", "-m", "a"], (), "file", "x.py", ("-m", "a")),
        (["-O", "-W", "error", "-X", "dev", "x.py"], ("-O", "-W", "error", "-X", "dev"), "file", "x.py", ()),
        (["-Werror", "-Xdev", "-BE", "x.py"], ("-W", "error", "-X", "dev", "-BE"), "file", "x.py", ()),
        (["-OWerror", "x.py"], ("-O", "-W", "error"), "file", "x.py", ()),
        (["-m", "pkg.app", "a"], (), "module", "pkg.app", ("a",)),
        (["-OOmpkg.app", "-O"], ("-OO",), "module", "pkg.app", ("-O",)),
        (["-I", "-c", "print()", "a"], ("-I",), "text", "print()", ("a",)),
        (["-ic", "print()"], (), "text", "print()", ()),
        (["--check-hash-based-pycs", "never", "x.py"], ("--check-hash-based-pycs", "never"), "file", "x.py", ()),
        (["--", "x.py", "a"], (), "file", "x.py", ("a",)),
        (["-", "a"], (), "input", "", ("a",)),
        ([], (), "input", "", ()),
        (["-q"], ("-q",), "input", "", ()),
    ],
)
def test_a_command_line_is_taken_apart_as_python_does(words, options, kind, target, rest):
    """Options alone or joined, with a value in the same word or the next, end at the file, module or text; what comes
    after that is the program's."""
    found = take_apart(["python", *words])
    assert (found.options, found.kind, found.target, found.words) == (options, kind, target, rest)


@pytest.mark.starts(Path(sys.executable).name)
@pytest.mark.parametrize("words", [["-OO", "-W", "error", "-X", "dev", "-B"], ["-sE", "-bbW", "ignore"], []])
def test_the_options_are_those_that_python_understands(words, tmp_path):
    """A program that is started with the options that were read has the same flags, and another one without them."""
    script = tmp_path / "flags.py"
    script.write_text("import sys\nprint(sys.flags, sys.warnoptions, sys._xoptions, sys.orig_argv[1:])\n")

    def ask(*options):
        done = subprocess.run([sys.executable, *options, script], capture_output=True, text=True, check=True)
        return done.stdout.partition("[")[0], done.stdout

    read = take_apart([sys.executable, *words, str(script)]).options
    assert ask(*read)[0] == ask(*words)[0]
    assert not words or ask()[0] != ask(*words)[0]


@pytest.fixture
def place(tmp_path):
    """A folder of somebody's own with a script, a package, a folder that can be run, an installed tool."""
    for name in ("x.py", "pkg/app.py", "pkg/__main__.py", "folder/__main__.py", "site-packages/tool.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def find(place, argv, *, code=(), sys_argv=(), above=(), variables=None, main_file=None, is_in_pool=False):
    """Find what was started, from the command line of this process, the code on its stack and what is above it."""
    return find_start(
        Facts(
            typed=take_apart(argv),
            argv=tuple(sys_argv),
            cwd=str(place),
            code=tuple(code),
            main_file=str(place / main_file) if main_file else None,
            variables=variables or {},
            is_in_pool=is_in_pool,
            list_ancestors=lambda: [Process(tuple(words), str(place)) for words in above],
        )
    )


def test_a_script_is_started_by_its_file_in_the_folder_that_it_was_started_in(place):
    """Also where the script has left that folder since, or has changed `sys.argv`."""
    code = [Code(str(place / "x.py"), None, True), Code(str(place / "pkg/app.py"))]
    found = find(place / "pkg", ["python", "-O", "x.py", "a"], code=code, sys_argv=["x.py", "changed"])
    assert (found.script, found.words, found.options) == (str(place / "x.py"), ("a",), ("-O",))
    assert found.cwd == str(place)
    assert find(place, ["python", str(place / "x.py")], code=code).cwd == str(place)


@pytest.mark.parametrize("target", ["pkg.app", "pkg"])
def test_a_module_is_started_by_its_name(place, target):
    """`python -m` of a module or package: its name, its file, its words; so that relative imports work."""
    name = "pkg.app" if target == "pkg.app" else "pkg"
    code = [Code(str(place / "pkg/app.py"), name, True)]
    found = find(place, ["python", "-m", target, "a"], code=code)
    assert (found.module, found.script, found.words) == (target, str(place / "pkg/app.py"), ("a",))


def test_a_folder_and_an_archive_are_started_by_their_main_file(place):
    """`python folder` is its `__main__.py`; the words are what was typed."""
    found = find(place, ["python", "folder", "a"], code=[Code(str(place / "folder/__main__.py"), None, True)])
    assert (found.script, found.module, found.words) == (str(place / "folder/__main__.py"), None, ("a",))


@pytest.mark.parametrize(
    "argv",
    [
        ["python", "-O", "-m", "cProfile", "-o", "out", "x.py", "a"],
        ["python", "-O", "-m", "pdb", "-c", "continue", "x.py", "a"],
        ["python", "-O", "-m", "coverage", "run", "x.py", "a"],
        ["python", "-O", "/env/bin/ipython", "x.py", "a"],
        ["python", "-O", "/env/bin/coverage", "run", "--branch", "x.py", "a"],
    ],
)
def test_what_only_watches_a_script_is_not_started_again(place, argv):
    """A debugger, a profiler, a shell: the script is what a person started, with the words that it got."""
    found = find(place, argv, code=[Code(str(place / "x.py"), None, True)], sys_argv=["x.py", "a"])
    assert (found.script, found.module, found.words) == (str(place / "x.py"), None, ("a",))
    assert found.options == ("-O",)
    found = find(place, argv, code=[Code(str(place / "pkg/app.py"), "pkg.app", True)], sys_argv=["x", "a"])
    assert found.module == "pkg.app"


def test_a_tool_that_calls_somebodys_code_is_started_again_and_the_code_is_theirs(place):
    """`python -m pytest`: the tool with its words; the code is the test's file."""
    found = find(
        place, ["python", "-m", "pytest", "-q"], code=[Code(str(place / "x.py"))], main_file="site-packages/tool.py"
    )
    assert (found.module, found.script, found.words) == ("pytest", str(place / "x.py"), ("-q",))
    found = find(place, ["python", "-m", "tool"], main_file="site-packages/tool.py")
    assert (found.module, found.script) == ("tool", str(place / "site-packages/tool.py"))


def test_a_console_script_is_started_by_its_function(place):
    """The installed script is named as its entry point, and the code is that of the function's package; a file beside
    the programs that is no entry point is a script."""
    program = Path(sys.executable).with_name("repro-track")
    assert find_entry_point(str(program)) == "repro-track=repro_track.cli:main"
    found = find(place, ["python", str(program), "a"], code=[Code(str(place / "pkg/app.py"))])
    assert (found.entry_point, found.words) == ("repro-track=repro_track.cli:main", ("a",))
    assert found.script == str(place / "pkg/app.py")
    main = Code(str(program), None, True)
    assert find(place, ["python", str(program)], code=[main, Code(str(place / "pkg/app.py"))]).entry_point
    assert find_entry_point(str(place / "x.py")) is None
    (place / "bin").mkdir()
    (place / "bin" / "repro-track").write_text("somebody's own")
    assert find_entry_point(str(place / "bin" / "repro-track")) is None


@pytest.mark.parametrize("argv", [["python", "-c", "x"], ["python"], ["python", "-"]])
def test_what_was_typed_in_has_no_file(place, argv):
    """Text, an interpreter, a script that is piped in: nothing that could be started again."""
    found = find(place, argv)
    assert (found.script, found.module, found.entry_point) == (None, None, None)


@pytest.mark.parametrize("worker", [LOKY, SPAWN, SUBMITIT])
def test_a_worker_was_started_by_the_program_above_it(place, worker):
    """In a process that works for another one, what was started is the first program above that is no worker."""
    above = [SPAWN, ("python", "-O", "x.py", "a"), ("python", "-m", "pkg.app")]
    found = find(place, worker, above=above, sys_argv=["other"], main_file="site-packages/tool.py")
    assert (found.script, found.words, found.options) == (str(place / "x.py"), ("a",), ("-O",))
    found = find(place, worker, above=[("python", "-m", "pkg.app", "a")])
    assert (found.module, found.script, found.words) == ("pkg.app", str(place / "pkg/app.py"), ("a",))
    nowhere = find(place, worker, above=[], main_file="site-packages/tool.py", code=[Code("/worker.py", None, True)])
    assert (nowhere.script, nowhere.module) == (None, None)
    alone = find(place, worker, above=[], main_file="x.py").script
    assert alone == (str(place / "x.py") if worker == SPAWN else None)  # that of the program, or of the worker itself


def test_a_worker_of_a_pool_is_said_not_to_come_back(place):
    """Which worker gets which job is not the same again: that is an obstacle; a process of its own is none."""
    assert "process pool" in find(place, SPAWN, above=[("python", "x.py")], is_in_pool=True).obstacles[0]
    assert find(place, SPAWN, above=[("python", "x.py")]).obstacles == ()


@pytest.mark.parametrize(
    ("argv", "above", "module", "words"),
    [
        (
            ["python", "-u", "x.py", "a"],
            ["python", "-m", "torch.distributed.run", "--nproc_per_node=2", "x.py", "a"],
            "torch.distributed.run",
            ("--nproc_per_node=2",),
        ),
        (
            ["python", "-u", "x.py", "--local-rank=0", "a"],
            ["python", "-m", "torch.distributed.launch", "x.py", "a"],
            "torch.distributed.launch",
            (),
        ),
        (
            ["python", "-m", "pkg.app", "a"],
            ["python", "-O", "-m", "accelerate.commands.launch", "--mixed_precision", "bf16", "-m", "pkg.app", "a"],
            "accelerate.commands.launch",
            ("--mixed_precision", "bf16", "-m"),
        ),
    ],
)
def test_a_launcher_is_the_process_above_that_was_given_the_program(place, argv, above, module, words):
    """The launcher's own words, those that it was given for the program, and what it told the process."""
    name = "x.py" if "x.py" in argv else "pkg/app.py"
    code = [Code(str(place / name), "pkg.app" if name != "x.py" else None, True)]
    variables = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "HOME": "/"}
    found = find(place, argv, code=code, above=[["bash"], above], variables=variables)
    assert (found.launcher.module, found.launcher.words, found.words) == (module, words, ("a",))
    assert found.launcher.variables == {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}
    assert found.obstacles == ()


def test_of_launchers_that_start_each_other_the_first_is_what_was_typed(place):
    """`deepspeed` starts a launcher of its own, which starts the program."""
    argv, code = ["python", "-u", "x.py", "a"], [Code(str(place / "x.py"), None, True)]
    above = [
        ["python", "-m", "deepspeed.launcher.launch", "--world_info=e30=", "x.py", "a"],
        ["python", "-m", "deepspeed.launcher.runner", "--num_gpus", "2", "x.py", "a"],
        ["python", "-m", "somebodys.tool"],
    ]
    found = find(place, argv, code=code, above=above, variables={"LOCAL_RANK": "0"})
    assert (found.launcher.module, found.launcher.words) == ("deepspeed.launcher.runner", ("--num_gpus", "2"))


@pytest.mark.parametrize(
    "above",
    [
        [],
        [["python", "-m", "torch.distributed.run", "other.py", "a"]],
        [["python", "-m", "torch.distributed.run", "x.py", "b"]],
        [["python", "-m", "somebodys.launcher", "x.py", "a"]],
    ],
)
def test_a_launcher_that_is_not_known_is_an_obstacle(place, above):
    """One of several processes whose launcher is not found cannot be started the same: it is said; one process alone
    can."""
    argv, code = ["python", "x.py", "a"], [Code(str(place / "x.py"), None, True)]
    found = find(place, argv, code=code, above=above, variables={"RANK": "0", "WORLD_SIZE": "2"})
    assert found.launcher is None
    assert "one of 2 processes" in found.obstacles[0]
    assert find(place, argv, code=code, above=above, variables={"RANK": "0", "WORLD_SIZE": "1"}).obstacles == ()


def test_a_rank_is_that_of_several_processes(monkeypatch):
    """One process has none, also where a launcher set the variable; a number that is none is none."""
    monkeypatch.setenv("RANK", "1")
    for size, rank in (("2", "rank 1"), ("1", None), ("two", None)):
        monkeypatch.setenv("WORLD_SIZE", size)
        assert read_rank() == rank


def test_the_processes_of_one_launch_share_a_key(monkeypatch):
    """The key is that of the process that started them, which is the same as long as it lives; one process alone has
    none."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    key = read_launch_key()
    assert f"-{os.getppid()}-" in key
    monkeypatch.setenv("RANK", "0")
    assert read_launch_key() == key
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert read_launch_key() is None


def test_the_code_on_the_stack_is_somebodys_own():
    """This test's file is listed, once as what is called; pytest's and Python's own files are not."""
    found = list_code()
    assert str(Path(__file__)) in [one.path for one in found]
    assert not [one.path for one in found if is_installed(one.path)]
    assert is_installed(pytest.__file__)
    assert is_installed(os.__file__)
    assert not is_installed(__file__)


def test_the_processes_above_are_those_that_run_python():
    """Each has a command line of Python's; one of another program is left out."""
    assert all(Path(one.argv[0]).name.startswith(("python", "pypy")) for one in list_ancestors())
