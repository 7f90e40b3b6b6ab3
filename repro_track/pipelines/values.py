"""The values that a model computes with: its parameters and buffers, where they really are.

Offloaded weights are looked up where their hook keeps them, packed ones by what they are made of. It changes nothing,
and moves nothing to another device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def list_values(model: Any) -> Iterator[tuple[str, Any]]:
    """List a model's parameters, then its buffers, by name, as plain tensors of torch.

    One that is offloaded is given as its hook keeps it; one that is packed (quantized, distributed) in the parts that
    it is made of, scales and codes included.
    """
    owners = dict(model.named_modules())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            owner, _, own = name.rpartition(".")
            tensor = _find_offloaded(owners.get(owner), own, tensor)
        yield from _list_parts(name, tensor)


def _find_offloaded(owner: Any, name: str, tensor: Any) -> Any:
    """Find the tensor that accelerate's hook has put away for a parameter of a module."""
    hook = getattr(owner, "_hf_hook", None)
    for one in getattr(hook, "hooks", (hook,)):
        weights = getattr(one, "weights_map", None)
        if weights is not None:
            try:
                return weights[name]
            except KeyError:
                continue
    return tensor


def _list_parts(name: str, tensor: Any) -> Iterator[tuple[str, Any]]:
    """List what a tensor is made of: itself, where it is an ordinary one."""
    inner = getattr(tensor, "__tensor_flatten__", None)  # torch's protocol of tensors that are made of others
    if inner is not None:
        for part in inner()[0]:
            yield from _list_parts(f"{name}.{part}", getattr(tensor, part))
        return
    yield name, tensor
    if type(tensor).__name__ not in ("Tensor", "Parameter", "Buffer"):
        for key, value in sorted(vars(tensor).items()):
            yield from _list_hidden(f"{name}.{key}", value)


def _list_hidden(name: str, value: Any, *, depth: int = 2) -> Iterator[tuple[str, Any]]:
    """List the tensors that hang on a packed one: bitsandbytes keeps its scales so."""
    import torch

    if isinstance(value, torch.Tensor):
        yield name, value
    elif depth and hasattr(value, "__dict__") and not isinstance(value, (type, torch.nn.Module)):
        for key, item in sorted(vars(value).items()):
            yield from _list_hidden(f"{name}.{key}", item, depth=depth - 1)
