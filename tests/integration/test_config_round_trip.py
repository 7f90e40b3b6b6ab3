"""What a person asked for is what a replay asks for: from the words of a command through Hydra, the record's JSON and
the hand-over to the config of the child, without a process. Every value comes back as it was, of the kind that it was.
"""

import json
import re
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from repro_track.attempt.plan import _pin_pipelines
from repro_track.attempt.restore import _write_config
from repro_track.attempt.workspace import Attempt
from repro_track.config.plain import decode_config, encode_config
from repro_track.config.presets import make_changed
from repro_track.config.schema import RunConfig, make_schema
from repro_track.config.typed import make_typed
from repro_track.config.words import escape_text, quote_texts
from repro_track.errors import UsageError
from repro_track.lookup.found import FoundRun
from repro_track.record.choice import DEFAULT
from repro_track.record.handover import Handover, Settings
from repro_track.record.names import CHILD_CONFIG_NAME
from repro_track.record.reading import parse_record, read_record, render_record
from repro_track.record.redaction import redact_tree
from repro_track.record.schema import Config
from repro_track.run.__main__ import load_config
from repro_track.run.app import read_composed
from repro_track.run.from_config import _to_resolved
from repro_track.run.stages import list_stages, make_absolute
from repro_track.store.tags import make_params
from tests.conftest import RECORDS
from tests.unit.attempt.attempts import make_attempt
from tests.unit.config.texts import TEXTS, to_exact, trees

pytestmark = pytest.mark.xdist_group("config_round_trip")

RECORDED = read_record(RECORDS / "v1.json")
texts = st.one_of(st.text(), st.sampled_from(TEXTS))


@pytest.fixture(scope="module")
def composer():
    """Compose as `repro-track run` does, with the words of a command."""
    ConfigStore.instance().store(name="schema", node=make_schema())
    with initialize_config_module(version_base="1.3", config_module="repro_track.conf"):
        yield lambda words: read_composed(compose("config", overrides=quote_texts(words)), words=words)


@pytest.fixture(scope="module")
def hand_over(tmp_path_factory):
    """Return the config that the child of a replay of a record loads."""
    attempt = make_attempt(RECORDED, tmp_path_factory.mktemp("attempt"))

    def hand_over(record, *, changes=()):
        with tempfile.TemporaryDirectory() as name:
            handover = Handover(Path(name), record, DEFAULT, Settings(changes=changes))
            plan = replace(attempt.plan, folder=name, pipelines=_pin_pipelines(record, choice=DEFAULT))
            _write_config(Attempt(FoundRun(record), handover, plan))
            return load_config(Path(name) / CHILD_CONFIG_NAME)[0]

    return hand_over


def record_config(config):
    """Return the record of a run with this config, as it is read from its file."""
    stages = {name: make_absolute(stage) for name, stage in list_stages(config).items()}
    resolved, withheld = redact_tree(encode_config(_to_resolved(config, stages)))
    assert not withheld
    record = RECORDED.model_copy(update={"config": Config(resolved=resolved)})
    return parse_record(render_record(record).encode("utf-8"), origin="the record")


def quote(text):
    """Write a text as one has to in Hydra's grammar."""
    return (
        '"' + re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), escape_text(text)) + '"'
    )


def to_comparable(config):
    return to_exact({**asdict(config), "sweep": None})


