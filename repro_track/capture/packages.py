"""The installed packages: capture, and restore with uv.

Restoring builds a virtual environment of its own in the user's cache, and never touches the one that is in use. pip's
settings are read to find the same packages.
"""

from __future__ import annotations

import configparser
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from urllib.parse import unquote, urlsplit

from repro_track.capture.imported import find_import_folder, find_loaded_folder, read_module_version
from repro_track.config.locations import PIP_TO_UV, data_folder, replay_folder
from repro_track.errors import ReplayError
from repro_track.record.redaction import redact_text, redact_url
from repro_track.record.schema import Package
from repro_track.tensors.digests import digest_file, digest_many


def capture_packages(path: list[str] | None = None) -> tuple[Package, ...]:
    """Capture every installed distribution with its version and origin, sorted by name.

    Of several with one name it is the one that is imported: the one that the loaded module belongs to, else the first
    on the path. A module that was imported from a folder without metadata, in the place of an installed distribution,
    is listed with its own version and that folder as its origin.

    Args:
        path: where to look; `None`: where this interpreter does, and what is loaded in it counts.
    """
    found: dict[str, list[_Installed]] = {}
    for distribution in metadata.distributions() if path is None else metadata.distributions(path=path):
        one = _read_installed(distribution)
        if one.name:
            found.setdefault(one.name, []).append(one)
    return tuple(_choose_imported(found[name], path=path) for name in sorted(found))


@dataclass(frozen=True)
class _Installed:
    """An installed distribution, and the folder on the search path that its metadata lies in."""

    name: str
    version: str
    origin: str
    folder: Path
    metadata: metadata.Distribution

    def has_module(self, name: str) -> bool:
        """Whether a top-level module of this name is among its files; not known of one without a list of them."""
        listing = self.metadata.read_text("RECORD") or ""
        return f"\n{name}/" in f"\n{listing}" or f"\n{name}.py," in f"\n{listing}"

    def is_source_of(self, folder: Path) -> bool:
        """Whether what is imported from a folder is this one, which was installed as editable."""
        place = find_editable_folder(self.origin)
        return place is not None and folder.is_relative_to(Path(place).resolve())

    def to_package(self, imported_from: Path | None) -> Package:
        """Return it as a part of the record."""
        place = str(imported_from) if imported_from else None
        return Package(name=self.name, version=self.version, origin=self.origin, imported_from=place)


def _read_installed(distribution: metadata.Distribution) -> _Installed:
    name, version = _read_name_and_version(distribution)
    folder = Path(str(distribution.locate_file(""))).absolute().resolve()
    return _Installed(name, version, _read_origin(distribution), folder, distribution)


def _choose_imported(found: Sequence[_Installed], *, path: list[str] | None) -> Package:
    """Choose the one of several distributions of one name that is imported."""
    first, module = found[0], found[0].name.replace("-", "_")
    loaded = find_loaded_folder(module) if path is None else None
    folder = loaded or find_import_folder(module, path=path)
    if folder is None or first.name == PROGRAM:
        return _choose_first(found).to_package(loaded)
    beside = [one for one in found if one.folder == folder]
    if len(beside) > 1:  # installed over each other: the files are those of one
        version = read_module_version(folder, name=module)
        beside.sort(key=lambda one: one.version != version)
    if beside:
        return _choose_first(beside, among=found).to_package(loaded)
    for one in found:
        if one.is_source_of(folder) or folder.is_relative_to(one.folder):
            return one.to_package(loaded)
    replay = replay_folder()
    if replay is not None and folder.is_relative_to(replay.resolve()):  # restored source, in its installed version
        return _choose_first(found).to_package(loaded)
    if not any(one.has_module(module) for one in found):
        return first.to_package(None)  # somebody's module that only has the same name
    version = read_module_version(folder, name=module) or UNKNOWN_VERSION
    return Package(
        name=first.name,
        version=version,
        origin=f"editable {folder.as_uri()}",
        imported_from=str(loaded) if loaded else None,
    )


