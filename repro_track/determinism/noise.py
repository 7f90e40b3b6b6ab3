"""Random numbers drawn in float32 and rounded, whatever the precision that they are wanted in.

For another precision torch can give other numbers of a seed than for float32 (torch 2.13 on the CPU: float64 always,
half precision where their count is no multiple of 16), so that one seed is several pictures. It covers every
door to torch's random numbers by what is drawn, not by who draws; it draws nothing itself, and leaves what is drawn in
float32 as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any


@contextlib.contextmanager
def drawn_in_float32(*, also_double: bool = False) -> Iterator[None]:
    """Draw torch's random numbers of half precision in float32, rounded to what they are wanted in, for a block.

    Args:
        also_double: those of float64, too, which are another stream as well: for a pipeline of that precision.
    """
    with _make_mode(also_double=also_double):
        yield


@cache
def _list_draws() -> tuple[frozenset[Any], frozenset[Any], frozenset[Any]]:
    """List torch's draws of real numbers: those that are told a dtype, those that take that of a tensor, those that
    fill one."""
    import torch

    filling = ("normal_", "uniform_", "exponential_", "cauchy_", "log_normal_", "geometric_")
    return (
        frozenset({torch.randn, torch.rand, torch.normal}),
        frozenset({torch.randn_like, torch.rand_like}),
        frozenset(getattr(torch.Tensor, name) for name in filling),
    )


def _make_mode(*, also_double: bool) -> Any:
    import torch
    from torch.overrides import TorchFunctionMode

    told, taking, filling = _list_draws()
    widened = {torch.float16, torch.bfloat16, *([torch.float64] if also_double else [])}

    class DrawnInFloat32(TorchFunctionMode):
        """Makes the draw in float32 where the numbers are wanted in another precision."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if func in filling and args[0].dtype in widened:
                wide = torch.empty_like(args[0], dtype=torch.float32)
                func(wide, *args[1:], **kwargs)
                return args[0].copy_(wide)
            dtype = _find_dtype(func, args, kwargs) if func in told or func in taking else None
            if dtype not in widened:
                return func(*args, **kwargs)
            if kwargs.get("out") is not None:
                return kwargs["out"].copy_(func(*args, **{**kwargs, "out": None, "dtype": torch.float32}))
            if any(isinstance(value, torch.Tensor) for value in args) and func not in taking:  # normal(mean, std)
                return func(*(_widen(value) for value in args), **kwargs).to(dtype)
            return func(*args, **{**kwargs, "dtype": torch.float32}).to(dtype)

    def _find_dtype(func: Any, args: Any, kwargs: Any) -> Any:
        given = kwargs.get("out") if kwargs.get("out") is not None else next(iter([*args, kwargs.get("input")]), None)
        if kwargs.get("dtype") is None and isinstance(given, torch.Tensor):
            return given.dtype
        return kwargs.get("dtype") or torch.get_default_dtype()

    def _widen(value: Any) -> Any:
        return value.float() if isinstance(value, torch.Tensor) else value

    return DrawnInFloat32()
