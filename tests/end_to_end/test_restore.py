"""A run comes back when everything around it has moved on: the commit, the working tree, the clone, the packages. And
when it does not come back, the program says before or after the run what is missing. On real repositories, real git and
packages that uv really installs. Each "comes back" has a twin that replays in the present surroundings and does not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers import Server

pytestmark = pytest.mark.restore

HELPER = "ETA = 0.0\n"
SCRIPT = """
import sys
from pathlib import Path
from diffusers import DDIMPipeline
import repro_track as rt
import helper

pipe = DDIMPipeline.from_pretrained("model")
with rt.track(experiment="restore", seed=3, bundle="--bundle" in sys.argv) as run:
    run(pipe, eta=helper.ETA, num_inference_steps=2, output_type="np")
Path("written_by_the_run.txt").write_text("a run that writes beside itself")
print(run.run_id)
"""


class Project:
    """A repository with a script, a module that it imports and a model, and git's words for it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false"]
        local = ["-c", "protocol.file.allow=always"]
        done = subprocess.run(
            ["git", *identity, *local, *words], cwd=self.root, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message)
        return self.git("rev-parse", "HEAD")

    def state(self) -> tuple:
        """Everything in the clone that a replay must not touch."""
        files = {
            path: path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and ".git" not in path.parts
        }
        return self.git("rev-parse", "HEAD"), self.git("status", "--porcelain"), self.git("worktree", "list"), files


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    from tests.models import make_tiny_pipeline

    folder = tmp_path_factory.mktemp("saved") / "model"
    make_tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def project(tmp_path, saved_model):
    root = tmp_path / "project"
    root.mkdir()
    project = Project(root)
    project.git("init", "--quiet", "--initial-branch=main")
    (root / "script.py").write_text(SCRIPT)
    (root / "helper.py").write_text(HELPER)
    (root / ".gitignore").write_text("written_by_the_run.txt\n__pycache__\n")
    shutil.copytree(saved_model, root / "model")
    project.commit("first")
    return project


@pytest.fixture
def record(python, project):
    def record(*words, **options) -> str:
        result = python("script.py", *words, cwd=project.root, **options)
        assert result.code == 0, result.err
        (project.root / "written_by_the_run.txt").unlink()
        shutil.rmtree(project.root / "__pycache__", ignore_errors=True)
        return result.run_id

    return record


@pytest.fixture
def replay(cli):
    def replay(run_id, *words, **options):
        result = cli("replay", run_id, "--json", *words, **options)
        return result, json.loads(result.out) if result.out else None

    return replay


# --- code ---------------------------------------------------------------------------------------------------------


def test_a_commit_that_moved_on_comes_back(project, record, replay):
    """A run of an earlier commit replays bit-exactly at that commit, and the clone is not touched in any way; in the
    present code it does not."""
    run_id = record()
    (project.root / "helper.py").write_text("ETA = 1.0\n")
    project.commit("another eta")
    before = project.state()
    result, data = replay(run_id)
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err
    assert project.state() == before
    result, data = replay(run_id, "--code", "current")
    assert (result.code, data["verdict"]) == (1, "diverged")
    assert "arguments.eta" in json.dumps(data["differences"])


def test_a_dirty_tree_comes_back(project, record, replay):
    """Staged and unstaged changes, thrown away since, come back with the commit; without them the run diverges."""
    helper = project.root / "helper.py"
    helper.write_text("ETA = 0.5\n")
    project.git("add", "helper.py")
    helper.write_text("ETA = 0.5  # staged\nETA = ETA + 0.25  # unstaged, and no newline at the end")
    run_id = record()
    project.git("reset", "--quiet", "--hard")
    assert helper.read_text() == HELPER
    result, data = replay(run_id)
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err
    assert replay(run_id, "--code", "current")[1]["verdict"] == "diverged"


def test_an_untracked_module_comes_back(project, record, replay):
    """A module that was imported and never added to git comes back; with it gone, the present code cannot run."""
    helper = project.root / "helper.py"
    project.git("rm", "--quiet", "--cached", "helper.py")
    project.git("commit", "--quiet", "-m", "helper is not tracked")
    helper.write_text("ETA = 0.75\n")
    run_id = record()
    helper.unlink()
    result, data = replay(run_id)
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err
    result, data = replay(run_id, "--code", "current")
    assert result.code == 3
    assert "No module named 'helper'" in result.err


def test_a_deleted_branch_comes_back_while_git_has_it(project, record, replay):
    """A commit whose branch was deleted comes back; once git has collected it, the loss is said with the commit; a run
    with a bundle survives even that."""
    project.git("checkout", "--quiet", "-b", "idea")
    (project.root / "helper.py").write_text("ETA = 0.3\n")
    commit = project.commit("an idea")
    run_id, bundled = record(), record("--bundle")
    project.git("checkout", "--quiet", "main")
    project.git("branch", "--quiet", "-D", "idea")
    result, data = replay(run_id)
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err

    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "--quiet", "--prune=now")
    result, data = replay(run_id)
    assert (result.code, data) == (3, None)
    assert commit in result.err
    assert "source.bundle=true" in result.err
    assert "Traceback" not in result.err
    result, data = replay(bundled)
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err
    assert "the run's bundle" in result.err


