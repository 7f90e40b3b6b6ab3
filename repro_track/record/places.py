"""What stands where in a record: the labels under which recorded values can be brought back one by one.

Pure: it names things, and never looks anything up. A label is `code`, `weights`, `inputs`, `seeds`, or a group and a
name: `env:diffusers`, `env:python`, `numerics:threads`, `pipeline:scheduler`.
"""

from __future__ import annotations

import re

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "num_threads", "num_interop_threads")
_ISA = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "cpu_capability",
)


def name_numeric(name: str) -> str:
    """Return the label of an environment variable or numeric setting. Those that stand for one thing share a label.

    >>> name_numeric("OMP_NUM_THREADS"), name_numeric("num_threads"), name_numeric("sdp_flash")
    ('numerics:threads', 'numerics:threads', 'numerics:sdp_flash')
    """
    if name == "PYTHONPATH":
        return "code"
    if name in _THREADS:
        return "numerics:threads"
    if name in _ISA:
        return "numerics:isa"
    if name.endswith(("fp32_precision", "allow_tf32", "float32_matmul_precision")):
        return "numerics:fp32_precision"  # two interfaces of torch to one setting
    return "numerics:" + name.removesuffix("_warn_only")


_FAMILIES = (
    (r"torch(vision|audio)?|nvidia-.*|cuda-.*|(pytorch-)?triton.*", "torch"),
    (r"transformers|tokenizers|huggingface-hub", "transformers"),
    (r"pydantic(-core)?", "pydantic"),
    (r"mlflow(-.*)?", "mlflow"),
)


def name_package(name: str) -> str:
    """Return the label of a package. Packages that only work in matching versions share one.

    >>> name_package("diffusers"), name_package("nvidia-cublas")
    ('env:diffusers', 'env:torch')
    """
    return "env:" + next((family for pattern, family in _FAMILIES if re.fullmatch(pattern, name)), name)


_NOT_WRITABLE = {"numerics:inference_mode", "numerics:compile_config"}
"""Facts about the program, not settings of torch that could be put back."""

_PLACES = (
    (r"source\..*", "code"),
    (r"environment\.packages\.(?P<name>[^.]+)\..*", "env"),
    (r"environment\.interpreter\.(version|implementation)", "env:python"),
    (r"environment\.torch\.(?!gpus).*", "env:torch"),
    (r"(environment\.variables|numerics\.(state|requested|changed))\.(?P<name>.+)", "numerics"),
    (r"calls\.\d+\.components\.[^.]+\.(weights\..*|memory_xxh3|commit)", "weights"),
    (r"calls\.\d+\.components\.(?P<name>\w*scheduler)\.(config\..*|class_name)", "pipeline"),
    (r"calls\.\d+\.(inputs\..*|arguments\..*\.sha256)", "inputs"),
    (r"seeds\..*", "seeds"),
)


def find_factor(place: str) -> str | None:
    """Return the label under which what is at this place of a record can be restored; `None`: it cannot.

    >>> find_factor("environment.packages.diffusers.version"), find_factor("environment.machine.cpu_model")
    ('env:diffusers', None)
    """
    for pattern, label in _PLACES:
        if found := re.fullmatch(pattern, place):
            name = found.groupdict().get("name")
            if name is not None:
                namers = {"numerics": name_numeric, "env": name_package}
                label = namers.get(label, f"{label}:{{}}".format)(name)
            return None if label in _NOT_WRITABLE else label
    return None
