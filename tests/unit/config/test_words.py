"""Promises of words.py: what a person types for a key that holds text is that text."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from repro_track.config.words import escape_text, is_text_key, list_set_keys, parse_change, quote_texts
from repro_track.errors import UsageError


@pytest.mark.parametrize(
    "key",
    [
        "name", "device", "pipeline.revision", "pipeline.path", "store.uri", "stages.base.pipeline.revision",
        "stages.base.take.image", "adapters.lora.style.path", "stages.base.adapters.lora.style.weight_name",
        "determinism.environment.OMP_NUM_THREADS",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["695e0514", "1e5", "1234567", "1_000", "true", "0.10", "nan", "-5", "main", "a1b2"])
def test_text_keys_get_what_was_typed(key, value):
    """A revision that looks like a number reaches the config letter by letter, however the key is prefixed."""
    assert is_text_key(key)
    for prefix in ("", "+", "++"):
        (word,) = quote_texts([f"{prefix}{key}={value}"])
        assert OverridesParser.create().parse_override(word).value() == value


@pytest.mark.parametrize(
    "word", ["seed=1e5", "call.scale=1e5", "name=null", "pipeline=1", "-m", "--cfg=job", "name=[1"]
)
def test_other_words_are_left_alone(word):
    """What is no text key, what says null, groups and flags stay."""
    assert quote_texts([word]) == [word]


def test_each_value_of_a_sweep_is_looked_at():
    """Of several revisions those are quoted that look like numbers; a function of Hydra's grammar stays one."""
    assert quote_texts(["pipeline.revision=1e5,main,2"]) == ['pipeline.revision="1e5",main,"2"']
    assert quote_texts(["name=range(1,3)", "name=choice(a,b)"]) == ["name=range(1,3)", "name=choice(a,b)"]


@given(st.text(alphabet=st.one_of(st.sampled_from("\\${}:,'\"[]() \n"), st.characters())))
def test_escaped_text_is_resolved_to_itself(text):
    """Backslashes, quotes and interpolations come out of OmegaConf as they went in."""
    config = OmegaConf.create({"text": escape_text(text)})
    assert OmegaConf.to_container(config, resolve=True, throw_on_missing=False) == {"text": text}


def test_unescaped_text_is_not():
    """Without it the same text is resolved: the promise above is not empty."""
    assert OmegaConf.to_container(OmegaConf.create({"x": 1, "text": "${x}"}), resolve=True)["text"] == 1


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("call.a=20", 20),
        ("call.a=1e5", 1e5),
        ('call.a="1e5"', "1e5"),
        ("call.a=a cat, sitting", "a cat, sitting"),
        ("call.a=it's #1 ~", "it's #1 ~"),
        ("call.a=[1,2]", [1, 2]),
        ("call.a={b: 1}", {"b": 1}),
        ("call.a=", ""),
        ("call.a=null", None),
        ("call.a=${seed}", "${seed}"),
        ("call.a=a, ${seed}", "a, \\${seed}"),
        ("++pipeline.revision=695e0514", "695e0514"),
    ],
)
def test_a_change_is_read_as_a_command_is(word, value):
    """In Hydra's grammar; what that has no single value for is text."""
    change = parse_change(word)
    assert (change.value, change.is_removal) == (value, False)
    assert change.key == word.partition("=")[0].lstrip("+")


@pytest.mark.parametrize("word", ["call.a", "=1", "call.a=[1", 'call.a="x', "call.a={b"])
def test_a_change_that_does_not_end_is_refused(word):
    """No key, no value, a list without its end: not guessed at."""
    with pytest.raises(UsageError):
        parse_change(word)


def test_a_key_is_taken_away():
    """As in Hydra: `~KEY`, with or without a value."""
    assert all(parse_change(word).is_removal for word in ("~call.a", "~call.a=1"))


def test_the_keys_of_a_command():
    """The keys that a command's words set, whatever stands before them; a flag sets none."""
    assert list_set_keys(["call.prompt=???", "++a.b=1", "~c", "-m="]) == ["call.prompt", "a.b", "c"]
