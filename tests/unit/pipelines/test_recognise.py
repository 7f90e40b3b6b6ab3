"""Promises of recognise.py: whatever is a pipeline is taken as one, its arguments by name; anything else is one message
that says what it is."""

import functools
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMPipeline

from repro_track.errors import UsageError
from repro_track.pipelines.recognise import is_pipeline, take_pipeline


def compute(batch_size=1):
    return batch_size


class Wrapper:
    """Somebody's own class around a pipeline."""

    def __call__(self, prompt):
        return prompt


class Raising:
    def __call__(self):
        return None

    def __getattr__(self, name):
        raise RuntimeError("planted")


def test_arguments_by_position_have_their_names(tiny_pipeline):
    """As diffusers has it, arguments can be given by position; those by name stay."""
    taken = take_pipeline(tiny_pipeline, (2, None), {"eta": 0.5})
    assert taken == (tiny_pipeline, {"batch_size": 2, "generator": None, "eta": 0.5})
    with pytest.raises(UsageError, match="batch_size was given twice"):
        take_pipeline(tiny_pipeline, (2,), {"batch_size": 3})
    with pytest.raises(UsageError, match="given 50 arguments by position"):
        take_pipeline(tiny_pipeline, (None,) * 50, {})


def test_a_wrapped_pipeline_is_the_pipeline(tiny_pipeline):
    """A partial of a pipeline, its method, and one of a class of somebody's own are it; what is given goes before what
    the partial has."""

    class Mine(DDIMPipeline):
        pass

    partial = functools.partial(functools.partial(tiny_pipeline, 2), eta=0.5)
    assert take_pipeline(partial, (), {"eta": 0.1}) == (tiny_pipeline, {"batch_size": 2, "eta": 0.1})
    assert take_pipeline(tiny_pipeline.__call__, (2,), {})[0] is tiny_pipeline
    mine = Mine(**tiny_pipeline.components)
    assert take_pipeline(mine, (2,), {}) == (mine, {"batch_size": 2})


@pytest.mark.parametrize(
    ("thing", "found"),
    [
        (None, "None"),
        ("google/ddpm-cat-256", "the text 'google/ddpm-cat-256'"),
        (Path("model"), "the text 'model'"),
        (DDIMPipeline, "the class DDIMPipeline itself"),
        (torch.nn.Linear(1, 1), "a model alone, a Linear"),
        (compute, "the function compute"),
        (torch.compile(compute), "what torch.compile made of compute"),
        (Wrapper(), "a Wrapper"),
        (Raising(), "a Raising"),
        (SimpleNamespace(components={}), "a SimpleNamespace"),
        (3, "a int"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_pipeline_is_said(thing, found):
    """A text, a class, a model, a function: the message says what it is, what is expected, and what to do."""
    with pytest.raises(UsageError) as caught:
        take_pipeline(thing, (), {})
    assert caught.value.found == f"run(...) was given {found}"
    assert caught.value.expected == "a diffusers pipeline"
    assert caught.value.advice


def test_a_pipeline_has_components(tiny_pipeline):
    """A pipeline is one, its class and its model are none."""
    assert is_pipeline(tiny_pipeline)
    assert not is_pipeline(DDIMPipeline)
    assert not is_pipeline(tiny_pipeline.unet)
