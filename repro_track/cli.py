"""The commands, each a few lines. stdout carries data only; everything for people goes to stderr.

Every module of a command is imported inside it, so that `--help` is quick and nothing but `run` loads torch.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from repro_track import __version__
from repro_track.errors import ReproTrackError

REQUIREMENTS = ["bit-exact", "pixel-exact", "within-tolerance"]


class _Group(click.Group):
    """Turn every error of ours into one message and its exit code; Ctrl-C into 130."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ReproTrackError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="repro-track")
def main() -> None:
    """Replay any logged diffusion run exactly, and see why when it does not.

    RUN is an MLflow run id or a unique prefix of it (6 or more), a link of MLflow's UI, a picture that the program
    wrote, a record.json, or "latest". The store is MLFLOW_TRACKING_URI, else an embedded one.

    Exit codes: 0 reproduced, 1 ran and fell short, 2 wrong usage, 3 could not be run, 4 refused for safety.
    """


@main.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False},
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def run(words: tuple[str, ...]) -> None:
    """Run a pipeline, record it, log it: the Hydra app (--help lists its config)."""
    from repro_track.run import run_hydra

    run_hydra(words)


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--require",
    type=click.Choice(REQUIREMENTS),
    default="bit-exact",
    show_default=True,
    help="The verdict that counts as reproduced.",
)
@click.option(
    "--numerics",
    type=click.Choice(["restore", "current"]),
    default="restore",
    show_default=True,
    help="Numeric settings, threads and variables: as recorded, or as they are here.",
)
@click.option(
    "--tolerance",
    metavar="PROFILE",
    help="The profile of conf/tolerance for within-tolerance; else the one that the run was made with.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan and what differs here; run nothing.")
@click.option("--trust", is_flag=True, help="Run it although this machine did not log it.")
@click.option("--json", "as_json", is_flag=True, help="Print data instead of the verdict's word.")
def replay(
    runs: tuple[str, ...], require: str, numerics: str, tolerance: str | None, dry_run: bool, trust: bool, as_json: bool
) -> None:
    """Run a logged run again in a fresh process, compare, and log the verdict."""
    from repro_track import replay as replaying

    def replay_one(run: str) -> int:
        try:
            return replaying.replay_and_show(
                run,
                required=require,
                restores_numerics=numerics == "restore",
                tolerance=tolerance,
                dry_run=dry_run,
                trusted=trust,
                as_json=as_json,
            )
        except ReproTrackError as error:  # the other runs are replayed all the same
            click.echo(f"error: {error}", err=True)
            return error.exit_code

    sys.exit(max(replay_one(run) for run in runs))


@main.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print the record.json as it was logged.")
def show(run: str, as_json: bool) -> None:
    """Show the record of a run on one screen."""
    from repro_track import lookup, report
    from repro_track.record import render_record

    found = lookup.find(run)
    if as_json:
        click.echo(render_record(found.record), nl=False)
        return
    report.print_record(found.record, console=report.open_console(), link=found.link)


@main.command()
@click.argument("run_a", metavar="RUN")
@click.argument("run_b", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print data.")
def diff(run_a: str, run_b: str, as_json: bool) -> None:
    """Show what differs between two runs, the most likely causes first."""
    from repro_track import lookup, report

    comparison = lookup.compare(run_a, run_b)
    if as_json:
        click.echo(json.dumps(report.comparison_to_json(comparison), indent=1))
        return
    report.print_comparison(comparison, console=report.open_console())


@main.command()
@click.argument("picture", metavar="FILE-or-DIGEST")
def find(picture: str) -> None:
    """Find the run that made a picture: by the id in it, else by its pixels, which survive renaming and stripping."""
    from repro_track import lookup

    for run_id in lookup.find_picture(picture):
        click.echo(run_id)


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--json", "as_json", is_flag=True, help="Print data.")
def verify(runs: tuple[str, ...], as_json: bool) -> None:
    """Compute the digests of the stored outputs again and compare them with the record; run nothing."""
    from repro_track import lookup

    results = {run: lookup.verify(run) for run in runs}
    if as_json:
        click.echo(json.dumps(results, indent=1))
    for run, wrong in results.items():
        click.echo(f"{run}: " + ("as recorded" if not wrong else f"{len(wrong)} altered or missing"), err=True)
        for line in wrong:
            click.echo(f"  {line}", err=True)
    sys.exit(1 if any(results.values()) else 0)


@main.command()
@click.option("--port", default=5000, show_default=True)
def ui(port: int) -> None:
    """Open MLflow's UI on the store."""
    from repro_track import lookup

    lookup.serve_ui(port=port)
