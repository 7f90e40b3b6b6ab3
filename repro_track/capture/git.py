"""Git, asked so that it only answers.

Git runs here and nowhere else, and what governs it is written here and nowhere else. A repository of the user's is only
*asked*, by a few commands that start no program whatever its config says. All else happens on a *bench*: a git
folder of our own with a config of our own, which reads the repository's objects. So no hook, filter, `textconv`,
fsmonitor, ssh command or fetch of a missing object that a repository's config names is ever started, neither when code
is captured nor when it is restored. It never asks for a password, never waits for ever, and never gives git a value
that could be read as an option.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from repro_track.errors import RefusedError, first_line
from repro_track.record.redaction import redact_url
from repro_track.record.schema import Known, Unavailable

CAPTURE_LIMIT_S = 120.0
"""Longer than this git may not take for what is captured."""
RESTORE_LIMIT_S = 3600.0
"""Longer than this no git command may take for what is restored."""

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
)
_UNCONVERTED = "* -text !eol !crlf !filter !ident !working-tree-encoding !diff !merge\n"
"""Attributes that turn every conversion off: what is on disk is what is hashed and written."""

_CONVERSION_RULES = ("autocrlf", "eol", "attributesfile", "checkroundtripencoding")
_STARTS_NOTHING = frozenset({"rev-parse", "symbolic-ref", "config", "check-attr", "check-ignore", "for-each-ref"})
"""The git commands that a repository of the user's is asked with. They read, and no setting makes them start a
program."""


@dataclass(frozen=True)
class Clone:
    """A repository of the user's, with a working tree.

    Attributes:
        root: the top folder of the working tree.
        folder: its git folder.
        common: the git folder that has the objects: another one in a `git worktree`.
        settings: those in force in it, by their names in lower case (a name in the middle as it is), in git's order.
    """

    root: Path
    folder: Path
    common: Path
    settings: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str | None:
        """Return the value of a setting; `None`: not set."""
        return next((value for key, value in reversed(self.settings) if key == name), None)

    @property
    def objects(self) -> Path:
        """The folder of its objects."""
        return self.common / "objects"


@dataclass(frozen=True)
class NoClone:
    """There is no repository that could be used, with the reason. `is_unreadable`: there is one all the same."""

    reason: str
    is_unreadable: bool = False


def find_clone(place: Path) -> Clone | NoClone:
    """Find the repository in whose working tree a place is, or say why there is none that can be read.

    No program but `git config` is started. `GIT_DIR` and `GIT_WORK_TREE` count where no folder above has a repository:
    a git that called us has set them for itself.
    """
    try:
        import git
    except ImportError as error:  # GitPython raises it when there is no git program
        return NoClone(f"git cannot be used: {first_line(error)}", is_unreadable=_has_git_folder(place))
    try:
        found = git.Repo(place, search_parent_directories=True, expand_vars=False)
    except (git.InvalidGitRepositoryError, git.NoSuchPathError):
        if _has_git_folder(place):
            return NoClone(f"the git folder above {place} is damaged", is_unreadable=True)
        return _find_clone_by_variables(place)
    except Exception as error:  # a damaged repository: whatever it does to the library, the run goes on
        return NoClone(f"the repository of {place} cannot be read: {first_line(error)}", is_unreadable=True)
    with found:
        return _make_clone(found, place=place)


def _has_git_folder(place: Path) -> bool:
    found = next((path / ".git" for path in (place, *place.parents) if os.path.lexists(path / ".git")), None)
    return found is not None and (not found.is_dir() or any(found.iterdir()))


def _find_clone_by_variables(place: Path) -> Clone | NoClone:
    folder, root = os.environ.get("GIT_DIR"), os.environ.get("GIT_WORK_TREE")
    if folder and root and Path(folder).is_dir() and place.resolve().is_relative_to(Path(root).resolve()):
        git_folder = Path(folder).absolute()
        return _read_settings(Clone(Path(root).absolute(), git_folder, _find_common(git_folder)))
    return NoClone(f"{place} is not in a git repository")


def _make_clone(found, *, place: Path) -> Clone | NoClone:
    folder = Path(found.git_dir).absolute()
    if place.resolve().is_relative_to(folder.resolve()):
        return NoClone(f"{place} is inside of the git folder {folder}, not in a working tree")
    if found.bare or found.working_tree_dir is None:
        return NoClone(f"{folder} is a bare repository: it has no working tree")
    clone = _read_settings(Clone(Path(found.working_tree_dir).absolute(), folder, _find_common(folder)))
    elsewhere = clone.get("core.worktree") if isinstance(clone, Clone) else None
    if elsewhere and (folder / elsewhere).resolve() != Path(found.working_tree_dir).resolve():
        return NoClone(f"the working tree of {folder} is {elsewhere}: {place} is not in it")
    return clone


def _read_settings(clone: Clone) -> Clone | NoClone:
    try:
        entries = ask(clone, "config", "--list", "--null").split("\0")
    except (OSError, subprocess.SubprocessError) as error:
        reason = f"the repository {clone.folder} cannot be read: {describe_git_error(error)}"
        return NoClone(reason, is_unreadable=True)
    pairs = [entry.partition("\n") for entry in entries if entry]
    return replace(clone, settings=tuple((name, value if equals else "true") for name, equals, value in pairs))


def _find_common(folder: Path) -> Path:
    pointer = folder / "commondir"
    if not pointer.is_file():
        return folder
    return Path(os.path.normpath(folder / os.fsdecode(pointer.read_bytes()).rstrip("\r\n")))


def ask(clone: Clone, *words: str, given: bytes = b"") -> str:
    """Ask a repository of the user's something, with its own config in force.

    The repository may belong to somebody else: git refuses it then because its config may start programs, and of what
    is asked here nothing does.

    Args:
        clone: the repository.
        words: git's; the first is one of the commands that start nothing.
        given: its stdin.

    Raises:
        subprocess.SubprocessError: git failed, or took too long.
        ValueError: another command.
    """
    if words[0] not in _STARTS_NOTHING:
        raise ValueError(f"git {words[0]} is not asked of a repository of the user's: its config may start programs")
    variables = {"GIT_DIR": str(clone.folder), "GIT_WORK_TREE": str(clone.root)}
    return run_git(*words, cwd=clone.root, variables=variables, given=given, limit_s=CAPTURE_LIMIT_S)


def ask_or_none(clone: Clone, *words: str) -> str | None:
    """Ask something that git answers with code 1 where there is nothing to tell.

    Raises:
        subprocess.SubprocessError: git failed, or took too long.
    """
    try:
        return ask(clone, *words)
    except subprocess.CalledProcessError as error:
        if error.returncode == 1:
            return None
        raise


def read_remote(clone: Clone) -> Known[str]:
    """Read the URL of `origin`, else of the first remote, without credentials."""
    urls: dict[str, str] = {}
    for name, value in clone.settings:
        if name.startswith("remote.") and name.endswith(".url"):
            urls.setdefault(name, value)
    if not urls:
        return Unavailable(unavailable="the repository has no remote")
    return redact_url(urls.get("remote.origin.url") or next(iter(urls.values())))


def read_commit(clone: Clone) -> Known[str]:
    """Read the hash of the commit that is checked out.

    Raises:
        subprocess.SubprocessError: HEAD is damaged.
        ValueError: what git says is no hash.
    """
    commit = ask_or_none(clone, "rev-parse", "--verify", "--quiet", "HEAD")
    if commit is None:
        ask(clone, "symbolic-ref", "HEAD")
        return Unavailable(unavailable="the repository has no commit yet")
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit.strip()):
        raise ValueError(f"git says that HEAD is {commit.strip()!r}")
    return commit.strip()


def read_branch(clone: Clone) -> Known[str]:
    """Read the name of the branch that is checked out."""
    branch = ask_or_none(clone, "symbolic-ref", "--quiet", "--short", "HEAD")
    return branch.strip() if branch else Unavailable(unavailable="HEAD is detached")


def run_git(
    *words: str,
    cwd: Path,
    variables: Mapping[str, str] | None = None,
    given: bytes = b"",
    limit_s: float = RESTORE_LIMIT_S,
    user_config: bool = True,
) -> str:
    """Run git and return what it prints, as text; `run_git_bytes` says more."""
    return _decode(
        run_git_bytes(*words, cwd=cwd, variables=variables, given=given, limit_s=limit_s, user_config=user_config)
    )


def run_git_bytes(
    *words: str,
    cwd: Path,
    variables: Mapping[str, str] | None = None,
    given: bytes = b"",
    limit_s: float = RESTORE_LIMIT_S,
    user_config: bool = True,
    complaints: list[str] | None = None,
) -> bytes:
    """Run git and return what it prints: no hook, no prompt, no variable of a git that called us, no transport that
    runs commands, no fetch of missing objects, no replaced objects, and no refresh of the index on the way.

    Args:
        words: git's; a value from a record comes after `--`, or was checked.
        cwd: the folder in which it runs: of ours, unless `variables` name a git folder.
        variables: more environment variables.
        given: its stdin.
        limit_s: how long it may take, in seconds.
        user_config: the user's own config counts, that of the machine too.
        complaints: gets what git says on stderr although it did not fail.

    Raises:
        subprocess.SubprocessError: git failed, and `stderr` says why; or it took too long.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "LC_ALL": "C",
    }
    if not user_config:
        environment |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1"}
    options = [word for setting in _SETTINGS for word in ("-c", setting)]
    command = ["git", *options, *words]
    with subprocess.Popen(
        command, cwd=cwd, env=environment | dict(variables or {}), start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(given, timeout=max(limit_s, 0.1))
        except BaseException:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # what it started, too: that holds its pipes open
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, out, err)
    if complaints is not None:
        complaints += _decode(err).splitlines()
    return out


