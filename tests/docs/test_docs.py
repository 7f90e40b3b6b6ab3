"""Promises of the documents: links lead somewhere, every public name is explained, and what is said twice or in the
code is said alike."""

import importlib.util
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import repro_track
from repro_track.cli import main
from repro_track.config.schema import RunConfig
from repro_track.report.text import MEANING

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}

pytestmark = pytest.mark.xdist_group("docs")


def build(folder):
    """Run what `make docs` runs, in a folder, with the programs of this environment."""
    words = ["make", "--dry-run", "--makefile", ROOT / "Makefile", f"BIN={Path(sys.executable).parent}"]
    recipe = subprocess.run(
        [*words, "--old-file", ".venv/.installed-dev", "docs"], capture_output=True, text=True, check=True, cwd=folder
    ).stdout
    assert "mkdocs build" in recipe
    return subprocess.run(["sh", "-ec", recipe], capture_output=True, text=True, timeout=120, cwd=folder)


def copy_sources(folder):
    """Copy everything that the site is made of."""
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
    for name in ("docs", "repro_track", "examples", ".github"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("mkdocs.yml", "setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def checkout(tmp_path):
    """A copy of everything that the site is made of, to be changed."""
    return copy_sources(tmp_path)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as it is."""
    folder = copy_sources(tmp_path_factory.mktemp("site"))
    built = build(folder)
    assert built.returncode == 0, built.stderr
    return folder / "build" / "site"


@pytest.fixture(scope="module")
def pypi():
    """The module `setup.py`, which makes the README what PyPI shows."""
    specification = importlib.util.spec_from_file_location("setup_of_repro_track", ROOT / "setup.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


# --- the site -----------------------------------------------------------------------------------------------------


def test_the_site_is_whole(site):
    """The site is built without a warning, and each public name has a place on it."""
    text = (site / "api.html").read_text(encoding="utf-8")
    assert {name for name in repro_track.__all__ if f'id="repro_track.{name}"' not in text} == {"__version__"}


def test_the_site_needs_nothing_from_elsewhere(site):
    """No page loads a script, a style, a font or a picture from another host."""
    loads = re.compile(
        r"<(?:script|img|source|iframe)[^>]+src=\"?(?:https?:)?//|<link[^>]+href=\"?(?:https?:)?//(?![^>]+canonical)"
    )
    assert [page.name for page in site.glob("*.html") if loads.search(page.read_text(encoding="utf-8"))] == []
    assert loads.search('<script src="https://host/mermaid.js">')


def test_a_link_that_leads_nowhere_ends_the_build(checkout):
    """A page, an anchor, a picture and a file outside of docs/ that are not there are each named, and the build
    fails."""
    page = checkout / "docs" / "promises.md"
    planted = "[a](planted_page.md) [b](commands.md#planted-anchor) ![c](pictures/planted.png) [d](../planted_file.py)"
    page.write_text(page.read_text(encoding="utf-8") + planted, encoding="utf-8")
    built = build(checkout)
    assert built.returncode != 0
    for name in ("planted_page.md", "planted-anchor", "planted.png", "planted_file.py"):
        assert name in built.stderr


def test_a_name_that_is_gone_ends_the_build(checkout):
    """A name on the API page that the package does not have fails the build."""
    page = checkout / "docs" / "api.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n::: repro_track.planted\n", encoding="utf-8")
    built = build(checkout)
    assert built.returncode != 0
    assert "repro_track.planted" in built.stderr


def test_a_missing_docstring_ends_the_build(checkout):
    """A public function of the package without docstring fails the build, by its name."""
    module = checkout / "repro_track" / "version.py"
    module.write_text(module.read_text(encoding="utf-8") + "\n\ndef planted():\n    return 1\n", encoding="utf-8")
    built = build(checkout)
    assert built.returncode != 0
    assert "D103" in built.stdout and "planted" in built.stdout


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("x = 1\n", "D100"),
        ('"""x"""\n\n\nclass A:\n    x = 1\n', "D101"),
        ('"""x"""\n\n\nclass A:\n    """A."""\n\n    def b(self):\n        return 1\n', "D102"),
        ('"""x"""\n\n\ndef a():\n    return 1\n', "D103"),
        ('"""x"""\n\n\ndef _a():\n    return 1\n', None),
    ],
)
def test_a_public_name_without_docstring_is_found(text, rule):
    """A module, class, method or function of the package without docstring fails the check; a private one does not."""
    words = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--output-format",
        "concise",
        "--stdin-filename",
        "repro_track/planted.py",
        "-",
    ]
    checked = subprocess.run(words, input=text, capture_output=True, text=True, cwd=ROOT)
    assert re.findall(r"\bD1\d\d\b", checked.stdout) == ([rule] if rule else [])


# --- the README ---------------------------------------------------------------------------------------------------


def list_targets(text):
    """List where the links and pictures of Markdown lead."""
    return re.findall(r"\]\(([^)\s]+)\)", text)


def test_the_readme_is_short_and_its_links_lead_somewhere():
    """The README has at most 130 lines, and each file that it links to is there."""
    assert len(README.splitlines()) <= 130
    targets = [target for target in list_targets(README) if not target.startswith("https:")]
    assert len(targets) > 10
    assert [target for target in targets if not (ROOT / target.partition("#")[0]).exists()] == []


def test_links_and_pictures_work_on_pypi(pypi):
    """What PyPI shows is the README with absolute links alone; pictures are linked as files, not as pages."""
    url = pypi.read_url()
    shown = pypi.render_description(README, url=url)
    assert [target for target in list_targets(shown) if not target.startswith("https://")] == []
    assert f"]({url}/raw/HEAD/docs/pictures/report.png)" in shown
    assert f"]({url}/blob/HEAD/docs/commands.md)" in shown
    assert re.sub(r"\]\([^)]*\)", "", shown) == re.sub(r"\]\([^)]*\)", "", README)


# --- what is said twice -------------------------------------------------------------------------------------------


def read_table(text, *, header):
    """Read the rows of the table with this header."""
    return re.findall(r"^\| `(.+?)` \| (.+?) \|$", text.partition(header)[2].partition("\n\n")[0], re.MULTILINE)


@pytest.mark.parametrize("text", [README, PAGES["replaying"]], ids=["README", "replaying"])
def test_verdicts_are_explained_as_the_program_does(text):
    """The verdicts, their order and their meaning are those that the program prints."""
    assert read_table(text, header="| verdict | means |") == list(MEANING.items())


def test_every_command_is_listed():
    """Each command of the program is on the page of the commands, and no other."""
    rows = read_table(PAGES["commands"], header="| command | does |")
    assert {words.split()[1] for words, _ in rows} == set(main.commands)


def test_every_config_key_is_listed():
    """Each key and group of a run's config is on the page of the commands, and no other."""
    section = PAGES["commands"].partition("## Config keys")[2].partition("## Sweeps")[0]
    cells = re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE)
    listed = {name.partition(".")[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    assert listed == {field.name for field in fields(RunConfig)} | {"experiment"}


def list_modules(text):
    """List the files that the page of the architecture describes, as paths in the package."""
    modules, folder = [], ""
    for line in text.partition("## Folders")[2].splitlines():
        if heading := re.match(r"### (?:`(\w+/)`)?", line):
            folder = heading[1] or ""
        elif item := re.match(r"- `(\w+\.py)`: ", line):
            modules.append(folder + item[1])
    return modules


def test_every_module_is_on_the_page_of_the_architecture():
    """Each module of the package has one line there, and no line is of a module that is gone."""
    package = ROOT / "repro_track"
    modules = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if path.name != "__init__.py"}
    assert sorted(list_modules(PAGES["architecture"])) == sorted(modules)