def test_a_clone_that_is_gone_comes_from_the_remote(project, record, replay, tmp_path):
    """With the clone deleted the commit comes from the recorded remote; a submodule and the folder that the run was
    started in come back with it."""
    remote = tmp_path / "remote.git"
    project.git("clone", "--quiet", "--bare", str(project.root), str(remote))
    project.git("remote", "add", "origin", str(remote))
    run_id = record()
    shutil.rmtree(project.root)
    result, data = replay(run_id)
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err
    assert str(remote) in result.err
    shutil.rmtree(remote)  # the second time it is in the cache
    assert replay(run_id)[1]["verdict"] == "bit-exact"


def test_a_submodule_comes_back(project, record, replay, cli, tmp_path):
    """A submodule is checked out at its recorded commit, although the clone's has moved on."""
    other = Project(tmp_path / "other")
    other.root.mkdir()
    other.git("init", "--quiet", "--initial-branch=main")
    (other.root / "value.py").write_text("ETA = 0.6\n")
    other.commit("value")
    project.git("submodule", "--quiet", "add", str(other.root), "library")
    (project.root / "helper.py").write_text("from library.value import ETA\n")
    project.commit("with a submodule")
    run_id = record()
    (other.root / "value.py").write_text("ETA = 0.1\n")
    other.commit("another value")
    Project(project.root / "library").git("pull", "--quiet", "origin", "main")
    project.commit("submodule moved on")
    plan = json.loads(cli("replay", run_id, "--dry-run", "--json").out)
    assert [one["path"] for one in plan["code"]["submodules"]] == ["library"]
    result, data = replay(run_id)
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err
    assert replay(run_id, "--code", "current")[1]["verdict"] == "diverged"


def test_code_from_outside_of_the_tree_is_the_recorded_one(project, record, replay, read_record, tmp_path):
    """A run whose script names its own clone by an absolute path (on the search path, loaded by its file, read and
    executed), that imports from another folder and uses a module that git ignores and a custom pipeline, replays
    bit-exactly with all of that edited since: it is the restored source and the kept files that run. Each is in the
    record by name. In the present code it diverges, and each that is no part of the repository is named."""
    library, elsewhere = project.root / "library", tmp_path / "elsewhere"
    library.mkdir()
    elsewhere.mkdir()
    (project.root / ".gitignore").write_text("written_by_the_run.txt\n__pycache__\ngenerated.py\n")
    files = {
        library / "helper.py": "from loose import PART\nfrom generated import OTHER\nETA = PART + OTHER\n",
        project.root / "loaded.py": "ETA = 0.1\n",
        project.root / "executed.py": "MORE = 0.1\n",
        project.root / "generated.py": "OTHER = 0.1\n",
        elsewhere
        / "loose.py": "from pathlib import Path\nPART = float(Path(__file__).with_name('part.txt').read_text())\n",
        elsewhere / "part.txt": "0.1",
        elsewhere / "my_pipe.py": "import diffusers\nclass MyPipe(diffusers.DDIMPipeline):\n    EXTRA = 0.1\n",
    }
    for path, text in files.items():
        path.write_text(text)
    (project.root / "helper.py").unlink()
    script = f"""
import sys, importlib.util
sys.path[:0] = [{str(library)!r}, {str(elsewhere)!r}]
from diffusers import DiffusionPipeline
import repro_track as rt
import helper

CUSTOM = {str(elsewhere / "my_pipe.py")!r}
spec = importlib.util.spec_from_file_location("loaded_by_its_file", {str(project.root / "loaded.py")!r})
loaded = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loaded)
exec(open({str(project.root / "executed.py")!r}).read())
pipe = DiffusionPipeline.from_pretrained("model", custom_pipeline=CUSTOM, trust_remote_code=True)
with rt.track(experiment="restore", seed=3) as run:
    run(pipe, eta=helper.ETA + loaded.ETA + MORE + pipe.EXTRA, num_inference_steps=2, output_type="np")
from pathlib import Path
Path("written_by_the_run.txt").write_text("a run that writes beside itself")
print(run.run_id)
"""
    (project.root / "script.py").write_text(script)
    project.commit("names itself by absolute paths")
    run_id = record()
    recorded = read_record(run_id)
    assert recorded.replayable.yes, recorded.replayable.reasons
    outside = {one.name.rpartition(".")[2]: one for one in recorded.source.outside}
    assert {"loose", "my_pipe"} <= set(outside)
    assert recorded.source.ignored == ("generated.py",)  # it comes back with the repository
    assert not {"helper", "loaded", "executed", "generated"} & set(outside)

    for path in files:
        if path.suffix == ".py":
            path.write_text(path.read_text().replace("0.1", "0.3").replace("PART = ", "PART = 1 + "))
    before = project.state()
    result, data = replay(run_id)
    assert (result.code, data["verdict"], data["cautions"]) == (0, "bit-exact", []), result.err
    assert not data["differences"]
    assert project.state() == before
    result, data = replay(run_id, "--code", "current")
    assert (result.code, data["verdict"]) == (1, "diverged"), result.err
    places = json.dumps([one["place"] for one in data["differences"]])
    assert all(f"source.outside.{one}" in places for one in ("loose", "diffusers_modules"))


