"""`track()`: opens a run, collects what happens in it, closes it. The only object here that changes.

Everything that it captures comes from the `capture_` functions below it as one frozen value; it puts back every
setting and generator that it touched, also when the run fails.
"""

from __future__ import annotations

import contextlib
import inspect
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from repro_track.capture.command import (
    capture_command,
    count_block,
    find_repository_place,
    find_script,
    make_config_command,
)
from repro_track.capture.machine import capture_environment, capture_torch_build, read_user
from repro_track.capture.packages import render_packages
from repro_track.capture.source import capture_source
from repro_track.config.locations import data_folder, list_written_paths, replay_folder, resolve_store_uri
from repro_track.config.schema import TRACE_LEVELS, check_seed
from repro_track.determinism import draws, numerics
from repro_track.determinism.generators import GeneratorWatch, draw_seed, make_generators, make_image_seeds
from repro_track.determinism.global_generators import (
    guarded_globals,
    list_moved,
    pack_globals,
    read_globals,
    rewound_globals,
)
from repro_track.errors import PipelineError, ReproTrackError, UsageError
from repro_track.media.files import load_files
from repro_track.media.inputs import keep_inputs
from repro_track.media.outputs import (
    UNKNOWN_RATES,
    Rates,
    RawOutput,
    get_preview,
    keep_file,
    keep_output,
    list_outputs,
    to_exact,
)
from repro_track.media.picture import FORMATS, make_contact_sheet
from repro_track.pipelines import trace
from repro_track.pipelines.arguments import bind_arguments, count_images, takes_several_generators
from repro_track.pipelines.call import Call, make_call, undisturbed
from repro_track.pipelines.components import describe_components, find_commit
from repro_track.pipelines.previews import make_previews
from repro_track.record.handover import SecondCall, Settings
from repro_track.record.names import (
    CONFIG_NAME,
    LATENTS_NAME,
    OUTPUT_TENSORS_NAME,
    PREVIEW_NAME,
    RECORD_NAME,
    REPORT_NAME,
    STATES_NAME,
    name_call,
    name_global,
)
from repro_track.record.reading import render_record
from repro_track.record.redaction import WITHHELD, redact_text, redact_tree, redact_words
from repro_track.record.schema import (
    Batch,
    Command,
    Config,
    Cost,
    Embed,
    Environment,
    GeneratorMaker,
    GlobalGenerator,
    Input,
    Numerics,
    Output,
    PipelineCall,
    Program,
    Replayable,
    RunRecord,
    SeedOrigin,
    Seeds,
    Source,
    Status,
    TraceLevel,
    Unavailable,
    WeightFile,
    make_record_id,
)
from repro_track.report.markdown import render_description
from repro_track.report.page import render_run_page
from repro_track.store.client import StoredRun
from repro_track.store.outbox import Address, Outbox
from repro_track.store.tags import name_logged_images
from repro_track.tensors.digests import digest_tensor
from repro_track.tensors.host import HostTensor, save_tensors
from repro_track.tracking.replayed import Replayed
from repro_track.version import __version__

_open: list[TrackedRun] = []


def get_current_run() -> TrackedRun | None:
    """Return the run that is tracked in this process now, the innermost one; `None` outside every block."""
    return _open[-1] if _open else None


