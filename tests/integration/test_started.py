"""What was captured starts the same again, in real processes: flags, words, imports, whatever started it."""

import json
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.restore, pytest.mark.xdist_group("started")]

PROBE = """
import json
import sys
from pathlib import Path


def show():
    from repro_track.capture.command import capture_command, make_child_argv

    command = capture_command(ordinal=0, folder=Path("not-there"))
    seen = {"words": sys.argv[1:], "flags": str(sys.flags), "warnings": sys.warnoptions, "process": command.process}
    seen["options"] = {key: str(value) for key, value in sys._xoptions.items()}
    print(json.dumps({"seen": seen, "argv": make_child_argv(command, folder=Path("/handover")), "cwd": command.cwd}))
"""
MAIN = "from probe import show\nif __name__ == '__main__':\n    show()\n"
SPAWN = """
import multiprocessing

from probe import show

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=show)
    process.start()
    process.join()
"""
TOOL = "import sys\nfrom package.tool import main\nif __name__ == '__main__':\n    sys.exit(main())\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a program of each form, and the metadata of a console script."""
    root = tmp_path_factory.mktemp("started")
    texts = {
        "probe.py": PROBE,
        "library/probe.py": PROBE,
        "script.py": MAIN,
        "moves.py": "import os\nfrom probe import show\nos.chdir('/')\nshow()\n",
        "spawns.py": SPAWN,
        "folder/__main__.py": MAIN,
        "package/__init__.py": "",
        "package/inner.py": "from probe import show\n",
        "package/app.py": "from .inner import show\nshow()\n",
        "package/__main__.py": "from .inner import show\nshow()\n",
        "package/tool.py": "from .inner import show\ndef main():\n    show()\n",
        "bin/planted-tool": TOOL,
        "library/planted_tool-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: planted-tool\nVersion: 1\n",
        "library/planted_tool-1.dist-info/entry_points.txt": "[console_scripts]\nplanted-tool = package.tool:main\n",
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    with zipfile.ZipFile(root / "archive.pyz", "w") as archive:
        archive.writestr("__main__.py", MAIN)
    return root


@pytest.mark.parametrize(
    "words",
    [
        ["-O", "-W", "error::UserWarning", "-X", "dev", "-B", "script.py", "a", "--b=1"],
        ["moves.py", "a"],
        ["-m", "package.app", "a"],
        ["-bm", "package", "a"],
        ["folder", "a"],
        ["archive.pyz", "a"],
        ["-O", "-m", "cProfile", "-o", "/dev/null", "script.py", "a"],
        ["spawns.py", "a"],
        ["bin/planted-tool", "a"],
    ],
    ids=" ".join,
)
def test_what_was_started_is_started_again(place, start, words):
    """The program that the captured command line starts has the same words, flags, warning filters and `-X` options,
    imports what it imported, and is captured as the same command."""
    env = {"PYTHONPATH": f"{place}:{place / 'library'}"}

    def run(*argv, cwd):
        done = start(*argv, cwd=cwd, env=env)
        assert done.code == 0, done.err
        return next(json.loads(line) for line in done.out.splitlines() if line.startswith("{"))

    first = run(sys.executable, *words, cwd=place)
    assert first["seen"]["words"] == [word for word in words if word in ("a", "--b=1")]
    assert Path(first["cwd"]) == place
    again = run(*first["argv"], cwd=first["cwd"])
    keys = ("words", "warnings", "options", "process")
    assert {key: again["seen"][key] for key in keys} == {key: first["seen"][key] for key in keys}
    assert again["argv"] == first["argv"] or "planted-tool" in words[0]
    if "planted-tool" not in words[0]:  # a console script is started without its folder on the search path (`-P`)
        assert again["seen"]["flags"] == first["seen"]["flags"]
