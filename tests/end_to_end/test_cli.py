"""Promises of cli.py: help for everything, and Hydra's own flags behind `run`."""

import pytest

import repro_track


@pytest.mark.parametrize("command", ["", "replay", "show", "diff", "find", "verify", "ui"])
def test_every_command_has_help(cli, command):
    """Each command explains itself on stdout with exit code 0."""
    result = cli(*[command] if command else [], "--help")
    assert result.code == 0
    assert result.out.startswith("Usage: repro-track")


def test_the_version_is_the_packages(cli):
    """`--version` prints the version that the records carry."""
    assert cli("--version").out.strip().endswith(repro_track.__version__)


def test_hydra_flags_pass_through(cli):
    """`--help` and `--cfg job` are Hydra's, with our groups; an override needs no plus under `call`."""
    text = cli("run", "--help").out
    for words in ("repro-track run", "determinism: fast, portable, strict", "trace: modules, off, steps"):
        assert words in text
    assert "prompt: a cat" in cli("run", "--cfg", "job", 'call.prompt="a cat"').out


def test_a_config_dir_of_ones_own_is_found(cli, tmp_path):
    """`--config-dir` adds a person's own presets to ours."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 7\n")
    result = cli("run", "--config-dir", tmp_path, "experiment=mine", "--cfg", "job")
    assert "seed: 7" in result.out, result.err


def test_the_ui_serves_the_store(digits_run, start, tmp_path):
    """`repro-track ui` serves MLflow on the embedded store, with the run in it, until it is ended."""
    import json
    import os
    import signal
    import socket
    import subprocess
    import sys
    import time
    import urllib.request
    from pathlib import Path

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    program = Path(sys.executable).parent / "repro-track"
    server = subprocess.Popen(
        [program, "ui", "--port", str(port)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        assert f"http://127.0.0.1:{port}" in server.stderr.readline().decode()
        url = f"http://127.0.0.1:{port}/api/2.0/mlflow/runs/get?run_id={digits_run.run_id}"
        for _ in range(200):
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    run = json.load(answer)["run"]
                    break
            except OSError:
                time.sleep(0.2)
        assert run["info"]["run_id"] == digits_run.run_id
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_wrong_words_are_usage(cli):
    """An unknown command or option is exit code 2 with a hint, as everywhere."""
    assert cli("replya").code == 2
    assert cli("replay").code == 2
    assert cli("replay", "latest", "--require", "perfect").code == 2


def test_the_example_workflow_calls_what_is_there(cli):
    """The workflow of examples/ is YAML, and every option that it gives `replay` is one."""
    import re
    from pathlib import Path

    import yaml

    text = (Path(__file__).parents[2] / "examples" / "golden_runs.yml").read_text()
    steps = yaml.safe_load(text)["jobs"]["replay"]["steps"]
    command = next(step["run"] for step in steps if "repro-track replay" in step.get("run", ""))
    options = re.findall(r"--[a-z-]+", command)
    shown = cli("replay", "--help").out
    assert {"--experiment", "--junit", "--trust"} <= set(options)
    assert all(re.search(rf"^\s+{option}\b", shown, re.MULTILINE) for option in options)
