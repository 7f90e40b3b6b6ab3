"""Promises of notebook.py: the cells are kept as they were typed, and what of them a replay cannot repeat is said."""

import json
import sys

import nbformat
import pytest

from repro_track.capture.cells import watch_cells
from repro_track.capture.notebook import capture_notebook, check_ipython, read_notebook
from repro_track.errors import ReplayError


@pytest.fixture
def capture(shell, type_in):
    """Run cells, then capture the notebook in one more."""

    def capture(*cells):
        watch_cells()
        shell.user_ns.update(capture_notebook=capture_notebook, seen=(seen := []))
        type_in(*cells, "seen.append(capture_notebook())")
        return seen[0]

    return capture


def test_outside_of_a_notebook_there_is_none(monkeypatch):
    """Where IPython is not loaded, or loaded by a program that is no notebook, there is no notebook."""
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert capture_notebook() is None
    import IPython  # noqa: F401

    assert capture_notebook() is None


def test_cells_are_kept_as_they_were_typed(capture, tmp_path):
    """Magics and commands are kept, a cell that was run twice is there twice, and the one that runs now is the last;
    any editor opens the file, and it is read as it was written."""
    notebook = capture("%time a = 1", "!true", "a = 2", "a = 2")
    assert [cell.source for cell in notebook.cells[:-1]] == ["%time a = 1", "!true", "a = 2", "a = 2"]
    assert [cell.number for cell in notebook.cells] == [1, 2, 3, 4, 5]
    assert (notebook.cautions, notebook.reasons) == ((), ())
    notebook.write(tmp_path / "deep" / "n.ipynb")
    nbformat.validate(nbformat.read(tmp_path / "deep" / "n.ipynb", as_version=4))
    cells, in_kernel = read_notebook(tmp_path / "deep" / "n.ipynb")
    assert [cell["execution_count"] for cell in cells] == [1, 2, 3, 4, 5]
    assert not in_kernel
    assert json.loads((tmp_path / "deep" / "n.ipynb").read_text())["cells"][0]["metadata"] == {}


def test_a_cell_that_failed_is_said(capture, tmp_path):
    """What a replay leaves out is a caution, with how far it goes; it is no reason not to replay."""
    notebook = capture("nope", "a = 1\nnope", "a = 2")
    first, second = notebook.cautions
    assert first == "cell 1 failed (NameError): a replay leaves it out"
    assert second.startswith("cell 2 failed (NameError): a replay runs what is before its statement 2,")
    assert notebook.reasons == ()
    notebook.write(tmp_path / "n.ipynb")
    metadata = [cell["metadata"] for cell in read_notebook(tmp_path / "n.ipynb")[0]]
    assert metadata[:3] == [
        {"repro_track": {"error": "NameError", "statements": 0}},
        {"repro_track": {"error": "NameError", "statements": 1}},
        {},
    ]


@pytest.mark.parametrize(
    ("cells", "name"),
    [
        (["for i in range(2):\n    pipe = i\n    nope", "pipe + 1"], "pipe"),
        (["%%time\npipe = 1\nnope", "print(pipe)"], "pipe"),
        (["try:\n    import json as j\nfinally:\n    nope", "def f():\n    return j"], "j"),
        (["for i in range(2):\n    pipe = i\n    nope", "pipe = 1", "pipe + 1"], None),
        (["pipe = 1\nnope", "pipe + 1"], None),
        (["for i in range(2):\n    pipe = i\n    nope", "a = 1"], None),
    ],
)
def test_what_only_a_failed_part_has_set_is_a_reason(capture, cells, name):
    """A later cell uses what nothing has set but the part that is left out: then a replay would stop, which is said."""
    reasons = capture(*cells).reasons
    if name is None:
        assert reasons == ()
    else:
        assert reasons[0].startswith(f"cell 1 failed after it had set {name}, which cell")


@pytest.mark.parametrize(
    ("cell", "asks"),
    [
        ("if False:\n    input('key')", True),
        ("if False:\n    import getpass\n    getpass.getpass()", True),
        ("%%time\nif False:\n    input()", True),
        ("def f():\n    return input()", False),
        ("input = 1", False),
    ],
)
def test_what_was_typed_at_a_prompt_is_a_reason(capture, cell, asks):
    """A cell that asks makes the run not replayable; one that only could ask, in a function, does not."""
    assert bool(capture(cell).reasons) == asks


@pytest.mark.starts("sh", "bash")
def test_what_runs_again_is_listed(capture):
    """Commands of a shell and magics that run something are listed with their cell; other magics, Python's own calls
    and what failed are not; secrets in them are withheld."""
    notebook = capture(
        "!echo one\nfiles = !echo two",
        "%%bash\necho three\necho four",
        "%time a = 1\nimport os\nos.system('true')",
        "nope\n!echo five",
        "!echo --token abc",
    )
    assert notebook.commands == (
        "cell 1: !echo one",
        "cell 1: !echo two",
        "cell 2: %%bash; echo three; echo four",
        "cell 5: !echo --token ***withheld***",
    )


@pytest.mark.starts("sh", "bash")
def test_an_installation_is_left_out_and_said(capture):
    """What changes the installed packages does not run again: `--env restore` has them; looking at them does."""
    notebook = capture("!true pip install x", "%%sh\ntrue; true apt-get -y install ffmpeg", "!true pip list")
    assert notebook.commands == ("cell 3: !true pip list",)
    assert [one.partition(" (")[0] for one in notebook.cautions] == [
        "cell 1 changes what is installed",
        "cell 2 changes what is installed",
    ]


def test_a_secret_in_a_cell_is_withheld_and_a_reason(capture, tmp_path):
    """A token in a cell is in no file, and a replay would run something else without it."""
    token = "hf_" + "a" * 30
    notebook = capture(f"login = '{token}'")
    notebook.write(tmp_path / "n.ipynb")
    assert token not in (tmp_path / "n.ipynb").read_text()
    assert notebook.reasons == ("cell 1 has a secret, which was withheld",)


def test_what_ran_before_the_first_cell_is_said(shell, capture, tmp_path):
    """Startup files of IPython's profile are named."""
    (tmp_path / "ipython" / "profile_default" / "startup" / "00-mine.py").touch()
    (note,) = capture("a = 1").cautions
    assert "00-mine.py" in note


def test_without_ipython_there_is_one_message(monkeypatch):
    """Where IPython is not installed, a notebook is not started; here it is."""
    check_ipython()
    monkeypatch.setitem(sys.modules, "IPython", None)
    with pytest.raises(ReplayError, match="IPython, which runs its cells, is not installed"):
        check_ipython()
