"""One call of a pipeline, made and recorded: what it was given, what it gave, what happened in between.

It never changes the run: what it knows of the call is one frozen value, also where the pipeline raises.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from repro_track.determinism.draws import watching_draws
from repro_track.determinism.global_generators import list_moved, pack_globals, read_globals, rewound_globals
from repro_track.errors import PipelineError, ReproTrackError
from repro_track.media.outputs import to_exact
from repro_track.pipelines import trace
from repro_track.pipelines.call import Call, find_location, undisturbed
from repro_track.pipelines.components import describe_components, describe_others, find_commit, list_unseen
from repro_track.pipelines.previews import make_previews
from repro_track.record.handover import SecondCall
from repro_track.record.names import name_call_draw, name_global
from repro_track.record.redaction import redact_text, redact_tree
from repro_track.record.schema import Component, Generator, Input, PipelineCall, WeightFile
from repro_track.record.seeds import choose_generator
from repro_track.tensors.digests import digest_tensor
from repro_track.tensors.host import HostTensor
from repro_track.tracking.cost import Stopwatch
from repro_track.tracking.folder import SHEET_LIMIT, KeptOutput, RunFolder
from repro_track.tracking.options import Options
from repro_track.tracking.replayed import Replayed


@dataclass(frozen=True)
class Draw:
    """Where a global generator was drawn from: the call, or the line of code in it."""

    generator: str
    place: str


@dataclass(frozen=True)
class RecordedCall:
    """What is known of one call; of one that failed, all that was known by then.

    Attributes:
        part: of the record; `None`: it failed before the pipeline was called.
        generators: parts of the record, one for each generator that the pipeline was given.
        states: of generators, before and after, and of the global ones before; by name, as bytes.
        latents: what the last step gave; `None`: there was no step, or none was looked at.
        outputs: in the order of the result.
        draws: from global generators.
        second: what the pipeline gave when it was called again, for replays that ask for it.
        cautions: what may make a replay of it differ, a sentence each.
        unknown: what of it could not be recorded, a sentence each: it cannot be replayed.
    """

    part: PipelineCall | None
    generators: tuple[Generator, ...]
    states: Mapping[str, Any]
    latents: HostTensor | None
    outputs: tuple[KeptOutput, ...]
    draws: tuple[Draw, ...]
    second: SecondCall | None
    cautions: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass
class CallRecorder:
    """Makes one call, once; `finish` returns what is known of it.

    Attributes:
        call: ready to be made.
        stage: its name, where the run has several.
        inputs: the parts of its arguments that were kept as files.
        adapter_files: the files of the adapters that were loaded by us.
        options: the run's.
        folder: where outputs and previews go.
        replayed: what a replay puts back and looks at.
        watch: times the phases.
    """

    call: Call
    _: KW_ONLY
    stage: str | None
    inputs: tuple[Input, ...]
    adapter_files: tuple[WeightFile, ...]
    options: Options
    folder: RunFolder
    replayed: Replayed
    watch: Stopwatch
    _part: PipelineCall | None = field(default=None, init=False)
    _generators: tuple[Generator, ...] = field(default=(), init=False)
    _states: dict[str, Any] = field(default_factory=dict, init=False)
    _latents: HostTensor | None = field(default=None, init=False)
    _outputs: list[KeptOutput] = field(default_factory=list, init=False)
    _draws: list[Draw] = field(default_factory=list, init=False)
    _second: SecondCall | None = field(default=None, init=False)
    _others: tuple[WeightFile, ...] = field(default=(), init=False)
    _cautions: list[str] = field(default_factory=list, init=False)
    _unknown: list[str] = field(default_factory=list, init=False)

    def make(self) -> Any:
        """Call the pipeline, and keep everything that the call is and gives.

        Returns:
            what the pipeline returns, untouched.

        Raises:
            ReplayError: its weights are not the recorded ones.
            PipelineError: the pipeline of a config failed.
        """
        call, settings = self.call, self.replayed.settings
        with self.watch.timed("describe"):
            components: tuple[Component, ...] = ()
            with self._noting("what it is made of"):
                components = self._describe()
            self.replayed.check_weights(components, self.adapter_files, call=call.index, others=self._others)
            self.replayed.restore_globals(call=call.index)
        before = read_globals()
        watched = trace.recording(
            call.pipe.components,
            level=self.options.trace,
            inputs=settings.inputs,
            samples=self.options.previews,
        )
        with self.watch.timed("call"), watched as collector:
            lines: Mapping[str, Sequence[str]] = {}
            try:
                with watching_draws(self.replayed.list_drawn(call=call.index)) as lines:
                    result = self._call_pipeline()
            finally:
                with self._noting("what it left behind"):
                    self._take(collector, components=components, before=before, lines=lines)
        if self.options.previews:
            with (
                self._noting("the previews", to=self._cautions),
                self.watch.timed("previews"),
                undisturbed(call.pipe),
                rewound_globals(read_globals()),
            ):
                for step, picture in enumerate(make_previews(call.pipe, collector.samples)):
                    self.folder.save_preview(picture, call=call.index, step=step)
        with self.watch.timed("outputs"), self._noting("its outputs"):
            self._keep_outputs(result)
        if settings.twice and self._part is not None:
            with call.watch.rewound(), rewound_globals(before):
                self._second = self._call_again(self._part)
        return result

    @contextlib.contextmanager
    def _noting(self, what: str, *, to: list[str] | None = None) -> Iterator[None]:
        """Take note of what of the call cannot be recorded, whatever the reason: the call is made all the same."""
        notes = self._unknown if to is None else to
        try:
            yield
        except ReproTrackError:
            raise
        except Exception as error:
            notes.append(f"of call {self.call.index} {what} could not be recorded: {describe_error(error)}")

    def _describe(self) -> tuple[Component, ...]:
        """Describe what the pipeline is made of, and say of which weights no file is known."""
        pipe, known = self.call.pipe, {one.path for one in self.adapter_files}
        components = describe_components(pipe, known=known)
        self._others = describe_others(pipe, components, known=known)
        if not self.options.is_config:  # which has no weights but those of its files
            self._cautions += list_unseen(components)
        return components

    def finish(self) -> RecordedCall:
        """Return what is known of the call by now."""
        return RecordedCall(
            part=self._part,
            generators=self._generators,
            states=self._states,
            latents=self._latents,
            outputs=tuple(self._outputs),
            draws=tuple(self._draws),
            second=self._second,
            cautions=tuple(self._cautions),
            unknown=tuple(self._unknown),
        )

    def _call_pipeline(self) -> Any:
        # a script might look at every image; the others are made for it
        image = self.replayed.settings.focus.image if self.options.is_config else None
        try:
            return self.call.make(image=image)
        except Exception as error:
            if not self.options.is_config:
                raise
            # a pipeline is anybody's code: on the command line whatever it raises is one message
            raise PipelineError(
                f"{type(self.call.pipe).__name__} failed: {describe_error(error)}",
                advice="check the arguments under call; the run is logged as failed",
            ) from error

    def _take(
        self,
        collector: trace.TraceCollector,
        *,
        components: tuple[Component, ...],
        before: dict[str, Any],
        lines: Mapping[str, Sequence[str]],
    ) -> None:
        """Take what the call left behind, whether it failed or not."""
        call, pipe = self.call, self.call.pipe
        drawn = list_moved(before, read_globals())
        self._draws = [Draw(name, place) for name in drawn for place in lines.get(name) or [name_call_draw(call.index)]]
        self._generators = call.watch.finish()
        packed = pack_globals(before)
        self._states = call.watch.states | {name_global(call.index, name): one for name, one in packed.items()}
        self._latents = collector.latents
        if collector.failed:
            self._cautions.append(f"the steps of call {call.index} could not be looked at: {collector.failed}")
        self._part = PipelineCall(
            index=call.index,
            class_name=type(pipe).__name__,
            name_or_path=find_location(pipe),
            commit=find_commit(components),
            arguments=redact_tree(dict(call.plain))[0],
            components=components,
            trace=collector.finish(),
            stage=self.stage,
            batch=call.batch,
            noise=call.noise,
            inputs=self.inputs,
            adapter_files=self.adapter_files,
            drawn=tuple(drawn),
            other_weights=self._others,
        )

    def _keep_outputs(self, result: Any) -> None:
        rates = self.call.find_rates()
        drawn = self._generators
        settings = self.options.make_embedded(seeds=[one.initial_seed for one in drawn], call=self._part)
        pictures = 0
        for raw in self.call.list_outputs(result, videos=self.replayed.list_videos()):
            one = choose_generator(raw.name, drawn)
            kept = self.folder.keep_output(
                raw,
                rates=rates,
                settings=settings,
                seed=one.initial_seed if one else None,
                with_picture=pictures < SHEET_LIMIT,
            )
            pictures += kept.picture is not None
            self._outputs.append(kept)

    def _call_again(self, first: PipelineCall) -> SecondCall:
        """Call the pipeline as it was just called: where the second result differs, the first call left something
        behind."""
        with trace.recording(self.call.pipe.components, level=self.options.trace) as collector:
            result = self.call.make()
        listed = self.call.list_outputs(result, videos=self.replayed.list_videos())
        digests = {raw.name: digest_tensor(to_exact(raw)) for raw in listed if raw.is_known}
        return SecondCall(first.model_copy(update={"trace": collector.finish()}), digests)


def describe_error(error: BaseException) -> str:
    """Return the first line of what an error says, without secrets; of one that is not ours, with its class."""
    words = error.found if isinstance(error, ReproTrackError) else f"{type(error).__name__}: {error}"
    return redact_text(words.strip().splitlines()[0])
