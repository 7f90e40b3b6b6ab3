"""What the tests share: a home of their own, the real command line, tiny pipelines, shared runs.

Runs cost seconds of imports, so one run serves many tests. torch gets one thread: two are slower on tiny models.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from tests.models import make_tiny_pipeline

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", MLFLOW_DISABLE_TELEMETRY="true")
for name in ("MLFLOW_TRACKING_URI", "REPRO_TRACK_REPLAY", "CUBLAS_WORKSPACE_CONFIG", "PYTHONHASHSEED"):
    os.environ.pop(name, None)
for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # of the make that runs the tests: one that a test starts is its own
    os.environ.pop(name, None)

# the same examples every time, so that a change is to blame for a failure; REPRO_TRACK_EXAMPLES=2000 tries others
examples = os.environ.get("REPRO_TRACK_EXAMPLES")
settings.register_profile("repro_track", deadline=None, derandomize=not examples, max_examples=int(examples or 100))
settings.load_profile("repro_track")

RECORDS = Path(__file__).parent / "data" / "records"
FAST = ("call.num_inference_steps=4",)


@dataclass(frozen=True)
class Result:
    """What a person sees of a command."""

    code: int
    out: str
    err: str

    @property
    def run_id(self) -> str:
        return self.out.split()[-1]


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory) -> Path:
    """A REPRO_TRACK_HOME for the whole session: the store of every test that does not bring its own."""
    folder = tmp_path_factory.mktemp("home")
    os.environ["REPRO_TRACK_HOME"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def start(home, tmp_path_factory):
    """Run a program to its end, in an empty folder unless the test says where."""

    def start(*words, cwd=None, env=None, timeout=180) -> Result:
        variables = {**os.environ, **(env or {})}
        variables = {name: value for name, value in variables.items() if value is not None}
        done = subprocess.run(
            [str(word) for word in words],
            cwd=cwd or tmp_path_factory.mktemp("cwd"),
            env=variables,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return start


@pytest.fixture(scope="session")
def cli(start):
    """Run repro-track as a person would."""
    program = Path(sys.executable).parent / "repro-track"
    return lambda *words, **options: start(program, *words, **options)


@pytest.fixture(scope="session")
def python(start):
    """Run a Python script as a person would."""
    return lambda *words, **options: start(sys.executable, *words, **options)


@pytest.fixture(scope="session")
def digits_run(cli) -> Result:
    """One run of the embedded digits: two images, four steps, seed 3."""
    result = cli("run", "seed=3", "num_images=2", *FAST)
    assert result.code == 0, result.err
    return result


@pytest.fixture(scope="session")
def read_record(cli):
    """Read the record of a logged run."""
    from repro_track.record.reading import parse_record

    def read(run_id: str, **options):
        shown = cli("show", run_id, "--json", **options)
        assert shown.code == 0, shown.err
        return parse_record(shown.out, origin=run_id)

    return read


@pytest.fixture(scope="session")
def artifacts(home):
    """Find the artifact folder of a run in the embedded store."""

    def find(run_id: str) -> Path:
        return next((home / "artifacts").glob(f"*/{run_id}/artifacts"))

    return find


@pytest.fixture
def git(tmp_path):
    """A real repository with one commit; call it with git's words."""
    root = tmp_path / "repository"
    root.mkdir()

    def git(*words: str) -> str:
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *identity, *words], cwd=root, capture_output=True, text=True, check=True)
        return done.stdout

    git("init", "--quiet", "--initial-branch=main")
    (root / "kept.txt").write_text("one\n")
    git("add", "kept.txt")
    git("commit", "--quiet", "-m", "first")
    git.root = root
    return git


@pytest.fixture
def tiny_pipeline():
    """A fresh tiny pipeline."""
    return make_tiny_pipeline()


@pytest.fixture(scope="session")
def records() -> Path:
    """The folder of kept records, of every schema that was ever released."""
    return RECORDS


@pytest.fixture(scope="session")
def make_record():
    """Make a record that differs from a kept one in the given places: `{"seeds.root": 4}`.

    The kept one is `tests/data/records/OF.json`; by itself that of a run of the embedded digits: two images, four
    steps, seed 3, as `digits_run` makes it."""
    from repro_track.record.reading import parse_record

    texts = {path.stem: path.read_text(encoding="utf-8") for path in RECORDS.glob("*.json")}

    def make(changes=None, *, of="v3-digits"):
        data = json.loads(texts[of])
        for place, value in (changes or {}).items():
            *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]
            node = data
            for part in path:
                node = node[part]
            node[last] = value
        return parse_record(json.dumps(data), origin="a changed record")

    return make