def _decode(out: bytes) -> str:
    return out.decode("utf-8", "surrogateescape")


def describe_git_error(error: Exception) -> str:
    """Return git's own reason in one line, without credentials."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"git took longer than {error.timeout:.0f} s"
    if not isinstance(error, subprocess.CalledProcessError):
        return first_line(error)
    lines = (error.stderr or b"").decode("utf-8", "replace").strip().splitlines()
    return redact_url(lines[-1]) if lines else f"git ended with code {error.returncode}"


@dataclass(frozen=True)
class Bench:
    """A git folder of our own, in which everything happens that a config could spoil. Its own index; no conversions.

    Attributes:
        folder: the git folder.
        root: the working tree that it looks at.
        objects: where it writes objects; those of other repositories are read by reference.
        until: when it has to be ready, on the clock of `time.monotonic`.
        is_sha256: how objects are named.
    """

    folder: Path
    root: Path
    objects: Path
    until: float
    is_sha256: bool

    def run(
        self, *words: str, given: bytes = b"", index: Path | None = None, complaints: list[str] | None = None
    ) -> str:
        """Run git here and return what it prints, as text.

        Raises:
            subprocess.SubprocessError: git failed, or took too long.
        """
        return _decode(self.run_bytes(*words, given=given, index=index, complaints=complaints))

    def run_bytes(
        self, *words: str, given: bytes = b"", index: Path | None = None, complaints: list[str] | None = None
    ) -> bytes:
        """Run git here and return what it prints; `complaints` gets what it says although it did not fail.

        Raises:
            subprocess.SubprocessError: git failed, or took too long.
        """
        variables = {
            "GIT_DIR": str(self.folder),
            "GIT_WORK_TREE": str(self.root),
            "GIT_INDEX_FILE": str(index or self.index),
            "GIT_OBJECT_DIRECTORY": str(self.objects),
        }
        limit_s = self.until - time.monotonic()
        return run_git_bytes(
            *words, cwd=self.root, variables=variables, given=given, limit_s=limit_s, user_config=False,
            complaints=complaints,
        )  # fmt: skip

    @property
    def index(self) -> Path:
        """Its index."""
        return self.folder / "index"

    def copy_index(self, clone: Clone) -> None:
        """Take over a repository's index with its time: git looks again into files that are no older."""
        if (clone.folder / "index").is_file():
            shutil.copy2(clone.folder / "index", self.index)
            shared = list(clone.folder.glob("sharedindex.*"))
            for part in shared:
                shutil.copy2(part, self.folder)
            if shared:
                self.run("update-index", "--no-split-index")


