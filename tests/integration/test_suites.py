"""Promises of CI's runner of suites: everybody sees what each took, and nothing that failed is called passed."""

import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).parents[2] / ".ci" / "suites.py"

MAKEFILE = """
good:
\t@echo "20 passed so far"
\t@echo "===== \x1b[32m20 passed\x1b[0m, 3 skipped in 61.20s (0:01:01) ====="
plain:
\t@echo "7 passed, 0 failed"
bad:
\t@echo "== 2 failed, 5 passed, 1 error in 3.02s =="; exit 1
broken:
\t@exit 2
lying:
\t@echo "7 passed, 2 failed"
"""


@pytest.fixture
def run(tmp_path):
    """Run targets of a Makefile of our own."""
    (tmp_path / "Makefile").write_text(MAKEFILE)

    def run(*words):
        command = [sys.executable, str(RUNNER), *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_the_last_line_is_the_sum_of_all_tests(run):
    """Pytest's closing line and a plain one are both counted; what else a suite prints is shown, and not counted."""
    ended = run("good", "plain")
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert "20 passed so far" in lines
    assert lines[-1] == "27 passed, 0 failed"
    table = [line.split() for line in lines[lines.index("7 passed, 0 failed") + 2 : -1]]
    assert [row[0] for row in table] == ["suite", "(before)", "good", "plain", "all"]
    assert [row[2] for row in table] == ["tests", "-", "20", "7", "27"]


def test_a_suite_that_fails_ends_it_and_the_table_comes_all_the_same(run):
    """What comes after a failed suite is not started; the table names the failed one, and its failed tests are in the
    last line."""
    ended = run("good", "bad", "plain")
    assert ended.returncode == 1
    assert "7 passed" not in ended.stdout
    assert [line.split()[0] for line in ended.stdout.splitlines() if line.endswith("FAILED")] == ["bad"]
    assert ended.stdout.splitlines()[-1] == "25 passed, 3 failed"


@pytest.mark.parametrize(
    ("target", "last"),
    [("broken", "0 passed, 1 failed"), ("lying", "7 passed, 2 failed")],
    ids=["no tests", "exit code 0"],
)
def test_a_failure_is_never_lost(run, target, last):
    """A target that fails without a test is one failure; failed tests are failures although make says that all went
    well."""
    ended = run(target)
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (1, last)


def test_a_whole_that_takes_too_long_fails(run):
    """Beyond the limit, counted from when the whole began, all suites may pass: the whole fails and says why."""
    assert run("--limit", "60", "--began", "0", "plain").returncode == 1
    ended = run("--limit", "0", "plain")
    assert ended.returncode == 1
    assert "at most 0 are allowed" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "7 passed, 1 failed"


def test_ci_runs_every_long_suite():
    """`.ci/run` names each target of the Makefile that runs tests here: none is forgotten when it is added."""
    root = RUNNER.parents[1]
    # minutes each, the Hub, a GPU; a part of `test`; the whole of what CI takes a share of
    others = {"test-slow", "test-hub", "test-gpu", "test-unit", "check-conformance-all"}
    targets = {line.partition(":")[0] for line in (root / "Makefile").read_text().splitlines() if ":" in line}
    tests = {name for name in targets if name.startswith(("test", "check-"))} - others
    assert tests
    assert tests <= set((root / ".ci" / "run").read_text().split())