class TrackedRun:
    """A run while it is tracked: call it with a pipeline. After the block, `run_id` is MLflow's."""

    def __init__(
        self,
        *,
        experiment: str,
        seed: int | None,
        seeds: Sequence[int] | None,
        generator: str,
        batch: Batch = "together",
        is_staged: bool = False,
        policy: Mapping[str, Any],
        trace_level: TraceLevel,
        store: str | None,
        name: str | None,
        stem: str | None = None,
        resolved: Mapping[str, Any],
        overrides: Sequence[str],
        bundle: bool = False,
        picture_format: str = "png",
        embed: Embed = "id",
        previews: bool = False,
        parent_id: str | None = None,
        starts_late: bool = False,
        is_config: bool = False,
    ) -> None:
        if trace_level not in TRACE_LEVELS:
            raise UsageError(f"trace is {trace_level!r}", expected="one of " + ", ".join(TRACE_LEVELS))
        if generator not in ("cpu", "device"):
            raise UsageError(f"generator is {generator!r}", expected="cpu (the same noise on every device) or device")
        if batch not in ("together", "independent"):
            raise UsageError(f"batch is {batch!r}", expected="together, or independent (each image alone)")
        if picture_format not in FORMATS:
            raise UsageError(f"picture_format is {picture_format!r}", expected="one of " + ", ".join(FORMATS))
        if embed not in ("id", "full"):
            raise UsageError(f"embed is {embed!r}", expected="id, or full (settings, prompts and paths as well)")
        threads = policy["num_threads"]
        if threads is not None and threads < 1:
            raise UsageError(
                f"determinism.num_threads is {threads}", expected="1 or more, or null for what torch chooses"
            )
        self._ordinal = 0 if is_config else count_block()
        self._handover = Replayed.find(replay_folder(), ordinal=self._ordinal)
        if self._handover:
            trace_level = self._handover.settings.trace or trace_level
            if self._handover.choice.restores("seeds"):
                seed, seeds = self._handover.choose_seeds()
        expected = self._handover.expected if self._handover else None
        self._root, self._origin = _choose_root(seed, seeds=seeds, expected=expected)
        self._seeds = seeds
        self._image_seeds = make_image_seeds(self._root, num_images=len(seeds or ()) or 1, seeds=seeds)
        self._generator_place, self._policy, self._trace_level = generator, policy, trace_level
        self._batch, self._is_staged = batch, is_staged
        self._name, self._stem, self._resolved, self._overrides = name, stem, resolved, overrides
        self._bundle, self._starts_late, self._is_config = bundle, starts_late, is_config
        self._picture_format, self._embed, self._parent_id = picture_format, embed, parent_id
        self._wants_previews = previews and self._handover is None
        self._experiment, self._uri = experiment, resolve_store_uri(store)
        self.record_id = make_record_id()
        self._created_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._folder = _choose_folder(self._handover, ordinal=self._ordinal, record_id=self.record_id)
        self._stack = contextlib.ExitStack()
        self._phases: dict[str, float] = {}
        self._calls: list[PipelineCall] = []
        self._next_call = 0
        self._passed_on: list[Any] | None = None
        self._draws: dict[str, list[str]] = {}
        self._generators: list[Any] = []
        self._states: dict[str, Any] = {}
        self._outputs: list[Output] = []
        self._tensors: dict[str, Any] = {}
        self._latents: dict[str, Any] = {}
        self._second_calls: list[SecondCall] = []
        self._pictures: list[Any] = []
        self._unknown: list[str] = []
        self._started = False
        self._is_calling = False
        self._outbox: Outbox | None = None
        self._stored: StoredRun | None = None
        self.record: RunRecord | None = None

    # --- the block

    def __enter__(self) -> TrackedRun:
        began = time.perf_counter()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._command = (
                make_config_command()
                if self._is_config
                else capture_command(ordinal=self._ordinal, folder=self._folder)
            )
            # the child of a replay logs nothing itself: the replay does, with the verdict
            self._outbox = None if self.is_replay else Outbox(self._make_address())
            pool = self._stack.enter_context(ThreadPoolExecutor(1))
            self._source: Future[Source] = pool.submit(self._capture_source)
            numerics.apply_variables(self._policy["environment"])
            with self.timed("import_torch"):
                import torch  # noqa: F401  after the variables that it reads
            self._requested, self._numerics_before = self._stack.enter_context(
                numerics.applied(
                    self._policy["flags"], num_threads=self._policy["num_threads"], policy=self._policy["name"]
                )
            )
            if self._handover and (wanted := self._handover.list_settings_to_restore()):
                numerics.restore_state(wanted)
                self._numerics_before = numerics.capture_state()
            self._globals = self._stack.enter_context(guarded_globals(self._root))
            self._environment: Environment = capture_environment(torch_build=capture_torch_build())
            if not self._starts_late:
                self._start()
        except BaseException:
            self._release()
            raise
        self._began = began
        _open.append(self)
        self._phases["open"] = time.perf_counter() - began - self._phases["import_torch"]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace_back: object) -> None:
        try:
            if error is not None and not self._started:
                return  # nothing was begun: nothing is left behind
            self._start()
            status, words = _read_status(error)
            if error is not None:
                text = redact_text("".join(traceback.format_exception(error)))
                (self._folder / "error.txt").write_text(text, encoding="utf-8")
            self._phases["total"] = time.perf_counter() - self._began
            self._close(status, words)
        finally:
            self._release()

    def _release(self) -> None:
        """Put every setting and generator back, and end the process that logs."""
        if self in _open:
            _open.remove(self)
        self._stack.close()
        if self._outbox is not None:
            self._outbox.close()
        if not self._started:
            shutil.rmtree(self._folder, ignore_errors=True)

    # --- what a run does

    def __call__(self, pipe: Any, /, **arguments: Any) -> Any:
        """Call a diffusers pipeline with its own arguments, and record the call and its outputs.

        Without `generator`, one is made for each image from the run's seeds, on the CPU unless the run says otherwise;
        each call begins with the same seeds again, unless the run has stages. Where the pipeline expects a picture, a
        video, sound or a tensor, a path or URL can be given instead: it is loaded, and a replay does not need the file.

        Returns:
            what the pipeline returns, untouched; with `batch=independent` the results of all images, put together.

        Raises:
            UsageError: the pipeline has no such argument, an argument cannot be stored, or the number of images and
                seeds do not agree.
        """
        return self.call_pipeline(pipe, arguments)

    def leave_out_call(self) -> bool:
        """Whether the next call is not wanted, because a replay looks at another one alone; it is counted then."""
        wanted = self._handover.settings.focus.call if self._handover else None
        is_left_out = wanted is not None and wanted != self._next_call
        self._next_call += is_left_out
        return is_left_out

    def call_pipeline(
        self,
        pipe: Any,
        arguments: Mapping[str, Any],
        *,
        stage: str | None = None,
        adapter_files: tuple[WeightFile, ...] = (),
    ) -> Any:
        """Call a pipeline as `__call__` does, as a stage with a name, with adapters whose files are known."""
        index = self._next_call
        handover = self._handover
        bind_arguments(pipe, arguments)  # a name that the pipeline does not have, before anything is loaded
        if handover:
            arguments = handover.restore_arguments(arguments, call=index)
        parameters = inspect.signature(type(pipe).__call__).parameters
        arguments, origins = load_files(arguments, parameters=parameters)
        given = {name: value for name, value in arguments.items() if name != "generator"}
        kept = keep_inputs(given, folder=self._folder, origins=origins)
        watch = self._watch_generators(pipe, bind_arguments(pipe, arguments), index=index)
        call = make_call(pipe, arguments, index=index, watch=watch, batch=self._batch)
        if self._outbox is not None:
            self._outbox.check()  # a store that cannot be used is better known before an hour of computing
        self._start()
        self._next_call += 1
        self._is_calling = True
        try:
            with handover.restored_schedulers(pipe, call=index) if handover else contextlib.nullcontext():
                return self._record_call(call, stage=stage, kept=kept, adapter_files=adapter_files)
        finally:
            self._is_calling = False

    def _record_call(
        self, call: Call, *, stage: str | None, kept: tuple[Input, ...], adapter_files: tuple[WeightFile, ...]
    ) -> Any:
        """Call the pipeline, and keep everything that the call is and gives."""
        pipe, settings = call.pipe, self._handover.settings if self._handover else Settings()
        with self.timed("describe"):
            parts = describe_components(pipe)
            if self._handover:
                self._handover.check_weights(parts, adapter_files, call=call.index)
                self._handover.restore_globals(call=call.index)
        global_states = read_globals()
        watched = trace.recording(
            pipe.components, level=self._trace_level, inputs=settings.inputs, samples=self._wants_previews
        )
        with self.timed("call"), watched as collector:
            try:
                # a script might look at every image; the others are made for it
                result = call.make(image=settings.focus.image if self._is_config else None)
            except Exception as error:
                if not self._is_config:
                    raise
                # a pipeline is anybody's code: on the command line whatever it raises is one message
                raise PipelineError(
                    f"{type(pipe).__name__} failed: {_describe_error(error)}",
                    advice="check the arguments under call; the run is logged as failed",
                ) from error
            finally:
                self._generators.extend(call.watch.finish())
                self._states.update(call.watch.states)
                packed = pack_globals(global_states)
                self._states.update({name_global(call.index, name): one for name, one in packed.items()})
                if collector.latents is not None:
                    self._latents[name_call(call.index)] = collector.latents
                location = getattr(pipe, "name_or_path", None) or getattr(pipe.config, "_name_or_path", None)
                self._calls.append(
                    PipelineCall(
                        index=call.index,
                        class_name=type(pipe).__name__,
                        name_or_path=location,
                        commit=find_commit(parts),
                        arguments=redact_tree(dict(call.plain))[0],
                        components=parts,
                        trace=collector.finish(),
                        stage=stage,
                        batch=call.batch,
                        inputs=kept,
                        adapter_files=adapter_files,
                    )
                )
        if self._wants_previews:
            with self.timed("previews"), undisturbed(pipe), rewound_globals(read_globals()):
                self._keep_previews(pipe, collector.samples, index=call.index)
        if not self.is_replay or settings.changes:
            with self.timed("draws"):
                self._find_draws(call, before=global_states)
        with self.timed("outputs"):
            rates = call.find_rates()
            for raw in call.list_outputs(result):
                self._keep_output(raw, rates=rates)
        if settings.twice:
            with call.watch.rewound(), rewound_globals(global_states):
                self._second_calls.append(self._call_again(call))
        return result

    def _call_again(self, call: Call) -> SecondCall:
        """Call the pipeline as it was just called: where the second result differs, the first call left something
        behind."""
        first = self._calls[-1]
        with trace.recording(call.pipe.components, level=self._trace_level) as collector:
            result = call.make()
        digests = {raw.name: digest_tensor(to_exact(raw)) for raw in call.list_outputs(result) if raw.kind != "unknown"}
        return SecondCall(first.model_copy(update={"trace": collector.finish()}), digests)

    def _keep_previews(self, pipe: Any, samples: Sequence[HostTensor], *, index: int) -> None:
        """Keep a picture of every step, where MLflow's page of the run looks for pictures by step."""
        key = "denoising" if index == 0 else f"{name_call(index)}.denoising"
        for step, preview in enumerate(make_previews(pipe, samples)):
            for name in name_logged_images(key, step=step):
                path = self._folder / name
                path.parent.mkdir(exist_ok=True)
                preview.save(path)

    def _find_draws(self, call: Call, *, before: Mapping[str, Any]) -> None:
        """Where the call drew from a global generator: name the lines that did, by repeating it up to its last draw."""
        after = read_globals()
        if not list_moved(before, after):
            return
        with call.watch.rewound(), undisturbed(call.pipe):
            found = draws.find_draws(call.make, before=before, after=after)
        for name, lines in found.items():
            self._add_draws(name, lines or [f"call {call.index}, not seen again"])

    def add_output(self, name: str, value: Any) -> None:
        """Record an output that is not a pipeline's: a tensor, an array, a picture, or the path of a file.

        Raises:
            UsageError: the name is taken, or the value is none of these.
        """
        if any(output.name == name for output in self._outputs):
            raise UsageError(f"there is an output {name!r} already", expected="another name")
        self._start()
        if isinstance(value, (str, Path)):
            path = Path(value)
            if not path.is_file():
                raise UsageError(
                    f"output {name!r} is {str(value)!r}, and there is no such file",
                    expected="a file, a tensor, an array or a picture",
                )
            self._outputs.append(keep_file(name, path, folder=self._folder / "outputs"))
            return
        for raw in list_outputs({name: value}):
            self._keep_output(raw)

    @property
    def run_id(self) -> str:
        """MLflow's run id; waits for MLflow where it has to. In the child of a replay, which logs nothing, a stand-in.

        Raises:
            StoreError: the store cannot be used.
        """
        if self._stored is None:
            if self._outbox is None:
                return f"replay-{self.record_id}"
            self._stored = self._outbox.wait_started()
        return self._stored.run_id

    @property
    def seed(self) -> int:
        """The root seed."""
        return self._root

    @property
    def is_calling(self) -> bool:
        """Whether a pipeline is being called by this run now."""
        return self._is_calling

    @property
    def is_replay(self) -> bool:
        """Whether this process replays a recorded run: leave files of your own alone then."""
        return replay_folder() is not None

    @property
    def stored(self) -> StoredRun | None:
        """Where the run is in MLflow, after the block; `None` in the child of a replay."""
        return self._stored

    # --- collecting

    @contextlib.contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the seconds that the block takes to a phase of the run's cost."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._phases[phase] = self._phases.get(phase, 0.0) + time.perf_counter() - began

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """Time the block as the loading of a pipeline, and put draws from global generators in it down to that: many
        models draw the weights that the file then replaces."""
        before = read_globals()
        with self.timed("load"):
            yield
        for name in list_moved(before, read_globals()):
            self._add_draws(name, ["while the pipeline was loaded"])

    def _add_draws(self, generator: str, places: Sequence[str]) -> None:
        known = self._draws.setdefault(generator, [])
        known += [place for place in places if place not in known]

    def _make_address(self) -> Address:
        shown = self._command.script if isinstance(self._command.script, str) else "repro-track run"
        user = read_user()
        return Address(self._uri, self._experiment, self._make_name(), user, shown, str(self._folder), self._parent_id)

    def _make_name(self) -> str:
        if self._name:
            return self._name
        script = self._command.script
        stem = self._stem or (Path(script).stem if isinstance(script, str) else "run")
        return f"{stem}-seed{self._root}"

    def _capture_source(self) -> Source:
        return capture_source(
            script=find_script(self._command, folder=self._folder),
            place=find_repository_place(self._command),
            folder=self._folder / "source",
            exclude=list_written_paths(self._uri),
            bundle=self._bundle,
        )

    def _watch_generators(self, pipe: Any, bound: Mapping[str, Any], *, index: int) -> GeneratorWatch:
        """Take the caller's generators, or make our own; put back the states of those that no seed explains."""
        given = bound.get("generator")
        if given is not None:
            generators = list(given) if isinstance(given, (list, tuple)) else [given]
        else:
            generators = self._make_generators(pipe, bound) if "generator" in bound else []
        if self._handover:
            self._handover.restore_generators(generators, call=index)
        made_by: GeneratorMaker = "repro_track" if given is None else "caller"
        return GeneratorWatch(name_call(index), generators, made_by=made_by)

    def _make_generators(self, pipe: Any, bound: Mapping[str, Any]) -> list[Any]:
        """Make a generator for each image, or one for all where the pipeline takes no list; stages pass theirs on."""
        number = max(count_images(bound), 1)
        if self._passed_on is not None:
            if len(self._passed_on) not in (1, number):
                raise UsageError(
                    f"this stage makes {number} images, and {len(self._passed_on)} generators are passed on to it",
                    expected="as many images in each stage",
                )
            return self._passed_on
        if self._seeds is not None and number != len(self._seeds):
            raise UsageError(
                f"the call makes {number} images, and there are {len(self._seeds)} seeds",
                expected="one seed for each image",
            )
        if number > 1 and self._batch == "together" and not takes_several_generators(pipe):
            if self._seeds is not None:
                raise UsageError(
                    f"there are {number} seeds, and {type(pipe).__name__} takes one generator for all its images",
                    expected="one seed",
                    advice="batch=independent makes each image alone, from its own seed",
                )
            number = 1
        self._image_seeds = make_image_seeds(self._root, num_images=number, seeds=self._seeds)
        device = "cpu" if self._generator_place == "cpu" else str(pipe.device)
        made = make_generators(self._image_seeds, device=device)
        if self._is_staged:
            self._passed_on = made
        return made

    def _keep_output(self, raw: RawOutput, *, rates: Rates = UNKNOWN_RATES) -> None:
        if raw.kind == "unknown":
            self._unknown.append(f"output {raw.name} is a {type(raw.value).__name__}, which cannot be compared")
            return
        # a replay's pictures name the run that they reproduce: then equal pictures are equal files
        owner = (self._handover and self._handover.replay_of) or self.record_id
        kept = keep_output(
            raw,
            folder=self._folder / "outputs",
            record_id=owner,
            rates=rates,
            picture_format=self._picture_format,
            settings=self._make_settings() if self._embed == "full" else None,
        )
        self._outputs.append(kept)
        self._tensors[raw.name] = to_exact(raw).copy()  # the caller may write into the value afterwards
        if len(self._pictures) < 16 and (preview := get_preview(raw)) is not None:
            self._pictures.append(preview)

    def _make_settings(self) -> dict[str, Any]:
        """Make what `embed=full` puts into a picture: how to get it again without the record."""
        last = self._calls[-1:]
        return {
            "seeds": list(self._image_seeds),
            "config": redact_tree(dict(self._resolved))[0],
            **{name: getattr(call, name) for call in last for name in ("class_name", "name_or_path", "arguments")},
        }

    # --- closing

    def _start(self) -> None:
        """Leave a record that says `running`, and show the run in MLflow: from here on a killed run leaves its
        trace."""
        if self._started:
            return
        self._started = True
        self._write_record(self._assemble("running", None, numerics_after=self._numerics_before))
        if self._outbox is not None:
            self._outbox.start()

    def _close(self, status: Status, error: str | None) -> None:
        with self.timed("close"):
            record = self._assemble(status, error, numerics_after=numerics.capture_state())
            save_tensors(self._folder / OUTPUT_TENSORS_NAME, self._tensors)
            for name, tensors in ((STATES_NAME, self._states), (LATENTS_NAME, self._latents)):
                if tensors:
                    save_tensors(self._folder / name, tensors)
            if self._handover and self._second_calls:
                self._handover.leave_second_calls(self._second_calls)
            if self._pictures:
                make_contact_sheet(self._pictures).save(self._folder / PREVIEW_NAME)
            self._write_texts(record)
        self.record = record.model_copy(update={"cost": self._measure_cost()})
        self._write_record(self.record)
        page = render_run_page(self.record, run_id=self.run_id, folder=self._folder)
        (self._folder / REPORT_NAME).write_text(page, encoding="utf-8")
        if self._outbox is not None:
            self._stored = self._outbox.log(description=render_description(self.record, run_id=self.run_id))

    def _write_texts(self, record: RunRecord) -> None:
        import yaml

        texts = {
            CONFIG_NAME: yaml.safe_dump(record.config.resolved, sort_keys=False, allow_unicode=True),
            "overrides.yaml": yaml.safe_dump(list(record.config.overrides), allow_unicode=True),
            "environment/packages.txt": render_packages(record.environment.packages),
        }
        for name, text in texts.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def _write_record(self, record: RunRecord) -> None:
        partial = self._folder / f"{RECORD_NAME}.part"
        partial.write_text(render_record(record), encoding="utf-8")
        partial.replace(self._folder / RECORD_NAME)

    def _assemble(self, status: Status, error: str | None, *, numerics_after: Mapping[str, Any]) -> RunRecord:
        resolved, withheld = redact_tree(dict(self._resolved))
        captured = self._source.result()
        moved = self._globals.check()
        before = self._numerics_before
        return RunRecord(
            record_id=self.record_id,
            status=status,
            error=error,
            name=self._make_name(),
            created_at=self._created_at,
            program=Program(version=__version__),
            command=self._command,
            config=Config(resolved=resolved, overrides=redact_words(list(self._overrides)), withheld=withheld),
            seeds=self._make_seeds(moved),
            numerics=Numerics(
                policy=self._policy["name"],
                requested=self._requested,
                state=before,
                changed={name: value for name, value in numerics_after.items() if value != before.get(name)},
            ),
            environment=self._environment,
            source=captured,
            calls=tuple(self._calls),
            outputs=tuple(self._outputs),
            cost=self._measure_cost(),
            replayable=_judge_replayable(
                self._command,
                withheld=withheld,
                captured=captured,
                unknown=[*self._unknown, *(self._handover.list_foreign_modules() if self._handover else [])],
                status=status,
            ),
            replay_of=self._handover.replay_of if self._handover else None,
        )

    def _make_seeds(self, moved: tuple[GlobalGenerator, ...]) -> Seeds:
        return Seeds(
            root=self._root,
            origin=self._origin,
            images=self._image_seeds,
            generators=tuple(self._generators),
            global_generators=tuple(
                one.model_copy(update={"drawn_at": tuple(self._draws.get(one.name, [_ELSEWHERE]))})
                if one.moved
                else one
                for one in moved
            ),
            closed=not any(one.moved for one in moved),
        )

    def _measure_cost(self) -> Cost:
        import torch

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        uses_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
        return Cost(
            phases_s={name: round(value, 4) for name, value in self._phases.items()},
            peak_memory_bytes=peak if sys.platform == "darwin" else peak * 1024,  # Linux counts in KiB
            peak_gpu_memory_bytes=torch.cuda.max_memory_allocated() if uses_gpu else None,
        )