def _choose_first(found: Sequence[_Installed], *, among: Sequence[_Installed] = ()) -> _Installed:
    """Choose the first on the path. But an egg-info in a source tree knows no origin: then the one that installed this
    tree, which does."""
    first = found[0]
    if str(getattr(first.metadata, "_path", "")).endswith(".egg-info") and first.origin == "registry":
        return next((one for one in among or found if one.is_source_of(first.folder)), first)
    return first


def find_editable_folder(origin: str) -> str | None:
    """Return the folder of a package that was installed as editable, or imported from a folder without metadata.

    >>> find_editable_folder("editable file:///home/me/lib"), find_editable_folder("registry")
    ('/home/me/lib', None)
    """
    return unquote(urlsplit(origin.removeprefix("editable ")).path) if origin.startswith("editable file:") else None


def holds_packages(folder: Path) -> bool:
    """Whether installed packages lie in a folder of the search path, as those that `pip install --target` made."""
    return any(folder.glob("*.dist-info"))


def _read_name_and_version(distribution: metadata.Distribution) -> tuple[str, str]:
    """Read both from the folder's name where it has them: parsing 150 METADATA files costs 0.2 s."""
    folder = getattr(distribution, "_path", None)
    if folder is not None and str(folder).endswith(".dist-info"):
        name, _, version = Path(str(folder)).stem.partition("-")
        if version:
            return _normalize(name), version
    return _normalize(distribution.metadata["Name"] or ""), distribution.version


def _normalize(name: str) -> str:
    """Normalise a distribution's name as PEP 503 says."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _read_origin(distribution: metadata.Distribution) -> str:
    text = distribution.read_text("direct_url.json")
    if not text:
        return "registry"
    try:
        origin = json.loads(text)
    except ValueError:
        return "direct_url.json cannot be read"
    url = redact_url(origin.get("url", "?"))
    if commit := origin.get("vcs_info", {}).get("commit_id"):
        return f"{url}@{commit}"
    return f"editable {url}" if origin.get("dir_info", {}).get("editable") else url


def render_packages(packages: tuple[Package, ...]) -> str:
    """Render the packages in pip's freeze form, for people; origins other than a registry as comments."""
    lines = []
    for package in packages:
        note = "" if package.origin == "registry" else f"  # {package.origin}"
        lines.append(f"{package.name}=={package.version}{note}\n")
    return "".join(lines)


UNKNOWN_VERSION = "unknown"
"""That of a module which was imported from a folder without metadata, and has no version in its files."""

PROGRAM = "repro-track"
"""Our own distribution: a replay always runs the present program, in whatever packages."""

_TORCH_BUILD = re.compile(r"\+(cpu|cu\d+|rocm[\d.]+|xpu)$")


@dataclass(frozen=True)
class EnvironmentPlan:
    """How recorded packages come back: an environment in the cache, made by uv of exact versions, nothing resolved.

    `notes` name every package that is not simply a version of a registry, with what is done about it. `paths` are
    folders of packages that were installed as editable: they are put first on the child's import path.
    """

    python: str
    requirements: tuple[str, ...]
    torch_backend: str | None
    paths: tuple[str, ...]
    notes: tuple[str, ...]
    folder: str

    def is_made(self) -> bool:
        """Return whether the environment is in the cache, complete."""
        return (Path(self.folder) / _COMPLETE).is_file()

    @property
    def interpreter(self) -> str:
        """The Python of the environment."""
        return str(Path(self.folder) / "bin" / "python")


_COMPLETE = "repro_track.complete"


def make_environment_plan(
    python: str, packages: Iterable[Package], *, relocate: Callable[[str], str] = str
) -> EnvironmentPlan:
    """Plan an environment; nothing is written and no network is asked.

    Args:
        python: the interpreter's version, `3.11.7`.
        packages: what it shall hold.
        relocate: says where a folder will be: packages that were installed from inside the recorded repository are part
            of its source.
    """
    requirements, paths, notes = [], [], []
    backend = None
    for package in packages:
        if package.name == PROGRAM:
            notes.append(f"{PROGRAM} {package.version}: the present program is used")
            continue
        requirement, path, note = _plan_package(package, relocate=relocate)
        if requirement:
            requirements.append(requirement)
        if path:
            paths.append(path)
        if note:
            notes.append(note)
        if package.name == "torch" and (build := _TORCH_BUILD.search(package.version)):
            backend = build[1]
    key = digest_many([python, sysconfig.get_platform(), *requirements])
    folder = data_folder() / "environments" / key[:16]
    return EnvironmentPlan(python, tuple(requirements), backend, tuple(paths), tuple(notes), str(folder))


