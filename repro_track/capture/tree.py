"""The working tree of one repository: what is on disk, what of it is kept, and the proof that this suffices.

Everything is about the bytes as they lie on disk, before any conversion by git. It never writes into the user's
repository or working tree, and never keeps a secret.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from repro_track.capture.git import Bench, Clone, ask, join_names, opened_bench, split_names, to_text
from repro_track.capture.untracked import SECRET, pack_untracked, unpack_untracked
from repro_track.errors import RefusedError, first_line
from repro_track.record.redaction import has_secret, redact_text
from repro_track.record.schema import Known, ReferredFile, Unavailable
from repro_track.record.secret_names import is_secret_file
from repro_track.tensors.digests import digest_bytes, digest_file
from repro_track.tensors.weight_files import digest_weight_file

KINDS = ("staged", "unstaged", "untracked", "converted", "absent")
"""The kinds of changes that are kept, in the order in which they are put on top of the commit."""

_DIFF_OPTIONS = (
    "--binary",
    "--full-index",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--find-renames=100%",  # equal files alone: comparing contents would need objects that a partial clone lacks
    "--ignore-submodules=dirty",  # a repository inside is captured by itself
)
_CONVERSIONS = ("text", "crlf", "eol", "ident", "working-tree-encoding", "filter")
_LFS_HEAD = b"version https://git-lfs.github.com/spec/"
_LFS_LIMIT_BYTES = 1024
_CONFIG_SUFFIXES = (".yaml", ".yml", ".json", ".toml", ".cfg", ".ini", ".py")
_CONFIG_LIMIT_BYTES = 1 << 20
_IGNORED_LIMIT = 200
"""No more ignored config files than this are looked at."""
_DIFFED = 4
"""A diff of files that are so many times larger than what is kept is not even made."""
_FOLDER_LIMIT = 10_000
"""No more empty folders than this are kept."""
_UNTRACKED_LIMIT = 20_000
"""No more untracked files than this are looked at: such a folder is data that nobody has told git to ignore."""
_SECRET = "its name is that of a secret"


def name_kept(kind: str) -> str:
    """Name the file that holds the changes of a kind."""
    if kind == "absent":
        return "absent.json"
    return f"{kind}.tar.gz" if kind in ("untracked", "converted") else f"{kind}.diff.txt"


@dataclass(frozen=True)
class Entry:
    """A line of git's index."""

    tag: str
    mode: str
    object: str
    stage: str
    name: str

    @property
    def is_hidden(self) -> bool:
        """Whether git was told not to look at the file."""
        return self.tag.islower() or self.tag == "S"

    @property
    def is_repository(self) -> bool:
        """Whether it is a commit of another repository."""
        return self.mode == "160000"

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.mode.startswith("100")


