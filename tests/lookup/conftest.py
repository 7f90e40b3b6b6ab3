"""What the tests of looking up share: stores of a module's own, real servers, a real browser."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import Postgres, Server, find_free_port, wait_for


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    """A home, and so an embedded store, of the module's own."""
    return {"REPRO_TRACK_HOME": str(tmp_path_factory.mktemp("home"))}


@pytest.fixture(scope="module")
def client(env):
    """MLflow's own client on the module's store."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{env['REPRO_TRACK_HOME']}/mlflow.db")


SCREENSHOTS = Path(__file__).parents[2] / "test-output" / "screenshots"
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
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {postgres.make_database('auth')}\n"
        f"admin_username = admin\nadmin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
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
    """Find a Chromium; `None`: Playwright's own, if it was installed."""
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
