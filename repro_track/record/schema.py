"""The record of one run: its parts, as one versioned document.

It never reads the world (the `capture_` functions do), and never loads torch, so that a record can be read on any
machine. Everything is frozen; what could not be read is an `Unavailable` with its reason, never `None` or a guess.
"""

from __future__ import annotations

import uuid
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

SCHEMA_VERSION: Literal[4] = 4

T = TypeVar("T")

CommandKind = Literal["config", "script", "module", "hydra", "notebook", "interactive"]
TraceLevel = Literal["off", "steps", "modules"]
OutputKind = Literal["image", "video", "audio", "tensor", "file"]
InputKind = Literal["picture", "array", "tensor"]
Status = Literal["running", "finished", "failed", "interrupted", "killed"]
SeedOrigin = Literal["given", "entropy"]
GeneratorMaker = Literal["repro_track", "caller"]
WeightOrigin = Literal["hub", "computed"]
Batch = Literal["together", "independent"]
Noise = Literal["pipeline", "float32"]
Embed = Literal["id", "full"]


class Part(BaseModel):
    """The base of every part: frozen, nothing unknown let in, NaN and infinity kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


def _check_inside(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path!r} leaves the run's folder")
    return path


class Unavailable(Part):
    """Something that could not be read, with the reason."""

    unavailable: str


Known = Annotated[Unavailable | T, Field(union_mode="left_to_right")]
"""A value, or the reason why it could not be read."""


class Program(Part):
    """The program that wrote the record."""

    name: str = "repro_track"
    version: str


class Launcher(Part):
    """The program that started the processes of a run (`torchrun`, `accelerate launch`): by a `module`, or a console
    script (`NAME=MODULE:FUNCTION`), with `options` of its interpreter and `words` before those of the run's program.
    `variables` are what it told this process: its rank, how many there are, the precision."""

    options: tuple[str, ...] = ()
    module: str | None = None
    entry_point: str | None = None
    words: tuple[str, ...] = ()
    variables: dict[str, str] = {}


class Command(Part):
    """How the run was started, enough to start it again.

    `kind` is `config` (`repro-track run`: the resolved config is the whole command), `script`, `module`, `hydra`
    (an app of somebody's own), `notebook` or `interactive`. `ordinal` counts the `track()` blocks of the process; in a
    notebook it is the number of the cell times a million, and the place among the cell's. `runs` is what the cells of a
    notebook give to a shell or to a magic that runs something, each with its cell: a replay does it again.

    `script` is the file whose code was started. `module`: it was started by this name (`python -m`; in records before
    schema 4 `script` has it); `entry_point`: by a console script, `NAME=MODULE:FUNCTION`. `options` are the
    interpreter's, `launcher` what started it in one or more processes. `process` names the one of several that the run
    was made in; `None`: the only one, or the first. `obstacles` say why a replay cannot start the same.
    `withheld` names the cells in which text was withheld; in `argv` it can be seen.
    """

    kind: CommandKind
    argv: tuple[str, ...]
    script: Known[str]
    cwd: str
    ordinal: int
    runs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    module: str | None = None
    entry_point: str | None = None
    launcher: Launcher | None = None
    process: str | None = None
    obstacles: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()

    @property
    def is_config(self) -> bool:
        """Whether it is a run of `repro-track run`: the present program, given the resolved config."""
        return self.kind == "config"

    @property
    def is_module(self) -> bool:
        """Whether it was started by a module's name (`python -m`), which `script` has."""
        return self.kind == "module"

    @property
    def is_hydra(self) -> bool:
        """Whether it is a Hydra app of somebody's own: its words are overrides."""
        return self.kind == "hydra"

    @property
    def is_notebook(self) -> bool:
        """Whether it is the cells of a notebook: `script` is a file in the run's folder that has them."""
        return self.kind == "notebook"

    @property
    def is_interactive(self) -> bool:
        """Whether it was typed into an interpreter: there is no file to start again."""
        return self.kind == "interactive"

    @property
    def has_script(self) -> bool:
        """Whether its code is one file, and `script` that file's path: a script, a Hydra app, a notebook's cells."""
        is_file = self.kind in ("script", "hydra", "notebook") or self.module is not None
        return is_file and isinstance(self.script, str)

    @property
    def is_started_by_file(self) -> bool:
        """Whether it is started by the path of its script, and not by a name."""
        return self.has_script and self.module is None and self.entry_point is None

    @property
    def can_be_varied(self) -> bool:
        """Whether it has a config, of which a variation can change a key."""
        return self.kind in ("config", "hydra")


class Config(Part):
    """The resolved config (interpolations frozen, secrets withheld) and the overrides that led to it.

    `composed_sha256` is a digest of what a Hydra app of somebody's own composed, before interpolations are resolved.
    `withheld` has the places of what is not there; `references`, by place, the environment variable that a withheld
    value came from as a whole (`${oc.env:HF_TOKEN}`): a replay takes it from there again.
    """

    resolved: dict[str, Any]
    overrides: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    composed_sha256: str | None = None
    references: dict[str, str] = {}


class Generator(Part):
    """One torch generator that a pipeline was given. States are digests; the bytes are in `STATES_NAME`.

    `advanced`: somebody had drawn from it before, its state was not that of a fresh one with its seed; `None`: that was
    not looked at.
    """

    name: str
    device: str
    initial_seed: int
    state_before: str
    state_after: str
    made_by: GeneratorMaker
    advanced: bool | None = None


class GlobalGenerator(Part):
    """One global generator before and after the run. `moved`: it is not where it began.

    `drawn_at` names the calls that drew from it (`call 0`); in a replay, and in runs of before schema 4, the lines of
    code, each with its caller's: `diffusers/utils/y.py:110 in draw, from diffusers/schedulers/x.py:66 in step`.
    `while_loading`: something drew from it while a pipeline was loaded; in the run of a config it was put back then.
    """

    name: str
    state_before: str
    state_after: Known[str]
    moved: bool
    drawn_at: tuple[str, ...] = ()
    while_loading: bool = False


class Seeds(Part):
    """Every source of randomness.

    `root` seeds the global generators, and the ones that are made for calls; `origin` says where it came from. `images`
    are the seeds of the last call's generators, whoever made them; before a call, that of the first image.

    `closed`: every random draw that an output depends on came from a recorded generator: no pipeline drew from a global
    one while it was called, nor the code around the calls where it has outputs of its own.

    `earlier` has the root seeds that blocks before this one drew from entropy, by their ordinal in the same process: a
    replay runs them with these, since what they made may be used in this one.
    """

    root: int
    origin: SeedOrigin
    images: tuple[int, ...] = ()
    generators: tuple[Generator, ...] = ()
    global_generators: tuple[GlobalGenerator, ...] = ()
    closed: bool = True
    earlier: dict[str, int] = {}


class Numerics(Part):
    """The numeric settings as read back in force. `changed`: those that the run itself changed, with their last
    value."""

    policy: str
    requested: dict[str, Any]
    state: dict[str, Any]
    changed: dict[str, Any] = {}


class Interpreter(Part):
    """The Python that ran: its version, its implementation (`CPython`), the path of its program."""

    version: str
    implementation: str
    executable: str


class Machine(Part):
    """The computer: `cpu_isa` has the instruction sets that kernels are chosen by, `cpu_count` the
    number of logical processors."""

    system: str
    release: str
    architecture: str
    libc: Known[str]
    cpu_model: Known[str]
    cpu_isa: Known[tuple[str, ...]]
    cpu_count: int
    host: str
    user: str


class Gpu(Part):
    """One GPU as torch sees it."""

    name: str
    compute_capability: str
    multiprocessors: int
    memory_bytes: int


class TorchBuild(Part):
    """The identity of the torch build and what it sees."""

    version: str
    git_version: Known[str]
    cuda: Known[str]
    cudnn: Known[int]
    config: str
    parallel_info: str
    gpus: tuple[Gpu, ...]


class Package(Part):
    """An installed distribution; `origin` is `registry`, or the URL or folder that it came from. `imported_from`: the
    folder on the search path from which the run had imported it; `None`: it had not, or that is not known."""

    name: str
    version: str
    origin: str = "registry"
    imported_from: str | None = None


class Environment(Part):
    """What the run ran in. `variables` has the environment variables of an allow-list; `None`: it was not set.
    `container` has the marks of a container or batch system that can be seen from inside."""

    interpreter: Interpreter
    machine: Machine
    gpu_driver: Known[str]
    torch: Known[TorchBuild]
    packages: tuple[Package, ...]
    variables: dict[str, str | None]
    container: tuple[str, ...]


class ReferredFile(Part):
    """A file of the source of which only the digest is kept: a replay takes it from the clone.

    `why`: `lfs` (its content is kept by git LFS; its pointer is part of the tree), `encrypted` (a filter encrypts it on
    its way into the repository), `ignored` (a config file, or one that the run read, that git ignores).
    """

    path: str
    sha256: str
    size_bytes: int
    why: Literal["lfs", "encrypted", "ignored"]


class Submodule(Part):
    """A repository inside the repository: its path, and the commit that was checked out in it (unavailable: it has none
    yet).

    `is_clone`: the outer repository does not know it, it only lies there. `changes`, `tree` and `bundle_sha256` are as
    in `Source`; `None`: they were not looked at, because an earlier version wrote the record.
    """

    path: str
    commit: Known[str]
    is_clone: bool = False
    remote: Known[str] | None = None
    changes: dict[str, Known[str]] = {}
    tree: Known[str] | None = None
    bundle_sha256: Known[str] | None = None


class OutsideCode(Part):
    """A file of code that ran and is neither of the repository nor of an installed package: a module in another folder,
    a custom pipeline, a file that git ignores.

    `name` is the module's, or the path of a file that was executed otherwise. `left_out`: why its content is not kept;
    `None`: it is, and a replay runs it.
    """

    name: str
    path: str
    sha256: Known[str]
    left_out: str | None = None


class Source(Part):
    """The code: a commit and what differed from it; outside a repository the entry script alone.

    `changes` maps kinds of changes to the sha256 of the artifact under `source/` (absent: no such change; unavailable:
    too large, or it holds what looks like a secret): `staged`, `unstaged`, `untracked` (files that git does not know,
    and ignored ones that ran), `converted` (tracked files that git had converted, as they lay on disk), `absent` (names
    of tracked files that a sparse checkout had left out). `left_out` names files not kept.
    `submodules` has all repositories inside that were there. `referred` has files of which the digest alone is kept,
    `ignored` those in `untracked` that git ignores.
    `tree` is git's hash of what lay on disk, and proven: the commit and the changes that were kept give the same one.
    `cautions` were said when the source was captured; they are among those of the record.
    `outside` is the code that ran from elsewhere (`None`: nobody looked), kept in one archive with this digest.
    """

    repository: Known[str]
    commit: Known[str]
    branch: Known[str]
    remote: Known[str]
    dirty: bool
    changes: dict[str, Known[str]]
    left_out: dict[str, str]
    submodules: tuple[Submodule, ...]
    script_sha256: Known[str]
    tree: Known[str]
    bundle_sha256: Known[str] | None = None
    referred: tuple[ReferredFile, ...] = ()
    ignored: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    outside: tuple[OutsideCode, ...] | None = None
    outside_sha256: str | None = None


class WeightFile(Part):
    """One file of weights; `origin` says whether the digest is the Hub cache's own or was computed here.

    `path` starts in `folder`, where there is none in the location of its component. `repo_id` and `commit` are the
    Hub's, of a file in its cache. `made_by_run`: it was written while the program ran, which writes it again.
    """

    path: str
    sha256: str
    size_bytes: int
    origin: WeightOrigin
    folder: str | None = None
    repo_id: str | None = None
    commit: str | None = None
    made_by_run: bool = False


class Adapter(Part):
    """An adapter in a component (LoRA and the like), in the order in which it was loaded. `scales` are those of its
    layers, each once; `is_active`: its layers take part."""

    name: str
    kind: str
    rank: int | None = None
    scales: tuple[float, ...] = ()
    is_active: bool = True


class Component(Part):
    """One component of a pipeline: its class, its config, its weights on disk and in memory (xxh3_128).

    `weights` are the files that hold values of it, whoever loaded them. `repo_id` and `commit` are the Hub's.
    `channels_last`: some of its weights lie in memory that way, which chooses other kernels. `switches` are the
    settings found on it that its config does not have: what `enable_…` methods set, hooks of offloading, attention
    processors, whether it is compiled. `switches_xxh3` is a digest of those of every module below it.
    `hook_settings` are what the hooks of offloading, casting and caching were given, by hook; `None`: no model, or a
    record of before schema 4.
    """

    name: str
    class_name: str
    config: dict[str, Any]
    location: str | None = None
    dtype: str | None = None
    device: str | None = None
    channels_last: bool = False
    repo_id: str | None = None
    commit: str | None = None
    weights: tuple[WeightFile, ...] = ()
    memory_xxh3: Known[str] | None = None
    switches: dict[str, Any] = {}
    switches_xxh3: str | None = None
    hook_settings: dict[str, Any] | None = None
    adapters: tuple[Adapter, ...] = ()


class Input(Part):
    """A value that a call was given and that travels with the run, by its place among the arguments (`image.0`).

    The file, named by content under `inputs/`, is a PNG where that holds the picture exactly, else a safetensors file.
    `mode` is that of a PIL picture. `origin` is the path or URL that it was loaded from by us.
    """

    name: str
    kind: InputKind
    dtype: str
    shape: tuple[int, ...]
    sha256: str
    file: str
    mode: str | None = None
    device: str | None = None
    channels_last: bool = False
    origin: str | None = None

    @field_validator("file")
    @classmethod
    def _stays_in_its_folder(cls, value: str) -> str:
        return _check_inside(value)


class TraceStep(Part):
    """One call of a scheduler's step: `latents` is the digest of what it returned.

    `modules` are xxh3_128 digests in the order of `Trace.modules`, of the outputs since the step before; `None`: not
    called.
    """

    index: int
    scheduler: str
    timestep: float
    latents: str
    mean: float
    std: float
    abs_max: float
    modules: tuple[str | None, ...] = ()


class Trace(Part):
    """What happened step by step. `noise` is the digest of the first step's sample, the initial latents, `noise_dtype`
    its dtype; `None`: not looked at."""

    level: TraceLevel
    noise: Known[str]
    noise_dtype: str | None = None
    modules: tuple[str, ...] = ()
    steps: tuple[TraceStep, ...] = ()
    after_last: tuple[str | None, ...] = ()


class PipelineCall(Part):
    """One call of a pipeline: every argument of its own signature, what of them is kept under `inputs/`, its
    components, the weight files of adapters that the config named, its trace.

    `other_weights` are the files of weights that the program had opened and no component has values of: fused or
    replaced adapters, new words, what merged weights were computed from.

    `stage` is its name where a run has several; `batch` says whether the images of the call were made together or each
    alone. `drawn` has the global generators that were drawn from during the call. `noise`: random numbers were drawn
    in the precision that the pipeline wants them in, or in `float32` and rounded, which makes a seed one picture in
    every precision.
    """

    index: int
    class_name: str
    name_or_path: str | None
    commit: Known[str]
    arguments: dict[str, Any]
    components: tuple[Component, ...]
    trace: Trace
    stage: str | None = None
    batch: Batch = "together"
    noise: Noise = "pipeline"
    inputs: tuple[Input, ...] = ()
    adapter_files: tuple[WeightFile, ...] = ()
    drawn: tuple[str, ...] = ()
    other_weights: tuple[WeightFile, ...] = ()

    @property
    def noise_drawn_in(self) -> str | None:
        """The precision that its noise was drawn in; `None`: not known."""
        return "float32" if self.noise == "float32" else self.trace.noise_dtype

    @property
    def schedulers(self) -> list[str]:
        """The classes of its schedulers, with their module."""
        return [part.class_name for part in self.components if part.class_name.endswith("Scheduler")]


class Output(Part):
    """One output with its three digests kept apart: tensor (dtype, shape, bytes), what a person sees or hears of it
    (8-bit pixels, 16-bit samples), file. `rate_hz`: samples or frames a second. `seed`: of the generator that it was
    drawn from, its own or the only one of its call; `None`: it has none."""

    name: str
    kind: OutputKind
    dtype: str
    shape: tuple[int, ...]
    sha256: str
    abs_sum: float | None = None
    nonfinite: int = 0
    pixels_sha256: str | None = None
    samples_sha256: str | None = None
    rate_hz: float | None = None
    seed: int | None = None
    file: str | None = None
    file_sha256: str | None = None

    @property
    def decoded_sha256(self) -> str | None:
        """The digest of what a person sees or hears; `None` for what is neither."""
        return self.pixels_sha256 or self.samples_sha256

    @field_validator("file")
    @classmethod
    def _stays_in_its_folder(cls, value: str | None) -> str | None:
        return None if value is None else _check_inside(value)


class Cost(Part):
    """Seconds of each phase, and the peak resident memory of the process."""

    phases_s: dict[str, float]
    peak_memory_bytes: int
    peak_gpu_memory_bytes: int | None = None


class Replayable(Part):
    """Whether the run can be replayed, and if not, why."""

    yes: bool
    reasons: tuple[str, ...] = ()


class RunRecord(Part):
    """One run, self-contained. `record_id` is the record's own; MLflow's run id is only its address.

    `cautions` were said while the run was recorded: what may make a replay differ although the run can be replayed,
    a sentence each.
    """

    schema_version: Literal[4] = SCHEMA_VERSION
    record_id: str
    status: Status
    error: str | None = None
    name: str
    created_at: str
    program: Program
    command: Command
    config: Config
    seeds: Seeds
    numerics: Numerics
    environment: Environment
    source: Source
    calls: tuple[PipelineCall, ...] = ()
    outputs: tuple[Output, ...] = ()
    cost: Cost
    replayable: Replayable
    cautions: tuple[str, ...] = ()
    replay_of: str | None = None


def make_record_id() -> str:
    """Make a new record id: 32 hexadecimal digits."""
    return uuid.uuid4().hex
