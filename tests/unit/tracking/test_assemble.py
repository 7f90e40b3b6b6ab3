"""Promises of assemble.py: a record is what its parts are, named and judged by what it can be replayed from."""

import pytest

from repro_track.errors import UsageError
from repro_track.record.redaction import WITHHELD
from repro_track.record.schema import Cost, GlobalGenerator, OutsideCode, Unavailable
from repro_track.tracking.assemble import NOTHING, RUNNING, Outcome, assemble_record, name_run, read_outcome
from repro_track.tracking.call_recorder import Draw
from repro_track.tracking.generators import Seeding
from repro_track.tracking.kept import Kept
from repro_track.tracking.surroundings import Seen


@pytest.fixture
def assemble(make_options, record):
    """Put the shared record together again from its parts, or from others."""

    def assemble(outcome=None, **changes):
        kept = Kept(list(record.calls), list(record.seeds.generators), list(record.outputs))
        kept.add_draws(Draw(one.name, place) for one in record.seeds.global_generators for place in one.drawn_at)
        parts = {
            "record_id": record.record_id,
            "created_at": record.created_at,
            "replay_of": record.replay_of,
            "options": make_options(
                config=record.config.resolved, overrides=record.config.overrides, name=record.name, is_config=True
            ),
            "command": record.command,
            "seeding": Seeding(record.seeds.root, record.seeds.origin, record.seeds.images),
            "seen": Seen(record.environment, record.source, record.numerics, record.seeds.global_generators),
            "kept": kept,
            "cost": record.cost,
            "foreign": [],
        }
        return assemble_record(outcome or Outcome(record.status, record.error), **{**parts, **changes})

    return assemble


def test_a_record_is_its_parts(assemble, record):
    """A record that is taken apart and put together is the same record; with another part it is another one."""
    assert assemble().model_dump(exclude={"program"}) == record.model_dump(exclude={"program"})
    assert assemble(cost=Cost(phases_s={}, peak_memory_bytes=1)) != assemble()
    assert assemble(replay_of="0" * 32) != assemble()


def test_secrets_are_withheld(assemble, make_options, record):
    """A secret in the config or an override is not in the record, its key is named, and the run of a config cannot be
    replayed then; a word that is none stays."""
    options = make_options(config={"token": "hush", "size": 3}, overrides=["a.password=hush", "size=3"])
    made = assemble(options=options)
    assert "hush" not in made.model_dump_json()
    assert made.config.resolved["size"] == 3
    assert "size=3" in made.config.overrides
    assert made.config.withheld == ("token",)
    assert made.replayable.reasons == ("it has what looks like secrets, which were withheld: token",)
    assert assemble(options=make_options(config={"size": 3})).replayable.yes


def test_a_secret_from_a_variable_comes_back(assemble, make_options):
    """A withheld value that came from an environment variable as a whole leaves the run replayable: the variable is
    named, and said as a caution."""
    options = make_options(config={"token": "hush", "size": 3}, references={"token": "HF_TOKEN", "size": "SIZE"})
    made = assemble(options=options)
    assert made.config.resolved == {"token": WITHHELD, "size": 3}
    assert made.config.references == {"token": "HF_TOKEN"}
    assert made.replayable.yes
    assert any("HF_TOKEN" in caution for caution in made.cautions)


def test_every_text_of_a_record_passes(assemble, record):
    """A token in a part that nobody thought of is withheld when the record is put together: the last door."""
    token = "hf_" + "a1B2" * 8
    made = assemble(command=record.command.model_copy(update={"cwd": f"/home/{token}"}))
    assert token not in made.model_dump_json()
    assert made.command.cwd == f"/home/{WITHHELD}"
    assert assemble(command=record.command).command == record.command


def test_what_a_config_has_no_value_for_is_a_caution(assemble, make_options):
    """A value of the config that could not be recorded is named, after what the run itself has to say; the run can be
    replayed all the same."""
    made = assemble(options=make_options(config={"a": {"b": object()}}), kept=Kept(cautions=["mind", "mind"]))
    assert made.cautions == ("mind", "config.a.b was not recorded: an object, which is no data")
    assert assemble(options=make_options(config={"a": {"b": object()}})).replayable.yes
    assert assemble(options=make_options(config={"a": {"b": 1}})).cautions == ()