CELLS = (
    "import repro_track as rt\nimport asyncio",
    "before = 1\nraise ValueError('planted')\nbefore = 2",
    "%matplotlib inline\n!echo from the shell > made.txt\nmade = !cat made.txt\n%pip install --no-such-option",
    "async def choose():\n    await asyncio.sleep(0)\n    return 5\nseed = await choose()\nseed",
    "waiting = asyncio.create_task(choose())\nseed = nope",
    "display(made)\nassert (_, Out[4], await waiting) == (5, 5, 5)",
    "import helper\nfrom diffusers import DDIMPipeline\npipe = DDIMPipeline.from_pretrained('model')\neta = 1.0",
    "with rt.track(experiment='restore', seed=4) as run:\n    run(pipe, num_inference_stepss=2)",
    "eta = before * helper.ETA",
    "%%time\nwith rt.track(experiment='restore', seed=seed) as run:\n"
    "    run(pipe, eta=eta, num_inference_steps=2, output_type='np')",
    "print(run.run_id)",
)


def test_a_notebook_comes_back_as_it_was_run(project, replay, read_record):
    """A notebook in a repository, run in a real kernel with magics, commands, `await`, cells that failed and a block
    that did, replays with the recorded module, which has changed since, and not with the present one. What is left out
    is said when it is recorded, what runs again before it does."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    options = {"allow_errors": True, "resources": {"metadata": {"path": str(project.root)}}}
    NotebookClient(notebook, timeout=120, **options).execute()
    run_id = notebook.cells[-1]["outputs"][-1]["text"].split()[-1]
    record = read_record(run_id)
    assert (record.command.kind, record.replayable.yes) == ("notebook", True), record.replayable.reasons
    assert [one.partition(":")[0] for one in record.cautions] == [
        "cell 2 failed (ValueError)",
        "cell 3 changes what is installed (%pip install --no-such-option)",
        "cell 5 failed (NameError)",
        "cell 8 failed (UsageError)",
    ]
    (project.root / "helper.py").write_text("ETA = 1.0\n")
    project.commit("another eta")
    result, data = replay(run_id)
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err
    assert "runs again: cell 3: !echo from the shell > made.txt" in result.err
    assert replay(run_id, "--code", "current")[1]["verdict"] == "diverged"


def test_a_link_to_the_repository_does_not_lead_to_the_present_code(project, python, replay, tmp_path):
    """A run that was started by way of a symbolic link to the repository replays in the restored source all the
    same."""
    (tmp_path / "link").symlink_to(project.root)
    run = python(tmp_path / "link" / "script.py", cwd=tmp_path / "link")
    assert run.code == 0, run.err
    (project.root / "helper.py").write_text("ETA = 1.0\n")
    project.commit("another eta")
    result, data = replay(run.run_id)
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err


def test_what_cannot_come_back_is_said_when_it_is_recorded(project, python, read_record):
    """A repository inside the tree that git cannot read makes a run not replayable at once, with the reason in the
    record and on the terminal; the same tree with a change that git hides is replayable."""
    helper = project.root / "helper.py"
    project.git("update-index", "--assume-unchanged", "helper.py")
    helper.write_text("ETA = 0.9  # git status does not show this\n")
    project.git("clone", "--quiet", str(project.root), "vendor")
    index = project.root / "vendor" / ".git" / "index"
    content = index.read_bytes()
    index.write_bytes(b"garbage")
    run = python("script.py", cwd=project.root)
    recorded = read_record(run.run_id)
    assert not recorded.replayable.yes
    assert "vendor" in recorded.replayable.reasons[0]
    assert f"cannot be replayed: {recorded.replayable.reasons[0]}" in run.err
    index.write_bytes(content)
    run = python("script.py", cwd=project.root)
    assert read_record(run.run_id).replayable.yes
    assert "cannot be replayed" not in run.err


def test_a_tree_as_people_have_them_comes_back(project, record, replay, read_record, tmp_path):
    """In one tree that git itself refuses to read, because it belongs to somebody else: a submodule with changes, a
    clone beside it, a file that a filter has changed, an ignored module, an ignored config file. All of it has changed
    since, but the ignored config file, which was not kept, and the replay is bit-exact; nothing that the repository's
    config names was started."""
    root, canary = project.root, tmp_path / "canary"
    for name in ("library", "vendor"):
        other = Project(tmp_path / name)
        other.root.mkdir()
        other.git("init", "--quiet", "--initial-branch=main")
        (other.root / "value.py").write_text("ETA = 0.0\n")
        other.commit("value")
    project.git("submodule", "--quiet", "add", str(tmp_path / "library"), "a library")
    project.git("config", "filter.spy.clean", f"sh -c \"touch '{canary}'; tr 1 9\"")
    project.git("config", "filter.spy.smudge", f"sh -c \"touch '{canary}'; tr 9 1\"")
    (root / ".gitattributes").write_text("*.num filter=spy\n")
    with (root / ".gitignore").open("a") as file:
        file.write("private.py\n*.local.yaml\n")
    (root / "a.num").write_text("0.1\n")
    (root / "helper.py").write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "sys.path[:0] = [str(Path(__file__).parent / name) for name in ('a library', 'vendor')]\n"
        "import private, value, other_value\n"
        "eta = [Path(__file__).with_name(name).read_text() for name in ('a.num', 'a.local.yaml')]\n"
        "ETA = sum(map(float, eta)) + private.ETA + value.ETA + other_value.ETA\n"
    )
    project.commit("a tree")
    project.git("clone", "--quiet", str(tmp_path / "vendor"), "vendor")
    (root / "vendor" / "other_value.py").write_text("ETA = 0.02\n")
    (root / "a library" / "value.py").write_text("ETA = 0.04\n")
    (root / "private.py").write_text("ETA = 0.2\n")
    (root / "a.local.yaml").write_text("0.3\n")
    canary.unlink()
    if os.getuid() == 0:
        for path in [root, *root.rglob("*")]:
            os.lchown(path, 12345, 12345)
    run_id = record()
    assert not canary.exists()
    recorded = read_record(run_id)
    assert recorded.replayable.yes, recorded.replayable.reasons
    assert recorded.calls[0].arguments["eta"] == pytest.approx(0.66)
    assert any("a.local.yaml" in caution for caution in recorded.cautions)
    for name in ("a.num", "private.py", "a library/value.py", "vendor/other_value.py"):
        (root / name).write_text("ETA = 1.0\n")
    result, data = replay(run_id)
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err
    assert not canary.exists()


def test_ignored_weights_are_found_from_the_restored_source(project, record, replay):
    """A model that git ignores stays where it is and is used from there: it need not be part of the source."""
    (project.root / ".gitignore").write_text("model\nwritten_by_the_run.txt\n__pycache__\n")
    project.git("rm", "--quiet", "-r", "--cached", "model")
    project.commit("the model is ignored")
    run_id = record()
    (project.root / "helper.py").write_text("ETA = 1.0\n")
    project.commit("another eta")
    result, data = replay(run_id)
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err


def test_a_script_outside_a_repository_comes_back_alone(python, cli, replay, saved_model, tmp_path):
    """Outside a repository the script itself comes back, and the module that it imports from its folder; the present
    ones are others."""
    folder = tmp_path / "loose"
    folder.mkdir()
    (folder / "script.py").write_text(SCRIPT)
    (folder / "helper.py").write_text(HELPER)
    shutil.copytree(saved_model, folder / "model")
    run = python("script.py", cwd=folder)
    assert run.code == 0, run.err
    (folder / "script.py").write_text(SCRIPT.replace("eta=helper.ETA", "eta=1.0"))
    result, data = replay(run.run_id)
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err
    assert replay(run.run_id, "--code", "current")[1]["verdict"] == "diverged"
    (folder / "helper.py").write_text("ETA = 1.0\n")
    assert replay(run.run_id)[1]["verdict"] == "bit-exact"


# --- packages -----------------------------------------------------------------------------------------------------


def make_flavour(folder, version, eta):
    """A package as a module system has it: one folder for each version, to be put into PYTHONPATH."""
    (folder / "flavour").mkdir(parents=True)
    (folder / "flavour" / "__init__.py").write_text(f'__version__ = "{version}"\nETA = {eta}\n')
    metadata = folder / f"flavour-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: flavour\nVersion: {version}\n")
    (metadata / "RECORD").write_text("flavour/__init__.py,,\n")
    return str(folder)


def test_the_verdict_on_an_upgrade_is_about_the_packages_that_ran(project, record, replay, tmp_path):
    """A package that is found by PYTHONPATH is the present one unless packages are restored: the replay names both
    versions and diverges; with the recorded one in its place it is bit-exact and names nothing. Where the code itself
    puts another version first, the plan cannot be kept: that is an error, no verdict."""
    one, two = make_flavour(tmp_path / "one", "1.0", 0.25), make_flavour(tmp_path / "two", "2.0", 1.0)
    insist = "import os, sys\nsys.path[:0] = filter(None, [os.environ.get('INSIST')])\n"
    (project.root / "script.py").write_text(insist + SCRIPT.replace("import helper", "import flavour as helper"))
    project.commit("uses a package")
    run_id = record(env={"PYTHONPATH": one})
    result, data = replay(run_id, env={"PYTHONPATH": two})
    assert (result.code, data["verdict"]) == (1, "diverged"), result.err
    (named,) = (each for each in data["differences"] if "flavour" in each["place"])
    assert (named["expected"], named["actual"]) == ("1.0", "2.0")
    result, data = replay(run_id, env={"PYTHONPATH": one})
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err
    assert not [each for each in data["differences"] if "flavour" in each["place"]]
    result, data = replay(run_id, env={"PYTHONPATH": one, "INSIST": two})
    assert (result.code, data) == (3, None)
    assert f"the replay ran with flavour 2.0, from {two}" in result.err
    assert "flavour 1.0, as planned" in result.err


PACKAGES = pytest.mark.xdist_group("packages")
"""Tests that share an older environment go to one worker: installing it and compiling its modules takes a minute."""


@pytest.fixture(scope="module")
def older_python(home):
    """A Python with the packages of this one, but diffusers 0.41.0: really installed, by uv."""
    from repro_track.capture.packages import capture_packages, copy_program, make_environment_plan, restore_environment

    packages = [
        package.model_copy(update={"version": "0.41.0"}) if package.name == "diffusers" else package
        for package in capture_packages()
    ]
    version = ".".join(map(str, sys.version_info[:3]))
    plan = make_environment_plan(version, packages)
    restore_environment(plan)
    return plan.interpreter, str(copy_program())


@PACKAGES
def test_packages_come_back(start, project, older_python, replay, cli, read_record):
    """A run made with diffusers 0.41.0 replays with exactly that, although another one is installed here; the second
    time it is there already. In the present packages the difference is named before anything runs, and weighed."""
    interpreter, program = older_python
    run = start(interpreter, "script.py", cwd=project.root, env={"PYTHONPATH": program})
    assert run.code == 0, run.err
    packages = {package.name: package.version for package in read_record(run.run_id).environment.packages}
    assert packages["diffusers"] == "0.41.0"
    result, data = replay(run.run_id, "--env", "restore")
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err
    replayed = {package.name: package.version for package in read_record(data["replay_run_id"]).environment.packages}
    assert replayed["diffusers"] == "0.41.0"
    assert "made before" in cli("replay", run.run_id, "--env", "restore", "--dry-run").err
    plan = json.loads(cli("replay", run.run_id, "--dry-run", "--json").out)
    assert plan["expected_verdict"] == "within-tolerance"
    assert "environment.packages.diffusers.version" in plan["because"]
    restored = json.loads(cli("replay", run.run_id, "--env", "restore", "--dry-run", "--json").out)
    assert restored["expected_verdict"] == "bit-exact"
    assert any("torch" in note for note in restored["packages"]["notes"])


def test_a_config_run_comes_back_in_recorded_packages(cli, digits_run, artifacts, tmp_path):
    """`repro-track run` replays in an environment that has another version of one package, by the present program."""
    data = json.loads((artifacts(digits_run.run_id) / "record.json").read_text())
    for package in data["environment"]["packages"]:
        if package["name"] == "filelock":
            package["version"] = "3.20.0"
    (tmp_path / "record.json").write_text(json.dumps(data))
    result = cli("replay", tmp_path / "record.json", "--trust", "--env", "restore", "--json")
    replayed = json.loads(result.out)
    assert result.code == 0, result.err
    assert replayed["outputs"][0]["verdict"] == "bit-exact"
    assert "environment.packages.filelock.version" not in json.dumps(replayed["differences"])
    result = cli("replay", tmp_path / "record.json", "--trust", "--json")
    assert "environment.packages.filelock.version" in json.dumps(json.loads(result.out)["differences"])


def test_a_package_that_is_nowhere_is_said(project, record, replay, home, cli, read_record):
    """A recorded package that no registry has ends with one message that names it, and leaves nothing half-made."""
    from repro_track.record.reading import render_record
    from repro_track.store import ledger

    run_id = record()
    recorded = ledger.recall(run_id)
    package = recorded.environment.packages[0].model_copy(
        update={"name": "repro-track-no-such-package", "version": "1"}
    )
    environment = recorded.environment.model_copy(update={"packages": (*recorded.environment.packages, package)})
    changed = recorded.model_copy(update={"environment": environment})
    folder = next((home / "artifacts").glob(f"*/{run_id}/artifacts"))

    path = folder / "record.json"
    path.write_text(render_record(changed))
    result = cli("replay", str(path), "--env", "restore", "--trust")
    assert result.code == 3
    assert "repro-track-no-such-package" in result.err
    assert "Traceback" not in result.err
    made = [one for one in (home / "environments").iterdir() if one.is_dir()]
    assert all((one / "repro_track.complete").exists() for one in made)


@PACKAGES
def test_explain_proves_that_a_release_is_the_cause(start, project, older_python, replay):
    """Code that behaves differently under another release of diffusers: of all differences between the two surroundings
    the release is proven to be the cause, by really installing the other one."""
    interpreter, program = older_python
    helper = "import diffusers\nETA = 0.0 if diffusers.__version__ == '0.41.0' else 0.5\n"
    (project.root / "helper.py").write_text(helper)
    project.commit("depends on the release")
    run = start(interpreter, "script.py", cwd=project.root, env={"PYTHONPATH": program})
    assert run.code == 0, run.err
    result, data = replay(run.run_id, "--explain", env={"OMP_SCHEDULE": "static"})
    assert (result.code, data["verdict"]) == (1, "diverged")
    assert data["explanation"]["proven"] == ["env:diffusers"]
    assert "0.41.0" in data["explanation"]["text"]


@PACKAGES
def test_a_machine_that_has_never_seen_the_project(start, cli, project, older_python, tmp_path):
    """The run's id and the store's address are enough: without the clone, the packages or anything of ours, the run is
    first shown and refused, and with consent comes back bit-exactly, code from its remote, packages from the
    registry."""
    interpreter, program = older_python
    remote = tmp_path / "remote.git"
    project.git("clone", "--quiet", "--bare", str(project.root), str(remote))
    project.git("remote", "add", "origin", str(remote))
    (project.root / "helper.py").write_text("ETA = 0.25  # not committed\n")
    server = Server(tmp_path)
    try:
        store = {"MLFLOW_TRACKING_URI": server.url}
        run = start(interpreter, "script.py", cwd=project.root, env={"PYTHONPATH": program, **store})
        assert run.code == 0, run.err
        shutil.rmtree(project.root)
        elsewhere = {"REPRO_TRACK_HOME": str(tmp_path / "another home"), **store}
        refused = cli("replay", run.run_id, "--env", "restore", env=elsewhere)
        assert refused.code == 4
        assert str(remote) in refused.err
        result = cli("replay", run.run_id, "--env", "restore", "--trust", env=elsewhere)
        assert (result.code, result.out.strip()) == (0, "bit-exact"), result.err
    finally:
        server.stop()


def find_another_python() -> Path | None:
    """Find a Python of another minor version on this machine."""
    places = [*Path("/root/.pyenv/versions").glob("3.1*/bin"), *map(Path, os.environ["PATH"].split(os.pathsep))]
    for place in places:
        for name in ("python3.12", "python3.13"):
            if (place / name).is_file() and "shims" not in place.parts:
                return place / name
    return None


def test_another_interpreter_comes_back(home, start, monkeypatch):
    """An environment of another Python is made by uv with exactly that, and holds exactly what was asked for."""
    from repro_track.capture.packages import make_environment_plan, restore_environment
    from repro_track.errors import ReplayError
    from repro_track.record.schema import Package

    other = find_another_python()
    if other is None:
        pytest.skip("no Python 3.12 or 3.13 on this machine, and uv cannot download one without a network")
    monkeypatch.setenv("PATH", f"{other.parent}{os.pathsep}{os.environ['PATH']}")
    version = start(other, "-c", "import platform; print(platform.python_version())").out.strip()
    package = Package(name="filelock", version="3.20.0")
    plan = make_environment_plan(version, [package])
    restore_environment(plan)
    code = "import platform, filelock; print(platform.python_version(), filelock.__version__)"
    assert start(plan.interpreter, "-c", code).out.split() == [version, "3.20.0"]
    nowhere = make_environment_plan("3.9.999", [package])
    with pytest.raises(ReplayError, match=r"3\.9\.999"):
        restore_environment(nowhere)


# --- weights ------------------------------------------------------------------------------------------------------


def change_by_one_ulp(path: Path, name: str) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(path)
    flat = weights[name].view(-1)
    flat[0] = torch.nextafter(flat[0], torch.tensor(torch.inf))
    save_file(weights, path, metadata={"format": "pt"})


def test_one_weight_by_one_ulp_is_refused_and_its_module_named(project, record, replay, cli):
    """One weight of the clone changed by one unit in the last place: the present code is refused with both digests;
    with it, `--localize` names exactly the module; the recorded source still has the recorded weights."""
    run_id = record()
    path = project.root / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    change_by_one_ulp(path, "down_blocks.0.resnets.0.conv1.weight")
    result = cli("replay", run_id, "--code", "current")
    assert result.code == 3
    assert "not the recorded ones" in result.err
    assert "sha256" in result.err
    assert replay(run_id)[1]["verdict"] == "bit-exact"
    result, data = replay(run_id, "--code", "current", "--weights", "current", "--localize")
    assert result.code == 1
    assert data["location"]["module"] == "unet.down_blocks.0.resnets.0.conv1"
    assert data["location"]["is_exact"]
    assert data["location"]["step"] == 0


def test_missing_weights_are_refused_before_the_run(cli, saved_model, tmp_path, replay):
    """A weight file that is gone is refused with the digest wanted; one that was moved is found by its digest."""
    model = tmp_path / "model"
    shutil.copytree(saved_model, model)
    change_by_one_ulp(model / "unet" / "diffusion_pytorch_model.safetensors", "conv_out.bias")  # as no other test's
    run = cli(
        "run",
        "pipeline=local",
        f"pipeline.path={model}",
        "+call.num_inference_steps=2",
        "call.output_type=np",
        "seed=1",
    )
    assert run.code == 0, run.err
    moved = tmp_path / "moved"
    model.rename(moved)
    result = cli("replay", run.run_id)
    assert result.code == 3
    assert "the file is not there" in result.err
    # once the program has seen the moved folder, it finds the weights there
    seen = cli("run", "pipeline=local", f"pipeline.path={moved}", "+call.num_inference_steps=2", "call.output_type=np")
    assert seen.code == 0, seen.err
    result, data = replay(run.run_id)
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err


def test_a_pipeline_of_the_hub_comes_back_at_its_commit(cli, replay, saved_model, tmp_path):
    """The Hub's branch has moved to other weights since: the replay loads the recorded commit; with the present weights
    it does not come out the same. On a cache folder of our own, as the Hub's library lays it out."""
    from repro_track.tensors.digests import digest_file

    cache = tmp_path / "hub"
    repository = cache / "models--someone--tiny"

    def publish(commit, source):
        snapshot = repository / "snapshots" / commit
        for file in source.rglob("*"):
            if file.is_file():
                link = snapshot / file.relative_to(source)
                blob = repository / "blobs" / digest_file(file)
                for folder in (link.parent, blob.parent):
                    folder.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, blob)
                link.symlink_to(blob)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / "main").write_text(commit)

    publish("a" * 40, saved_model)
    words = (
        "pipeline=hub",
        "pipeline.repo_id=someone/tiny",
        "call.num_inference_steps=2",
        "call.output_type=np",
        "seed=1",
    )
    run = cli("run", *words, env={"HF_HUB_CACHE": str(cache)})
    assert run.code == 0, run.err
    moved = tmp_path / "moved"
    shutil.copytree(saved_model, moved)
    path = moved / "unet" / "diffusion_pytorch_model.safetensors"
    for name in ("conv_out.bias", "conv_in.weight", "conv_in.bias"):
        change_by_one_ulp(path, name)
    publish("b" * 40, moved)
    result, data = replay(run.run_id, env={"HF_HUB_CACHE": str(cache)})
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err
    result, data = replay(run.run_id, "--weights", "current", env={"HF_HUB_CACHE": str(cache)})
    assert "weights" in [one["kind"] for one in data["differences"]]


