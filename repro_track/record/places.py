"""What stands where in a record: for every place its kind, how likely a change there changes bits, and the label under
which the recorded value can be brought back.

Pure: it names things, and never looks anything up. A place is the path of a value in record.json, with names instead of
numbers where a list's members have names: `environment.packages.torch.version`. A label is `code`, `weights`, `inputs`,
`seeds`, or a group and a name: `env:diffusers`, `env:python`, `numerics:threads`, `pipeline:scheduler`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

KINDS = ("seed", "weights", "call", "pipeline", "numerics", "machine", "libraries", "config", "source", "other")
"""The kinds of values that can change a result. Their order is their rank: a change of the first is the most likely to
change bits."""


@dataclass(frozen=True)
class Group:
    """A group of labels: what brings its values back, and whether a person chooses it (`replay --code restore`); the
    others are brought back in a trial of `--explain` and nowhere else."""

    brought_back_by: str
    is_chosen: bool = False


GROUPS: Mapping[str, Group] = {
    "code": Group("the commit with its changes; without a repository the script or notebook alone", is_chosen=True),
    "env": Group("a virtual environment of the recorded Python and packages", is_chosen=True),
    "numerics": Group("variables set before the start, settings imposed after the import of torch", is_chosen=True),
    "weights": Group("the recorded bytes: in the restored source, elsewhere here, on the Hub", is_chosen=True),
    "pipeline": Group("schedulers that are made of their recorded config"),
    "inputs": Group("the files under inputs/ in the place of what the code makes"),
    "seeds": Group("the recorded seeds and states of generators"),
}  # fmt: skip
"""Every group of labels."""

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


def _name_scheduler(name: str) -> str:
    return f"pipeline:{name}"


Label = str | Callable[[str], str]


@dataclass(frozen=True)
class Row:
    """What stands at the places that a pattern matches as a whole.

    `kind` is one of `KINDS`; `None`: an effect or an address, which explains nothing. `label` is `None` where nothing
    brings the value back; it is a function where the label depends on what the pattern calls `name`.
    """

    pattern: str
    kind: str | None
    label: Label | None = None

    def find_label(self, place: str) -> str | None:
        """Return the label of a place that the pattern matches."""
        if self.label is None or isinstance(self.label, str):
            return self.label
        found = re.fullmatch(self.pattern, place)
        return self.label(found["name"]) if found else None


_LIBRARIES = r"torch|diffusers|transformers|numpy|accelerate|safetensors|tokenizers|nvidia-.*|triton"

_ROWS = (
    # effects and addresses
    Row(r"schema_version|record_id|status|error|name|created_at|replay_of|cost\..*|outputs\..*", None),
    Row(r"replayable\..*|cautions\..*", None),
    Row(r"calls\.\d+\.(trace|drawn)\..*", None),
    Row(r"seeds\.closed|seeds\..*state_after.*|seeds\..*\.(moved|drawn_at.*|while_loading)", None),
    Row(r"seeds\..*\.(made_by|advanced)", None),
    Row(r"calls\.\d+\.(components\.\w+\.weights|adapter_files|other_weights)\..*\.(folder|made_by_run|commit)", None),
    Row(r"calls\.\d+\.(components\.\w+(\.weights\..*)?|adapter_files\..*|other_weights\..*)\.repo_id", None),
    Row(r"config\.resolved\.(stages\..+\.)?(pipeline|adapters\.\w+\..+)\.path", None),
    Row(r"calls\.\d+\.(name_or_path|index|stage)|calls\.\d+\.inputs\..*\.(file|origin)|.*\.location|command\..*", None),
    Row(r"source\.(repository|branch|remote|bundle|dirty|cautions).*", None),
    Row(r"source\.submodules\..*\.(remote|bundle_sha256)", None),
    Row(r"source\.(outside|outside_sha256|outside\..*\.(name|path|left_out))", None),
    Row(r"environment\.(machine\.(host|user|release)|interpreter\.executable|container.*)", None),
    Row(r"environment\.(torch\.parallel_info|variables\.PYTHONPATH|packages\..*\.imported_from)", None),
    Row(r"config\.resolved\.(store|tolerance|name|log|sweep|embed|picture_format)(\..*)?", None),
    Row(r"config\.resolved\.determinism\.name|config\.(overrides|withheld|references|composed_sha256).*", None),
    # of records before schema 4: a digest with the working directory in it
    Row(r"numerics\.(state|requested|changed)\.compile_config", None),
    # causes, the likeliest first
    Row(r"seeds\.(root|earlier.*|images.*|.*initial_seed|.*state_before|.*device)", "seed", "seeds"),
    Row(r"config\.resolved\.(seeds?|num_images|generator|noise)|calls\.\d+\.noise", "seed"),
    Row(r"calls\.\d+\.components\.\w+\.(weights\..*|memory_xxh3|commit)", "weights", "weights"),
    Row(r"calls\.\d+\.(adapter_files|other_weights)\..*sha256", "weights", "weights"),
    Row(r"calls\.\d+\.commit", "weights"),
    Row(r"calls\.\d+\.(inputs\..*|arguments\..*\.sha256)", "call", "inputs"),
    Row(r"calls\.\d+\.arguments\..*|calls\.\d+\.batch|config\.resolved\.(call\..*|batch)", "call"),
    Row(r"calls\.\d+\.components\.(?P<name>\w*scheduler)\.(config\..*|class_name)", "pipeline", _name_scheduler),
    Row(r"calls\.\d+\.components\..*|calls\.\d+\.class_name", "pipeline"),
    Row(r"config\.resolved\.(pipeline|scheduler|adapters|switches|stages|dtype|device)\b.*", "pipeline"),
    # facts about the program: no setting of torch, nothing puts them back
    Row(r"numerics\.(state|requested|changed)\.(inference_mode|compile_settings)", "numerics"),
    Row(r"(environment\.variables|numerics\.(state|requested|changed))\.(?P<name>.+)", "numerics", name_numeric),
    Row(r"numerics\..*|environment\.variables\..*|config\.resolved\.determinism.*", "numerics"),
    Row(r"environment\.torch\.(?!gpus).*", "machine", "env:torch"),
    Row(r"environment\.(torch.*|gpu_driver.*|machine\.(cpu_model|cpu_isa|architecture|cpu_count).*)", "machine"),
    Row(rf"environment\.packages\.(?P<name>{_LIBRARIES})\..*", "libraries", name_package),
    Row(r"environment\.packages\.(?P<name>[^.]+)\..*", "other", name_package),
    Row(r"config\..*", "config"),
    Row(r"source\..*", "source", "code"),
    Row(r"environment\.interpreter\.(version|implementation)", "other", "env:python"),
    Row(r"environment\..*|program\..*", "other"),
    # names, and what says where or since when a value is known
    Row(r"seeds\..*", "other", "seeds"),
    Row(r"calls\.\d+\.(adapter_files|other_weights)\..*", "other"),
)  # fmt: skip
"""The one table of a record's places. The first row whose pattern matches a place decides."""


