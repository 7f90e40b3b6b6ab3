"""Promises of withheld.py: a replay never runs with the mark of what was withheld, of whatever version."""

import json
from pathlib import Path

import pytest

from repro_track.errors import RefusedError
from repro_track.record.reading import read_record
from repro_track.record.redaction import WITHHELD
from repro_track.record.schema import Input
from repro_track.record.withheld import check_withheld, list_withheld, withhold_everywhere

RECORDS = sorted((Path(__file__).parents[2] / "data" / "records").glob("*.json"))
RECORD = read_record(RECORDS[-1])
TOKEN = "hf_" + "a1B2" * 8


def make(*, command=None, config=None, **changes):
    """Return a record of a `repro-track run`, or of another command."""
    kind = {"kind": "config", "argv": (), "withheld": (), **(command or {})}
    empty = {"resolved": {}, "withheld": (), "references": {}}
    return RECORD.model_copy(
        update={
            "command": RECORD.command.model_copy(update=kind),
            "config": RECORD.config.model_copy(update={**empty, **(config or {})}),
            **changes,
        }
    )  # fmt: skip


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_kept_records_have_nothing_withheld(path):
    """The kept records of every version can be replayed as they are, and pass the last door unchanged."""
    record = read_record(path)
    assert list_withheld(record) == ()
    check_withheld(record)
    assert withhold_everywhere(record) is record


@pytest.mark.parametrize("kind", ["script", "module", "hydra"])
def test_a_withheld_word_is_refused(kind):
    """A command line with a withheld word is refused by the name of its option; the config of a script is not used."""
    words = ("--openai-key", WITHHELD, f"hub.token={WITHHELD}", "seed=3")
    record = make(
        command={"kind": kind, "argv": words}, config={"resolved": {"token": WITHHELD}, "withheld": ("token",)}
    )
    assert list_withheld(record) == ("argv.1", "argv.2")
    with pytest.raises(RefusedError, match=r"argv\.1 \(--openai-key\), argv\.2 \(hub\.token\)"):
        check_withheld(record)
    check_withheld(make(command={"kind": kind, "argv": ("seed=3",)}, config={"resolved": {"token": WITHHELD}}))


def test_a_withheld_value_of_a_config_is_refused():
    """The config of `repro-track run` is the whole command: what is withheld in it is refused, also where a record of
    an earlier version only lists the place."""
    for config in ({"resolved": {"call": {"prompt": f"a {WITHHELD}"}}}, {"withheld": ("call.prompt",)}):
        with pytest.raises(RefusedError, match=r"call\.prompt") as refused:
            check_withheld(make(config=config))
        assert "--set call.prompt=VALUE" in str(refused.value)
    check_withheld(make(config={"resolved": {"call": {"prompt": "a cat"}}}))


def test_where_a_run_goes_is_not_needed():
    """A password in the store's address keeps no run from being replayed: a child logs nowhere."""
    check_withheld(
        make(config={"resolved": {"store": {"uri": f"https://{WITHHELD}@host"}}, "withheld": ("store.uri",)})
    )


def test_the_address_of_an_input_is_not_needed():
    """An input that was loaded from a URL comes back from the run; the URL of anything else would be used."""
    one = Input(
        name="image", kind="picture", dtype="uint8", shape=(1, 1, 3), sha256="0" * 64, file="inputs/a.png", origin="https://host/a"
    )  # fmt: skip
    call = RECORD.calls[0].model_copy(update={"inputs": (one,), "stage": None, "arguments": {}})
    config = {"resolved": {"call": {"image": f"https://{WITHHELD}@host/a", "mask": f"https://{WITHHELD}@host/a"}}}
    assert list_withheld(make(config=config, calls=(call,))) == ("call.mask",)


def test_text_beside_an_input_is_needed():
    """An argument that holds inputs is made of the record again: withheld text in it is refused; in others it is only
    compared."""
    one = Input(name="images.1", kind="picture", dtype="uint8", shape=(1, 1, 3), sha256="0" * 64, file="inputs/a.png")
    arguments = {"images": [WITHHELD, {"input": "images.1"}], "prompt": WITHHELD}
    call = RECORD.calls[0].model_copy(update={"inputs": (one,), "arguments": arguments})
    record = make(command={"kind": "script"}, calls=(call,))
    assert list_withheld(record) == ("calls.0.arguments.images.0",)


def test_withheld_cells_are_refused():
    """A notebook with a withheld text in a cell is refused by the number of the cell."""
    with pytest.raises(RefusedError, match="cell 2"):
        check_withheld(make(command={"kind": "notebook", "withheld": ("cell 2",)}))


def test_a_variation_gives_a_secret_back():
    """What `--set` gives is not missing any more: of a config, of a Hydra app; nothing else is given by it."""
    config = make(config={"withheld": ("hub.token",), "resolved": {"hub": {"token": WITHHELD}}})
    app = make(command={"kind": "hydra", "argv": (f"+hub.token={WITHHELD}",)})
    for record in (config, app):
        check_withheld(record, changes=["hub.token=abc"])
        with pytest.raises(RefusedError):
            check_withheld(record, changes=["hub.name=abc"])


def test_a_variable_gives_a_secret_back(monkeypatch):
    """What came from an environment variable is refused where it is not set, by the variable's name, and else not."""
    config = {
        "withheld": ("hub.token",),
        "resolved": {"hub": {"token": WITHHELD}},
        "references": {"hub.token": "A_TOKEN"},
    }
    monkeypatch.delenv("A_TOKEN", raising=False)
    with pytest.raises(RefusedError, match="A_TOKEN"):
        check_withheld(make(config=config))
    monkeypatch.setenv("A_TOKEN", "abc")
    check_withheld(make(config=config))


def test_no_token_passes_the_last_door():
    """A token at any place of a record is withheld, as a value and as a key, and the record is still one."""
    record = make(name=f"run of {TOKEN}", error=TOKEN)
    record = record.model_copy(
        update={"source": record.source.model_copy(update={"branch": TOKEN, "left_out": {f"{TOKEN}.txt": "no"}})}
    )
    passed = withhold_everywhere(record)
    assert TOKEN not in passed.model_dump_json()
    assert (passed.name, passed.error, passed.source.branch) == (f"run of {WITHHELD}", WITHHELD, WITHHELD)
    assert json.loads(passed.model_dump_json())["cost"] == json.loads(record.model_dump_json())["cost"]
