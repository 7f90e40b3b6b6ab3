"""Record a golden folder with the version that is installed: runs of every kind, which each later version must replay.

    python -m tests.golden.record tests/data/golden/0.2.0

The runs are real ones of the command line, a script, a notebook and a Hydra app, made under `determinism=portable` on
one thread, in a git repository that is made here and gone afterwards. What stays is `recorded.tar.xz` (the data folder
with its store, artifacts and ledger, and the small model that some runs were made with) and `index.json`, which says
what is in it. It never imports repro_track, so that it records with any version, and it never changes a folder that is
there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import textwrap
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

ARCHIVE_NAME, INDEX_NAME = "recorded.tar.xz", "index.json"
KEPT = ("home/artifacts", "home/ledger", "home/mlflow.db", "model")
"""What is kept of the folder that is recorded in. Caches are not."""
COMPUTING = ("diffusers", "numpy", "torch")
"""The packages that decide the bits of these runs."""
DATE_S = 1767225600
"""When everything in the repository and the archive is from: the first second of 2026."""

PORTABLE = ("determinism=portable", "determinism.num_threads=1", "source.bundle=true")
TRACK = 'determinism="portable", num_threads=1, bundle=True'
FILES = {
    "settings.py": "ETA = 0.0\n",
    "script.py": f"""
        import os
        import sys

        import repro_track as rt
        from names import NAME
        from settings import ETA

        with rt.track(experiment="golden", name=NAME, seed=int(sys.argv[1]), {TRACK}) as run:
            from diffusers import DDIMPipeline  # in here: torch reads the policy's variables when it is imported

            pipe = DDIMPipeline.from_pretrained(os.environ.get("GOLDEN_MODEL") or rt.find_builtin("digits"))
            run(pipe, batch_size=2, eta=ETA, num_inference_steps=3, output_type="np")
        print(run.run_id)
        """,
    "app.py": f"""
        import hydra
        import repro_track as rt


        @hydra.main(version_base="1.3", config_path=".", config_name="config")
        def main(config):
            with rt.track(experiment="golden", seed=config.seed, config=config, {TRACK}) as run:
                from diffusers import DDIMPipeline

                pipe = DDIMPipeline.from_pretrained(rt.find_builtin("digits"))
                run(pipe, num_inference_steps=config.steps, output_type="np")
            print(run.run_id)


        main()
        """,
    "config.yaml": """
        seed: 6
        steps: 20
        hydra:
          run:
            dir: .
          output_subdir: null
        """,
    "conf/experiment/two_stages.yaml": """
        # @package _global_
        defaults: [{override /pipeline: none}]
        stages:
          sketch:
            pipeline: {path: ../model}
            call: {num_inference_steps: 2, output_type: pt}
          refine:
            pipeline: {path: ../model}
            take: {latents: images}
            call: {batch_size: 2, num_inference_steps: 2, output_type: np}
        """,
}
CELLS = (
    "import repro_track as rt\nfrom settings import ETA",
    f"""
    with rt.track(experiment="golden", seed=7, {TRACK}) as run:
        from diffusers import DDIMPipeline

        run(DDIMPipeline.from_pretrained(rt.find_builtin("digits")), eta=ETA, num_inference_steps=3, output_type="np")
    """,
    "print(run.run_id)",
)
UNCOMMITTED = {"settings.py": "ETA = 0.25\n", "names.py": 'NAME = "a golden script"\n'}
"""What is in the working tree alone: a change and a file that git does not know. The script needs both."""


def record(out: Path) -> None:
    """Record every kind of run into the new folder `out`, which is made once all of them are there.

    Raises:
        FileExistsError: it is there.
        RuntimeError: a run failed, or is recorded as not replayable.
    """
    if out.exists():
        raise FileExistsError(f"{out} is there, and what was recorded once is never changed")
    with tempfile.TemporaryDirectory(prefix="golden-") as name:
        place = Path(name)
        _make_repository(place / "repository")
        _make_model(place / "model")
        runs, sweep = _record_runs(place)
        _check_replayable(place / "home" / "ledger", runs)
        with sqlite3.connect(place / "home" / "mlflow.db") as database:
            database.execute("VACUUM")
        database.close()
        out.mkdir(parents=True)
        _pack(place, out / ARCHIVE_NAME)
        index = {
            "program": metadata.version("repro_track"),
            "maker": read_maker(),
            "versions": read_versions(),
            "python": platform.python_version(),
            "place": str(place),
            "runs": runs,
            "sweep": sweep,
        }
    (out / INDEX_NAME).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def read_maker() -> str:
    """Read who made this machine's processor, by which kernels are chosen."""
    path = Path("/proc/cpuinfo")
    found = re.search(r"^vendor_id\s*: (.*)$", path.read_text(encoding="utf-8"), re.M) if path.is_file() else None
    return found[1] if found else platform.processor() or platform.machine()


