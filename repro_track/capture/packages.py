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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from urllib.parse import unquote, urlsplit

from repro_track.config.locations import PIP_TO_UV, data_folder
from repro_track.errors import ReplayError
from repro_track.record.redaction import redact_text, redact_url
from repro_track.record.schema import Package
from repro_track.tensors.digests import digest_file, digest_many


def capture_packages(path: list[str] | None = None) -> tuple[Package, ...]:
    """Capture every installed distribution with its version and origin, sorted by name.

    Args:
        path: where to look; `None`: where this interpreter does.
    """
    packages: dict[str, Package] = {}
    for distribution in metadata.distributions() if path is None else metadata.distributions(path=path):
        name, version = _read_name_and_version(distribution)
        origin = _read_origin(distribution)
        # the first on the path is the one that is imported; but an egg-info in a source tree knows no origin
        if name and (name not in packages or (packages[name].origin == "registry" and origin != "registry")):
            packages[name] = Package(name=name, version=version, origin=origin)
    return tuple(packages[name] for name in sorted(packages))


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
    origins = (one.origin for one in packages if one.origin.startswith("editable file:") and one.name != PROGRAM)
    places = [unquote(urlsplit(origin.removeprefix("editable ")).path) for origin in origins]
    return tuple(moved for place in places if (moved := relocate(place)) != place)


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
