"""Promises of tree.py, on real repositories: whatever lies on disk comes back byte by byte, or is said by name."""

import hashlib
import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from repro_track.capture.checkout import make_source_plan, place_ignored, restore_source
from repro_track.capture.git import find_clone
from repro_track.capture.source import capture_source
from repro_track.capture.tree import read_lfs_pointer
from repro_track.errors import ReplayError
from repro_track.record.schema import Source, Unavailable
from tests.unit.capture.random_trees import RandomTree, list_tree
from tests.unit.capture.trees import capture, restore

TREES = int(os.environ.get("REPRO_TRACK_TREES", "50"))
"""How many random trees are tried: `make trees TREES=1000`."""
SHARES = 10
QUICK = 2
"""So many shares of them are tried with the other unit tests, the others by `make test-restore`."""


@pytest.mark.parametrize(
    "share", [pytest.param(share, marks=[] if share < QUICK else [pytest.mark.restore]) for share in range(SHARES)]
)
def test_any_tree_comes_back_or_is_said_not_to(tmp_path, share):
    """Random trees, with everything that people and git do to one: what is restored has the same files, bytes, links,
    executable bits and folders, and the same hash when it is captured again; or the tree is said not to come back.
    Nothing that the repository's config names is started, nothing in the repository is changed. Nearly all come
    back."""
    said = []
    for seed in range(share * TREES // SHARES, (share + 1) * TREES // SHARES):
        folder = tmp_path / str(seed)
        tree = RandomTree(seed, folder)
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}
        there = list_tree(tree.root)
        kept = folder / "recorded" / "source"
        source = capture_source(script=None, place=tree.root, folder=kept, bundle=seed % 4 == 0)
        source = Source.model_validate_json(source.model_dump_json())
        if isinstance(source.tree, Unavailable):
            said.append((seed, source.tree.unavailable))
            continue
        plan = make_source_plan(source, places=[] if seed % 4 == 0 and not source.referred else [tree.root])
        if isinstance(plan, Unavailable):
            raise AssertionError(f"tree {seed} has no plan: {plan}; {tree.said}")
        target = folder / "restored" / "tree"
        restore_source(plan, kept=folder / "recorded", target=target)
        place_ignored(plan, target=target)
        assert list_tree(target) == there, f"tree {seed}: {tree.said}"
        assert not tree.canary.exists(), f"tree {seed} has started something: {tree.said}"
        assert {path: path.read_bytes() for path in before} == before, f"tree {seed} was changed: {tree.said}"
        again = capture_source(script=None, place=target, folder=folder / "again")
        assert again.tree == source.tree, f"tree {seed}: {tree.said}"
        shutil.rmtree(folder)
    assert len(said) <= TREES / SHARES / 5 + 1, said


def test_another_byte_gives_another_tree(tmp_path):
    """The hash tells trees apart that differ by one byte, one executable bit, or one file's name; equal ones have the
    same."""
    hashes = set()
    for change in ("none", "none", "byte", "bit", "name"):
        folder = tmp_path / str(random.random())
        tree = RandomTree(3, folder)
        (tree.root / "extra.txt").write_text("one\n" if change != "byte" else "onE\n")
        (tree.root / "extra.txt").chmod(0o755 if change == "bit" else 0o644)
        if change == "name":
            (tree.root / "extra.txt").rename(tree.root / "extrA.txt")
        source = capture_source(script=None, place=tree.root, folder=folder / "kept")
        assert isinstance(source.tree, str), source.tree
        hashes.add(source.tree)
    assert len(hashes) == 4


# --- conversions ----------------------------------------------------------------------------------------------------


def set_attributes(git, text):
    (git.root / ".gitattributes").write_text(text)