def find_row(place: str) -> Row | None:
    """Return the row of the table that speaks of a place; `None`: a place that no record of ours has."""
    return next((row for row in _ROWS if re.fullmatch(row.pattern, place)), None)


def find_kind(place: str) -> str | None:
    """Return the kind of what is at a place; `None`: an effect or an address, which explains nothing.

    >>> find_kind("seeds.root"), find_kind("outputs.0.sha256"), find_kind("a place of a later version")
    ('seed', None, 'other')
    """
    row = find_row(place)
    return row.kind if row else "other"


def find_factor(place: str) -> str | None:
    """Return the label under which what is at this place of a record can be restored; `None`: it cannot.

    >>> find_factor("environment.packages.diffusers.version"), find_factor("environment.machine.cpu_model")
    ('env:diffusers', None)
    """
    row = find_row(place)
    return row.find_label(place) if row else None


_LISTED_BY_NAME = {
    "adapter_files", "adapters", "components", "generators", "global_generators", "inputs", "other_weights", "outside",
    "packages", "referred", "submodules", "weights",
}  # fmt: skip


def walk_tree(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Walk through a record's JSON data, or a part of it that stands at `place`; an unavailable value is one value."""
    if isinstance(value, Mapping) and set(value) != {"unavailable"}:
        for key, item in value.items():
            yield from walk_tree(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, (list, tuple)):
        is_named = place.rpartition(".")[2] in _LISTED_BY_NAME
        for index, item in enumerate(value):
            label = item.get("name") or item.get("path") if is_named and isinstance(item, Mapping) else index
            yield from walk_tree(item, f"{place}.{label}")
    else:
        yield place, value