def _plan_package(package: Package, *, relocate: Callable[[str], str]) -> tuple[str | None, str | None, str | None]:
    """Return how one package comes back: what uv is to install, or the folder it is imported from; and what to tell.
    Each may be `None`."""
    exact = f"{package.name}=={package.version}"
    if package.origin == "registry":
        build = _TORCH_BUILD.search(package.version)
        note = f"{exact}: the {build[1]} build, from where pip finds it or PyTorch's own index" if build else None
        return exact, None, note
    origin = package.origin.removeprefix("editable ")
    url = urlsplit(origin)
    if re.search(r"@[0-9a-f]{40}$", origin):
        return f"{package.name} @ git+{origin.removeprefix('git+')}", None, f"{exact}: from {origin}"
    if url.scheme != "file":
        return f"{package.name} @ {origin}", None, f"{exact}: from {origin}"
    place = Path(unquote(url.path))
    if place.suffix == ".whl" or place.name.endswith(".tar.gz"):
        if place.is_file():
            return f"{package.name} @ {place.as_uri()}", None, f"{exact}: from the file {place}"
        return exact, None, f"{exact}: its file {place} is not there, a registry's build is used"
    moved = Path(relocate(str(place)))
    where = "as it is now" if moved == place else "as restored"
    if moved == place and not place.is_dir():
        raise ReplayError(
            f"{exact} was installed from the folder {place}, which is not there",
            expected="the folder of a package that was installed locally",
            advice="bring it back, or replay in the present packages: --env current",
        )
    if package.origin.startswith("editable "):
        return None, str(moved), f"{exact}: editable, from {moved} {where}"
    return f"{package.name} @ {moved.as_uri()}", None, f"{exact}: built from {moved} {where}"


def list_editable_paths(packages: Iterable[Package], *, relocate: Callable[[str], str]) -> tuple[str, ...]:
    """List the folders inside a restored source from which editable packages are to be imported instead of the
    clone."""
    places = [find_editable_folder(one.origin) for one in packages if one.name != PROGRAM]
    return tuple(moved for place in places if place and (moved := relocate(place)) != place)


def make_import_path(folders: Iterable[str]) -> list[str]:
    """Return what goes on PYTHONPATH for packages in these folders: `src` layouts are imported from `src`."""
    return [entry for folder in folders for entry in (str(Path(folder) / "src"), folder) if Path(entry).is_dir()]