@pytest.mark.parametrize(
    ("attributes", "settings", "name", "content"),
    [
        ("*.ipynb filter=strip\n", {"filter.strip.clean": "sed s/output//", "filter.strip.smudge": "cat"}, "a.ipynb",
         b"code output\n"),
        ("*.txt text eol=crlf\n", {}, "a.txt", b"one\r\ntwo\r\n"),
        ("", {"core.autocrlf": "true"}, "a.txt", b"one\r\ntwo\r\n"),
        ("*.txt ident\n", {}, "a.txt", b"$Id: planted $\n"),
        ("*.txt text working-tree-encoding=UTF-16LE\n", {}, "a.txt", "one\n".encode("utf-16-le")),
    ],
)  # fmt: skip
def test_a_file_that_git_has_converted_comes_back_as_it_lay_on_disk(git, tmp_path, attributes, settings, name, content):
    """Filters, line ends, `$Id$` and encodings: git sees no change, the file comes back as it lay on disk all the same,
    also without the clone's config and filters; so does a file that is not converted."""
    for key, value in settings.items():
        git("config", key, value)
    if attributes:
        set_attributes(git, attributes)
    (git.root / name).write_bytes(content)
    os.utime(git.root / name, (1_700_000_000, 1_700_000_000))  # older than the index: only a filter could tell else
    git("add", "--all")
    git("commit", "--quiet", "-m", "converted")
    assert git("status", "--porcelain") == ""
    source = capture(git, tmp_path)
    assert set(source.changes) == {"converted"}
    assert not source.dirty
    for key in settings:
        git("config", "--unset", key)
    target = restore(git, tmp_path, source)
    assert (target / name).read_bytes() == content
    assert (target / "kept.txt").read_bytes() == b"one\n"


def test_an_edit_under_text_attributes_is_a_diff(git, tmp_path):
    """Where a project only normalises line ends, a person's edit is kept as a diff that can be read."""
    set_attributes(git, "* text=auto\n")
    git("add", "--all")
    git("commit", "--quiet", "-m", "attributes")
    (git.root / "kept.txt").write_text("two\n")
    assert set(capture(git, tmp_path).changes) == {"unstaged"}


def test_an_encrypted_file_is_not_written_down(git, tmp_path):
    """What a filter encrypts on its way into the repository is nowhere in what is kept; its digest is, and it comes
    back from the clone while it is the same there. When it is not, that is said."""
    git("config", "filter.git-crypt.clean", "tr a-z n-za-m")
    git("config", "filter.git-crypt.smudge", "tr a-z n-za-m")
    set_attributes(git, "*.secret filter=git-crypt\n")
    (git.root / "a.secret").write_text("plaintext\n")
    git("add", "--all")
    git("commit", "--quiet", "-m", "encrypted")
    source = capture(git, tmp_path)
    assert isinstance(source.tree, str), source.tree
    assert [(one.path, one.why) for one in source.referred] == [("a.secret", "encrypted")]
    assert "a.secret" in source.cautions[0]
    assert not any(b"plaintext" in path.read_bytes() for path in (tmp_path / "kept").rglob("*") if path.is_file())
    assert (restore(git, tmp_path, source) / "a.secret").read_text() == "plaintext\n"
    (git.root / "a.secret").write_text("other\n")
    with pytest.raises(ReplayError, match="a.secret"):
        make_source_plan(source, places=[git.root])