@dataclass
class Tree:
    """What is known of a working tree; it is filled while the tree is looked at.

    Attributes:
        changes: the kinds of changes with the digests of what is kept.
        left_out: files that are not kept, with the reason.
        referred: files of which the digest alone is kept.
        ignored: files that git ignores and that are kept all the same.
        inside: the paths of repositories inside, and whether it is one that this repository does not know.
        unkept: what is part of the tree and not kept, a sentence each: the tree does not come back.
        hash: git's hash of the tree; proven.
        dirty: something differs from the commit.
    """

    changes: dict[str, Known[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    referred: list[ReferredFile] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    inside: dict[str, bool] = field(default_factory=dict)
    unkept: list[str] = field(default_factory=list)
    hash: Known[str] = field(default_factory=lambda: Unavailable(unavailable="not looked at"))
    dirty: bool = False


@dataclass(frozen=True)
class Wanted:
    """What of a tree is wanted.

    Attributes:
        folder: where it is kept.
        limit: changes of more bytes are not kept.
        exclude: files and folders that are no part of the code.
        ran: files that are known to have run: they are kept although git ignores them.
    """

    folder: Path
    limit: int
    exclude: tuple[Path, ...] = ()
    ran: tuple[Path, ...] = ()


def capture_tree(clone: Clone, bench: Bench, *, commit: str | None, wanted: Wanted, tree: Tree) -> None:
    """Capture what differs between a working tree and its commit, and prove that this suffices.

    Args:
        clone: the repository.
        bench: open over it.
        commit: what is checked out; `None`: there is no commit yet.
        wanted: what is kept, and where.
        tree: is filled; with what is known where this fails, too.

    Raises:
        subprocess.SubprocessError: git failed, or took too long.
    """
    entries = _take_index(clone, bench, commit=commit)
    absent = [entry.name for entry in entries if entry.is_hidden]
    here = [entry for entry in entries if not entry.is_hidden]
    conversions = _find_conversions(clone, [entry.name for entry in here if entry.is_file])
    touched = _list_touched(clone, bench, has_conversions=bool(conversions))
    converted, lfs = _sort_converted(clone, bench, here, conversions=conversions, touched=touched, tree=tree)
    _hide(bench, [*converted, *lfs])
    _keep_diffs(clone, bench, commit=commit, tree=tree, wanted=wanted)
    ignored = split_names(bench.run("ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"))
    untracked = _choose_untracked(clone, bench, here, tree=tree, wanted=wanted)
    there = [entry.name for entry in here if os.path.lexists(clone.root / entry.name)]
    gone = {entry.name for entry in here} - set(there)
    folders = _choose_folders(
        clone, bench, kept=[*untracked, *there], gone=gone, ignored=ignored, tree=tree, wanted=wanted
    )
    encrypted = {one.path for one in tree.referred if one.why == "encrypted"}
    tree.dirty = tree.dirty or bool(untracked or tree.left_out or touched.intersection(converted))
    _add_ignored(clone, ignored, untracked, tree=tree, wanted=wanted)
    for kind, names in (("untracked", untracked), ("converted", [one for one in converted if one not in encrypted])):
        if kind not in tree.changes and (names or (kind == "untracked" and folders)):
            tree.changes[kind] = pack_untracked(
                sorted(names), folders=folders if kind == "untracked" else (), root=clone.root,
                target=wanted.folder / name_kept(kind), limit=wanted.limit, kind=kind,
            )  # fmt: skip
    if absent:
        tree.changes["absent"] = _keep_absent(absent, here, target=wanted.folder / name_kept("absent"))
    _show(bench, converted)
    tree.hash = _prove(bench, commit=commit, tree=tree, untracked=untracked, absent=absent, wanted=wanted)


def list_entries(bench: Bench, *, index: Path | None = None) -> list[Entry]:
    """List what is in an index."""
    found = []
    for line in split_names(bench.run("ls-files", "--stage", "-v", "-z", index=index)):
        head, _, name = line.partition("	")
        tag, mode, digest, stage = head.split(" ")
        found.append(Entry(tag, mode, digest, stage, name))
    return found


def _take_index(clone: Clone, bench: Bench, *, commit: str | None) -> list[Entry]:
    """Take the repository's index over, and make it one that hides nothing but what is not there: a conflict is
    settled for the commit's side, so that what lies on disk is a change of it; files that git was told not to look at
    are looked at. Hidden entries of the result are those of a sparse checkout whose files are not there."""
    bench.copy_index(clone)
    entries = list_entries(bench)
    if conflicts := {entry.name for entry in entries if entry.stage != "0"}:
        bench.run("update-index", "--force-remove", "-z", "--stdin", given=join_names(conflicts))
        ours = split_names(bench.run("ls-tree", "-r", "-z", "--full-tree", commit)) if commit else []
        lines = [line for line in ours if line.partition("\t")[2] in conflicts]
        bench.run("update-index", "-z", "--index-info", given=join_names(lines))
        new = conflicts - {line.partition("\t")[2] for line in lines}
        _intend(bench, [name for name in new if os.path.lexists(clone.root / name)])
        entries = list_entries(bench)
    hidden = [entry for entry in entries if entry.is_hidden]
    shown = [one.name for one in hidden if one.tag not in "Ss" or os.path.lexists(clone.root / one.name)]
    for flag in ("--no-assume-unchanged", "--no-skip-worktree"):
        if shown:
            bench.run("update-index", flag, "-z", "--stdin", given=join_names(shown))
    if hidden:
        entries = list_entries(bench)
    if ask(clone, "for-each-ref", "--count=1", "refs/replace/"):
        _forget_times(bench, entries)  # git has put other objects on disk than those that the index names
    else:
        _forget_times(bench, _list_doubtful(bench, entries))
    return entries


def _list_doubtful(bench: Bench, entries: Iterable[Entry]) -> list[Entry]:
    """List the files whose times are not those of the index to the nanosecond: git compares seconds, so a file that was
    changed to the same size within one may look untouched to it."""
    times = {}
    head, *blocks = bench.run("ls-files", "--debug", "-z").split("\0")
    for block in blocks:  # what is told of a file, in five lines, then the name of the next
        *lines, following = block.split("\n", 5)
        times[head] = tuple(line.partition(": ")[2] for line in lines[:2])
        head = following
    doubtful = []
    for entry in entries:
        try:
            stat = os.lstat(bench.root / entry.name)
        except OSError:
            continue  # it is not there
        now = (stat.st_ctime_ns, stat.st_mtime_ns)
        if times.get(entry.name) != tuple(f"{time // 10**9}:{time % 10**9}" for time in now):
            doubtful.append(entry)
    return doubtful


def _intend(bench: Bench, names: Iterable[str], *, index: Path | None = None) -> None:
    """Add names to an index without their contents."""
    if given := join_names(names):
        words = ("add", "--force", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul")
        bench.run("--literal-pathspecs", *words, given=given, index=index)


def _forget_times(bench: Bench, entries: Iterable[Entry]) -> None:
    """Make git read files again, whatever their times say."""
    lines = [f"{one.mode} {one.object} 0\t{one.name}" for one in entries if one.is_file and not one.is_hidden]
    if lines:
        bench.run("update-index", "-z", "--index-info", given=join_names(lines))


def _hide(bench: Bench, names: Iterable[str]) -> None:
    if given := join_names(names):
        bench.run("update-index", "--assume-unchanged", "-z", "--stdin", given=given)


def _show(bench: Bench, names: Iterable[str]) -> None:
    if given := join_names(names):
        bench.run("update-index", "--no-assume-unchanged", "-z", "--stdin", given=given)


def _list_differing(bench: Bench) -> set[str]:
    """List tracked files whose bytes on disk are not those of the index."""
    return set(split_names(bench.run("diff", "--name-only", "-z", "--no-renames", "--ignore-submodules=dirty")))


def _list_touched(clone: Clone, bench: Bench, *, has_conversions: bool) -> set[str]:
    """List tracked files that the user's git takes to be changed: those that it has only converted are not."""
    if not has_conversions:
        return _list_differing(bench)
    with opened_bench(clone.root, is_sha256=bench.is_sha256, clone=clone, converts=True) as other:
        if bench.index.is_file():
            shutil.copy2(bench.index, other.index)
        return _list_differing(replace(other, until=bench.until))


# --- conversions --------------------------------------------------------------------------------------------------


def _find_conversions(clone: Clone, names: list[str]) -> dict[str, str]:
    """Find the files that git may convert on their way between the repository and the disk, each with the name of its
    filter; `text`: line ends only, `other`: by git itself."""
    if not names:
        return {}
    told = ask(clone, "check-attr", "-z", "--stdin", *_CONVERSIONS, given=join_names(names)).split("\0")
    attributes: dict[str, dict[str, str]] = {name: {} for name in names}
    for name, attribute, value in zip(told[0::3], told[1::3], told[2::3], strict=False):
        if value not in ("unspecified", "unset"):
            attributes[name][attribute] = value
    ends = (clone.get("core.autocrlf") or "false").lower() not in ("false", "no", "off", "0")
    unset = {name for name, attribute, value in zip(told[0::3], told[1::3], told[2::3], strict=False)
             if attribute == "text" and value == "unset"}  # fmt: skip
    found = {}
    for name, one in attributes.items():
        if one.get("filter", "set") != "set":
            found[name] = one["filter"]
        elif "ident" in one or "working-tree-encoding" in one:
            found[name] = "other"
        elif {"text", "crlf", "eol"} & set(one) or (ends and name not in unset):
            found[name] = "text"
    return found


def _sort_converted(
    clone: Clone, bench: Bench, here: list[Entry], *, conversions: Mapping[str, str], touched: set[str], tree: Tree
) -> tuple[list[str], list[str]]:
    """Return the files whose bytes on disk are kept because git has converted them, and those of git LFS whose content
    is there. What LFS and encrypting filters hide is referred to by its digest."""
    entries = {entry.name: entry for entry in here if entry.is_file}
    lfs = _find_lfs(clone, bench, [entries[name] for name in conversions if conversions[name] == "lfs"],
                    touched=touched, tree=tree)  # fmt: skip
    _forget_times(bench, [entries[name] for name in conversions if name not in lfs])
    _hide(bench, lfs)
    differing = _list_differing(bench) if conversions else set()
    converted = []
    for name, conversion in conversions.items():
        path = clone.root / name
        if name in lfs or name not in differing or path.is_symlink() or not path.is_file():
            continue
        if conversion == "text" and name in touched:
            continue  # a person's edit, for which a diff is the better word
        converted.append(name)
        if "crypt" in conversion:
            tree.referred.append(_refer(path, name=name, why="encrypted"))
    return converted, lfs


def _find_lfs(clone: Clone, bench: Bench, entries: list[Entry], *, touched: set[str], tree: Tree) -> list[str]:
    """Find the files of git LFS whose content lies on disk, and refer to them by the digests in their pointers. A file
    that is newer than the index is read; of the others git knows that they are what it put there."""
    found = []
    for entry in entries:
        path = clone.root / entry.name
        if not path.is_file():
            continue
        pointer = bench.run_bytes("cat-file", "blob", entry.object)
        digest, size = read_lfs_pointer(pointer)
        if digest is None or path.stat().st_size != size or (size < _LFS_LIMIT_BYTES and path.read_bytes() == pointer):
            continue
        if entry.name in touched and digest_weight_file(path)[0] != digest:
            continue
        found.append(entry.name)
        tree.referred.append(ReferredFile(path=to_text(entry.name), sha256=digest, size_bytes=size, why="lfs"))
    return found


def read_lfs_pointer(content: bytes) -> tuple[str | None, int]:
    """Read the digest and the size out of a pointer of git LFS; `None`: it is none.

    >>> read_lfs_pointer(b"a file")
    (None, 0)
    """
    if not content.startswith(_LFS_HEAD) or len(content) > _LFS_LIMIT_BYTES:
        return None, 0
    pairs = dict(line.partition(" ")[::2] for line in content.decode("utf-8", "replace").splitlines())
    digest, size = pairs.get("oid", "").removeprefix("sha256:"), pairs.get("size", "")
    return (digest, int(size)) if len(digest) == 64 and size.isdigit() else (None, 0)


def _refer(path: Path, *, name: str, why: Literal["encrypted", "ignored"]) -> ReferredFile:
    return ReferredFile(path=to_text(name), sha256=digest_file(path), size_bytes=path.stat().st_size, why=why)


# --- what is kept -------------------------------------------------------------------------------------------------


def _keep_diffs(clone: Clone, bench: Bench, *, commit: str | None, tree: Tree, wanted: Wanted) -> None:
    empty = () if commit else (bench.run("hash-object", "-t", "tree", "-w", os.devnull).strip(),)
    for kind, words in (("staged", ("--cached", *((commit,) if commit else empty))), ("unstaged", ())):
        size = _measure_changed(bench, *words)
        if size is None:
            continue
        what = f"the {kind} diff"
        if size > _DIFFED * wanted.limit:  # it would not fit into memory, either
            reason = f"{what} is of files that have {size} bytes, more than {_DIFFED * wanted.limit}"
            tree.changes[kind], tree.dirty = Unavailable(unavailable=reason), True
            continue
        diff = bench.run_bytes("diff", *words, *_DIFF_OPTIONS)
        if not diff:
            continue
        if len(diff) > wanted.limit:
            tree.changes[kind] = Unavailable(unavailable=f"{what} has {len(diff)} bytes, more than {wanted.limit}")
        elif has_secret(diff):
            tree.changes[kind] = Unavailable(unavailable=f"{what} {SECRET}")
        else:
            wanted.folder.mkdir(parents=True, exist_ok=True)
            (wanted.folder / name_kept(kind)).write_bytes(diff)
            tree.changes[kind] = digest_bytes(diff)
        ignores_modes = kind == "unstaged" and clone.get("core.filemode") == "false"
        # where modes mean nothing to the user's git, every file may have another one
        tree.dirty = tree.dirty or not ignores_modes or bool(bench.run("-c", "core.fileMode=false", "diff", "--raw"))


def _measure_changed(bench: Bench, *words: str) -> int | None:
    """Measure the files that a diff is of, before and after, in bytes; `None`: nothing differs."""
    told = split_names(
        bench.run("diff", *words, "--raw", "--no-abbrev", "--no-renames", "-z", "--ignore-submodules=dirty")
    )
    if not told:
        return None
    size, blobs = 0, set()
    for head, name in zip(told[0::2], told[1::2], strict=False):
        modes, digests = head.lstrip(":").split()[:2], head.split()[2:4]
        blobs |= {one for mode, one in zip(modes, digests, strict=True) if mode != "160000" and one.strip("0")}
        if not digests[1].strip("0") and (path := bench.root / name).is_file():
            size += path.stat().st_size
    given = "".join(f"{blob}\n" for blob in sorted(blobs)).encode()
    sizes = bench.run("cat-file", "--batch-check=%(objectsize)", given=given).splitlines() if blobs else []
    return size + sum(int(one) for one in sizes if one.isdigit())


def _choose_untracked(clone: Clone, bench: Bench, here: list[Entry], *, tree: Tree, wanted: Wanted) -> list[str]:
    """Return the untracked files that are kept; repositories inside, and what is left out, are put down in the tree."""
    complaints: list[str] = []
    listed = split_names(bench.run("ls-files", "--others", "--exclude-standard", "-z", complaints=complaints))
    tree.left_out |= {to_text(line): "git cannot look into it" for line in complaints}
    for entry in here:
        place = clone.root / entry.name
        if entry.is_repository and place.is_dir():
            if os.path.lexists(place / ".git"):
                tree.inside[entry.name] = False
            else:
                listed += [f"{entry.name}/{name}" for name in _list_files(place)]
    if len(listed) > _UNTRACKED_LIMIT:
        reason = f"there are {len(listed)} untracked files, more than {_UNTRACKED_LIMIT}: let git ignore what is data"
        tree.changes["untracked"] = Unavailable(unavailable=reason)
        return []
    kept = []
    outside = _list_outside(clone, bench, wanted=wanted)
    for name in sorted(listed):
        path = clone.root / name
        if _is_in(path, outside):
            continue
        if name.endswith("/"):
            tree.inside[name.rstrip("/")] = True
        elif is_secret_file(name) or has_secret(name):
            tree.left_out[redact_text(to_text(name))] = _SECRET
        elif not (path.is_symlink() or path.is_file()):
            tree.left_out[to_text(name)] = "not a file"  # a socket
        elif not path.is_symlink() and not os.access(path, os.R_OK):
            tree.left_out[to_text(name)] = "it cannot be read"
        else:
            kept.append(name)
    return kept


def _list_outside(clone: Clone, bench: Bench, *, wanted: Wanted) -> frozenset[Path]:
    """List the files and folders that the run itself writes: they are no part of the tree."""
    # a folder that the whole repository is in says nothing about its files: restored source is in one of ours
    places = {place.absolute() for place in (*wanted.exclude, bench.folder.parent)}
    return frozenset(places.difference((clone.root, *clone.root.parents)))


def _is_in(path: Path, places: frozenset[Path]) -> bool:
    """Whether a path is one of some places, or in one of them."""
    return path in places or not places.isdisjoint(path.parents)


def _choose_folders(
    clone: Clone, bench: Bench, *, kept: list[str], gone: set[str], ignored: list[str], tree: Tree, wanted: Wanted
) -> list[str]:
    """Return the empty folders, innermost ones only; those in which only ignored files are, too. None where the
    untracked files are not kept."""
    if "untracked" in tree.changes:
        return []
    hidden = tuple(name for name in ignored if name.endswith("/"))
    full = {str(parent) for name in kept for parent in Path(name).parents}
    listed = split_names(bench.run("ls-files", "--others", "--exclude-standard", "--directory", "-z"))
    places = {name.rstrip("/") for name in listed if name.endswith("/")}
    places |= {str(parent) for name in gone for parent in Path(name).parents}  # empty since its files were deleted
    found, outside = set(), _list_outside(clone, bench, wanted=wanted)
    for place in places - {"."} - set(tree.inside):
        for folder, inner, _ in os.walk(clone.root / place):
            name = os.path.relpath(folder, clone.root)
            is_skipped = f"{name}/".startswith(hidden) or _is_in(Path(folder), outside)
            if is_skipped or os.path.lexists(Path(folder) / ".git"):
                inner.clear()
            elif not inner and name not in full and Path(name).name != "__pycache__":
                found.add(name)
    if len(found) > _FOLDER_LIMIT:
        tree.left_out["empty folders"] = f"there are {len(found)}, more than {_FOLDER_LIMIT}"
        return []
    return sorted(found)


def _list_files(place: Path) -> list[str]:
    """List the files and links below a folder by their paths from there."""
    found = []
    for folder, _, names in os.walk(place):
        for name in names:
            found.append(os.path.relpath(os.path.join(folder, name), place))  # noqa: PTH118  surrogates stay
    return sorted(found)


def _add_ignored(clone: Clone, ignored: list[str], untracked: list[str], *, tree: Tree, wanted: Wanted) -> None:
    """Add the ignored files that ran to those that are kept, repositories that they are in to those inside, and refer
    to ignored config files by their digests."""
    folders = tuple(name for name in ignored if name.endswith("/"))
    ran, root = set(), clone.root.resolve()
    for path in wanted.ran:
        name = os.path.relpath(path.resolve(), root)
        if name in ignored or name.startswith(folders):
            ran.add(name)
    for name in sorted(ran):
        if (repository := _find_inner_repository(clone.root, name)) is not None:
            tree.inside.setdefault(repository, True)
        elif is_secret_file(name):
            tree.unkept.append(f"{to_text(name)} ran, and {_SECRET}: git ignores it, and it is not kept")
        elif name not in untracked and "site-packages" not in Path(name).parts:
            untracked.append(name)
            tree.ignored.append(to_text(name))
    for name in sorted(set(ignored) - ran):
        path = clone.root / name
        if name.endswith("/") or (not name.endswith(_CONFIG_SUFFIXES) and not is_secret_file(name)):
            continue
        if path.is_symlink() or not path.is_file():
            continue
        if len(tree.referred) >= _IGNORED_LIMIT:
            tree.left_out["ignored config files"] = f"there are more than {_IGNORED_LIMIT}"
            break
        if is_secret_file(name) or has_secret(name):
            tree.left_out[redact_text(to_text(name))] = f"git ignores it, and {_SECRET}"
        elif path.stat().st_size <= _CONFIG_LIMIT_BYTES:
            tree.referred.append(_refer(path, name=name, why="ignored"))


def _find_inner_repository(root: Path, name: str) -> str | None:
    parents = [parent for parent in Path(name).parents if parent != Path()]
    return next((str(parent) for parent in parents if os.path.lexists(root / parent / ".git")), None)


def _keep_absent(absent: list[str], here: list[Entry], *, target: Path) -> str:
    """Keep the names of tracked files that are not there, a whole folder by its own name; return the digest."""
    folders = {str(parent) for entry in here for parent in Path(entry.name).parents}
    names = set()
    for name in absent:
        outer = [str(parent) for parent in reversed(Path(name).parents) if str(parent) not in folders | {"."}]
        names.add(f"{outer[0]}/" if outer else name)
    content = json.dumps(sorted(names), indent=0).encode()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return digest_bytes(content)


def load_absent(path: Path) -> list[str]:
    """Load the names of tracked files and folders (`name/`) that are not there.

    Raises:
        RefusedError: no run wrote it.
    """
    try:
        return [str(name) for name in json.loads(path.read_bytes())]
    except (ValueError, TypeError) as error:
        raise RefusedError(f"{path.name} is damaged: {first_line(error)}", expected="a list of names") from error


# --- proof --------------------------------------------------------------------------------------------------------


def compose_index(bench: Bench, *, commit: str | None, changes: Iterable[str], kept: Path, index: Path) -> None:
    """Put the commit and the kept changes of tracked files together in an index, as they were on disk.

    Args:
        bench: has the commit's objects, and gets the new ones.
        commit: the commit; `None`: there is none.
        changes: the kinds of changes that are kept.
        kept: the folder with what is kept.
        index: the index to be written.

    Raises:
        subprocess.SubprocessError: git cannot.
    """
    bench.run("read-tree", commit or "--empty", index=index)
    for kind in ("staged", "unstaged"):
        if kind in changes:
            patch = str((kept / name_kept(kind)).absolute())
            bench.run("apply", "--cached", "--whitespace=nowarn", "--", patch, index=index)
    if "absent" in changes:
        gone = list_absent(bench, load_absent(kept / name_kept("absent")), index=index)
        bench.run("update-index", "--force-remove", "-z", "--stdin", given=join_names(gone), index=index)


def list_absent(bench: Bench, absent: list[str], *, index: Path) -> list[str]:
    """List the entries of an index that are named, or are in a folder that is."""
    names, folders = set(absent), tuple(name for name in absent if name.endswith("/"))
    return [entry.name for entry in list_entries(bench, index=index)
            if entry.name in names or entry.name.startswith(folders)]  # fmt: skip


def hash_tree(bench: Bench, *, index: Path, names: Iterable[str], root: Path | None = None) -> str:
    """Hash an index with more files on top of it, as they lie on disk.

    Args:
        bench: gets the objects.
        index: is changed.
        names: files that are added, or replaced.
        root: where they are; by itself the bench's working tree.
    """
    given = join_names(names)
    if given:
        words = ("update-index", "--add", "--replace", "-z", "--stdin")
        replace(bench, root=root or bench.root).run(*words, given=given, index=index)
    return bench.run("write-tree", "--missing-ok", index=index).strip()


def _prove(
    bench: Bench, *, commit: str | None, tree: Tree, untracked: list[str], absent: list[str], wanted: Wanted
) -> Known[str]:
    """Return git's hash of the tree that ran, if the commit and the kept changes give the same one; else why not."""
    if tree.unkept:
        return Unavailable(unavailable=tree.unkept[0])
    for kind, change in tree.changes.items():
        if isinstance(change, Unavailable):
            return Unavailable(unavailable=f"the {kind} changes were not kept: {change.unavailable}")
    encrypted = [one.path for one in tree.referred if one.why == "encrypted"]
    if commit and not (tree.changes or encrypted):
        return bench.run("rev-parse", f"{commit}^{{tree}}").strip()
    present, kept = bench.folder / "present", bench.folder / "kept"
    if bench.index.is_file():
        shutil.copy2(bench.index, present)
    bench.run("add", "--update", "--", ".", index=present)
    if absent:
        bench.run("update-index", "--force-remove", "-z", "--stdin", given=join_names(absent), index=present)
    ran = hash_tree(bench, index=present, names=untracked)
    compose_index(bench, commit=commit, changes=tree.changes, kept=wanted.folder, index=kept)
    files = bench.folder / "files"
    names = unpack_kept(tree.changes, kept=wanted.folder, target=files)
    for name in encrypted:
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(bench.root / name, files / name)
        names.append(name)
    again = hash_tree(bench, index=kept, names=names, root=files)
    if ran != again:
        return Unavailable(unavailable=f"the commit and the kept changes give tree {again}, and {ran} ran")
    return ran


def unpack_kept(changes: Mapping[str, object], *, kept: Path, target: Path) -> list[str]:
    """Unpack the kept files over a folder; return their names.

    Raises:
        RefusedError: an archive that no run wrote.
    """
    target.mkdir(parents=True, exist_ok=True)
    names = unpack_untracked(kept / name_kept("untracked"), target) if "untracked" in changes else []
    if "converted" in changes:
        names += unpack_untracked(kept / name_kept("converted"), target, replaces=True)
    return names
