"""A commit with its history as one file, a git bundle, and back.

It never believes a bundle that was not unpacked: one of a shallow clone lacks what git asks for when it fetches, one of
a partial clone lacks files.
"""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

from repro_track.capture.git import (
    RESTORE_LIMIT_S,
    Bench,
    Clone,
    describe_git_error,
    opened_bench,
    opened_bench_of,
)
from repro_track.record.names import BUNDLE_FILE
from repro_track.record.schema import Known, Unavailable
from repro_track.tensors.digests import digest_file


def make_bundle(clone: Clone, *, commit: str, target: Path) -> Known[str]:
    """Keep a commit, with as much of its history as there is, as a bundle; return its digest, or why there is none.

    Where the history lacks files, as in a partial clone, the commit is kept alone.

    Args:
        clone: the repository.
        commit: what is kept.
        target: the folder that gets the bundle.
    """
    path = target / BUNDLE_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    reason = ""
    for is_alone in (False, True):
        try:
            _write_bundle(clone, commit=commit, path=path, is_alone=is_alone)
            return digest_file(path)
        except (subprocess.SubprocessError, OSError) as error:
            path.unlink(missing_ok=True)
            reason = describe_git_error(error)
    return Unavailable(unavailable=reason)


def _write_bundle(clone: Clone, *, commit: str, path: Path, is_alone: bool) -> None:
    with opened_bench_of(clone, limit_s=RESTORE_LIMIT_S) as bench:
        (bench.folder / "HEAD").write_text(f"{commit}\n", encoding="utf-8")
        if is_alone:
            (bench.folder / "shallow").write_text(f"{commit}\n", encoding="utf-8")
        bench.run("bundle", "create", "--quiet", str(path.absolute()), "HEAD")
    with opened_bench(path.parent, is_sha256=len(commit) == 64) as bench:
        unpack_bundle(path, commit=commit, bench=bench)
        bench.run("read-tree", commit)
        bench.run("write-tree")  # says what is missing


def unpack_bundle(path: Path, *, commit: str, bench: Bench) -> None:
    """Unpack a bundle into a bench's objects. Commits whose parents it lacks are marked as the ends of history.

    Args:
        path: the bundle.
        commit: what has to be in it.
        bench: gets its objects, and in its git folder the file `shallow`.

    Raises:
        subprocess.SubprocessError: it is damaged, or the commit is not in it.
    """
    bench.run("bundle", "unbundle", str(path.absolute()))
    bench.run("cat-file", "-e", f"{commit}^{{tree}}")
    lines = bench.run("cat-file", "--batch-check=%(objecttype) %(objectname)", "--batch-all-objects").splitlines()
    commits = {line.removeprefix("commit ") for line in lines if line.startswith("commit ")}
    ends = sorted(one for one, parents in _read_parents(bench, commits).items() if not parents <= commits)
    if ends:
        (bench.folder / "shallow").write_text("".join(f"{one}\n" for one in ends), encoding="utf-8")


def _read_parents(bench: Bench, commits: set[str]) -> dict[str, set[str]]:
    """Read the parents of commits as they are written in them."""
    given = "".join(f"{one}\n" for one in sorted(commits)).encode()
    told = io.BytesIO(bench.run_bytes("cat-file", "--batch", given=given))
    found = {}
    while line := told.readline():
        name, _, size = line.decode().split()
        head = told.read(int(size)).partition(b"\n\n")[0].decode("latin-1")
        found[name] = {line[7:] for line in head.splitlines() if line.startswith("parent ")}
        told.read(1)
    return found
