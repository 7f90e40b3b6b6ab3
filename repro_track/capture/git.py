"""Git, asked so that it only answers.

Git runs here and nowhere else: through GitPython to read the user's repository, through `run_git` for all the rest. It
never runs a hook or a transport that runs commands, never asks for a password, and never gives git a value that could
be read as an option.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from repro_track.errors import RefusedError, first_line
from repro_track.record.redaction import redact_url
from repro_track.record.schema import Known, Submodule, Unavailable

if TYPE_CHECKING:
    import git


_DIFF_OPTIONS = (
    "--binary",
    "--full-index",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--ignore-submodules=dirty",  # its files are not in the diff: said apart
)


def open_repository(place: Path) -> git.Repo | Unavailable:
    """Open the repository that a folder is in, or say why there is none that can be read."""
    try:
        import git
    except ImportError as error:  # GitPython raises it when there is no git program
        return Unavailable(unavailable=f"git cannot be used: {first_line(error)}")
    try:
        found = git.Repo(place, search_parent_directories=True)
        found.git.update_environment(GIT_OPTIONAL_LOCKS="0")  # looking must not refresh the user's index
        return found
    except (git.InvalidGitRepositoryError, git.NoSuchPathError):
        return Unavailable(unavailable=f"{place} is not in a git repository")
    except (git.GitCommandError, ValueError, OSError) as error:
        return Unavailable(unavailable=f"the repository of {place} cannot be read: {error}")


def read_diff(repository: git.Repo, *words: str) -> bytes:
    """Read a diff as bytes. GitPython would strip its last newline, and `git apply` then calls it corrupt."""
    return repository.git.diff(*words, *_DIFF_OPTIONS, stdout_as_string=False, strip_newline_in_stdout=False)


def read_remote(repository: git.Repo) -> Known[str]:
    """Read the URL of `origin`, else of the first remote, without credentials."""
    remotes = {remote.name: remote for remote in repository.remotes}
    remote = remotes.get("origin") or next(iter(remotes.values()), None)
    if remote is None:
        return Unavailable(unavailable="the repository has no remote")
    return redact_url(next(iter(remote.urls), ""))


def read_commit(repository: git.Repo) -> Known[str]:
    """Read the hash of the commit that is checked out."""
    try:
        return repository.head.commit.hexsha
    except ValueError:
        return Unavailable(unavailable="the repository has no commit yet")


def read_branch(repository: git.Repo) -> Known[str]:
    """Read the name of the branch that is checked out."""
    try:
        return repository.active_branch.name
    except TypeError:
        return Unavailable(unavailable="HEAD is detached")


def list_untracked(repository: git.Repo) -> list[str]:
    """List the untracked files that git does not ignore, sorted, by their paths from the repository's root."""
    names = repository.git.ls_files("--others", "--exclude-standard", "-z").split("\0")
    return sorted(filter(None, names))


def list_submodules(repository: git.Repo, *, root: Path) -> tuple[Submodule, ...]:
    """List the submodules with the commits that are checked out in them; none where git cannot tell."""
    import git

    if not (root / ".gitmodules").is_file():
        return ()
    try:
        lines = [line.split() for line in repository.git.submodule("status").splitlines()]
    except git.GitCommandError:
        return ()
    return tuple(Submodule(path=words[1], commit=words[0].lstrip("+-U")) for words in lines)


def run_git(*words: str, cwd: Path, variables: Mapping[str, str] | None = None, given: bytes = b"") -> str:
    """Run git and return what it prints: no hook, no prompt, no variable of a git that called us, no transport that
    runs commands, and no refresh of the index on the way.

    Args:
        words: git's; a value from a record comes after `--`, or was checked.
        cwd: the folder in which it runs.
        variables: more environment variables.
        given: its stdin.

    Raises:
        subprocess.CalledProcessError: git failed; `stderr` says why.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **(variables or {})}
    settings = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "protocol.ext.allow=never")
    options = [word for setting in settings for word in ("-c", setting)]
    done = subprocess.run(
        ["git", *options, *words], cwd=cwd, env=environment, input=given, capture_output=True, check=True
    )
    return done.stdout.decode("utf-8", "surrogateescape")


def describe_git_error(error: subprocess.CalledProcessError) -> str:
    """Return git's own reason in one line, without credentials."""
    lines = error.stderr.decode("utf-8", "replace").strip().splitlines()
    return redact_url(lines[-1]) if lines else f"git ended with code {error.returncode}"


def scratch_variables(root: Path, *, scratch: Path, index: str) -> dict[str, str]:
    """Return the variables by which git writes objects and the index into a scratch folder, and still reads the
    objects of the repository."""
    (scratch / "objects").mkdir(exist_ok=True)
    objects = run_git("rev-parse", "--git-path", "objects", cwd=root).strip()
    return {
        "GIT_OBJECT_DIRECTORY": str(scratch / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(root / objects),
        "GIT_INDEX_FILE": str(scratch / index),
    }


def join_names(names: Iterable[str]) -> bytes:
    """Join file names as git's `-z` options read them: each ends with a zero byte."""
    return "".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape")


def find_top(place: Path) -> str:
    """Find the top folder of the working tree that a place is in; of a bare repository, the place itself."""
    try:
        return run_git("rev-parse", "--show-toplevel", cwd=place).rstrip("\n")
    except subprocess.CalledProcessError:
        return str(place)


def has_commit(place: Path, commit: str) -> bool:
    """Return whether a repository has a commit together with its tree."""
    try:
        run_git("cat-file", "-e", f"{commit}^{{tree}}", cwd=place)
    except (subprocess.CalledProcessError, OSError):
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
