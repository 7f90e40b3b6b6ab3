"""What surrounds a run: its source, its machine, the numeric settings and global generators in force.

They are opened in an order that matters (variables before torch, settings before the first draw) and put back in the
reverse one, also where the run fails. It never touches the pipeline.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro_track.capture.command import find_repository_place, find_script
from repro_track.capture.edited import list_edited_files
from repro_track.capture.machine import capture_environment, capture_torch_build
from repro_track.capture.outside import capture_outside
from repro_track.capture.packages import capture_packages
from repro_track.capture.source import capture_source, list_imported_files
from repro_track.config.locations import list_written_paths
from repro_track.determinism import numerics
from repro_track.determinism.global_generators import GlobalsWatch, guarded_globals
from repro_track.record.schema import Command, Environment, GlobalGenerator, Numerics, Source
from repro_track.tracking.cost import Stopwatch
from repro_track.tracking.folder import RunFolder
from repro_track.tracking.options import Options
from repro_track.tracking.replayed import Replayed


@dataclass(frozen=True)
class Seen:
    """What was seen around a run at one moment, as parts of its record."""

    environment: Environment
    source: Source
    numerics: Numerics
    global_generators: tuple[GlobalGenerator, ...]


@dataclass(frozen=True)
class Surroundings:
    """What surrounds an open run.

    Attributes:
        environment: captured once, when the run was opened.
        source: captured meanwhile, in a thread of its own.
        numerics: the settings that were asked for and are in force.
        generators: the global generators, watched since they were seeded.
        folder: the run's; code from outside of the source is kept in it.
    """

    environment: Environment
    source: Future[Source]
    numerics: Numerics
    generators: GlobalsWatch
    folder: Path

    def look(self, settings: Mapping[str, Any] | None = None) -> Seen:
        """Return what is to be seen now; wait for the source where it is still being captured.

        Args:
            settings: the numeric settings in force at the end, when it is known what was imported, too; `None`: those
                that were in force at the beginning.
        """
        before = self.numerics.state
        changed = {name: value for name, value in (settings or {}).items() if value != before.get(name)}
        environment, source = self.environment, self.source.result()
        if settings is not None:
            environment = environment.model_copy(update={"packages": capture_packages()})
            source = capture_outside(source, folder=self.folder)
            edited = [
                f"{name} of an installed package was edited where it lies: another environment has not that code"
                for name in list_edited_files()
            ]
            source = source.model_copy(update={"cautions": (*source.cautions, *edited)})
        return Seen(
            environment=environment,
            source=source,
            numerics=self.numerics.model_copy(update={"changed": changed}),
            global_generators=self.generators.check(),
        )


@contextlib.contextmanager
def opened(
    options: Options,
    *,
    command: Command,
    folder: RunFolder,
    root: int,
    store_uri: str,
    replayed: Replayed,
    watch: Stopwatch,
) -> Iterator[Surroundings]:
    """Put the settings of a run in force, seed the global generators, capture what is around; put all of it back.

    Args:
        options: the run's.
        command: how it was started, which says where its source is.
        folder: the run's; the source is kept in it.
        root: the seed of the global generators.
        store_uri: where the run is going to be logged: the files of a store are no part of the source.
        replayed: what a replay puts back.
        watch: times the import of torch.

    Raises:
        DeterminismError: a numeric setting that was asked for is not in force.
    """
    policy = options.determinism
    with ThreadPoolExecutor(1) as pool:
        source = pool.submit(_capture_source, command, folder=folder, store_uri=store_uri, bundle=options.bundle)
        numerics.apply_variables(policy["environment"])
        with watch.timed("import_torch"):
            import torch  # noqa: F401  after the variables that it reads
        with numerics.applied(policy["flags"], num_threads=policy["num_threads"], policy=policy["name"]) as (
            requested,
            applied,
        ):
            state = dict(replayed.restore_numerics(applied))
            with guarded_globals(root) as generators:
                yield Surroundings(
                    environment=capture_environment(torch_build=capture_torch_build()),
                    source=source,
                    numerics=Numerics(policy=policy["name"], requested=requested, state=state),
                    generators=generators,
                    folder=folder.path,
                )


def _capture_source(command: Command, *, folder: RunFolder, store_uri: str, bundle: bool) -> Source:
    return capture_source(
        script=find_script(command, folder=folder.path),
        place=find_repository_place(command),
        folder=folder.path / "source",
        exclude=list_written_paths(store_uri),
        ran=list_imported_files(),
        bundle=bundle,
    )
