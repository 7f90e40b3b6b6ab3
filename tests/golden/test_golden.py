"""Runs that an earlier release logged replay with this one, from that release's data folder, without `--trust`.

Each folder under `tests/data/golden` was written by `tests.golden.record` with the release that it is named after. The
repository of its runs is gone, so that their bundles have to do, and the data folder is no longer where it was.
"""

import json
import shutil
import sqlite3
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.golden.record import ARCHIVE_NAME, INDEX_NAME, read_maker, read_versions, record

FOLDERS = sorted(path for path in (Path(__file__).parents[1] / "data" / "golden").iterdir() if path.is_dir())
LEVELS = ("bit-exact", "pixel-exact", "within-tolerance", "diverged", "not-comparable")
IN_REPOSITORY = ("script", "hydra", "notebook")
"""The kinds whose code is in the repository; the others' is the program."""


@dataclass(frozen=True)
class Golden:
    """A recorded data folder, unpacked: its index, where it is now, and what commands need to use it."""

    index: dict
    place: Path
    env: dict

    @property
    def runs(self) -> dict:
        return self.index["runs"]

    @property
    def names(self) -> list:
        """What to replay: the runs, and the sweep instead of its members."""
        return [run for kind, run in self.runs.items() if not kind.startswith("member")] + [self.index["sweep"]]


@dataclass(frozen=True)
class Replayed:
    """What one command each said of all runs, by kind: the plans before, and the rows of the replays."""

    plans: dict
    rows: dict
    err: str


def group(name):
    """Every folder, each on one worker for the tests of a group: they share replays."""
    params = [
        pytest.param(folder, id=folder.name, marks=pytest.mark.xdist_group(f"golden {name} {folder.name}"))
        for folder in FOLDERS
    ]
    return pytest.mark.parametrize("golden", params, indirect=True, scope="module")


every_release = group("replays")
every_release_beside = group("beside")


def unpack(folder, place):
    """Unpack a release's data folder, and do what a person does who has moved one: MLflow's database has absolute paths
    of artifacts, and nothing else that is looked up has. To put it where it was would need a folder that is free on
    every machine, for each worker at once."""
    with tarfile.open(folder / ARCHIVE_NAME) as packed:
        packed.extractall(place, filter="data")
    index = json.loads((folder / INDEX_NAME).read_text())
    assert not Path(index["place"]).exists()
    with sqlite3.connect(place / "home" / "mlflow.db") as database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            moved = (f"file://{index['place']}/", f"file://{place}/")
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", moved)
    database.close()
    return Golden(index, place, {"REPRO_TRACK_HOME": str(place / "home"), "OMP_NUM_THREADS": None})


