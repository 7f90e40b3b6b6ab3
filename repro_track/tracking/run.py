"""A run while it is open: entered, called, added to, left. The only object here that changes.

It knows no command line and no replay: what it captures comes from the modules beside it as frozen values, what a
replay puts back from `replayed.py`, and every setting and generator that was touched is put back, also when it fails.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from repro_track.capture.command import capture_command, count_block, make_config_command, read_own_process
from repro_track.capture.hash_order import say_hash_order
from repro_track.capture.known import read_known_secrets
from repro_track.capture.launch import read_launch_key
from repro_track.capture.machine import read_user
from repro_track.config.locations import resolve_store_uri
from repro_track.determinism.global_generators import list_moved, read_globals, write_globals
from repro_track.determinism.numerics import capture_state
from repro_track.errors import ReproTrackError, UsageError
from repro_track.media.files import load_files
from repro_track.media.inputs import keep_inputs, list_unstorable
from repro_track.media.outputs import list_outputs
from repro_track.pipelines.arguments import bind_arguments, list_parameters
from repro_track.pipelines.call import make_call
from repro_track.pipelines.recognise import take_pipeline
from repro_track.record.redaction import redact_text
from repro_track.record.schema import Command, RunRecord, WeightFile, make_record_id
from repro_track.record.secret_forms import knowing
from repro_track.report.markdown import render_description
from repro_track.store.messages import Address
from repro_track.store.outbox import Outbox
from repro_track.store.stored_run import StoredRun
from repro_track.tracking import open_runs, surroundings
from repro_track.tracking.assemble import NOTHING, RUNNING, Outcome, assemble_record, list_seeds, name_run, read_outcome
from repro_track.tracking.call_recorder import CallRecorder, describe_error
from repro_track.tracking.cost import Stopwatch, measure_cost
from repro_track.tracking.direct import recorded_calls
from repro_track.tracking.finish import finish_command
from repro_track.tracking.folder import RunFolder
from repro_track.tracking.generators import begin_seeding, watch_generators
from repro_track.tracking.kept import Kept
from repro_track.tracking.options import Options
from repro_track.tracking.replayed import find_replayed


class TrackedRun:
    """A run while it is tracked: call it with a pipeline. After the block, `run_id` is MLflow's."""

    record_id: str
    """The id of the run's record."""
    seed: int
    """The root seed."""
    record: RunRecord | None
    """The record, after the block; `None` before."""
    stored: StoredRun | None
    """Where the run is in MLflow, after the block; `None` in the child of a replay."""

    def __init__(self, options: Options) -> None:
        self._ordinal = 0 if options.is_config else count_block()
        process = None if options.is_config else read_own_process()
        self._replayed = find_replayed(ordinal=self._ordinal, process=process)
        self._options = self._replayed.adjust(options)
        self._seeding = begin_seeding(self._options, replayed=self._replayed, ordinal=self._ordinal)
        self._store_uri = resolve_store_uri(options.store)
        self.record_id = make_record_id()
        self.seed = self._seeding.root
        self._created_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._folder = RunFolder(
            self._replayed.choose_folder(record_id=self.record_id),
            owner=self._replayed.replay_of or self.record_id,
            picture_format=options.picture_format,
        )
        self._stack = contextlib.ExitStack()
        self._watch = Stopwatch()
        self._kept = Kept()
        self._next_call = 0
        self._state: Literal["new", "open", "started", "over"] = "new"
        self._outbox: Outbox | None = None
        self.record = None
        self.stored = None

    # --- the block

    def __enter__(self) -> TrackedRun:
        if self._state != "new":
            raise UsageError("the block of this run was entered before", expected="a run for each block")
        self._state = "open"
        self._watch.restart()
        try:
            self._stack.enter_context(knowing(read_known_secrets()))
            self._folder.make()
            self._command = (
                make_config_command()
                if self._options.is_config
                else capture_command(ordinal=self._ordinal, folder=self._folder.path)
            )
            if not self._replayed.is_replay:
                address = _make_address(
                    self._options, command=self._command, root=self.seed, store_uri=self._store_uri, folder=self._folder
                )
                self._outbox = Outbox(address)
                self._stack.callback(self._outbox.close)
            around = surroundings.opened(
                self._options,
                command=self._command,
                folder=self._folder,
                root=self.seed,
                store_uri=self._store_uri,
                replayed=self._replayed,
                watch=self._watch,
            )
            self._surroundings = open_runs.open_run(self, self._kept, around=around)
            self._stack.callback(open_runs.close_run, self)
            self._stack.enter_context(recorded_calls())
            if not self._options.is_config:
                self._start()
        except BaseException:
            self._leave()
            raise
        self._watch.seconds["open"] = self._watch.read() - self._watch.seconds["import_torch"]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace_back: object) -> None:
        if not open_runs.begin_end(self):
            return  # a process that was forked inside the block ends it, too
        try:
            if error is not None and self._state == "open":
                return  # nothing was begun: nothing is left behind
            with _yielding_to(error):
                self._start()
                if error is not None:
                    self._folder.write_error(redact_text("".join(traceback.format_exception(error))))
                self._watch.seconds["total"] = self._watch.read()
                self._close(read_outcome(error))
        finally:
            self._leave()

    def _leave(self) -> None:
        """Put everything back; of a run that has not begun nothing is left."""
        has_started, self._state = self._state == "started", "over"
        try:
            self._stack.close()
        finally:
            if not has_started:
                self._folder.remove()

    # --- what a run does

    def __call__(self, pipe: Any, /, *values: Any, **arguments: Any) -> Any:
        """Call a diffusers pipeline with its own arguments, and record the call and its outputs.

        Without `generator`, one is made for each image from the run's seeds, on the CPU unless the run says otherwise;
        each call begins with the same seeds again, unless the run has stages. Where the pipeline expects a picture, a
        video, sound or a tensor, a path or URL can be given instead: it is loaded, and a replay does not need the file.
        A pipeline that is called directly in the block, `pipe(...)`, is recorded in the same way.

        Returns:
            what the pipeline returns, untouched; with `batch=independent` the results of all images, put together.

        Raises:
            UsageError: the block is not open, this is no pipeline, it has no such argument, or the number of images
                and seeds do not agree.
        """
        open_runs.check_open(self, "run(...)", was_opened=self._state == "over")
        return self.call_pipeline(*take_pipeline(pipe, values, arguments))

    def leave_out_call(self) -> bool:
        """Whether the next call is not wanted, because a replay looks at another one alone; it is counted then."""
        wanted = self._replayed.settings.focus.call
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
        otherwise: Callable[[], Any] | None = None,
    ) -> Any:
        """Call a pipeline as `__call__` does, as a stage with a name, with adapters whose files are known.

        Args:
            pipe: the pipeline.
            arguments: of its call, by name.
            stage: its name, where the run has several.
            adapter_files: of the adapters that were loaded by us.
            otherwise: what is done where the call cannot be recorded, which is said in the record; `None`: it is
                refused.
        """
        with open_runs.recording_call(self) as may_record:
            if not may_record:
                return otherwise() if otherwise else pipe(**arguments)
            try:
                recorder = self._prepare_call(pipe, arguments, stage=stage, adapter_files=adapter_files)
            except Exception as error:
                if not _is_for_the_record(error, is_config=self._options.is_config, is_direct=otherwise is not None):
                    raise
                what = f"a {'direct ' if otherwise else ''}call of {type(pipe).__name__}"
                self._kept.unknown.append(f"{what} was not recorded: {describe_error(error)}")
                return otherwise() if otherwise else pipe(**arguments)
            try:
                with self._replayed.restored_schedulers(pipe, call=recorder.call.index):
                    return recorder.make()
            finally:
                self._kept.add_call(recorder.finish())

    def _prepare_call(
        self, pipe: Any, arguments: Mapping[str, Any], *, stage: str | None, adapter_files: tuple[WeightFile, ...]
    ) -> CallRecorder:
        """Load, keep and watch what a call is given; nothing of the pipeline runs yet."""
        index, options, replayed = self._next_call, self._options, self._replayed
        bind_arguments(pipe, arguments)  # a name that the pipeline does not have, before anything is loaded
        arguments = replayed.restore_arguments(arguments, call=index)
        arguments, origins = load_files(arguments, parameters=list_parameters(pipe))
        given = {name: value for name, value in arguments.items() if name != "generator"}
        inputs = keep_inputs(given, folder=self._folder.path, origins=origins)
        self._kept.cautions += list_unstorable(given)
        bound = bind_arguments(pipe, arguments)
        generators, self._seeding = watch_generators(
            pipe, bound, index=index, seeding=self._seeding, options=options, replayed=replayed
        )
        call = make_call(pipe, arguments, index=index, watch=generators, batch=options.batch, noise=options.noise)
        if self._outbox is not None:
            self._outbox.check()  # a store that cannot be used is better known before an hour of computing
        self._start()
        self._next_call += 1
        return CallRecorder(
            call,
            stage=stage,
            inputs=inputs,
            adapter_files=adapter_files,
            options=options,
            folder=self._folder,
            replayed=replayed,
            watch=self._watch,
        )

    def add_output(self, name: str, value: Any) -> None:
        """Record an output that is not a pipeline's: a tensor, an array, a picture, or the path of a file.

        Raises:
            UsageError: the block is not open, the name is taken, or the value is none of these.
        """
        open_runs.check_open(self, "run.add_output(...)", was_opened=self._state == "over")
        name = redact_text(name)
        if any(output.name == name for output in self._kept.outputs):
            raise UsageError(f"there is an output {name!r} already", expected="another name")
        self._start()
        if isinstance(value, (str, Path)):
            path = Path(value)
            if not path.is_file():
                raise UsageError(
                    f"output {name!r} is {str(value)!r}, and there is no such file",
                    expected="a file, a tensor, an array or a picture",
                )
            self._kept.add_own(self._folder.keep_file(name, path))
            return
        last = self._kept.calls[-1] if self._kept.calls else None
        settings = self._options.make_embedded(seeds=list_seeds(self._seeding, kept=self._kept), call=last)
        for raw in list_outputs({name: value}):
            self._kept.add_own(self._folder.keep_output(raw, settings=settings))

    @property
    def run_id(self) -> str:
        """MLflow's run id. Inside the block it waits until MLflow has the run, which may take seconds; in the child of
        a replay, which logs nothing, it is a stand-in.

        Raises:
            UsageError: the block was never entered.
            StoreError: the store cannot be used.
        """
        if self.stored is None:
            if self._state == "new":
                raise UsageError("the run has no id yet: its block was never entered")
            if self._outbox is None:
                return f"replay-{self.record_id}"
            self.stored = self._outbox.wait_started()
        return self.stored.run_id

    @property
    def is_replay(self) -> bool:
        """Whether this process replays a recorded run: leave files of your own alone then."""
        return self._replayed.is_replay

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """Time the block as the loading of a pipeline. Its global draws, of weights that files replace, are noted
        apart, and undone for a config, so that a call begins as with a pipeline that was there before."""
        before = read_globals()
        with self._watch.timed("load"):
            yield
        drawn = list_moved(before, read_globals())
        self._kept.loading_draws.update(drawn)
        if drawn and self._options.is_config:
            write_globals(before)

    # --- beginning and end

    def _start(self) -> None:
        """Leave a record that says `running`, and show the run in MLflow: from here on a killed run leaves its
        trace."""
        if self._state != "open":
            return
        self._state = "started"
        self._folder.write_record(self._assemble(RUNNING, seen=self._surroundings.look()))
        if self._outbox is not None:
            self._outbox.start()

    def _close(self, outcome: Outcome) -> None:
        """Write everything that the run has kept, and log it."""
        with self._watch.timed("close"):
            kept, seen = self._kept, self._surroundings.look(capture_state())
            self._command, seen = finish_command(self._command, seen, kept=kept, folder=self._folder.path)
            record = say_hash_order(self._assemble(outcome, seen=seen), folder=self._folder.path)
            self._folder.save_tensors(outputs=kept.tensors, states=kept.states, latents=kept.latents)
            self._replayed.leave_second_calls(kept.second_calls)
            self._folder.save_sheet(kept.pictures, seeds=kept.picture_seeds)
            self._folder.write_texts(record)
        for reason in record.replayable.reasons if outcome.status == "finished" else ():  # else the error speaks
            print(f"repro_track: {reason if reason == NOTHING else f'cannot be replayed: {reason}'}", file=sys.stderr)
        self.record = record.model_copy(update={"cost": measure_cost(self._watch)})
        self._folder.write_record(self.record)
        self._folder.write_page(self.record, run_id=self.run_id)
        if self._outbox is not None:
            self.stored = self._outbox.log(description=render_description(self.record, run_id=self.run_id))

    def _assemble(self, outcome: Outcome, *, seen: surroundings.Seen) -> RunRecord:
        return assemble_record(
            outcome,
            record_id=self.record_id,
            created_at=self._created_at,
            replay_of=self._replayed.replay_of,
            options=self._options,
            command=self._command,
            seeding=self._seeding,
            seen=seen,
            kept=self._kept,
            cost=measure_cost(self._watch),
            foreign=self._replayed.list_foreign_code(seen.source),
        )


def _is_for_the_record(error: Exception, *, is_config: bool, is_direct: bool) -> bool:
    """Whether what keeps a call from being recorded is only noted, and the call made all the same: not where somebody
    is told what is wrong with what they asked of us."""
    if isinstance(error, UsageError):
        return is_direct
    return not is_config and not isinstance(error, ReproTrackError)


@contextlib.contextmanager
def _yielding_to(error: BaseException | None) -> Iterator[None]:
    """Let what ended a block pass where ending the run fails, too: that is only said then."""
    try:
        yield
    except Exception as other:
        if error is None:
            raise
        print(f"repro_track: the failed run could not be logged: {describe_error(other)}", file=sys.stderr)


def _make_address(options: Options, *, command: Command, root: int, store_uri: str, folder: RunFolder) -> Address:
    return Address(
        uri=store_uri,
        experiment=redact_text(options.experiment),
        name=redact_text(name_run(options, command=command, root=root)),
        user=read_user(),
        source=redact_text(command.script) if isinstance(command.script, str) else "repro-track run",
        folder=str(folder.path),
        parent_id=options.parent_id,
        launch=read_launch_key(),
    )
