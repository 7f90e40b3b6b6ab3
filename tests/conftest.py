"""What the tests share: a home of their own, the real command line, tiny pipelines, shared runs.

Runs cost seconds of imports, so one run serves many tests. torch gets one thread: two are slower on tiny models.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from servers import Postgres, Server, find_free_port, wait_for

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", MLFLOW_DISABLE_TELEMETRY="true")
for name in ("MLFLOW_TRACKING_URI", "REPRO_TRACK_REPLAY", "CUBLAS_WORKSPACE_CONFIG", "PYTHONHASHSEED"):
    os.environ.pop(name, None)

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


def make_tiny_pipeline():
    """A DDIM pipeline with a UNet of random weights, 8x8 pixels, three channels: the one of diffusers' own tests."""
    import torch
    from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

    torch.manual_seed(0)
    unet = UNet2DModel(
        block_out_channels=(4, 8),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=8,
        in_channels=3,
        out_channels=3,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    pipe = DDIMPipeline(unet=unet, scheduler=DDIMScheduler())
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def tiny_pipeline():
    """A fresh tiny pipeline."""
    return make_tiny_pipeline()


@pytest.fixture(scope="session")
def make_record(home, digits_run, artifacts):
    """Make a record that differs from the shared run's in the given places: `{"seeds.root": 4}`."""
    from repro_track.record.reading import parse_record

    text = (artifacts(digits_run.run_id) / "record.json").read_text()

    def make(changes=None):
        data = json.loads(text)
        for place, value in (changes or {}).items():
            *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]
            node = data
            for part in path:
                node = node[part]
            node[last] = value
        return parse_record(json.dumps(data), origin="a changed record")

    return make


# --- looking things up: stores of a module's own, real servers, a real browser -----------------------------------------------------------------


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    """A home, and so an embedded store, of the module's own."""
    return {"REPRO_TRACK_HOME": str(tmp_path_factory.mktemp("home"))}


@pytest.fixture(scope="module")
def client(env):
    """MLflow's own client on the module's store."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{env['REPRO_TRACK_HOME']}/mlflow.db")


SCREENSHOTS = Path(__file__).parents[1] / "test-output" / "screenshots"
PASSWORD = "a long passphrase for tests 1"


@pytest.fixture(scope="session")
def postgres():
    """A real PostgreSQL."""
    running = Postgres()
    yield running
    running.stop()


@dataclass(frozen=True)
class Place:
    """A store to look things up in: what commands need to use it, and where its UI is."""

    name: str
    env: dict
    url: str
    credentials: dict | None = None


_PLACES = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("embedded", "server")]


@pytest.fixture(scope="session", params=_PLACES)
def place(request, tmp_path_factory):
    """A store with its UI: `repro-track ui` on the embedded one, `mlflow server` on PostgreSQL with proxy and auth."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        port = find_free_port()
        env = {"REPRO_TRACK_HOME": str(folder)}
        program = Path(sys.executable).parent / "repro-track"
        process = subprocess.Popen(
            [program, "ui", "--port", str(port)], env={**os.environ, **env}, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        wait_for(url)
        yield Place("embedded", env, url)
        process.terminate()
        process.wait()
        return
    postgres = request.getfixturevalue("postgres")
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {postgres.make_database('auth')}\nadmin_username = admin\n"
        f"admin_password = {PASSWORD}\nauthorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    server = Server(
        folder,
        database=postgres.make_database("runs"),
        words=["--app-name", "basic-auth"],
        env={"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "for tests"},
    )
    env = {
        "REPRO_TRACK_HOME": str(folder / "home"),
        "MLFLOW_TRACKING_URI": server.url,
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": PASSWORD,
    }
    yield Place("server", env, server.url, {"username": "admin", "password": PASSWORD})
    server.stop()


def find_browser():
    """Find a Chromium; null: Playwright's own, if it was installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser():
    """A real headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def page(browser, place):
    """A page of MLflow's UI; `page.open(PATH)` goes there, `page.keep(NAME)` keeps a screenshot as test output."""
    context = browser.new_context(viewport={"width": 1700, "height": 950}, http_credentials=place.credentials)
    shown = context.new_page()
    shown.set_default_timeout(30_000)

    def open_path(path):
        shown.goto(f"{place.url}/#/{path}")
        close = shown.locator('[data-component-id="mlflow.assistant.chat_panel.close"]')
        close.wait_for()
        close.click()
        return shown

    def keep(name):
        folder = SCREENSHOTS / place.name
        folder.mkdir(parents=True, exist_ok=True)
        shown.wait_for_timeout(700)  # until what fades in has done so
        shown.screenshot(path=folder / f"{name}.png")

    shown.open, shown.keep = open_path, keep
    yield shown
    context.close()