def add_lfs(git, content=b"weights " * 1000):
    digest = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n"
    set_attributes(git, "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (git.root / "a.bin").write_text(pointer)
    git("add", "--all")
    git("commit", "--quiet", "-m", "lfs")
    return content, digest


def test_a_file_of_lfs_comes_back_with_its_content(git, tmp_path):
    """A file whose content git LFS keeps is not kept again: it comes back from where it lay, or from LFS's store in the
    clone. Where neither has it, that is said."""
    content, digest = add_lfs(git)
    (git.root / "a.bin").write_bytes(content)
    source = capture(git, tmp_path)
    assert (source.changes, [one.sha256 for one in source.referred]) == ({}, [digest])
    assert "LFS" in source.cautions[0]
    assert (restore(git, tmp_path, source) / "a.bin").read_bytes() == content
    store = git.root / ".git" / "lfs" / "objects" / digest[:2] / digest[2:4]
    store.mkdir(parents=True)
    (git.root / "a.bin").rename(store / digest)
    assert (restore(git, tmp_path, source, name="again") / "a.bin").read_bytes() == content
    (store / digest).write_bytes(content[:-1] + b"x")
    with pytest.raises(ReplayError, match="git lfs fetch"):
        make_source_plan(source, places=[git.root])


def test_a_pointer_of_lfs_comes_back_as_a_pointer(git, tmp_path):
    """A file of LFS whose content was never fetched was a pointer when the code ran, and is one again; one that was
    changed is a change."""
    add_lfs(git)
    source = capture(git, tmp_path / "a")
    assert (source.changes, source.referred) == ({}, ())
    assert read_lfs_pointer((restore(git, tmp_path / "a", source) / "a.bin").read_bytes())[0]
    (git.root / "a.bin").write_bytes(b"other content, of another size\n")
    source = capture(git, tmp_path / "b")
    assert (set(source.changes), source.referred) == ({"converted"}, ())
    assert (restore(git, tmp_path / "b", source) / "a.bin").read_bytes() == b"other content, of another size\n"


# --- what git does not show -----------------------------------------------------------------------------------------


def test_a_sparse_checkout_comes_back_sparse(git, tmp_path):
    """Files that were not there did not run: they are not there again, nor is git told that they were deleted."""
    for name in ("docs/a.md", "docs/more/b.md", "code/c.py", "code/d.md"):
        (git.root / name).parent.mkdir(parents=True, exist_ok=True)
        (git.root / name).write_text(name)
    git("add", "--all")
    git("commit", "--quiet", "-m", "more")
    whole = capture(git, tmp_path / "whole").tree
    git("sparse-checkout", "set", "--no-cone", "/*", "!/docs/", "!d.md")
    source = capture(git, tmp_path)
    assert set(source.changes) == {"absent"}
    assert not source.dirty
    assert isinstance(source.tree, str)
    assert source.tree != whole
    target = restore(git, tmp_path, source)
    assert list_tree(target) == list_tree(git.root)
    assert subprocess.run(["git", "status", "--porcelain"], cwd=target, capture_output=True, check=True).stdout == b""


def test_a_sparse_index_is_read(git, tmp_path):
    """An index that has whole folders as one entry is read like any other."""
    for name in ("docs/a.md", "code/c.py"):
        (git.root / name).parent.mkdir(parents=True, exist_ok=True)
        (git.root / name).write_text(name)
    git("add", "--all")
    git("commit", "--quiet", "-m", "more")
    git("sparse-checkout", "set", "--cone", "--sparse-index", "code")
    (git.root / "code" / "c.py").write_text("changed\n")
    source = capture(git, tmp_path)
    assert isinstance(source.tree, str), source.tree
    assert list_tree(restore(git, tmp_path, source)) == list_tree(git.root)


def test_a_split_index_is_read(git, tmp_path):
    """An index in two files is read like any other."""
    git("update-index", "--split-index")
    (git.root / "new.txt").write_text("new\n")
    git("add", "new.txt")
    source = capture(git, tmp_path)
    assert set(source.changes) == {"staged"}
    assert list_tree(restore(git, tmp_path, source)) == list_tree(git.root)


def test_a_conflict_comes_back_as_it_lay_on_disk(git, tmp_path):
    """In the middle of a merge what ran is the files with the marks of the conflict, and they come back."""
    git("checkout", "--quiet", "-b", "idea")
    (git.root / "kept.txt").write_text("theirs\n")
    git("commit", "--quiet", "--all", "-m", "theirs")
    git("checkout", "--quiet", "main")
    (git.root / "kept.txt").write_text("ours\n")
    git("commit", "--quiet", "--all", "-m", "ours")
    with pytest.raises(subprocess.CalledProcessError):
        git("merge", "idea")
    source = capture(git, tmp_path)
    assert isinstance(source.tree, str), source.tree
    restored = (restore(git, tmp_path, source) / "kept.txt").read_text()
    assert "<<<<<<<" in restored
    assert restored == (git.root / "kept.txt").read_text()


def test_a_replaced_object_comes_back_as_git_showed_it(git, tmp_path):
    """`git replace` puts another file on disk than the commit has: that file comes back."""
    (tmp_path / "other.txt").write_text("replaced\n")
    new = git("hash-object", "-w", str(tmp_path / "other.txt")).strip()
    git("replace", git("rev-parse", "HEAD:kept.txt").strip(), new)
    (git.root / "kept.txt").unlink()
    git("checkout", "--quiet", "--", "kept.txt")
    source = capture(git, tmp_path)
    assert (restore(git, tmp_path, source) / "kept.txt").read_text() == "replaced\n"


def test_a_worktree_and_a_sha256_repository_come_back(git, tmp_path):
    """A `git worktree` has its objects elsewhere, and a repository of SHA-256 longer names: both come back."""
    other = tmp_path / "worktree"
    git("worktree", "add", "--quiet", str(other))
    (other / "new.py").write_text("1\n")
    source = capture_source(script=None, place=other, folder=tmp_path / "kept")
    assert source.repository == str(other)
    assert list_tree(restore(git, tmp_path, source, places=[other])) == list_tree(other)
    root = tmp_path / "long"
    subprocess.run(["git", "init", "--quiet", "--object-format=sha256", root], check=True)
    (root / "a.py").write_text("1\n")
    source = capture_source(script=None, place=root, folder=tmp_path / "b" / "kept")
    assert len(source.tree) == 64


def test_a_folder_that_cannot_be_read_is_said(git, monkeypatch):
    """An untracked folder that belongs to somebody else and is closed to us is named; git would only warn."""
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    with tempfile.TemporaryDirectory() as name:
        root = shutil.copytree(git.root, Path(name) / "repository")
        (root / "closed").mkdir()
        (root / "closed" / "a.py").write_text("1\n")
        for path in [Path(name), *Path(name).rglob("*")]:
            os.lchown(path, *(0, 0) if path.name == "closed" else (12345, 12345))
        (root / "closed").chmod(0o700)
        monkeypatch.setenv("HOME", name)  # root's is closed, too
        find_clone(root)  # imports what may be closed to others
        os.seteuid(12345)
        try:
            source = capture_source(script=None, place=root, folder=Path(name) / "kept")
        finally:
            os.seteuid(0)
    assert any("closed" in name for name in source.left_out), source


@pytest.mark.parametrize("is_staged", [False, True])
@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_diff_of_huge_files_is_not_made(git, tmp_path, is_staged, is_deleted):
    """Where the changed files are far larger than what is kept, before or after, no diff of them is made, and that is
    said; within the limit it is."""
    content = random.Random(0).randbytes(50_000)
    if is_deleted:
        (git.root / "kept.txt").write_bytes(content)
        git("commit", "--quiet", "--all", "-m", "large")
        (git.root / "kept.txt").unlink()
    else:
        (git.root / "kept.txt").write_bytes(content)
    if is_staged:
        git("add", "--all")
    kind = "staged" if is_staged else "unstaged"
    lost = capture(git, tmp_path / "a", size_limit_bytes=10_000)
    assert "50000 bytes" in lost.changes[kind].unavailable.replace("50004", "50000")
    assert lost.dirty
    assert isinstance(capture(git, tmp_path / "b").changes[kind], str)


def test_a_heap_of_untracked_files_is_not_walked_through(git, tmp_path, monkeypatch):
    """More untracked files than code has are data: they are not kept, which is said; one less, and they are."""
    from repro_track.capture import tree

    for number in range(3):
        (git.root / f"{number}.txt").touch()
    monkeypatch.setattr(tree, "_UNTRACKED_LIMIT", 2)
    assert "let git ignore" in capture(git, tmp_path / "a").tree.unavailable
    (git.root / "0.txt").unlink()
    assert isinstance(capture(git, tmp_path / "b").tree, str)


# --- what git ignores -----------------------------------------------------------------------------------------------


def test_an_ignored_module_that_ran_is_kept(git, tmp_path):
    """A module that git ignores and that ran comes back; one that did not run is not kept."""
    (git.root / ".gitignore").write_text("private_*.py\ngenerated/\n")
    git("add", ".gitignore")
    git("commit", "--quiet", "-m", "ignore")
    (git.root / "generated").mkdir()
    for name in ("private_used.py", "private_unused.py", "generated/used.py", "generated/unused.py"):
        (git.root / name).write_text("1\n")
    ran = [git.root / "private_used.py", git.root / "generated" / "used.py"]
    source = capture(git, tmp_path, ran=ran)
    assert not source.dirty
    assert source.ignored == ("generated/used.py", "private_used.py")
    shutil.rmtree(git.root / "generated")
    (git.root / "private_unused.py").unlink()
    target = restore(git, tmp_path, source)
    assert (target / "private_used.py").is_file()
    assert [path.name for path in (target / "generated").iterdir()] == ["used.py"]
    assert not (target / "private_unused.py").exists()


def test_an_ignored_secret_that_ran_is_said(git, tmp_path):
    """Code in a file that looks like a secret and is ignored is not kept: the tree does not come back, and says so."""
    (git.root / ".gitignore").write_text("credentials\n")
    (git.root / "credentials").write_text("x = 1\n")
    source = capture(git, tmp_path, ran=[git.root / "credentials"])
    assert "credentials" in source.tree.unavailable


def test_an_ignored_config_file_comes_from_the_clone(git, tmp_path):
    """A config file that git ignores is not kept, only its digest, and that is said. A replay takes it from the clone
    while it is the same there, and git takes no notice of it in the restored tree."""
    (git.root / ".git" / "info" / "exclude").write_text("*.local.yaml\n")
    (git.root / "a.local.yaml").write_text("eta: 1\n")
    source = capture(git, tmp_path)
    assert (source.changes, source.dirty) == ({}, False)
    assert "a.local.yaml" in source.cautions[0]
    target = restore(git, tmp_path, source)
    assert (target / "a.local.yaml").read_text() == "eta: 1\n"
    assert subprocess.run(["git", "status", "--porcelain"], cwd=target, capture_output=True, check=True).stdout == b""
    (git.root / "a.local.yaml").write_text("eta: 2\n")
    assert not (restore(git, tmp_path, source, name="again") / "a.local.yaml").exists()


def test_a_link_in_the_place_of_an_ignored_folder_is_no_change(git, tmp_path):
    """A pattern for folders does not match the link by which a replay brings weights: git takes no notice of it all the
    same."""
    from repro_track.capture.checkout import exclude_from_source

    target = restore(git, tmp_path, capture(git, tmp_path))
    (target / "mo dels [1]").symlink_to(tmp_path)
    assert capture_source(script=None, place=target, folder=tmp_path / "a").dirty
    exclude_from_source(target, ["mo dels [1]"])
    assert not capture_source(script=None, place=target, folder=tmp_path / "b").dirty


# --- repositories inside --------------------------------------------------------------------------------------------


def make_clone(git, place):
    subprocess.run(["git", "clone", "--quiet", git.root, place], check=True)
    return place


@pytest.mark.parametrize("is_ignored", [False, True])
def test_a_clone_inside_the_tree_comes_back(git, tmp_path, is_ignored):
    """A clone in a folder of the tree (vendor, custom_nodes) is captured as the outer repository is: commit, changes,
    remote; one in an ignored folder, too, if its code ran."""
    inner = make_clone(git, git.root / "custom_nodes" / "a node")
    (inner / "kept.txt").write_text("changed\n")
    (inner / "new.py").write_text("new\n")
    ran = []
    if is_ignored:
        (git.root / ".git" / "info" / "exclude").write_text("custom_nodes/\n")
        ran = [inner / "new.py"]
        assert capture(git, tmp_path / "not run").submodules == ()
    source = capture(git, tmp_path, ran=ran)
    (one,) = source.submodules
    assert (one.path, one.is_clone, one.remote) == ("custom_nodes/a node", True, str(git.root))
    assert isinstance(source.tree, str), source.tree
    target = restore(git, tmp_path, source)
    assert (target / one.path / "kept.txt").read_text() == "changed\n"
    assert (target / one.path / "new.py").read_text() == "new\n"
    shutil.rmtree(inner)  # then from its remote
    assert (restore(git, tmp_path, source, name="again") / one.path / "new.py").read_text() == "new\n"


def test_a_repository_inside_that_cannot_be_kept_makes_the_tree_unproven(git, tmp_path):
    """A damaged repository inside the tree is named as the reason why the tree does not come back; so is a change in it
    that is a secret."""
    inner = make_clone(git, git.root / "vendor")
    (inner / "new.py").write_text("token = 'hf_" + "a1B2" * 8 + "'\n")
    assert "vendor" in capture(git, tmp_path / "a").tree.unavailable
    (inner / "new.py").unlink()
    assert isinstance(capture(git, tmp_path / "b").tree, str)
    (inner / ".git" / "index").write_bytes(b"garbage")
    assert "vendor" in capture(git, tmp_path / "c").tree.unavailable


def test_submodules_in_submodules_come_back(git, tmp_path):
    """Submodules of submodules, in folders with spaces, with and without commits of their own, come back; one that was
    never initialised is an empty folder again."""
    local = ["-c", "protocol.file.allow=always"]
    middle = make_clone(git, tmp_path / "middle")
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.invalid"]
    subprocess.run(["git", *local, "submodule", "--quiet", "add", str(git.root), "in ner"], cwd=middle, check=True)
    subprocess.run(["git", *identity, "commit", "--quiet", "-m", "inner"], cwd=middle, check=True)
    git(*local, "submodule", "--quiet", "add", str(middle), "a sub")
    git(*local, "submodule", "--quiet", "add", str(middle), "unused")
    git(*local, "submodule", "--quiet", "update", "--init", "--recursive", "a sub")
    git("commit", "--quiet", "-m", "submodules")
    git("submodule", "--quiet", "deinit", "--force", "unused")
    (git.root / "a sub" / "in ner" / "new.py").write_text("1\n")
    source = capture(git, tmp_path)
    assert [one.path for one in source.submodules] == ["a sub", "a sub/in ner"]
    target = restore(git, tmp_path, source)
    assert list_tree(target) == list_tree(git.root)
    assert list((target / "unused").iterdir()) == []


def test_a_tree_without_a_commit_comes_back(tmp_path, git):
    """A repository without a commit comes back with all its files; only an empty one has nothing that could."""
    root = tmp_path / "new"
    subprocess.run(["git", "init", "--quiet", root], check=True)
    empty = capture_source(script=None, place=root, folder=tmp_path / "a")
    assert isinstance(make_source_plan(empty, places=[root]), Unavailable)
    (root / "staged.py").write_text("1\n")
    subprocess.run(["git", "add", "staged.py"], cwd=root, check=True)
    (root / "staged.py").write_text("2\n")
    (root / "new.py").write_text("3\n")
    source = capture_source(script=None, place=root, folder=tmp_path / "kept")
    assert isinstance(source.commit, Unavailable)
    shutil.rmtree(root)
    target = restore(git, tmp_path, source, places=[])
    assert {path.name: path.read_text() for path in target.glob("*.py")} == {"staged.py": "2\n", "new.py": "3\n"}
