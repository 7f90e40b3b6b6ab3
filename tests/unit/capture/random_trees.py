"""Random git trees: everything that people and git do to a working tree, by a seed."""

import os
import random
import shutil
import subprocess
from pathlib import Path

NAMES = (
    "a.py", "b.txt", "with space.py", "new\nline.txt", "quo\"te.txt", "it's.txt", '\u0175ide.py',
    'latin\udce9.txt', "-dash", "--option=x", "tab\there", "*glob?.txt", "[set].txt", "Case.txt", "case.txt",
    ".hidden", "end ", "#hash", "!bang", "back\\slash", "x.crlf", "y.crlf", "z.id", "u.enc", "v.flt", "w.flt",
    "m.lfs", "n.bin", "k.auto", ":colon", "a.b/c.py", "pkg/__init__.py", "pkg/mod.py", "deep/er/still/x.py",
    "deep/er/y.flt", "with space/in side.txt", 'la\udcff/x', "-d/-e", "$dollar", "~tilde",
)  # fmt: skip
ATTRIBUTES = (
    "*.crlf text eol=crlf", "*.id ident", "*.enc text working-tree-encoding=UTF-16LE", "*.flt filter=rot",
    "*.bin -text -diff", "*.lfs filter=lfs diff=lfs merge=lfs -text", "*.auto text=auto", "* text=auto",
    "*.py diff=python", "*.txt whitespace=-all",
)  # fmt: skip


