"""Do two x86-64 machines agree? The embedded digits on this machine and on two emulated processors of different makers.

    python benchmarks/portable.py

Prints, for each determinism policy, how far each machine's pictures are from the first's. Needs qemu-user
(`qemu-x86_64`), and a few minutes: emulated, torch takes half a minute to import.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile

MACHINES = {
    "emulated Intel Haswell": ["qemu-x86_64", "-cpu", "Haswell"],
    "emulated AMD EPYC-Rome": ["qemu-x86_64", "-cpu", "EPYC-Rome"],
    "this machine": [],
}


def call(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if not done.stdout:
        sys.exit(done.stderr)
    return done.stdout.strip()


def main() -> None:
    program = (sys.executable, "-P", "-m", "repro_track")
    with tempfile.TemporaryDirectory() as home:
        os.environ["REPRO_TRACK_HOME"] = home
        os.environ["OMP_NUM_THREADS"] = "1"
        for determinism in ("strict", "portable"):
            words = ("run", "seed=3", "num_images=4", f"determinism={determinism}")
            runs = {name: call(*prefix, *program, *words) for name, prefix in MACHINES.items()}
            first, *others = runs
            for other in others:
                data = json.loads(call(*program, "diff", runs[first], runs[other], "--json"))
                gaps = [one["distance"]["max_abs"] for one in data["outputs"] if one["distance"]]
                print(
                    f"{determinism:9} {first} / {other}: {data['verdict']}, max {max(gaps, default=0.0):.3g}",
                    flush=True,
                )
    print(platform.processor() or platform.machine(), platform.python_version())


if __name__ == "__main__":
    main()