def test_who_drew_is_said_of_what_moved(assemble, record):
    """A global generator that moved has the lines that drew, or that they are elsewhere; one that did not has none.
    The run is closed where no call drew, and nothing that was drawn between the calls can be in an output."""
    still = GlobalGenerator(name="numpy", state_before="a", state_after="a", moved=False)
    moved = GlobalGenerator(name="torch", state_before="a", state_after="b", moved=True)
    kept = Kept()
    kept.add_draws([Draw("torch", "x.py:1 in f"), Draw("numpy", "x.py:2 in g")])

    def make(generators, kept):
        return assemble(kept=kept, seen=Seen(record.environment, record.source, record.numerics, generators)).seeds

    drawn = make((still, moved), kept)
    assert [one.drawn_at for one in drawn.global_generators] == [(), ("x.py:1 in f",)]
    assert not drawn.closed
    outside = make((moved,), Kept())
    assert outside.global_generators[0].drawn_at == ("outside of the pipelines' calls",)
    assert outside.closed
    assert not make((moved,), Kept(has_own=True)).closed
    loaded = make((moved,), Kept(loading_draws={"torch"})).global_generators[0]
    assert (loaded.drawn_at, loaded.while_loading) == ((), True)
    assert make((still,), kept).closed


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "interactive", "script": Unavailable(unavailable="typed")}, "typed"),
        ({"kind": "script", "script": "/x.py", "argv": ("--key=***withheld***",)}, "withheld: argv.0"),
        ({"kind": "script", "script": "/x.py"}, "does not come back: too large"),
        ({"kind": "script", "script": "/x.py", "obstacles": ("one of 2 processes",)}, "one of 2 processes"),
    ],
)
def test_a_run_that_cannot_be_replayed_says_why(assemble, record, changes, reason):
    """What keeps a run from being started again is named; the same parts in the run of a config are no reason."""
    commit = {"tree": Unavailable(unavailable="too large"), "repository": "/x"} if "too large" in reason else {}
    seen = Seen(
        record.environment,
        record.source.model_copy(update=commit),
        record.numerics,
        record.seeds.global_generators,
    )
    judged = assemble(command=record.command.model_copy(update=changes), seen=seen).replayable
    assert not judged.yes
    assert any(reason in one for one in judged.reasons)
    assert assemble(seen=seen).replayable.yes


def test_a_run_of_nothing_cannot_be_replayed(assemble, record):
    """A block in which no pipeline was called and no output added is not replayable; one of both is enough. A run that
    failed has its own reason."""
    assert assemble(kept=Kept()).replayable.reasons == (NOTHING,)
    assert assemble(kept=Kept(calls=list(record.calls))).replayable.yes
    assert assemble(kept=Kept(outputs=list(record.outputs))).replayable.yes
    assert assemble(Outcome("failed", "words"), kept=Kept()).replayable.reasons == ("the run is failed",)


def test_code_from_outside_that_is_not_kept_is_a_reason(assemble, record):
    """Code that ran and is not kept keeps a run from being replayed, also that of a config; kept code does not."""

    def judge(left_out):
        one = OutsideCode(name="loose", path="/lib/loose.py", sha256="0" * 64, left_out=left_out)
        source = record.source.model_copy(update={"outside": (one,)})
        return assemble(
            seen=Seen(record.environment, source, record.numerics, record.seeds.global_generators)
        ).replayable

    assert judge(None).yes
    assert judge("too large").reasons == ("its code loose ran from /lib/loose.py and is not kept: too large",)


def test_only_a_finished_run_is_replayable(assemble):
    """A run that goes on, failed or was interrupted says so, with what could not be compared or was foreign."""
    assert assemble().replayable.yes
    assert assemble(RUNNING).replayable.reasons == ("the run is running",)
    kept = Kept(unknown=["output x is a Thing, which cannot be compared"])
    assert assemble(Outcome("failed", "words"), kept=kept, foreign=["m was imported"]).replayable.reasons == (
        "output x is a Thing, which cannot be compared",
        "m was imported",
        "the run is failed",
    )


def test_how_a_block_ended():
    """No exception is a finish, Ctrl-C an interrupt, anything else a failure in one line without secrets; our own
    errors go without their class."""
    assert read_outcome(None) == Outcome("finished")
    assert read_outcome(KeyboardInterrupt()).status == "interrupted"
    assert read_outcome(ValueError("first\nsecond")) == Outcome("failed", "ValueError: first")
    assert read_outcome(UsageError("seed is 'x'", expected="a number")) == Outcome("failed", "seed is 'x'")
    assert "hunter2" not in read_outcome(ValueError("https://me:hunter2@host/x")).error


def test_a_run_has_a_name(make_options, record):
    """A run is called as somebody wants it; else by what it is made of, else by its script or package, its seed and its
    process."""
    script = record.command.model_copy(update={"kind": "script", "script": "/a/train.py"})
    assert name_run(make_options(name="mine", stem="x"), command=script, root=3) == "mine"
    assert name_run(make_options(stem="x"), command=script, root=3) == "x-seed3"
    assert name_run(make_options(), command=script, root=3) == "train-seed3"
    assert name_run(make_options(), command=record.command, root=4) == "run-seed4"
    rank = script.model_copy(update={"process": "rank 1"})
    assert name_run(make_options(), command=rank, root=3) == "train-seed3-rank1"
    package = script.model_copy(update={"script": "/a/app/__main__.py"})
    assert name_run(make_options(), command=package, root=3) == "app-seed3"


def test_what_is_said_of_the_source_is_a_caution_of_the_record(assemble, record):
    """What was said while the source was captured is among the record's cautions, once."""
    source = record.source.model_copy(update={"cautions": ("a.yaml is ignored by git",)})
    seen = Seen(record.environment, source, record.numerics, record.seeds.global_generators)
    assert assemble(seen=seen).cautions.count("a.yaml is ignored by git") == 1
    assert "a.yaml is ignored by git" not in assemble().cautions
