"""Planted secrets: none of them is anywhere in what a run leaves behind, and no replay runs without them."""

import gzip
import subprocess

import pytest

pytestmark = [pytest.mark.restore, pytest.mark.xdist_group("secrets")]

TOKEN = "hf_" + "Zz9Q" * 8
PLANTED = {
    "token": TOKEN,
    "remote": "planted-remote-password",
    "option": "planted-option-value",
    "config": "planted-config-value",
    "variable": "planted-variable-value",
    "file": "planted-file-value",
    "code": "planted-code-value-1",
}

SCRIPT = """
import os, sys
import numpy as np
import repro_track as rt
config = {
    "hub": {"accessToken": sys.argv[2], "secret": ["planted-config-value"]}, "note": sys.argv[3],
    "told": os.environ["HF_TOKEN"], "said": "it is " + sys.argv[2],
    "url": "https://me:planted-config-value@host/?sig=planted-config-value", sys.argv[3]: 1,
}
try:
    with rt.track(
        experiment="secrets", seed=0, trace="off", config=config, name="run of " + sys.argv[3], embed="full"
    ) as run:
        run.add_output("x", np.zeros((8, 8, 3), np.uint8))
        api_key = "planted-code-value-1"
        raise RuntimeError("cannot log in with " + sys.argv[3])
except RuntimeError:
    pass
print(run.run_id)
"""


@pytest.fixture(scope="module")
def leaky_run(tmp_path_factory, python, home):
    """A run in a repository whose remote, branch, files, command line, code and environment all hold secrets."""
    root = tmp_path_factory.mktemp("leaky")
    (root / "script.py").write_text("print(1)\n")
    for words in (
        ["init", "--quiet", "--initial-branch", f"try-{TOKEN}"],
        ["add", "script.py"],
        ["-c", "user.name=T", "-c", "user.email=t@example.invalid", "commit", "--quiet", "-m", "one"],
        ["remote", "add", "origin", f"https://me:{PLANTED['remote']}@host.example/a.git"],
    ):
        subprocess.run(["git", *words], cwd=root, check=True)
    (root / "script.py").write_text(SCRIPT)
    (root / ".env").write_text(f"PASSWORD={PLANTED['file']}\n")
    (root / "notes.txt").write_text(f"token: {TOKEN}\n")
    (root / f"{TOKEN}.txt").write_text("named so\n")
    run = python(
        "script.py", "--openai-key", PLANTED["option"], f"see {TOKEN}", "--password=" + PLANTED["option"],
        cwd=root, env={"HF_TOKEN": PLANTED["variable"], "AWS_SECRET_ACCESS_KEY": PLANTED["variable"]},
    )  # fmt: skip
    assert run.code == 0, run.err
    return run


def search(folder):
    """Return how many files there are, and the secrets in them with their places; packed files are unpacked."""
    searched, found = 0, []
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes() + str(path.relative_to(folder)).encode()
        if path.suffix == ".gz":
            content += gzip.decompress(path.read_bytes())
        searched += 1
        found += [f"{kind} in {path}" for kind, secret in PLANTED.items() if secret.encode() in content]
    return searched, found


def test_no_planted_secret_is_kept(leaky_run, home):
    """No artifact, no database row and nothing else in the data folder has a planted secret in it, packed or not: the
    record, the config, the diff, the page, the error, the picture, tags, params, notes, names, the ledger."""
    searched, found = search(home)
    assert found == []
    assert searched > 8


def test_the_withheld_is_reported(leaky_run, read_record):
    """What was withheld is said: where in the config, which file, which change, and that the run cannot be replayed."""
    record = read_record(leaky_run.run_id)
    assert {"hub.accessToken", "hub.secret.0", "url", "note", "told", "said"} <= set(record.config.withheld)
    assert record.source.remote == "https://host.example/a.git"
    assert ".env" in record.source.left_out
    assert any("untracked" in str(change) or "secret" in str(change) for change in record.source.changes.values())
    assert record.error == "RuntimeError: cannot log in with see ***withheld***"
    assert not record.replayable.yes
    assert any("withheld: argv." in reason for reason in record.replayable.reasons)


def test_a_replay_without_its_secrets_is_refused(leaky_run, cli):
    """Nothing is run with the mark in a secret's place: the words that were withheld are named."""
    for more in ([], ["--dry-run"]):
        refused = cli("replay", leaky_run.run_id, "--code", "current", *more)
        assert refused.code == 4
        assert "argv.1 (--openai-key)" in refused.err
        assert PLANTED["option"] not in refused.err


def test_a_secret_from_a_variable_is_given_back_by_it(cli, home, read_record):
    """A token that a config takes from an environment variable is in nothing that is kept; the run is replayed where
    the variable is set, and refused by its name where it is not."""
    secret = {"A_TOKEN": PLANTED["variable"]}
    run = cli("run", "+pipeline.arguments.token=${oc.env:A_TOKEN}", "trace=off", env=secret)
    assert run.code == 0, run.err
    record = read_record(run.run_id)
    assert record.config.references == {"pipeline.arguments.token": "A_TOKEN"}
    assert record.replayable.yes
    refused = cli("replay", run.run_id)
    assert refused.code == 4
    assert "A_TOKEN" in refused.err
    replayed = cli("replay", run.run_id, env=secret)
    assert replayed.out.strip() == "bit-exact", replayed.err
    assert search(home)[1] == []
