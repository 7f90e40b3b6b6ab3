"""Per-step and per-module digests of a pipeline while it runs: hooks on, hooks off.

It watches every scheduler's step and the model's blocks, for every pipeline, whether or not it has
`callback_on_step_end`. It never draws a random number, never changes a value or a signature, and leaves no hook behind.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from repro_track.errors import first_line
from repro_track.record.names import INPUTS
from repro_track.record.schema import Trace, TraceLevel, TraceStep, Unavailable
from repro_track.tensors.digests import digest_tensor, digest_tensors_quickly
from repro_track.tensors.host import HostTensor, is_torch_tensor, to_host

_STEP_METHODS = ("step", "step_pred", "step_correct")


class TraceCollector:
    """Collects what the hooks see, in the order in which it happens; `finish` gives the record's part, and `latents` is
    what the last step gave (`None` before one), `samples` what every step gave, where they are kept, `failed` why a
    step could not be looked at."""

    def __init__(self, level: TraceLevel, *, keeps_samples: bool = False) -> None:
        self._level = level
        self._keeps_samples = keeps_samples
        self.samples: list[HostTensor] = []
        self.failed: str | None = None
        self.latents: HostTensor | None = None
        self._noise: str | None = None
        self._noise_dtype: str | None = None
        self._steps: list[dict[str, Any]] = []
        self._order: dict[str, int] = {}
        self._pending: dict[str, str] = {}
        self._calls: dict[str, int] = {}

    @property
    def wants_noise(self) -> bool:
        """Whether no step has been seen yet: the next sample is the initial noise."""
        return self._noise is None

    def on_inputs(self, name: str, inputs: Any) -> None:
        """Take what a module is given, as a column of its own before the module's."""
        self.on_module(f"{name}{INPUTS}", inputs)

    def on_module(self, name: str, output: Any) -> None:
        """Take a module's output. A second call between two steps is a column of its own, `name#2`: what is called
        before and after a fault must not share a digest."""
        call = self._calls[name] = self._calls.get(name, 0) + 1
        column = name if call == 1 else f"{name}#{call}"
        self._order.setdefault(column, len(self._order))
        try:
            self._pending[column] = digest_tensors_quickly(self._choose(_list_tensors(output)))
        except Exception as error:  # a dtype without plain bytes must not end the run
            self._pending[column] = f"unavailable: {first_line(error)}"

    def _choose(self, tensors: list[Any]) -> list[Any]:
        """Return of a top-level block's output the first tensor, which it hands on: the skip connections behind it are
        what it was made of, and reading them costs more than all the rest. Of a module's output return all."""
        return tensors if self._level == "modules" else tensors[:1]

    def on_step(self, scheduler: str, timestep: Any, sample: Any, result: Any) -> None:
        """Take one scheduler step: the sample that went in and the one that came out."""
        if self._noise is None and is_torch_tensor(sample):
            self._noise = digest_tensor(sample)
            self._noise_dtype = str(sample.dtype).removeprefix("torch.")
        tensors = _list_tensors(result)
        if not tensors:
            return
        # prev_sample is the first field of every scheduler's output; copied: pipelines scale it in place
        latents = self.latents = to_host(tensors[0]).copy()
        if self._keeps_samples:
            self.samples.append(latents)
        self._steps.append(
            {
                "scheduler": scheduler,
                "timestep": _to_number(timestep),
                "latents": digest_tensor(latents),
                **_measure(latents),
                "modules": self._take_pending(),
            }
        )

    def _take_pending(self) -> dict[str, str]:
        taken, self._pending = self._pending, {}
        self._calls.clear()
        return taken

    def finish(self) -> Trace:
        """Return what was seen. Modules are columns, in the order of their first call."""
        after_last = self._take_pending()
        names = tuple(self._order)

        def to_row(digests: Mapping[str, str]) -> tuple[str | None, ...]:
            return tuple(digests.get(name) for name in names) if digests else ()

        steps = tuple(
            TraceStep(index=index, **{**step, "modules": to_row(step["modules"])})
            for index, step in enumerate(self._steps)
        )
        if self._level == "off":
            noise: str | Unavailable = Unavailable(unavailable="trace=off")
        else:
            noise = self._noise or Unavailable(unavailable="the pipeline called no scheduler step")
        return Trace(
            level=self._level,
            noise=noise,
            noise_dtype=None if self._level == "off" else self._noise_dtype,
            modules=names,
            steps=steps,
            after_last=to_row(after_last),
        )