# --- numerics -----------------------------------------------------------------------------------------------------


def test_a_run_of_a_lesser_processor_is_held_down_to_its_instruction_set(cli, home, artifacts):
    """The record of a machine without AVX-512 replays bit-exactly on one that has it, because its kernels are held
    down; with the present numerics it runs on AVX-512."""
    import torch

    from repro_track.record.reading import parse_record, render_record

    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        pytest.skip("this machine has no AVX-512: there is nothing to hold down")
    caps = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    run = cli("run", "seed=5", "call.num_inference_steps=4", env=caps)
    assert run.code == 0, run.err
    path = artifacts(run.run_id) / "record.json"
    data = json.loads(path.read_text())
    assert data["numerics"]["state"]["cpu_capability"] == "AVX2"
    for name in caps:  # as the other machine would have recorded it: nothing capped it
        data["environment"]["variables"][name] = None
    data["environment"]["machine"]["cpu_isa"] = ["avx", "avx2", "fma"]
    path.write_text(render_record(parse_record(json.dumps(data), origin="changed")))
    result = cli("replay", path, "--json", "--trust")
    replayed = json.loads(result.out)
    assert (result.code, replayed["verdict"]) == (0, "bit-exact"), result.err
    assert "held down" in result.err
    result = cli("replay", path, "--json", "--trust", "--numerics", "current")
    assert "numerics.state.cpu_capability" in json.dumps(json.loads(result.out)["differences"])


