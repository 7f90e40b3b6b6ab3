"""The config of a run as structured configs, the presets of `conf/`, and every environment variable that we read.

It never loads torch or mlflow, and never looks at anything but its arguments, `conf/` and the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

from repro_track.errors import UsageError, first_line

SEED_LIMIT = 2**32
"""CPU generators keep 32 bits of a seed: 0, 2**32 and 2**63 give one stream (FIELD.md, section 1)."""

TRACE_LEVELS = ("off", "steps", "modules")


@dataclass
class PipelineConfig:
    """Which pipeline: a folder (`path`) or a Hub repository (`repo_id`), and the class that loads it.

    `path` may be `builtin:digits`, the model that ships with the package. `class_name` null: the class that the
    pipeline's own model_index.json names. `arguments` go to `from_pretrained`.
    """

    class_name: str | None = None
    path: str | None = None
    repo_id: str | None = None
    revision: str | None = None
    variant: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class SchedulerConfig:
    """Null `class_name` keeps the pipeline's own scheduler; `config` overrides keys of its config."""

    class_name: str | None = None
    config: dict[str, Any] = field(default_factory=dict)


@dataclass
class AdapterConfig:
    """One adapter: `path` is a safetensors file, a folder that holds one, or a Hub repository with `weight_name` in it."""

    path: str | None = None
    subfolder: str | None = None
    weight_name: str | None = None
    scale: float = 1.0


@dataclass
class AdaptersConfig:
    """Adapters by name, in the order in which they are loaded; a textual inversion's name is its token.

    Each is an `AdapterConfig`; OmegaConf would not let a command line make one of a typed dict.
    """

    lora: dict[str, Any] = field(default_factory=dict)
    ip_adapter: dict[str, Any] = field(default_factory=dict)
    textual_inversion: dict[str, Any] = field(default_factory=dict)


@dataclass
class StageConfig:
    """One stage of several: a pipeline of its own. `take` names what it is given of an earlier one, by argument:
    `image: images` (a field of the stage before) or `image: base.images` (of the stage `base`)."""

    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    adapters: AdaptersConfig = field(default_factory=AdaptersConfig)
    switches: dict[str, Any] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)
    take: dict[str, str] = field(default_factory=dict)


@dataclass
class DeterminismConfig:
    """The numerics policy: flags by the names of `repro_track.determinism`, variables that must precede torch."""

    name: str = "strict"
    num_threads: int | None = None
    flags: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class TraceConfig:
    """What is digested while the pipeline runs: `off`, `steps` or `modules`."""

    level: str = "steps"


@dataclass
class ToleranceConfig:
    """Per dtype: `|actual - expected| <= atol + rtol * |expected|` for every element. `decoded_atol` stands for `atol`
    behind a decoder, where the latents have to be within `atol` as well."""

    name: str = "same_device"
    rtol: dict[str, float] = field(default_factory=dict)
    atol: dict[str, float] = field(default_factory=dict)
    decoded_atol: dict[str, float] = field(default_factory=dict)


@dataclass
class SourceConfig:
    """`bundle`: keep the git commit and its history with the run, for a commit that may be lost."""

    bundle: bool = False


@dataclass
class LogConfig:
    """`previews`: also log a picture of the latents after every step."""

    previews: bool = False


@dataclass
class SweepConfig:
    """The sweep that a run is a member of: `run` is the sweep's own in MLflow, `done` the members that it has already, by the
    digest of their overrides. `repro-track run -m` sets both; `sweep.run=ID` goes on with a sweep."""

    run: str | None = None
    done: dict[str, str] = field(default_factory=dict)


@dataclass
class StoreConfig:
    """Where MLflow keeps the run. `uri` is used when MLFLOW_TRACKING_URI is not set; null: `default_store_uri()`."""

    uri: str | None = None
    experiment_name: str = "repro_track"