class RandomTree:
    """A repository in a random state.

    Attributes:
        root: its working tree.
        canary: a file that is there as soon as something of its config has run.
        said: what was done to it, in words, to be shown by a failure.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)
        self.root = folder / "repository"
        self.canary = folder / "canary"
        self.folder = folder
        self.said: list[str] = []
        self.other = 0
        self._make()

    def git(self, *words: str, root: Path | None = None, check: bool = True) -> str:
        identity = ["-c", "user.name=T", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
        local = ["-c", "protocol.file.allow=always", "-c", "core.safecrlf=false", "-c", "advice.addEmbeddedRepo=false"]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        variables |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
        done = subprocess.run(
            ["git", *identity, *local, *words], cwd=root or self.root, capture_output=True, check=False, env=variables
        )
        if check and done.returncode:
            raise RuntimeError(f"git {words}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode("utf-8", "surrogateescape")

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def content(self) -> bytes:
        letters = "".join(self.random.choices("abcdefgh xyz0123", k=self.random.randint(1, 60)))
        lines = [letters[i : i + 9] for i in range(0, len(letters), 9)]
        kind = self.random.randrange(8)
        if kind == 0:
            return self.random.randbytes(self.random.randint(1, 300))
        if kind == 1:
            return b""
        end = "\r\n" if kind == 2 else "\n"
        text = end.join(lines) + ("" if kind == 3 else end)
        if kind == 4:
            text = "a\r\nb\n$Id$ $Id: planted $\n" + text
        return text.encode()

    def write(self, name: str, content: bytes | None = None, *, root: Path | None = None) -> None:
        path = (root or self.root) / name
        for parent in reversed(path.relative_to(root or self.root).parents):
            place = (root or self.root) / parent
            if os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
                place.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        if path.is_symlink():
            path.unlink()
        if self.chance(0.1) and content is None:
            if os.path.lexists(path):
                path.unlink()
            path.symlink_to(self.random.choice(["a.py", "nowhere", "../up", "/absolute", "with space"]))
            return
        if content is None:
            content = self.content()
            if name.endswith(".enc"):
                content = content.decode("latin-1").encode("utf-16-le")
        path.write_bytes(content)
        path.chmod(0o755 if self.chance(0.3) else 0o644)

    def _make(self) -> None:
        self.root.mkdir(parents=True)
        words = ["--object-format=sha256"] if self.chance(0.1) else []
        self.git("init", "--quiet", "--initial-branch=main", *words)
        self._configure()
        for name in self.random.sample(NAMES, self.random.randint(2, 14)):
            self.write(name)
        if self.chance(0.6):
            lines = self.random.sample(ATTRIBUTES, self.random.randint(1, 6))
            self.said.append(f"attributes {lines}")
            (self.root / ".gitattributes").write_text("\n".join(lines) + "\n")
        (self.root / ".gitignore").write_text("ignored*\n")
        if self.chance(0.08):
            self.said.append("no commit")
            if self.chance(0.5):
                self.git("add", "--all")
        else:
            self.commit()
            if self.chance(0.4):
                self.change()
                self.commit()
        for act, share in (
            (self.move, 0.25), (self.add_submodule, 0.2), (self.add_submodule, 0.1), (self.conflict, 0.08),
            (self.go_sparse, 0.1),
            (self.checkout_again, 0.4), (self.change, 0.7), (self.change, 0.5), (self.add_clone, 0.15),
            (self.hide, 0.15), (self.detach, 0.1), (self.edit_quickly, 0.3), (self.add_folders, 0.3),
            (self.use_lfs, 0.2), (self.replace, 0.05),
        ):  # fmt: skip
            if self.chance(share):
                self.said.append(act.__name__)
                act()
        if self.chance(0.3):
            self.write("ignored.bin", b"x")
        self.canary.unlink(missing_ok=True)

    def _configure(self) -> None:
        spy = f"echo ran >> '{self.canary}'"
        self.git("config", "filter.rot.clean", f'sh -c "{spy}; tr a-z n-za-m"')
        self.git("config", "filter.rot.smudge", f'sh -c "{spy}; tr a-z n-za-m"')
        for name in ("fsmonitor", "sshCommand", "pager", "editor"):
            if self.chance(0.3):
                self.git("config", f"core.{name}", f'sh -c "{spy}; false"')
        if self.chance(0.3):
            self.git("config", "diff.external", f'sh -c "{spy}"')
            self.git("config", "diff.python.textconv", f'sh -c "{spy}; cat"')
        if self.chance(0.2):
            self.git("config", "core.autocrlf", self.random.choice(["true", "input"]))
        if self.chance(0.1):
            self.git("config", "core.fileMode", "false")
        if self.chance(0.1):
            self.git("config", "core.symlinks", "false")
        if self.chance(0.1):
            (self.root / ".git" / "info").mkdir(exist_ok=True)
            (self.root / ".git" / "info" / "attributes").write_text("*.txt text eol=crlf\n*.py filter=rot\n")
        hooks = self.root / ".git" / "hooks"
        hooks.mkdir(exist_ok=True)
        for name in ("post-checkout", "post-index-change", "reference-transaction"):
            (hooks / name).write_text(f"#!/bin/sh\n{spy}\n")
            (hooks / name).chmod(0o755)

    def commit(self) -> None:
        self.git("add", "--all", check=False)
        self.git("commit", "--quiet", "--allow-empty", "-m", "a commit")

    def has_commit(self, root: Path | None = None) -> bool:
        return bool(self.git("rev-parse", "--verify", "--quiet", "HEAD", root=root, check=False))

    def tracked(self) -> list[str]:
        entries = self.git("ls-files", "--stage", "-z").split("\0")
        names = [entry.partition("\t")[2] for entry in entries if entry and not entry.startswith("160000")]
        return sorted({name for name in names if not name.startswith(".git") and os.path.lexists(self.root / name)})

    def move(self) -> None:
        """Go on in a clone with less history, with borrowed objects, with an index in two parts, or in a worktree."""
        if not self.has_commit():
            return
        kind = self.random.randrange(4)
        self.said.append(f"move {kind}")
        other = self.folder / "moved"
        if kind == 0:
            self.git("worktree", "add", "--quiet", "-f", str(other), "HEAD")
            self.root = other
        elif kind == 3:
            self.git("update-index", "--split-index")
        else:
            how = ("--depth=1", f"file://{self.root}") if kind == 1 else ("--shared", str(self.root))
            self.git("clone", "--quiet", "--no-checkout", *how, str(other))
            self.root = other
            self._configure()
            self.git("checkout", "--quiet", "--force", check=False)

    def checkout_again(self) -> None:
        """What git checks out is what it has converted."""
        if self.has_commit():
            for name in self.tracked():
                if not (self.root / name).is_dir():
                    (self.root / name).unlink()
            self.git("checkout", "--quiet", "--force", "--", ".", check=False)

    def change(self) -> None:
        for name in self.random.sample(self.tracked(), min(len(self.tracked()), self.random.randint(0, 4))):
            path, kind = self.root / name, self.random.randrange(9)
            if not os.path.lexists(path) or (path.is_dir() and not path.is_symlink()):
                continue
            self.said.append(f"change {kind} {name!r}")
            if kind <= 2:
                self.write(name)
            elif kind == 3:
                path.unlink()
            elif kind == 4 and not path.is_symlink():
                path.chmod(path.stat().st_mode ^ 0o111)
            elif kind == 5:
                self.git("mv", "-f", "--", name, f"moved {name.replace('/', '_')}", check=False)
            elif kind == 6:
                path.unlink()
                self.write(f"{name}/inside.txt")
            elif kind == 7:
                self.git("rm", "--quiet", "--cached", "--", name, check=False)
            elif kind == 8 and path.is_file() and not path.is_symlink():
                path.write_bytes(path.read_bytes() + b"more\n")
            if self.chance(0.4):
                self.git("add", "--", f":(literal){name}", check=False)
                if self.chance(0.3) and not path.is_dir():
                    self.write(name)
        for name in self.random.sample(NAMES, self.random.randint(0, 3)):
            if not os.path.lexists(self.root / name):
                self.write(name)
                if self.chance(0.3):
                    self.git(
                        "add", *self.random.choice([(), ("--intent-to-add",)]), "--", f":(literal){name}", check=False
                    )

    def make_other(self) -> Path:
        self.other += 1
        other = self.folder / f"other {self.other}"
        other.mkdir()
        form = ["--object-format=sha256"] if "sha256" in self.git("rev-parse", "--show-object-format") else []
        self.git("init", "--quiet", "--initial-branch=main", *form, root=other)
        self.write("lib.py", b"x = 1\n", root=other)
        self.git("add", "--all", root=other)
        self.git("commit", "--quiet", "-m", "other", root=other)
        return other

    def add_submodule(self) -> None:
        if not self.has_commit():
            return
        other, name = self.make_other(), self.random.choice(["sub", "sub mod ule", "libs/deep", "-s"]) + str(self.other)
        if self.chance(0.3):
            deeper = self.make_other()
            self.git("submodule", "--quiet", "add", "--", str(deeper), "deeper", root=other)
            self.git("commit", "--quiet", "-m", "deeper", root=other)
        self.git("submodule", "--quiet", "add", "--", str(other), name, check=False)
        self.git("submodule", "--quiet", "update", "--init", "--recursive", check=False)
        if self.chance(0.7):
            self.git("commit", "--quiet", "-m", "submodule", check=False)
        self.spoil(name)

    def spoil(self, name: str) -> None:
        place = self.root / name
        kind = self.random.randrange(7) if (place / "lib.py").is_file() else None
        self.said.append(f"spoil {kind} {name!r}")
        if kind == 0:
            (place / "lib.py").write_text("x = 2\n")
        elif kind == 1:
            self.write("new in it.py", root=place)
        elif kind == 2:
            (place / "lib.py").write_text("x = 3\n")
            self.git("commit", "--quiet", "--all", "-m", "moved on", root=place, check=False)
        elif kind == 3:
            self.git("submodule", "--quiet", "deinit", "--force", "--", name, check=False)
        elif kind == 4:
            shutil.rmtree(place)
        elif kind == 5:
            self.git("submodule", "--quiet", "deinit", "--force", "--", name, check=False)
            self.write("unpacked.py", root=place)

    def add_clone(self) -> None:
        place = self.root / "vendor" / f"clone {self.other}"
        self.git("clone", "--quiet", str(self.make_other()), str(place))
        self.spoil(str(place.relative_to(self.root)))

    def conflict(self) -> None:
        if not self.has_commit() or self.git("status", "--porcelain"):
            return
        self.git("checkout", "--quiet", "-b", "idea")
        self.write("b.txt", b"theirs\n")
        self.write("theirs only.txt", b"t\n")
        self.commit()
        self.git("checkout", "--quiet", "main", check=False)
        self.write("b.txt", b"ours\n")
        self.commit()
        self.git("merge", "idea", check=False)

    def go_sparse(self) -> None:
        self.git("sparse-checkout", "set", "--no-cone", "/*", "!/deep/", "!/b.txt", "!*.crlf", check=False)

    def hide(self) -> None:
        for name in self.tracked()[:2]:
            self.git(
                "update-index", self.random.choice(["--assume-unchanged", "--skip-worktree"]), "--", name, check=False
            )
            if self.chance(0.6) and not (self.root / name).is_dir():
                self.write(name)

    def detach(self) -> None:
        if self.has_commit():
            self.git("checkout", "--quiet", "--detach", check=False)

    def edit_quickly(self) -> None:
        """Change a file to the same size at the moment of the index."""
        for name in self.tracked()[:3]:
            path = self.root / name
            if path.is_file() and not path.is_symlink() and path.stat().st_size:
                time = path.stat().st_mtime
                self.git("update-index", "--really-refresh", "-q", check=False)
                path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))
                os.utime(path, (time, time))

    def add_folders(self) -> None:
        for name in ("empty", "half/empty", "with space/emp ty"):
            if self.chance(0.5) and not any((self.root / parent).is_symlink() or (self.root / parent).is_file()
                                            for parent in [Path(name), *Path(name).parents]):  # fmt: skip
                (self.root / name).mkdir(parents=True, exist_ok=True)

    def use_lfs(self) -> None:
        """Track a file by a pointer, as git LFS does, with or without its content on disk."""
        import hashlib

        if not self.has_commit():
            return
        content = self.random.randbytes(2000)
        digest = hashlib.sha256(content).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n"
        with (self.root / ".gitattributes").open("a") as file:
            file.write("big.lfs filter=lfs -text\n")
        self.write("big.lfs", pointer.encode())
        self.git("add", "--", "big.lfs", ".gitattributes")
        self.git("commit", "--quiet", "-m", "lfs", check=False)
        if self.chance(0.7):
            (self.root / "big.lfs").write_bytes(content)

    def replace(self) -> None:
        names = [
            name for name in self.tracked() if (self.root / name).is_file() and not (self.root / name).is_symlink()
        ]
        if names and self.has_commit():
            old = self.git("rev-parse", f":{names[0]}", check=False).strip()
            (self.folder / "replacement").write_bytes(b"replaced\n")
            new = self.git("hash-object", "-w", str(self.folder / "replacement")).strip()
            if old and old != new:
                self.git("replace", old, new, check=False)
                self.checkout_again()


def list_tree(root: Path) -> dict[str, object]:
    """List what is in a working tree: every file, link and innermost folder, but git's own and ignored files."""
    found: dict[str, object] = {}

    def walk(folder: Path) -> None:
        entries = [path for path in folder.iterdir() if path.name != ".git" and not path.name.startswith("ignored")]
        if not entries:
            found[os.path.relpath(folder, root)] = "folder"
        for path in entries:
            if path.is_symlink():
                found[os.path.relpath(path, root)] = ("link", str(path.readlink()))
            elif path.is_dir():
                walk(path)
            else:
                found[os.path.relpath(path, root)] = ("file", path.read_bytes(), bool(path.stat().st_mode & 0o100))

    walk(root)
    return found