def test_another_thread_count_comes_back(cli, python, project, replay):
    """A run of two threads replays bit-exactly although this process would have one."""
    run = python("script.py", cwd=project.root, env={"OMP_NUM_THREADS": "2"})
    assert run.code == 0, run.err
    result, data = replay(run.run_id, env={"OMP_NUM_THREADS": "1"})
    assert (result.code, data["verdict"]) == (0, "bit-exact"), result.err
    result, data = replay(run.run_id, "--numerics", "current", env={"OMP_NUM_THREADS": "1"})
    assert "numerics.state.num_threads" in json.dumps(data["differences"])
    assert "OMP_NUM_THREADS" in result.err


# --- causes -------------------------------------------------------------------------------------------------------


def test_explain_finds_a_planted_cause_among_ten(cli, digits_run):
    """Of ten differences nine change nothing and one does: it is proven, alone, in at most twelve trials, and every
    trial is a run of its own under the replay's."""
    planted = {"ATEN_CPU_CAPABILITY": "default"}
    harmless = {
        "PYTHONHASHSEED": "3",
        "MKL_DYNAMIC": "FALSE",
        "OMP_DYNAMIC": "FALSE",
        "OMP_SCHEDULE": "static",
        "KMP_DETERMINISTIC_REDUCTION": "1",
        "GLIBC_TUNABLES": "glibc.malloc.check=0",
        "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",
        "CUDA_LAUNCH_BLOCKING": "1",
        "NVIDIA_TF32_OVERRIDE": "0",
    }
    words = ("--numerics", "current", "--explain", "--json")
    result = cli("replay", digits_run.run_id, *words, env={**harmless, **planted})
    data = json.loads(result.out)
    explanation = data["explanation"]
    assert result.code == 1
    assert explanation["proven"] == ["numerics:isa"]
    assert explanation["is_minimal"]
    assert len(explanation["possible"]) >= 9
    assert len(explanation["trials"]) <= 12
    assert all(trial["run_id"] for trial in explanation["trials"])
    shown = cli("show", explanation["trials"][0]["run_id"])
    assert shown.code == 0
    # the twin: the harmless nine alone change nothing, and there is nothing to explain
    result = cli("replay", digits_run.run_id, *words, env=harmless)
    assert result.code == 0
    assert "explanation" not in json.loads(result.out)


