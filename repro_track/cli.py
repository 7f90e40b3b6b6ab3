"""The commands, each a few lines. stdout carries data only; everything for people goes to stderr.

Every module of a command is imported inside it, so that `--help` is quick and nothing but `run` loads torch.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from repro_track.errors import ExitCode, ReproTrackError
from repro_track.version import __version__

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
            ctx.exit(ExitCode.INTERRUPTED)


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
    from repro_track.run.app import run_hydra

    run_hydra(words)


def _restore_option(name: str, default: str, text: str) -> Any:
    return click.option(name, type=click.Choice(["restore", "current"]), default=default, show_default=True, help=text)


@main.command()
@click.argument("runs", nargs=-1, metavar="[RUN...]")
@click.option("--experiment", metavar="NAME", help="Replay every finished run of an MLflow experiment.")
@click.option("--filter", "filter_string", metavar="QUERY", help="With --experiment: as in MLflow's search box.")
@click.option("--junit", metavar="FILE", type=click.Path(dir_okay=False), help="Also write the verdicts as JUnit XML.")
@click.option("--set", "changes", metavar="KEY=VALUE", multiple=True, help="Vary the run: the same seed, this changed.")
@click.option(
    "--require",
    type=click.Choice(REQUIREMENTS),
    default="bit-exact",
    show_default=True,
    help="The verdict that counts as reproduced.",
)
@_restore_option("--code", "restore", "The recorded commit with its changes, in a folder of its own; or the code here.")
@_restore_option("--env", "current", "The recorded Python and packages, built with uv and kept; or those here.")
@_restore_option("--numerics", "restore", "Numeric settings, threads, instruction set and variables; or those here.")
@_restore_option("--weights", "restore", "Refuse to run with other weight files; or take those that are there.")
@click.option("--stage", metavar="NAME", help="One stage alone, from its recorded inputs: its name or number.")
@click.option("--image", metavar="K", type=click.IntRange(0), help="Look at image K of a batch alone.")
@click.option(
    "--tolerance",
    metavar="PROFILE",
    help="The profile of conf/tolerance for within-tolerance; else the one that the run was made with.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan, what differs here and what to expect; run nothing.")
@click.option("--localize", is_flag=True, help="Name the module in which the runs part: two more runs.")
@click.option("--explain", is_flag=True, help="Prove the cause by trying: restore what differs until it agrees.")
@click.option("--trials", default=16, show_default=True, type=click.IntRange(1), help="The most runs for --explain.")
@click.option("--times", default=1, metavar="K", type=click.IntRange(1), help="Run K times, count distinct outcomes.")
@click.option("--twice", is_flag=True, help="Call the pipeline twice in one process: does state leak?")
@click.option("--trust", is_flag=True, help="Run it although this machine did not log it.")
@click.option("--allow", multiple=True, metavar="PACKAGE", help="With --trust: let a _target_ come from PACKAGE.")
@click.option("--json", "as_json", is_flag=True, help="Print data instead of the verdict's word.")
def replay(**options: Any) -> None:
    """Run a logged run again in a fresh process, compare, and log the verdict.

    The recorded code and numeric settings are restored for it, never in your own tree; packages on request. Several
    runs, a sweep or an experiment give a table, and a line RUN_ID VERDICT each on stdout.
    """
    from repro_track.replay.many import replay_requested
    from repro_track.replay.request import Request

    sys.exit(replay_requested(Request.from_options(**options)))


@main.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print the record.json as it was logged.")
def show(run: str, as_json: bool) -> None:
    """Show the record of a run on one screen."""
    from repro_track.lookup.find import find_run
    from repro_track.record.reading import render_record
    from repro_track.report.terminal import open_console, print_record

    found = find_run(run)
    if as_json:
        click.echo(render_record(found.record), nl=False)
        return
    console = open_console()
    if found.how:
        console.print(f"found {found.how}", markup=False)
    print_record(found.record, console=console, link=found.link)


@main.command()
@click.argument("run_a", metavar="RUN")
@click.argument("run_b", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print data.")
def diff(run_a: str, run_b: str, as_json: bool) -> None:
    """Show only what differs between two runs: causes, the most likely first, then what came of them."""
    from repro_track.lookup.diff import compare_logged
    from repro_track.report.terminal import open_console, print_diff
    from repro_track.report.text import comparison_to_json

    comparison = compare_logged(run_a, run_b)
    if as_json:
        click.echo(json.dumps(comparison_to_json(comparison), indent=1))
        return
    print_diff(comparison, console=open_console())


@main.command()
@click.argument("picture", metavar="FILE-or-DIGEST-or-seed=N")
def find(picture: str) -> None:
    """Find the run that made a picture, best first: by the id in it; else by its pixels, which survive renaming and
    stripping; else by likeness, which survives re-compressing and resizing. Or by a digest, or
    by the seed of an image."""
    from repro_track.lookup.from_picture import find_picture
    from repro_track.report.terminal import open_console, print_table

    matches = find_picture(picture)
    rows = [(match.run.run_id, match.run.name, match.how) for match in matches]
    print_table([], rows, console=open_console(), limit=200)
    for match in matches:
        click.echo(match.run.run_id)


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--json", "as_json", is_flag=True, help="Print data.")
def verify(runs: tuple[str, ...], as_json: bool) -> None:
    """Compute the digests of all stored artifacts again: what was altered, is missing, or was added; run nothing."""
    from repro_track.lookup.find import expand_name
    from repro_track.lookup.verify import verify_run

    results = {member.text: verify_run(member.find()) for run in runs for member in expand_name(run)}
    if as_json:
        click.echo(json.dumps(results, indent=1))
    for run, wrong in results.items():
        click.echo(f"{run}: " + ("as logged" if not wrong else f"{len(wrong)} altered, missing or added"), err=True)
        for line in wrong:
            click.echo(f"  {line}", err=True)
    sys.exit(ExitCode.FELL_SHORT if any(results.values()) else ExitCode.SUCCESS)


@main.command()
@click.option("--port", default=5000, show_default=True)
def ui(port: int) -> None:
    """Open MLflow's UI on the store."""
    from repro_track.lookup.ui import serve_ui

    serve_ui(port=port)
