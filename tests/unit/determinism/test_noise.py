"""Promises of noise.py: what is drawn in half precision is float32's numbers, rounded, through every door; nothing else
is touched."""

import pytest
import torch
from diffusers.utils.torch_utils import randn_tensor

from repro_track.determinism.noise import drawn_in_float32

HALF = [torch.float16, torch.bfloat16]


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


def fill(name, *words):
    return lambda dtype: getattr(torch.empty(4, 33, dtype=dtype), name)(*words, generator=seeded())


def like(draw):
    def drawn(dtype):
        torch.manual_seed(3)
        return draw(torch.empty(4, 33, dtype=dtype))

    return drawn


DOORS = {
    "randn": lambda dtype: torch.randn(4, 33, dtype=dtype, generator=seeded()),
    "randn of a size": lambda dtype: torch.randn(size=(4, 33), dtype=dtype, generator=seeded()),
    "rand": lambda dtype: torch.rand((4, 33), dtype=dtype, generator=seeded()),
    "normal": lambda dtype: torch.normal(0.0, 1.0, (4, 33), dtype=dtype, generator=seeded()),
    "normal of a mean": lambda dtype: torch.normal(torch.zeros(4, 33, dtype=dtype), 1.0, generator=seeded()),
    "out": lambda dtype: torch.randn(4, 33, out=torch.empty(4, 33, dtype=dtype), generator=seeded()),
    "randn_like": like(torch.randn_like),
    "rand_like": like(lambda given: torch.rand_like(input=given)),
    "normal_": fill("normal_"),
    "uniform_": fill("uniform_", -1, 1),
    "exponential_": fill("exponential_"),
    "diffusers": lambda dtype: randn_tensor((4, 33), generator=seeded(), dtype=dtype),
    "diffusers, a list": lambda dtype: randn_tensor((2, 33), generator=[seeded(), seeded(4)], dtype=dtype),
}


SAME = ("rand", "rand_like", "uniform_", "exponential_")
"""Those that torch draws in float32 by itself."""


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("door", DOORS)
def test_half_precision_is_float32_rounded(door, dtype):
    """The numbers are those of float32, rounded; without the block those of a normal distribution are others. float32's
    own are untouched."""
    draw = DOORS[door]
    wide, alone = draw(torch.float32), draw(dtype)
    with drawn_in_float32():
        assert torch.equal(draw(torch.float32), wide)
        drawn = draw(dtype)
    assert drawn.dtype == alone.dtype == dtype
    assert torch.equal(drawn, wide.to(dtype))
    assert torch.equal(alone, wide.to(dtype)) == (door in SAME)


def test_double_precision_is_left_alone_unless_it_is_asked_for():
    """float64 is another stream, too: it stays so in a pipeline that draws in float64 by itself, and is float32's
    numbers where the pipeline is of that precision."""
    draw = DOORS["randn"]
    alone = draw(torch.float64)
    with drawn_in_float32():
        assert torch.equal(draw(torch.float64), alone)
    with drawn_in_float32(also_double=True):
        assert torch.equal(draw(torch.float64), draw(torch.float32).double())
    assert not torch.equal(alone, draw(torch.float32).double())


def test_the_default_precision_counts():
    """Where no precision is named, the default one is what is wanted."""
    former = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.bfloat16)
        with drawn_in_float32():
            drawn = torch.randn(64, generator=seeded())
    finally:
        torch.set_default_dtype(former)
    assert torch.equal(drawn, torch.randn(64, generator=seeded()).to(torch.bfloat16))


def test_a_filled_tensor_is_the_same_tensor():
    """What is filled in place is filled in place, also a part of something larger."""
    whole = torch.zeros(2, 33, dtype=torch.float16)
    with drawn_in_float32():
        assert whole[1].normal_(generator=seeded()).data_ptr() == whole[1].data_ptr()
    assert whole[0].eq(0).all()
    assert whole[1].ne(0).any()


def test_a_compiled_model_still_compiles():
    """A model that torch.compile takes is compiled inside the block as outside, without a break."""
    model = torch.nn.Linear(3, 3)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    value = torch.ones(2, 3)
    with drawn_in_float32(), torch.no_grad():
        assert torch.equal(compiled(value), model(value))