@dataclass
class RunConfig:
    """The whole config of `repro-track run`.

    `batch`: the images of a call are made `together`, or each alone from the start (`independent`). `picture_format`: png, webp
    (without loss) or jpeg. `embed`: what a picture's file says of its run: its `id`, or its settings as well (`full`). `switches` are
    methods of the pipeline or a component: `switches.vae.enable_tiling=true`. `stages`: several pipelines instead of one, by
    name, with the same generators passed on; each is a `StageConfig`.
    """

    seed: int | None = None
    num_images: int = 1
    seeds: list[int] | None = None
    generator: str = "cpu"
    batch: str = "together"
    device: str = "cpu"
    dtype: str = "float32"
    name: str | None = None
    picture_format: str = "png"
    embed: str = "id"
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    adapters: AdaptersConfig = field(default_factory=AdaptersConfig)
    switches: dict[str, Any] = field(default_factory=dict)
    determinism: DeterminismConfig = field(default_factory=DeterminismConfig)
    trace: TraceConfig = field(default_factory=TraceConfig)
    tolerance: ToleranceConfig = field(default_factory=ToleranceConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    log: LogConfig = field(default_factory=LogConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    source: SourceConfig = field(default_factory=SourceConfig)
    call: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, Any] = field(default_factory=dict)


def leave_out_sweep(words: Iterable[str]) -> list[str]:
    """Leave out the overrides that say which sweep a run belongs to: where it is shown, nothing that it is made of.

    >>> leave_out_sweep(["seed=1", "++sweep.run=x"])
    ['seed=1']
    """
    return [word for word in words if not word.lstrip("+").startswith("sweep.")]


def check_seed(seed: int, *, name: str = "seed") -> int:
    """Return `seed` if a CPU generator keeps all of it.

    Raises:
        UsageError: it is not an int of 32 bits: torch would cut it silently.

    >>> check_seed(0)
    0
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < SEED_LIMIT:
        raise UsageError(
            f"{name} is {seed!r}",
            expected=f"an integer from 0 to {SEED_LIMIT - 1}: torch's CPU generator keeps only 32 bits of a seed, "
            "so a larger one would be the same as a smaller one",
            advice="choose one in that range",
        )
    return seed


PRESET_GROUPS = ("scheduler", "determinism", "trace", "tolerance")
"""Groups of `conf/` whose presets are a part of the config each."""


def make_changed(resolved: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Make the resolved config of a variation: that of a run, with `KEY=VALUE` or `GROUP=PRESET` changed.

    Raises:
        UsageError: a change is not of that form, names no key of the config, or has a value of another type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config: Any = OmegaConf.merge(make_schema(), dict(resolved))
    for change in changes:
        key, is_given, value = change.partition("=")
        if not key or not is_given:
            raise UsageError(f"the change is {change!r}", expected="KEY=VALUE, such as call.num_inference_steps=20")
        try:
            if key in PRESET_GROUPS:
                config[key] = OmegaConf.merge(make_schema()[key], read_preset(key, value))
            else:
                config = OmegaConf.merge(config, OmegaConf.from_dotlist([change]))
        except OmegaConfBaseException as error:
            raise UsageError(
                f"{change!r} cannot be applied: {first_line(error)}",
                expected="a key of the run's config (repro-track show RUN --json) and a value of its type, or one of the "
                "groups " + ", ".join(PRESET_GROUPS),
            ) from error
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


def make_schema() -> Any:
    """Make the structured config, with the places open in which any key may stand without a `+`."""
    from omegaconf import OmegaConf

    schema = OmegaConf.structured(RunConfig)
    open_places = (
        schema.call, schema.scheduler.config, schema.pipeline.arguments, schema.switches, schema.stages,
        schema.adapters.lora, schema.adapters.ip_adapter, schema.adapters.textual_inversion,
    )  # fmt: skip
    for open_place in open_places:
        OmegaConf.set_struct(open_place, False)
    return schema


@cache
def read_preset(group: str, name: str) -> dict[str, Any]:
    """Read one preset of `conf/` (`determinism`, `tolerance`), the same file that Hydra composes.

    Raises:
        UsageError: there is no such preset.
    """
    import yaml

    folder = resources.files("repro_track.conf") / group
    preset = folder / f"{name}.yaml"
    if not preset.is_file():
        known = sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))
        raise UsageError(f"{group} is {name!r}", expected="one of " + ", ".join(known))
    return yaml.safe_load(preset.read_text(encoding="utf-8"))


# --- environment variables that we read ---------------------------------------------------------------------------

TRACKING_URI = "MLFLOW_TRACKING_URI"
HOME = "REPRO_TRACK_HOME"
REPLAY = "REPRO_TRACK_REPLAY"
"""Set by `replay` for its child: the folder with what is expected, where the child leaves its own record."""

PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}
"""pip's settings (`PIP_INDEX_URL` and so on, and its files) that restoring packages hands to uv, which ignores them."""

RECORDED_VARIABLES = (
    # before torch is imported
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    # before the first operation
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    # only a GPU can tell
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_VISIBLE_DEVICES",
    "PYTORCH_CUDA_ALLOC_CONF",
    # no effect seen on a CPU, recorded all the same
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "OMP_DYNAMIC",
    "OMP_SCHEDULE",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "KMP_DETERMINISTIC_REDUCTION",
    "PYTHONHASHSEED",
    "GLIBC_TUNABLES",
    # which code is imported
    "PYTHONPATH",
)
"""The allow-list of environment variables that enter a record (NUMERICS.md). No other one ever does."""


def data_folder() -> Path:
    """The user's folder for everything that we keep: `REPRO_TRACK_HOME`, else as the XDG standard says."""
    if home := os.environ.get(HOME):
        return Path(home).expanduser().absolute()
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "repro_track"


def default_store_uri() -> str:
    """The embedded store: one SQLite file of the user's, the same from every working directory."""
    return f"sqlite:///{data_folder() / 'mlflow.db'}"


def resolve_store_uri(configured: str | None = None) -> str:
    """Say which MLflow store is meant: `MLFLOW_TRACKING_URI`, else `configured`, else the embedded one.

    A relative SQLite path is made absolute, so that the store does not move with the working directory.

    Raises:
        UsageError: a file store (`./mlruns`), which MLflow 3 no longer opens.
    """
    uri = os.environ.get(TRACKING_URI) or configured or default_store_uri()
    if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
        return f"sqlite:///{Path(uri.removeprefix('sqlite:///')).absolute()}"
    if "://" not in uri or uri.startswith("file:"):
        raise UsageError(
            f"the MLflow store is {uri!r}, a folder of files",
            expected="a database (sqlite:///…, postgresql://…) or a server (http://…): MLflow 3 refuses file stores",
            advice=f"unset {TRACKING_URI} for the embedded store, or set it to sqlite:///PATH/mlflow.db",
        )
    return uri


def list_written_paths(store_uri: str) -> list[Path]:
    """List the files and folders that runs write themselves: ours, and those of a SQLite store. No part of the source."""
    written = [data_folder()]
    if store_uri.startswith("sqlite:///"):
        database = Path(store_uri.removeprefix("sqlite:///"))
        written += [database, Path(f"{database}.lock"), database.parent / "artifacts"]
    return written


def replay_folder() -> Path | None:
    """The hand-over folder if this process is the child of a replay."""
    folder = os.environ.get(REPLAY)
    return Path(folder) if folder else None


def read_recorded_variables() -> dict[str, str | None]:
    """Read the allow-listed environment variables; null: not set."""
    return {name: os.environ.get(name) for name in RECORDED_VARIABLES}