def test_explain_names_a_scheduler_setting(project, record, replay):
    """One setting of the model's scheduler changed in the clone: restoring the recorded scheduler alone is proven to
    turn the verdict."""
    (project.root / ".gitignore").write_text("model\nwritten_by_the_run.txt\n__pycache__\n")
    project.git("rm", "--quiet", "-r", "--cached", "model")
    project.commit("the model is ignored")
    run_id = record()
    path = project.root / "model" / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "clip_sample_range": 0.5}))
    result, data = replay(run_id, "--explain")
    assert result.code == 1
    assert data["explanation"]["proven"] == ["pipeline:scheduler"]
    assert "clip_sample_range" in json.dumps(data["differences"])
    assert "proven cause" in result.err


def test_explain_says_when_nothing_can_be_proven(project, record, replay):
    """Weights that were changed for good cannot be restored: with all else restored the run still falls short, and the
    weights stay a possible cause."""
    (project.root / ".gitignore").write_text("model\nwritten_by_the_run.txt\n__pycache__\n")
    project.git("rm", "--quiet", "-r", "--cached", "model")
    project.commit("the model is ignored")
    run_id = record()
    change_by_one_ulp(project.root / "model" / "unet" / "diffusion_pytorch_model.safetensors", "conv_out.bias")
    result, data = replay(run_id, "--weights", "current", "--explain")
    assert result.code == 1
    assert data["explanation"]["proven"] == []
    assert "weights" in data["explanation"]["possible"]