def read_versions() -> dict[str, str]:
    """Read the versions of the packages that decide the bits, without what says how they were built (`+cpu`)."""
    return {name: metadata.version(name).partition("+")[0] for name in COMPUTING}


# --- what the runs are made of ------------------------------------------------------------------------------------


def _make_repository(root: Path) -> None:
    """Make a repository with one commit, the same to the bit every time, and changes that were not committed."""
    import nbformat

    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    cells = [nbformat.v4.new_code_cell(textwrap.dedent(text).strip(), id=f"cell{i}") for i, text in enumerate(CELLS)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "notebook.ipynb")
    (root / ".gitignore").write_text("__pycache__/\n", encoding="utf-8")
    who = {"NAME": "Golden", "EMAIL": "golden@example.invalid", "DATE": f"{DATE_S} +0000"}
    variables = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
    for words in (
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "--all"),
        ("-c", "commit.gpgsign=false", "commit", "--quiet", "--message", "Golden runs"),
    ):
        subprocess.run(["git", *words], cwd=root, env={**os.environ, **variables}, check=True)
    for name, text in UNCOMMITTED.items():
        (root / name).write_text(text, encoding="utf-8")


def _make_model(folder: Path) -> None:
    """Save a pipeline that can be given what another one made: a consistency model of 8x8 pixels, of random weights."""
    from tests.conformance.zoo import ZOO

    ZOO["consistency"].build().save_pretrained(folder)


# --- the runs -----------------------------------------------------------------------------------------------------


def _record_runs(place: Path) -> tuple[dict[str, str], str]:
    """Make the runs, one after the other; give their ids by kind, and the sweep's own."""
    variables = _make_variables(place)
    scripts = Path(sys.executable).parent

    def start(*words: str) -> tuple[str, str]:
        done = subprocess.run(
            words, cwd=place / "repository", env=variables, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout, done.stderr

    def run(*words: str) -> tuple[str, str]:
        return start(str(scripts / "repro-track"), "run", *words, *PORTABLE)

    def script(*words: str) -> str:
        return start(sys.executable, *words)[0].split()[-1]

    few, local = "call.num_inference_steps=3", ("pipeline=local", "pipeline.path=../model")
    kinds: dict[str, Callable[[], str]] = {
        "config": lambda: run("seed=3", "num_images=2", few)[0].split()[-1],
        "local": lambda: run(*local, "seed=4", "num_images=2", few)[0].split()[-1],
        "stages": lambda: run("--config-dir", "conf", "experiment=two_stages", "seed=5", "num_images=2")[0].split()[-1],
        "script": lambda: script("script.py", "8"),
        "hydra": lambda: script("app.py", "steps=3"),
        "notebook": lambda: _execute_notebook(place / "repository" / "notebook.ipynb", variables),
    }
    runs = {}
    for kind, make in kinds.items():
        runs[kind] = make()
        print(f"{kind}: {runs[kind]}", flush=True)
    out, err = run("-m", "seed=0,1", few)
    found = re.search(r"^sweep ([0-9a-f]{32})", err, re.M)
    if not found:
        raise RuntimeError(f"the sweep was not named:\n{err}")
    return {**runs, **{f"member {number}": member for number, member in enumerate(out.split())}}, found[1]


def _check_replayable(ledger: Path, runs: dict[str, str]) -> None:
    """Check that nothing is recorded that the recording program itself does not promise to replay.

    Raises:
        RuntimeError: a run is not replayable.
    """
    for kind, run in runs.items():
        replayable = json.loads((ledger / f"{run}.json").read_text(encoding="utf-8"))["replayable"]
        if not replayable["yes"]:
            raise RuntimeError(f"the {kind} run is not replayable: {'; '.join(replayable['reasons'])}")


def _make_variables(place: Path) -> dict[str, str]:
    """Make the environment of the runs: nothing of whoever records but where programs are."""
    (place / "person").mkdir()
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "HOME": str(place / "person"),
        "LOGNAME": "golden",
        "REPRO_TRACK_HOME": str(place / "home"),
        "HF_HUB_OFFLINE": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def _execute_notebook(path: Path, variables: dict[str, str]) -> str:
    """Execute the notebook in a kernel as an editor does; give the run id that its last cell prints."""
    import nbformat
    from nbclient import NotebookClient

    notebook: Any = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute(env=variables)
    return notebook.cells[-1]["outputs"][-1]["text"].strip()


def _pack(place: Path, archive: Path) -> None:
    """Pack what is kept, without owners and in one order."""

    def neutral(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = DATE_S
        return entry

    files = [path for name in KEPT for path in (place / name, *(place / name).rglob("*")) if path.is_file()]
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        for path in sorted(files):
            packed.add(path, path.relative_to(place), filter=neutral)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to be made: tests/data/golden/VERSION")
    folder = parser.parse_args().out
    record(folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size / 1000:.0f} kB")