def make_git_folder(folder: Path, *, is_sha256: bool, settings: Mapping[str, str] | None = None) -> None:
    """Make an empty git folder whose config is ours: neither a template nor a hook is in it.

    Args:
        folder: is made.
        is_sha256: how its objects are named.
        settings: more settings of its section `core`.
    """
    for name in ("objects/info", "refs/heads", "info"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    lines = ["[core]", f"repositoryformatversion = {int(is_sha256)}", "bare = false", "logallrefupdates = false"]
    lines += ["filemode = true", "symlinks = true", "autocrlf = false"]
    lines += [f"{name} = {_quote(str(Path(value).expanduser()))}" for name, value in (settings or {}).items()]
    if is_sha256:
        lines += ["[extensions]", "objectformat = sha256"]
    (folder / "config").write_bytes(os.fsencode("\n".join([*lines, ""])))


def refer_to_objects(objects: Path, other: Path) -> None:
    """Read another folder's objects without copying them."""
    with (objects / "info" / "alternates").open("ab") as file:
        file.write(os.fsencode(f"{_quote(str(other.resolve()))}\n"))


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


@contextlib.contextmanager
def opened_bench(
    root: Path,
    *,
    is_sha256: bool,
    reads: Path | None = None,
    writes: Path | None = None,
    clone: Clone | None = None,
    limit_s: float = RESTORE_LIMIT_S,
    converts: bool = False,
) -> Iterator[Bench]:
    """Open a bench; afterwards it is gone.

    Args:
        root: the working tree.
        is_sha256: how objects are named.
        reads: a folder of objects that are read by reference.
        writes: the folder in which objects are written; else one that goes with the bench.
        clone: a repository whose objects are read, and by whose rules files are ignored.
        limit_s: how long all of it may take, in seconds.
        converts: files are converted as git itself does it, by the rules of the tree and the clone; by no filter.
    """
    with tempfile.TemporaryDirectory(prefix="repro_track-git-", ignore_cleanup_errors=True) as name:
        folder = Path(name) / "git"
        rules = _CONVERSION_RULES if converts else ()
        settings = {name: clone.get(f"core.{name}") for name in (*rules, "excludesfile")} if clone else {}
        make_git_folder(folder, is_sha256=is_sha256, settings={name: one for name, one in settings.items() if one})
        files = ("info/exclude", "shallow", *(("info/attributes",) if converts else ()))
        for kept in files:
            if clone is not None and (clone.common / kept).is_file():
                shutil.copyfile(clone.common / kept, folder / kept)
        if not converts:
            (folder / "info" / "attributes").write_text(_UNCONVERTED, encoding="utf-8")
        for objects in filter(None, (reads, clone.objects if clone else None)):
            refer_to_objects(folder / "objects", objects)
        until = time.monotonic() + limit_s
        yield Bench(folder, root, writes or folder / "objects", until, is_sha256)


@contextlib.contextmanager
def opened_bench_of(clone: Clone, *, limit_s: float = CAPTURE_LIMIT_S) -> Iterator[Bench]:
    """Open a bench over a repository of the user's and its working tree.

    Raises:
        subprocess.SubprocessError: the repository cannot be read.
    """
    is_sha256 = ask(clone, "rev-parse", "--show-object-format").strip() == "sha256"
    with opened_bench(clone.root, is_sha256=is_sha256, clone=clone, limit_s=limit_s) as bench:
        yield bench


def join_names(names: Iterable[str]) -> bytes:
    """Join file names as git's `-z` options read them: each ends with a zero byte."""
    return "".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape")


def split_names(text: str) -> list[str]:
    """Split what git prints with `-z`: each name ends with a zero byte."""
    return [name for name in text.split("\0") if name]


def list_ignored(root: Path, names: Iterable[str]) -> list[str]:
    """List which of some names in the repository of a folder git ignores: they are no part of its tree. None where
    there is no repository, and where one of them is in a repository inside."""
    given = join_names(names)
    clone = find_clone(root) if given else None
    if not isinstance(clone, Clone):
        return []
    try:
        return split_names(ask(clone, "check-ignore", "-z", "--stdin", given=given))
    except subprocess.SubprocessError:  # git says so where it ignores none
        return []


def to_text(name: str) -> str:
    r"""Return a file's name as text that JSON can hold: bytes that are no UTF-8 are written `\xff`.

    >>> to_text("a.py"), to_text("caf\udce9")
    ('a.py', 'caf\\xe9')
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def has_commit(place: Path, commit: str) -> bool:
    """Return whether the repository of a place has a commit together with its tree; nothing is fetched."""
    clone = find_clone(place)
    if isinstance(clone, NoClone):
        return has_object(place, commit)
    try:
        with opened_bench_of(clone) as bench:
            bench.run("cat-file", "-e", f"{commit}^{{tree}}")
    except (subprocess.SubprocessError, OSError):
        return False
    return True


def has_object(folder: Path, commit: str) -> bool:
    """Return whether a git folder has a commit together with its tree; nothing is fetched."""
    if not (folder / "objects").is_dir():
        return False
    try:
        with opened_bench(folder, is_sha256=len(commit) == 64, reads=folder / "objects") as bench:
            bench.run("cat-file", "-e", f"{commit}^{{tree}}")
    except (subprocess.SubprocessError, OSError):
        return False
    return True


def check_remote(url: str) -> None:
    """Check that a remote is a place and nothing else: git's remote helpers (`ext::sh -c …`) run commands.

    Raises:
        RefusedError: it is something else.
    """
    is_scp_like = re.fullmatch(r"[\w.\-]+@[\w.\-]+:[^:].*", url) is not None
    is_path = url.startswith("/")
    if not (is_scp_like or is_path or urlsplit(url).scheme in ("https", "http", "ssh", "git", "file")):
        raise RefusedError(
            f"the recorded remote is {url!r}", expected="an https, ssh, git or file URL", advice="use --code current"
        )
