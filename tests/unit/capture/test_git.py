"""Promises of git.py, on real repositories: neither hooks nor whoever called us have a say."""

from tests.unit.capture.trees import capture, restore


def test_hooks_and_callers_of_git_have_no_say(git, tmp_path, monkeypatch):
    """A hook of the clone does not run, and the variables of a git that called us do not lead us elsewhere."""
    hook = git.root / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "no-such-index"))
    (git.root / "new.py").write_text("1\n")
    source = capture(git, tmp_path)
    assert isinstance(source.tree, str), source.tree
    assert (restore(git, tmp_path, source) / "new.py").exists()
    assert not (tmp_path / "ran").exists()