def _list_tensors(value: Any) -> list[Any]:
    """List the tensors in an output: a tensor, or nested tuples, lists and dicts (diffusers' outputs are dicts)."""
    if is_torch_tensor(value):
        return [value]
    if isinstance(value, Mapping):
        value = value.values()
    elif hasattr(value, "__dataclass_fields__"):
        value = [getattr(value, name) for name in value.__dataclass_fields__]
    elif not isinstance(value, (tuple, list)):
        return []
    return [tensor for item in value for tensor in _list_tensors(item)]


def _to_number(timestep: Any) -> float:
    values = to_host(timestep).to_numpy().reshape(-1) if is_torch_tensor(timestep) else [timestep]
    return float("nan") if values[0] is None else float(values[0])


def _measure(latents: HostTensor) -> dict[str, float]:
    values = latents.to_numpy().astype("float64")
    if values.size == 0:
        return {"mean": 0.0, "std": 0.0, "abs_max": 0.0}
    return {"mean": float(values.mean()), "std": float(values.std()), "abs_max": float(abs(values).max())}


@contextlib.contextmanager
def recording(
    components: Mapping[str, Any], *, level: TraceLevel, inputs: bool = False, samples: bool = False
) -> Iterator[TraceCollector]:
    """Watch the components of a pipeline while it runs.

    Args:
        components: by name, as `pipeline.components`.
        level: `off`, `steps` (scheduler steps and top-level blocks), `modules` (every module).
        inputs: also digest what every module is given.
        samples: keep what every step gave.
    """
    collector = TraceCollector(level, keeps_samples=samples)
    with contextlib.ExitStack() as hooks:
        if level != "off" or samples:
            for name, component in components.items():
                if any(hasattr(component, method) for method in _STEP_METHODS):
                    hooks.enter_context(_watched_scheduler(component, name=name, collector=collector))
                elif level != "off" and hasattr(component, "register_forward_hook"):
                    for path, module in _list_blocks(component, every=level == "modules"):
                        qualified = f"{name}.{path}" if path else name
                        hooks.callback(module.register_forward_hook(_make_hook(qualified, collector)).remove)
                        if inputs:
                            before = module.register_forward_pre_hook(
                                _make_pre_hook(qualified, collector), with_kwargs=True
                            )
                            hooks.callback(before.remove)
        yield collector


def _make_hook(name: str, collector: TraceCollector):
    return lambda module, inputs, output: collector.on_module(name, output)


def _make_pre_hook(name: str, collector: TraceCollector):
    return lambda module, args, kwargs: collector.on_inputs(name, (args, kwargs))


def _list_blocks(model: Any, *, every: bool) -> list[tuple[str, Any]]:
    """List the model's top-level blocks (the items of a ModuleList each), or every module below it, by qualified
    name."""
    if every:
        return [(path, module) for path, module in model.named_modules() if path] or [("", model)]
    blocks: list[tuple[str, Any]] = []
    for name, child in model.named_children():
        if type(child).__name__ == "ModuleList":
            blocks.extend((f"{name}.{index}", item) for index, item in child.named_children())
        else:
            blocks.append((name, child))
    return blocks or [("", model)]


@contextlib.contextmanager
def _watched_scheduler(scheduler: Any, *, name: str, collector: TraceCollector) -> Iterator[None]:
    """Swap the scheduler's class for a subclass that reports its steps.

    A subclass, because pipelines read the signature of `step` to decide whether to pass the generator, and because
    some copy their scheduler: a copy keeps its class, while an attribute would still point to the original. Names
    stay, so that a saved config says what it always says.
    """
    original = type(scheduler)
    watched = {
        method: _make_watched_step(getattr(original, method), name=name, collector=collector)
        for method in _STEP_METHODS
        if hasattr(original, method)
    }
    names = {"__module__": original.__module__, "__qualname__": original.__qualname__, "__doc__": original.__doc__}
    scheduler.__class__ = type(original.__name__, (original,), {**names, **watched})
    try:
        yield
    finally:
        scheduler.__class__ = original


def _make_watched_step(step: Any, *, name: str, collector: TraceCollector):
    signature = inspect.signature(step)

    @functools.wraps(step)
    def watched_step(*args, **kwargs):
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return step(*args, **kwargs)  # which says what is wrong better than we could
        sample: Any = given.get("sample")
        if collector.wants_noise and is_torch_tensor(sample):
            sample = sample.clone()  # some schedulers write into it
        result = step(*args, **kwargs)
        try:
            collector.on_step(name, given.get("timestep"), sample, result)
        except Exception as error:  # whatever a scheduler of somebody's own gives must not end the run
            collector.failed = first_line(error)
        return result

    return watched_step
