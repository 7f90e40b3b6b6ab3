"""Planted secrets: none of them is anywhere in what a run leaves behind."""

import subprocess

import pytest

PLANTED = {
    "remote": "planted-remote-password",
    "override": "planted-override-value",
    "variable": "planted-variable-value",
    "file": "planted-file-value",
    "token": "hf_" + "Zz9Q" * 8,
}

SCRIPT = """
import sys
import repro_track as rt
config = {"hub": {"token": sys.argv[1]}, "note": sys.argv[2]}
with rt.track(experiment="secrets", seed=0, trace="off", config=config) as run:
    run.add_output("x", __import__("numpy").zeros(3))
print(run.run_id)
"""


@pytest.fixture(scope="module")
def leaky_run(tmp_path_factory, python, home):
    """A run in a repository whose remote, files, command line and environment all hold secrets."""
    root = tmp_path_factory.mktemp("leaky")
    (root / "script.py").write_text(SCRIPT)
    for words in (
        ["init", "--quiet"],
        ["add", "script.py"],
        ["-c", "user.name=T", "-c", "user.email=t@example.invalid", "commit", "--quiet", "-m", "one"],
        ["remote", "add", "origin", f"https://me:{PLANTED['remote']}@host.example/a.git"],
    ):
        subprocess.run(["git", *words], cwd=root, check=True)
    (root / ".env").write_text(f"PASSWORD={PLANTED['file']}\n")
    (root / "notes.txt").write_text(f"token: {PLANTED['token']}\n")
    run = python(
        "script.py", PLANTED["override"], f"see {PLANTED['token']}", "--password", PLANTED["override"],
        cwd=root, env={"HF_TOKEN": PLANTED["variable"], "AWS_SECRET_ACCESS_KEY": PLANTED["variable"]},
    )  # fmt: skip
    assert run.code == 0, run.err
    return run


def test_no_planted_secret_is_kept(leaky_run, home, artifacts):
    """No artifact, no database row and no ledger entry has a planted secret in it, packed or not."""
    import gzip

    searched = 0
    for path in [*artifacts(leaky_run.run_id).rglob("*"), *home.glob("*.db*"), *home.glob("ledger/*")]:
        if not path.is_file():
            continue
        content = path.read_bytes()
        if path.suffix == ".gz":
            content += gzip.decompress(content)
        searched += 1
        for kind, secret in PLANTED.items():
            # the script's own argument has no name that tells it: see the next test
            if kind != "override":
                assert secret.encode() not in content, f"{kind} in {path}"
    assert searched > 8


def test_the_withheld_is_reported(leaky_run, read_record):
    """What was withheld is said: where in the config, which file, which change, and that the run cannot be replayed."""
    record = read_record(leaky_run.run_id)
    assert "hub.token" in record.config.withheld
    assert PLANTED["override"] not in str(record.config.resolved)
    assert PLANTED["override"] not in record.command.argv[3]
    assert record.source.remote == "https://host.example/a.git"
    assert ".env" in record.source.left_out
    assert not record.replayable.yes
    assert any("withheld" in reason for reason in record.replayable.reasons)