_ELSEWHERE = "outside of the pipelines' calls"


def _choose_folder(handover: Replayed | None, *, ordinal: int, record_id: str) -> Path:
    """Choose where the run's files are collected: a staging folder; in a replay's child the hand-over."""
    if handover is not None:
        return handover.result_folder
    replayed = replay_folder()
    return replayed / f"other-block-{ordinal}" if replayed else data_folder() / "staging" / record_id


def _choose_root(
    seed: int | None, *, seeds: Sequence[int] | None, expected: RunRecord | None
) -> tuple[int, SeedOrigin]:
    """Choose the root seed: the one given; the first of an explicit list; a replay's recorded one; else entropy."""
    if seed is not None:
        return check_seed(seed), "given"
    if seeds:
        return check_seed(seeds[0], name="seeds[0]"), "given"
    if expected is not None:
        return expected.seeds.root, expected.seeds.origin
    return draw_seed(), "entropy"


def _read_status(error: BaseException | None) -> tuple[Status, str | None]:
    if error is None:
        return "finished", None
    return ("interrupted" if isinstance(error, KeyboardInterrupt) else "failed"), _describe_error(error)


def _describe_error(error: BaseException) -> str:
    words = error.found if isinstance(error, ReproTrackError) else f"{type(error).__name__}: {error}"
    return redact_text(words.strip().splitlines()[0])


def _judge_replayable(
    started: Command, *, withheld: Sequence[str], captured: Source, unknown: Sequence[str], status: str
) -> Replayable:
    reasons = list(unknown)
    if status != "finished":
        reasons.append(f"the run is {status}")
    if started.kind == "interactive" and isinstance(started.script, Unavailable):
        reasons.append(started.script.unavailable)
    if any(WITHHELD in word for word in started.argv):
        reasons.append("its command line has a secret, which was withheld")
    if started.kind == "config" and withheld:
        reasons.append("its config has secrets, which were withheld: " + ", ".join(withheld))
    if started.kind != "config" and isinstance(captured.commit, str) and isinstance(captured.tree, Unavailable):
        reasons.append(f"its source does not come back: {captured.tree.unavailable}")
    return Replayable(yes=not reasons, reasons=tuple(reasons))