def restore_environment(plan: EnvironmentPlan) -> None:
    """Make the environment if it is not there yet, and check that it holds exactly what was planned.

    Raises:
        ReplayError: uv cannot get the interpreter or a package, or what came out differs.
    """
    from filelock import FileLock

    folder = Path(plan.folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if plan.is_made():
            return
        shutil.rmtree(folder, ignore_errors=True)  # what a build that was interrupted left
        _make_venv(plan)
        listing = folder / "requirements.txt"
        listing.write_text("".join(f"{line}\n" for line in plan.requirements), encoding="utf-8")
        words = ["pip", "install", "--python", plan.interpreter, "--no-deps", "--requirements", str(listing)]
        done = _run_uv(*words)
        if done.returncode and plan.torch_backend:
            done = _run_uv(*words, "--torch-backend", plan.torch_backend)
        if done.returncode:
            shutil.rmtree(folder)
            raise ReplayError(
                f"uv cannot install the recorded packages: {_last_words(done)}",
                expected=f"{len(plan.requirements)} packages in the recorded versions",
                advice="check the registries and local files that they came from; "
                "--env current replays in the present packages",
            )
        _check_packages(plan)
        (folder / _COMPLETE).touch()


def _make_venv(plan: EnvironmentPlan) -> None:
    # the interpreter that this one is made of, where the version is the same: uv need not look for it
    base = getattr(sys, "_base_executable", None) or sys.executable
    wanted = base if plan.python == platform.python_version() else plan.python
    done = _run_uv("venv", "--no-project", "--python", wanted, plan.folder)
    if done.returncode and plan.python.split(".")[:2] == platform.python_version().split(".")[:2]:
        # another patch release of the same minor one: named among the differences of the run
        done = _run_uv("venv", "--no-project", "--python", base, plan.folder)
    if done.returncode:
        raise ReplayError(
            f"uv cannot get Python {plan.python}: {_last_words(done)}",
            expected="the recorded interpreter, installed here or to be had by uv",
            advice="install it, or replay in the present packages: --env current",
        )


def _run_uv(*words: str) -> subprocess.CompletedProcess[str]:
    import uv

    variables = {**os.environ, **read_pip_settings(), "NO_COLOR": "1"}
    variables.pop("VIRTUAL_ENV", None)
    return subprocess.run([uv.find_uv_bin(), *words], env=variables, capture_output=True, text=True, check=False)


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Return the first and the last reason that uv names: what it was about, and what was at the bottom of it."""
    lines = [line.strip(" ╰─▶│├×").removeprefix("error: ") for line in done.stderr.splitlines() if line.strip()]
    reasons = [line for line in lines if not line.startswith(("hint:", "Using ", "Creating "))]
    return redact_text("; ".join(dict.fromkeys([*reasons[:2], *reasons[-1:]]))[:400]) or f"code {done.returncode}"


def _check_packages(plan: EnvironmentPlan) -> None:
    """Check what is installed against what was planned, by name and version.

    Raises:
        ReplayError: a package is missing, or of another version.
    """
    site = next((Path(plan.folder) / "lib").glob("python*/site-packages"))
    present = {package.name: package.version for package in capture_packages([str(site)])}
    for requirement in plan.requirements:
        name, _, version = requirement.partition("==")
        if version and present.get(name) != version:
            raise ReplayError(f"the restored environment has {name} {present.get(name)}", expected=requirement)


def read_pip_settings() -> dict[str, str]:
    """Read where pip looks for packages, as uv's variables: uv ignores pip's settings.

    What is set for uv itself goes first.
    """
    found: dict[str, str] = {}
    files = [os.environ.get("PIP_CONFIG_FILE"), "/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf"]
    for name in filter(None, files):
        parser = configparser.RawConfigParser()
        try:
            parser.read(Path(name).expanduser(), encoding="utf-8")
        except (configparser.Error, OSError, UnicodeError):
            continue  # pip would say what is wrong with it
        found |= {key: parser["global"][key] for key in PIP_TO_UV if parser.has_option("global", key)}
    for key in PIP_TO_UV:
        if value := os.environ.get("PIP_" + key.upper().replace("-", "_")):
            found[key] = value
    return _to_uv(found)


def _to_uv(found: Mapping[str, str]) -> dict[str, str]:
    settings = {"UV_INDEX_STRATEGY": "unsafe-best-match"} if "extra-index-url" in found else {}
    for key, variable in PIP_TO_UV.items():
        values = [value for value in found.get(key, "").split() if not _is_missing_folder(value)]
        if values and variable not in os.environ:
            settings[variable] = (" " if key != "find-links" else ",").join(values)
    return settings


def _is_missing_folder(value: str) -> bool:
    """Return whether a value is the URL of a folder that is not there: pip passes over it, uv would end."""
    url = urlsplit(value)
    return url.scheme == "file" and not Path(unquote(url.path)).is_dir()


def copy_program() -> Path:
    """Copy the present program to the cache, for an environment that does not have it; return the folder to import
    from."""
    package = Path(str(resources.files("repro_track")))
    presets = Path(str(resources.files("repro_track.conf")))  # beside the package in a checkout, inside it in a wheel
    files = {f"repro_track/{path.relative_to(package)}": path for path in _list_files(package)}
    files |= {f"repro_track/conf/{path.relative_to(presets)}": path for path in _list_files(presets)}
    digest = digest_many(f"{name} {digest_file(path)}" for name, path in sorted(files.items()))
    target = data_folder() / "programs" / digest[:16]
    if not target.is_dir():
        partial = target.with_name(f"{target.name}.{os.getpid()}.part")
        for name, path in files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, partial / name)
        try:
            partial.rename(target)
        except OSError:  # another process was faster
            shutil.rmtree(partial)
    return target


def _list_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
