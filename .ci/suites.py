"""Run make targets one after the other; print at the end what each of them took, and how many tests passed and failed.

    python3 .ci/suites.py [--limit MINUTES] [--began SECONDS] TARGET...

It stops at the first target that fails. The table comes in any case, and after it, as the last line, the sum of all
tests in the form `N passed, N failed`, which whoever reads only the end of the output can rely on: a target that failed
without a failed test, and a whole that took longer than the limit, are one failure each. It needs nothing but Python 3,
and never hides what a target prints.
"""

import argparse
import re
import signal
import subprocess
import sys
import time

CLOSING = re.compile(r"^=+ (?P<counts>.*\d+ .*) in [\d.]+s\b.*=+$|^(?P<plain>\d+ passed, \d+ failed)$")
"""The last line of pytest, or of a suite of our own."""
COLOURS = re.compile(r"\x1b\[[\d;]*m")


def read_counts(line):
    """Read how many tests passed and failed from a closing line; `None` for any other line.

    >>> read_counts("= 1 failed, 20 passed, 3 skipped, 1 error in 61.20s (0:01:01) =")
    (20, 2)
    >>> read_counts("77 passed, 0 failed"), read_counts("20 passed the first time")
    ((77, 0), None)
    """
    found = CLOSING.match(COLOURS.sub("", line).strip())
    if not found:
        return None
    counts = {}
    for number, word in re.findall(r"(\d+) (passed|failed|error)", found["counts"] or found["plain"]):
        counts[word] = int(number)
    return counts.get("passed", 0), counts.get("failed", 0) + counts.get("error", 0)


def run(target):
    """Run one target, show what it prints; return its exit code, and how many tests passed and failed."""
    counts = None
    with subprocess.Popen(
        ["make", target], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace", text=True
    ) as made:
        try:
            for line in made.stdout:
                print(line, end="", flush=True)
                counts = read_counts(line) or counts
        except BaseException:  # nobody waits for it any longer
            made.terminate()
            raise
    return made.returncode, counts


def main():
    """Run the targets; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=60, metavar="MINUTES", help="the whole fails if it takes longer")
    parser.add_argument(
        "--began", type=float, default=time.time(), metavar="SECONDS", help="when the whole began, as date +%%s says"
    )
    parser.add_argument("targets", nargs="+", metavar="TARGET")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows, passed, failed = [], 0, 0
    try:
        for target in given.targets:
            began, code, counts = time.time(), 1, None
            try:
                code, counts = run(target)
            finally:  # also when somebody ends it: the target that did not come to its end has failed
                tests = counts or (0, 0)
                passed, failed = passed + tests[0], failed + max(tests[1], int(code != 0))
                shown = "-" if counts is None else str(sum(counts))
                rows.append((target, time.time() - began, shown, "FAILED" if code or tests[1] else ""))
            if code or tests[1]:
                break
    finally:
        total = time.time() - given.began
        before = total - sum(row[1] for row in rows)
        print(f"\n{'suite':24} {'seconds':>8} {'tests':>6}")
        for name, seconds, tests, word in [
            ("(before)", before, "-", ""),
            *rows,
            ("all", total, str(passed + failed), ""),
        ]:
            print(f"{name:24} {seconds:8.0f} {tests:>6} {word}".rstrip())
        if total > given.limit * 60:
            failed += 1
            print(f"error: all of it took {total / 60:.1f} minutes, at most {given.limit:g} are allowed")
            print("  do: look at the table, and at `pytest --durations=40` of the suite that grew")
        print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
