"""Promises of expected.py: what a pipeline's call does not take is said by name, before anything is loaded."""

from typing import Any

import diffusers
import pytest

from repro_track.errors import UsageError
from repro_track.pipelines.expected import check_call, list_argument_names, list_kinds


class Strict:
    def __call__(
        self, prompt: str | list[str] | None = None, num_inference_steps: int = 50, scale: float | list[float] = 1.0,
        image: Any = None, sigmas: list[float] | None = None, guess: int | None = None, generator=None,
    ): ...  # fmt: skip


class Deprecating:
    def __call__(self, prompt: str = "", **kwargs):
        if "old" in kwargs:
            kwargs["older"]
        return kwargs.pop("callback", None), kwargs.get("steps", 1)


class Passing:
    def __call__(self, prompt: str = "", **kwargs):
        return self.other(**kwargs)


def test_an_unknown_argument_is_named_with_the_nearest():
    """`call.promt` is refused, also behind `**kwargs`, of which the code asks for certain names only."""
    for pipeline_class in (Strict, Deprecating, diffusers.StableDiffusionPipeline, diffusers.DDIMPipeline):
        with pytest.raises(UsageError, match=r"call\.promp is no argument of") as refused:
            check_call(pipeline_class, {"promp": "a"}, place="stages.a.")
        near = refused.value.advice
        assert near == (None if pipeline_class is diffusers.DDIMPipeline else "did you mean stages.a.call.prompt?")
    check_call(Deprecating, {"old": 1, "older": 1, "callback": 1, "steps": 1, "prompt": "a"})
    check_call(Passing, {"anything": 1})
    with pytest.raises(UsageError, match=r"call\.imag is no argument"):
        check_call(Strict, {}, taken=["imag"])


def test_names_of_real_pipelines():
    """Those of the signature and those that the code asks for; `None` where anything is passed on."""
    names = list_argument_names(diffusers.StableDiffusionPipeline)
    assert {"prompt", "callback", "callback_steps"} < set(names)
    assert list_argument_names(Passing) is None


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"num_inference_steps": [1, 2]}, "a number"),
        ({"num_inference_steps": "ten"}, "a number"),
        ({"num_inference_steps": {"a": 1}}, "a number"),
        ({"scale": "big"}, "a number or a list"),
        ({"prompt": 100000.0}, "text or a list"),
        ({"prompt": True}, "text or a list"),
        ({"generator": 7}, "seed=N"),
    ],
    ids=str,
)
def test_a_value_of_another_kind_is_refused(call, expected):
    """A list where a number is expected, a number where text is: with what was expected."""
    with pytest.raises(UsageError) as refused:
        check_call(Strict, call)
    assert expected in refused.value.expected


def test_a_number_for_a_prompt_says_how_to_quote():
    """The shell takes the first quotes away, so that 1e5 reaches Hydra as a number."""
    with pytest.raises(UsageError) as refused:
        check_call(Strict, {"prompt": 20.0})
    assert "'call.prompt=\"20.0\"'" in refused.value.advice


def test_what_may_be_right_is_left_alone():
    """Null, a path for a picture, a value of the default's kind, lists that have no scalar beside them."""
    check_call(Strict, {"prompt": None, "image": "a.png", "scale": [1, 2], "num_inference_steps": 2.5, "sigmas": 3})
    check_call(Strict, {"prompt": ["a", "b"], "guess": None})


def test_kinds_of_annotations():
    """Written out or as text; a type that we do not know can be anything."""
    assert list_kinds("float") == ["number"]
    assert list_kinds(tuple[int, int]) == []
    assert list_kinds(str | None) == ["text"]
    assert list_kinds(int | bytes) == []