UNSTABLE = SCRIPT.replace(
    'pipe = DDIMPipeline.from_pretrained("model")\n',
    """pipe = DDIMPipeline.from_pretrained("model")
counter = Path(sys.argv[1])
number = int(counter.read_text()) if counter.exists() else 0
counter.write_text(str(number + 1))
if number % 2:  # every second process takes the other mode
    pipe.unet.mid_block.register_forward_hook(lambda module, inputs, output: output + 1e-3)
""",
)


def test_times_counts_two_modes(project, record, replay, tmp_path):
    """A module that has two modes gives two outcomes, each with its share, and the recorded one is among them; the
    stable twin has one."""
    stable = record()
    result, data = replay(stable, "--times", "2")
    assert result.code == 0
    assert [one["share"] for one in data["stability"]["outcomes"]] == [1.0]
    (project.root / "script.py").write_text(UNSTABLE)
    project.commit("unstable")
    run_id = record(str(tmp_path / "counter"))
    result, data = replay(run_id, "--times", "2")
    assert result.code == 1
    outcomes = data["stability"]["outcomes"]
    assert [one["share"] for one in outcomes] == [0.5, 0.5]
    assert sorted(one["is_recorded"] for one in outcomes) == [False, True]


LEAKY = SCRIPT.replace(
    'pipe = DDIMPipeline.from_pretrained("model")\n',
    """pipe = DDIMPipeline.from_pretrained("model")
calls = []
def drift(module, inputs, output):
    calls.append(1)
    return output + 1e-3 * (len(calls) > 2)  # two steps a call: the second call is another
pipe.unet.mid_block.register_forward_hook(drift)
""",
)