@pytest.fixture(scope="module")
def golden(request, tmp_path_factory):
    """A release's data folder."""
    return unpack(request.param, tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def replayed(golden, cli):
    """All runs, planned by one command and replayed by another. The model's folder has moved, too: the program finds a
    recorded file by its digest wherever it has once seen it, so it is shown the new place."""
    words = ("pipeline=local", f"pipeline.path={golden.place / 'model'}", "+call.num_inference_steps=1")
    seen = cli("run", *words, env=golden.env)
    assert seen.code == 0, seen.err
    planned = cli("replay", *golden.names, "--dry-run", "--json", env=golden.env, timeout=600)
    assert planned.code == 0, planned.err
    done = cli("replay", *golden.names, "--json", env=golden.env, timeout=600)
    rows = {row["run_id"]: row for row in json.loads(done.out)}
    assert done.code == max(row["code"] for row in rows.values())
    plans = dict(zip(rows, read_documents(planned.out), strict=True))
    kinds = {run: kind for kind, run in golden.runs.items()}
    return Replayed(*({kinds[run]: one for run, one in found.items()} for found in (plans, rows)), done.err)


SHOW_ALL = """
import sys
from repro_track.cli import main
for run in sys.argv[1:]:
    main(["show", run, "--json"], standalone_mode=False)
"""
"""One process for all runs: what takes time is to import MLflow."""


def read_documents(text):
    """Read JSON documents that follow each other."""
    decoder, documents = json.JSONDecoder(), []
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        documents.append(document)
        text = text[end:]
    return documents


def read_artifact(golden, run):
    """Read the record of a run from its artifacts, as JSON and nothing more."""
    (path,) = (golden.place / "home" / "artifacts").glob(f"*/{run}/artifacts/record.json")
    return json.loads(path.read_text())


def is_promised(golden):
    """Whether this machine has to give the recorded bits: a processor of the same maker, and the same libraries."""
    return (read_maker(), read_versions()) == (golden.index["maker"], golden.index["versions"])


def list_digests(record):
    """List every digest of what a run made, in order: seeds' states, noise, steps, exact outputs and pixels."""
    states = [one[key] for one in record["seeds"]["generators"] for key in ("state_before", "state_after")]
    traces = [call["trace"] for call in record["calls"]]
    steps = [step["latents"] for trace in traces for step in trace["steps"]]
    outputs = [(one["name"], one["sha256"], one["pixels_sha256"]) for one in record["outputs"]]
    return [*states, *(trace["noise"] for trace in traces), *steps, *outputs]


@every_release
def test_every_kind_of_run_comes_out_again(golden, replayed):
    """Each kind replays bit-exactly where the processor is of the recorded maker and the same libraries compute.
    Elsewhere the verdict is at least the one that the plan announced: portable promises no bits between makers, and may
    give them."""
    assert set(replayed.rows) == set(golden.runs)
    verdicts = {kind: row["verdict"] for kind, row in replayed.rows.items()}
    if is_promised(golden):
        assert verdicts == dict.fromkeys(golden.runs, "bit-exact"), replayed.err
        return
    for kind, verdict in verdicts.items():
        announced = replayed.plans[kind]["expected_verdict"]
        assert verdict in LEVELS[: LEVELS.index(announced) + 1], (kind, replayed.rows[kind]["reason"])


@every_release
def test_the_code_comes_from_the_bundle(golden, replayed):
    """With the repository gone, the code of a script, app or notebook comes from its bundle; a config needs none."""
    origins = {kind: (plan["code"] or {}).get("origin") for kind, plan in replayed.plans.items()}
    assert origins == {kind: "bundle" if kind in IN_REPOSITORY else None for kind in golden.runs}


@every_release
def test_digests_are_the_same_bytes(golden, replayed):
    """The record of a replay has the very digests of the recorded one where the verdict is bit-exact, and others where
    it is not: of generator states, noise, every step, every output and its pixels."""
    for kind, row in replayed.rows.items():
        expected, actual = (list_digests(read_artifact(golden, run)) for run in (row["run_id"], row["replay_run_id"]))
        assert len(expected) > 4
        assert (expected == actual) == (row["verdict"] == "bit-exact"), kind


@every_release_beside
def test_old_records_are_read_and_whole(golden, cli, python):
    """This release shows the old records with the digests that they have, and finds every stored file as logged."""
    shown = python("-c", SHOW_ALL, *golden.runs.values(), env=golden.env)
    assert shown.code == 0, shown.err
    for (kind, run), document in zip(golden.runs.items(), read_documents(shown.out), strict=True):
        assert list_digests(document) == list_digests(read_artifact(golden, run)), kind
    verified = cli("verify", *golden.names, "--json", env=golden.env)
    assert verified.code == 0, verified.err
    assert json.loads(verified.out) == {run: [] for run in golden.runs.values()}


# --- the twins: all of this can fail ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two copies of the embedded digits: one as it is, one with one weight changed by one unit in the last place."""
    from safetensors.numpy import load_file, save_file

    import repro_track as rt

    folder = tmp_path_factory.mktemp("models")
    for name in ("same", "changed"):
        shutil.copytree(rt.find_builtin("digits"), folder / name)
    path = folder / "changed" / "unet" / "diffusion_pytorch_model.safetensors"
    weights = {name: tensor.copy() for name, tensor in load_file(path).items()}
    flat = weights["conv_in.weight"].reshape(-1)
    flat[0] = np.nextafter(flat[0], flat.dtype.type(np.inf))
    save_file(weights, path, metadata={"format": "pt"})
    return folder


@every_release_beside
@pytest.mark.parametrize("kind", ["script", "config"])
def test_one_changed_weight_is_not_bit_exact(golden, cli, models, kind):
    """The recorded code with one weight changed by one unit in the last place does not come out the same, and the
    weights are named; with a copy that is not changed it does."""

    def replay(name):
        if kind == "script":  # it takes its model from where this variable says
            words, given = ("--weights", "current"), {"GOLDEN_MODEL": str(models / name)}
        else:
            words, given = ("--set", f"pipeline.path={models / name}"), {}
        done = cli("replay", golden.runs[kind], *words, "--json", env={**golden.env, **given})
        assert done.code in (0, 1), done.err
        data = json.loads(done.out)
        return data["verdict"], "weights" in {one["kind"] for one in data["differences"]}

    verdict, names_weights = replay("changed")
    assert verdict in LEVELS[1:]
    assert names_weights
    if is_promised(golden):
        assert replay("same") == ("bit-exact", False)


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_an_altered_file_and_an_unknown_run_are_noticed(folder, tmp_path, cli):
    """One byte more in a stored file is found; without the ledger's word for it, the same run is not started."""
    golden = unpack(folder, tmp_path)
    run = golden.runs["notebook"]
    (path,) = (tmp_path / "home" / "artifacts").glob(f"*/{run}/artifacts/config.yaml")
    path.write_bytes(path.read_bytes() + b"\n")
    verified = cli("verify", run, env=golden.env)
    assert verified.code == 1
    assert "config.yaml: altered" in verified.err
    (tmp_path / "home" / "ledger" / f"{run}.json").unlink()
    refused = cli("replay", run, env=golden.env)
    assert refused.code == 4
    assert "was not logged by this user on this machine" in refused.err


def test_a_recorded_folder_is_never_changed(tmp_path):
    """Recording into a folder that is there is refused before anything is run, and leaves it as it is."""
    (tmp_path / INDEX_NAME).write_text("{}")
    with pytest.raises(FileExistsError, match="never changed"):
        record(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [INDEX_NAME]
    assert (tmp_path / INDEX_NAME).read_text() == "{}"
