"""Every example starts, ends, and its last run replays bit-exactly in a fresh process."""

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.xdist_group("examples")


def check(cli, run_id):
    result = cli("replay", run_id)
    assert result.out.strip() == "bit-exact", result.err


def test_the_script(cli, python):
    """A plain script with two tracked lines replays by its recorded command line."""
    run = python(EXAMPLES / "script.py", "--seed", "5", "--steps", "3")
    assert run.code == 0, run.err
    check(cli, run.run_id)


def test_the_hydra_app(cli, python, read_record):
    """Somebody's own Hydra app, each member of its sweep by itself, with its resolved config."""
    run = python(EXAMPLES / "hydra_app" / "app.py", "-m", "seed=0,1", "steps=2", env={"USER": "me"})
    assert run.code == 0, run.err
    first, second = (line for line in run.out.split() if len(line) == 32)
    record = read_record(second)
    assert record.command.kind == "hydra"
    assert record.command.argv == ("hydra.job.num=1", "hydra.job.id=1", "seed=1", "steps=2")
    assert record.config.resolved["note"] == "made by me"
    assert read_record(first).command.ordinal == record.command.ordinal == 0
    check(cli, second)


def test_the_notebook(cli, home, tmp_path):
    """A notebook's cell is tracked, the cells are kept, and the run replays by them."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    texts = [out["text"] for cell in notebook.cells for out in cell.get("outputs", []) if out.get("name") == "stdout"]
    check(cli, texts[-1].split()[-1])


def test_the_training(cli, python):
    """A short training run gives the same checkpoint bytes when it is replayed."""
    run = python(EXAMPLES / "train_digits.py", "--steps", "5")
    assert run.code == 0, run.err
    check(cli, run.run_id)


@pytest.mark.slow
def test_the_shipped_weights_are_this_training(python, tmp_path):
    """The whole training run gives the checkpoint that ships, byte for byte, on the machine type that made it."""
    import repro_track as rt
    from repro_track.tensors.digests import digest_file

    run = python(EXAMPLES / "train_digits.py", "--save", tmp_path / "model", timeout=1800)
    assert run.code == 0, run.err
    name = "unet/diffusion_pytorch_model.safetensors"
    assert digest_file(tmp_path / "model" / name) == digest_file(Path(rt.find_builtin("digits")) / name)


def test_the_lessons_of_the_guide(cli, python, read_record):
    """The four lessons: the first draws and records a seed, the others agree; the first and the last replay exactly."""
    run = python(EXAMPLES / "guide_lessons.py")
    assert run.code == 0, run.err
    ids = [line.strip() for line in run.out.splitlines() if len(line.strip()) == 32]
    records = [read_record(run_id) for run_id in ids]
    assert [record.seeds.origin for record in records] == ["entropy", "entropy", "entropy", "given"]
    assert [len(record.seeds.generators) for record in records] == [1, 1, 1, 1]
    assert records[1].outputs[0].sha256 == records[3].outputs[0].sha256 != records[0].outputs[0].sha256
    check(cli, ids[0])
    check(cli, ids[3])