def test_twice_finds_what_a_call_leaves_behind(project, record, replay):
    """A module that remembers its calls gives other bits in a second call of the same process, and the block is named;
    the run without it is clean."""
    result, data = replay(record(), "--twice")
    assert result.code == 0
    assert data["leak"]["is_clean"]
    (project.root / "script.py").write_text(LEAKY)
    project.commit("leaky")
    result, data = replay(record(), "--twice")
    assert data["verdict"] == "bit-exact"
    assert result.code == 1
    assert not data["leak"]["is_clean"]
    assert "unet.mid_block" in data["leak"]["text"]


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_the_plan_is_made_in_seconds_and_writes_nothing(project, record, cli, home):
    """A dry run says what will be restored and what to expect, and leaves no folder, no run and no child behind."""
    run_id = record()
    (project.root / "helper.py").write_text("ETA = 1.0\n")
    project.commit("another eta")
    before = (
        project.state(),
        list_names(home / "artifacts"),
        list_names(home / "replays"),
    )
    result = cli("replay", run_id, "--dry-run", "--json")
    plan = json.loads(result.out)
    assert result.code == 0
    assert plan["code"]["origin"] == "clone"
    assert plan["expected_verdict"] == "bit-exact"
    assert any(one["place"] == "source.commit" for one in plan["restored"])
    assert before == (project.state(), list_names(home / "artifacts"), list_names(home / "replays"))
    shown = cli("replay", run_id, "--dry-run")
    assert "commit" in shown.err
    assert "bit-exact at best" in shown.err


def test_an_interrupted_search_keeps_what_is_done(digits_run, home, cli):
    """Ctrl-C in the middle of many runs: exit code 130, the first replay is logged with its verdict, and no folder and
    no process is left."""
    program = Path(sys.executable).parent / "repro-track"
    words = [program, "replay", digits_run.run_id, "--times", "50"]
    variables = {**os.environ, "PYTHONUNBUFFERED": "1"}

    def allow_interrupts():  # a shell's background jobs ignore it
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        words, env=variables, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=allow_interrupts
    ) as process:
        for line in process.stderr:
            if line.startswith("bit-exact"):
                break
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in rest
    assert "Traceback" not in rest
    assert not list_names(home / "replays")
    newest = max((home / "artifacts").glob("*/*/artifacts/comparison.json"), key=lambda path: path.stat().st_mtime)
    assert json.loads(newest.read_text())["verdict"] == "bit-exact"