@settings(max_examples=15, deadline=None)
@given(prompt=texts, revision=texts, other=texts, number=st.integers() | st.floats(allow_nan=False))
def test_text_typed_by_a_person_reaches_the_replay(composer, hand_over, prompt, revision, other, number):
    """Quoted text is that text and a number that number, at the child and in MLflow; so is what refers to another
    key."""
    config = composer(
        [
            f"call.prompt={quote(prompt)}",
            f"call.deep.list=[{quote(other)},[{quote(prompt)}]]",
            f"call.number={number}",
            "call.again=${call.prompt}",
            f"name={quote(other)}",
            f"pipeline.variant={quote(revision)}",
        ]
    )
    given = {"prompt": prompt, "deep": {"list": [other, [prompt]]}, "number": number, "again": prompt}
    assert to_exact({name: config.call[name] for name in given}) == to_exact(given)
    assert (config.name, config.pipeline.variant) == (other, revision)
    record = record_config(config)
    assert to_comparable(hand_over(record)) == to_comparable(config)
    logged = make_params(record)["call.prompt"]
    assert logged == prompt[:6000] or not prompt.isprintable()


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.text(min_size=1), trees, max_size=4), texts)
def test_any_config_is_handed_over_as_it_is(hand_over, call, text):
    """Whatever an app or a file composed: nested, with keys that are numbers or have dots, infinities, interpolations
    that are text by now; a second replay of the replay, too."""
    call.pop("seed", None)
    stage = {"pipeline": {"path": "builtin:digits", "revision": text}, "call": call, "take": {}}
    one = RunConfig(call=call, pipeline=load_digits(text), switches=call)
    staged = RunConfig(stages={"first": stage, "second": {**stage, "take": {"image": "images"}}})
    for config in (one, staged):
        child = hand_over(record_config(config))
        expected = config.call if config is one else config.stages["second"]["call"]
        assert to_exact(list_stages(child)["second" if config.stages else ""].call) == to_exact(expected)
        assert to_comparable(hand_over(record_config(child))) == to_comparable(child)


def load_digits(revision):
    return replace(RunConfig().pipeline, path="builtin:digits", revision=revision)


@settings(max_examples=25, deadline=None)
@given(texts, texts)
def test_a_variation_changes_one_text_and_no_other(hand_over, before, after):
    """`--set` gives the child the text that was typed, and leaves the run's own as it is, interpolations in it, too."""
    record = record_config(RunConfig(call={"prompt": before, "other": before}, pipeline=load_digits(before)))
    child = hand_over(record, changes=(f"call.prompt={quote(after)}", "call.third=${call.other}"))
    assert child.call == {"prompt": after, "other": before, "third": before}
    assert child.pipeline.revision == before
    assert decode_config(record.config.resolved)["call"]["prompt"] == before


def test_the_same_letters_are_text_or_a_number_as_they_were_given(composer, hand_over):
    """`"1e5"` in quotes is text, 1e5 is a number; a revision is text either way: they are told apart to the end."""
    config = composer(['call.a="1e5"', "call.b=1e5", "pipeline.revision=695e0514", "call.c=true", 'call.d="true"'])
    child = hand_over(record_config(config))
    assert child.pipeline.revision == "695e0514"
    assert to_exact({name: child.call[name] for name in "abcd"}) == to_exact(
        {"a": "1e5", "b": 1e5, "c": True, "d": "true"}
    )


def test_three_question_marks_are_text_where_a_person_types_them(composer, hand_over):
    """In a file they say that a value has to be given: that is one message."""
    config = composer(["call.prompt=???", "call.list=[a,???]"])
    assert (config.call["prompt"], config.call["list"]) == ("???", ["a", "???"])
    assert hand_over(record_config(config)).call["prompt"] == "???"
    composed = OmegaConf.merge(make_schema(), {"call": {"prompt": "???"}})
    with pytest.raises(UsageError, match=r"call\.prompt has no value"):
        read_composed(composed, words=["call.other=1"])


def test_the_recorded_configs_of_before_are_read(hand_over):
    """The kept records of every schema still give their child a config, with what they say."""
    paths = sorted(RECORDS.glob("*.json"))
    records = [record for record in map(read_record, paths) if record.command.is_config]
    assert {json.loads(path.read_text())["schema_version"] for path in paths} >= {1, 2, 3}
    assert records
    for record in records:
        child, recorded = hand_over(record), make_typed(RunConfig, record.config.resolved)
        assert replace(child, pipeline=recorded.pipeline) == recorded
        assert make_changed(record.config.resolved, []) == record.config.resolved


def test_a_withheld_value_comes_from_its_variable(hand_over, monkeypatch):
    """The file between a replay and its child names the variable; what is in it is text like any other."""
    record = record_config(RunConfig(pipeline=load_digits(None), switches={"hub": {"name": "***"}}))
    config = record.config.model_copy(update={"references": {"switches.hub.name": "A_NAME"}})
    monkeypatch.setenv("A_NAME", "1e5 ${x}")
    assert hand_over(record.model_copy(update={"config": config})).switches == {"hub": {"name": "1e5 ${x}"}}
    assert hand_over(record).switches == {"hub": {"name": "***"}}
