"""Promises of replayed.py: an ordinary run is left as it is, and a replay puts back what its plan chose, no more."""

import dataclasses
import inspect

import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image

from repro_track.errors import ReplayError
from repro_track.media.inputs import keep_inputs
from repro_track.record.choice import Choice, Focus
from repro_track.record.handover import Handover, SecondCall, Settings
from repro_track.record.schema import OutsideCode, WeightFile
from repro_track.tensors.host import save_tensors
from repro_track.tracking.replayed import OtherBlock, Replayed, ReplayedBlock, find_replayed

NOTHING = Choice(frozenset({"code", "env", "numerics", "weights", "pipeline", "inputs", "seeds"}))
EVERYTHING = Choice(frozenset())


def list_methods(kind):
    return {name: one for name, one in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


def test_an_ordinary_run_has_all_that_a_replay_has():
    """Whatever can be asked of a replay can be asked of an ordinary run, in the same words."""
    ordinary, replay = list_methods(Replayed), list_methods(ReplayedBlock)
    assert ordinary.keys() == replay.keys()
    for name, method in ordinary.items():
        assert inspect.signature(method) == inspect.signature(replay[name])
    assert {field.name for field in dataclasses.fields(Settings)} == set(vars(Replayed().settings))


def test_nothing_is_put_back_in_an_ordinary_run(make_options):
    """An ordinary run keeps its options, settings, arguments, schedulers and generators, is told to look at nothing,
    and leaves nothing behind."""
    replayed, options, state = Replayed(), make_options(previews=True), {"num_threads": 3}
    assert replayed.adjust(options) is options
    assert replayed.restore_numerics(state) is state
    assert replayed.restore_arguments({"prompt": "a"}, call=0) == {"prompt": "a"}
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    replayed.restore_generators([generator], call=0)
    assert torch.equal(generator.get_state(), before)
    pipe = type("Pipe", (), {"scheduler": DDIMScheduler()})()
    with replayed.restored_schedulers(pipe, call=0):
        assert pipe.scheduler is type(pipe).scheduler
    assert (replayed.settings, replayed.replay_of, replayed.is_replay) == (Settings(), None, False)
    assert replayed.list_foreign_code(None) == []


def test_an_ordinary_run_draws_its_seed():
    """A run that is given no seed draws one, and another one the next time."""
    (first, origin), (second, _) = Replayed().choose_root(), Replayed().choose_root()
    assert origin == "entropy"
    assert first != second


def test_the_block_that_is_replayed_is_found(record, tmp_path, monkeypatch):
    """Outside a replay nothing is replayed; in its child, the recorded block is, and another one, or that of another
    process, only keeps its files apart."""
    monkeypatch.delenv("REPRO_TRACK_REPLAY", raising=False)
    monkeypatch.setenv("REPRO_TRACK_HOME", str(tmp_path / "home"))
    ordinary = find_replayed(ordinal=0)
    assert type(ordinary) is Replayed
    assert ordinary.choose_folder(record_id="a") == tmp_path / "home" / "staging" / "a"
    Handover(tmp_path, record).write()
    monkeypatch.setenv("REPRO_TRACK_REPLAY", str(tmp_path))
    found = find_replayed(ordinal=record.command.ordinal)
    assert isinstance(found, ReplayedBlock)
    assert (found.is_replay, found.replay_of) == (True, record.record_id)
    assert found.choose_folder(record_id="a") == Handover(tmp_path, record).result_folder
    other = find_replayed(ordinal=record.command.ordinal + 1)
    assert isinstance(other, OtherBlock)
    assert (other.is_replay, other.replay_of) == (True, None)
    assert other.choose_folder(record_id="a") == tmp_path / f"other-block-{record.command.ordinal + 1}"
    rank = find_replayed(ordinal=record.command.ordinal, process="rank 1")
    assert rank.choose_folder(record_id="a") == tmp_path / f"other-block-rank-1-{record.command.ordinal}"


def test_a_variation_is_a_run_of_its_own(make_replayed):
    """With changes it is no replay of the record."""
    assert make_replayed(settings=Settings(changes=("seed=4",))).replay_of is None


def test_lines_are_looked_for_where_the_recorded_call_drew(make_replayed, record):
    """Of a call that drew, the generators are watched when it is made again; of any other, and in a run of its own,
    none is."""
    assert make_replayed().list_drawn(call=0) == Replayed().list_drawn(call=0) == ()
    drawing = record.model_copy(update={"calls": (record.calls[0].model_copy(update={"drawn": ("torch",)}),)})
    assert make_replayed(expected=drawing).list_drawn(call=0) == ("torch",)
    assert make_replayed(expected=drawing).list_drawn(call=1) == ()


def test_seeds_come_back_where_they_are_to(make_options, make_replayed, record):
    """The recorded seeds go before the run's own where seeds are restored, and an explicit list only where there was
    one; elsewhere they stand in where the run has none. No previews are made, and the replay's trace level is used."""
    options = make_options(seed=9, previews=True, trace="steps")
    kept = make_replayed(choice=NOTHING).adjust(options)
    assert (kept.seed, kept.seeds, kept.previews, kept.trace) == (9, None, False, "steps")
    back = make_replayed(choice=EVERYTHING, settings=Settings(trace="modules")).adjust(options)
    assert (back.seed, back.seeds, back.trace) == (record.seeds.root, None, "modules")
    first = record.seeds.generators[0]
    for maker, seeds in (("repro_track", (3, 9)), ("caller", ())):
        changes = {"initial_seed": 9, "name": first.name[:-1] + "1"}
        made = tuple(one.model_copy(update={"made_by": maker}) for one in (first, first.model_copy(update=changes)))
        listed = record.model_copy(update={"seeds": record.seeds.model_copy(update={"generators": made})})
        adjusted = make_replayed(expected=listed, choice=EVERYTHING).adjust(options)
        assert (adjusted.seed, adjusted.seeds) == (record.seeds.root, seeds or None)
    assert make_replayed(choice=NOTHING).choose_root() == (record.seeds.root, record.seeds.origin)


def test_numerics_come_back_where_they_are_to(make_replayed, record):
    """A recorded setting is in force where numerics are restored, and read back; elsewhere the state stays as it is."""
    recorded = record.model_copy(update={"numerics": record.numerics.model_copy(update={"state": {"num_threads": 2}})})
    state, former = {"num_threads": 1}, torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert make_replayed(expected=recorded, choice=NOTHING).restore_numerics(state) is state
        assert torch.get_num_threads() == 1
        assert make_replayed(expected=recorded, choice=EVERYTHING).restore_numerics(state)["num_threads"] == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(former)


def test_schedulers_come_back_for_a_call(make_replayed):
    """The recorded scheduler is there while the call is made, and the pipeline's own again afterwards, also after an
    error; where it is not to be restored, or for a call that was not recorded, the own one stays."""
    own = DDIMScheduler()
    pipe = type("Pipe", (), {})()
    pipe.scheduler = own
    with pytest.raises(ZeroDivisionError), make_replayed(choice=EVERYTHING).restored_schedulers(pipe, call=0):
        assert type(pipe.scheduler).__name__ == "DPMSolverSDEScheduler"
        1 / 0  # noqa: B018
    assert pipe.scheduler is own
    for choice, call in ((NOTHING, 0), (EVERYTHING, 7)):
        with make_replayed(choice=choice).restored_schedulers(pipe, call=call):
            assert pipe.scheduler is own


def test_other_weights_are_refused(make_replayed, record):
    """A component's or an adapter's file with another digest is refused by its name, unless weights are as they are;
    the recorded ones pass, and so does a file beside them that the record does not have; not one in their place."""
    replayed, call = make_replayed(choice=EVERYTHING), record.calls[0]
    replayed.check_weights(call.components, call.adapter_files, call=0)
    other = call.adapter_files[0].model_copy(update={"sha256": "0" * 64})
    with pytest.raises(ReplayError, match=other.path):
        replayed.check_weights(call.components, (other,), call=0)
    make_replayed(choice=NOTHING).check_weights(call.components, (other,), call=0)
    unet = next(part for part in call.components if part.name == "unet")
    changed = unet.model_copy(update={"weights": (unet.weights[0].model_copy(update={"sha256": "0" * 64}),)})
    with pytest.raises(ReplayError, match="diffusion_pytorch_model"):
        replayed.check_weights((changed,), (), call=0)
    new = WeightFile(path="new.safetensors", sha256="0" * 64, size_bytes=1, origin="computed")
    replayed.check_weights((unet.model_copy(update={"weights": (*unet.weights, new)}),), (), call=0)
    with pytest.raises(ReplayError, match="new.safetensors"):
        replayed.check_weights((unet.model_copy(update={"weights": (new,)}),), (), call=0)


def test_a_generator_from_entropy_comes_back(make_replayed, tmp_path):
    """A generator without a seed gets its recorded state; one with a seed keeps its own, unless seeds are restored."""

    def make_generators():
        generators = [torch.Generator(), torch.Generator().manual_seed(3)]
        generators[0].seed()
        return generators

    recorded = torch.Generator().manual_seed(11).get_state()
    replayed = make_replayed(choice=NOTHING)
    path = Handover(tmp_path, replayed._handover.expected).states_path
    state = recorded.numpy()
    save_tensors(path, {f"call0.generator{index}.before": state for index in range(2)})
    one, two = make_generators()
    replayed.restore_generators([one, two], call=0)
    assert torch.equal(one.get_state(), recorded)
    assert not torch.equal(two.get_state(), recorded)
    one, two = make_generators()
    make_replayed(choice=EVERYTHING).restore_generators([one, two], call=0)
    assert torch.equal(two.get_state(), recorded)
    one, two = make_generators()
    replayed.restore_generators([one], call=1)
    assert not torch.equal(one.get_state(), recorded)


def test_global_generators_come_back_for_a_call(make_replayed, record, tmp_path):
    """Where one call is replayed alone, and in every replay of a config, the global generators are as they were when
    the call began; in a script they are as its code leaves them, and in a variation as those of any run."""
    script = record.model_copy(update={"command": record.command.model_copy(update={"kind": "script"})})
    former = torch.get_rng_state()
    try:
        torch.manual_seed(5)
        recorded = torch.get_rng_state()
        torch.manual_seed(6)
        here = torch.get_rng_state()
        path = Handover(tmp_path, make_replayed()._handover.expected).states_path
        save_tensors(path, {"call1.global.torch": recorded.numpy()})
        make_replayed(expected=script).restore_globals(call=1)
        make_replayed(settings=Settings(focus=Focus(call=1))).restore_globals(call=0)
        make_replayed(settings=Settings(changes=("seed=4",))).restore_globals(call=1)
        assert torch.equal(torch.get_rng_state(), here)
        for replayed in (make_replayed(expected=script, settings=Settings(focus=Focus(call=1))), make_replayed()):
            torch.set_rng_state(here)
            replayed.restore_globals(call=1)
            assert torch.equal(torch.get_rng_state(), recorded)
    finally:
        torch.set_rng_state(former)


def test_inputs_come_back_where_they_were_files(make_replayed, record):
    """An input that came from a path is taken from the record, and missed where it is not there; what the code made
    itself is as it makes it, and so is an argument that a variation changes."""
    with pytest.raises(ReplayError):
        make_replayed(choice=NOTHING).restore_arguments({"ip_adapter_image": "x.png"}, call=0)
    varied = make_replayed(choice=NOTHING, settings=Settings(changes=("call.ip_adapter_image=y.png",)))
    assert varied.restore_arguments({"ip_adapter_image": "y.png"}, call=0) == {"ip_adapter_image": "y.png"}
    made = record.calls[0].model_copy(
        update={"inputs": tuple(one.model_copy(update={"origin": None}) for one in record.calls[0].inputs)}
    )
    replayed = make_replayed(expected=record.model_copy(update={"calls": (made,)}), choice=NOTHING)
    assert replayed.restore_arguments({"ip_adapter_image": 1}, call=0) == {"ip_adapter_image": 1}
    assert replayed.restore_arguments({"prompt": "b"}, call=5) == {"prompt": "b"}


def test_code_that_is_not_what_was_recorded_is_named(make_replayed, record):
    """Code from outside of the source is named where it is another one, or was not there when the run was recorded; the
    recorded one is not, and neither is any where the present code is asked for. Where nobody had looked for it, what
    came from the clone is named."""

    def see(digest, *, path="/lib/loose.py", name="loose"):
        return record.source.model_copy(update={"outside": (OutsideCode(name=name, path=path, sha256=digest),)})

    known = make_replayed(expected=record.model_copy(update={"source": see("0" * 64)}))
    assert known.list_foreign_code(see("0" * 64)) == []
    assert known.list_foreign_code(see("0" * 64, path="/elsewhere/loose.py")) == []
    (edited,) = known.list_foreign_code(see("1" * 64))
    (other,) = known.list_foreign_code(see("0" * 64, name="other", path="/clone/other.py"))
    assert ("loose" in edited, "/clone/other.py" in other) == (True, True)
    left = make_replayed(expected=known._handover.expected, choice=Choice(frozenset({"code"})))
    assert left.list_foreign_code(see("1" * 64)) == []

    assert record.source.outside is None
    old = make_replayed(settings=Settings(foreign="/clone"))
    assert old.list_foreign_code(see("1" * 64)) == []
    assert len(old.list_foreign_code(see("1" * 64, path="/clone/loose.py"))) == 1
    assert make_replayed().list_foreign_code(see("1" * 64, path="/clone/loose.py")) == []
    assert old.list_foreign_code(record.source) == []


def test_second_calls_are_left_where_there_were_some(make_replayed, record, tmp_path):
    """What second calls gave arrives at the replay; without any nothing is written."""
    replayed = make_replayed()
    replayed.leave_second_calls([])
    assert list(tmp_path.iterdir()) == []
    second = SecondCall(record.calls[0], {"images.0": "a"})
    replayed.leave_second_calls([second])
    assert Handover(tmp_path, record).read_second_calls() == [second]


def test_videos_are_told(make_replayed, record):
    """A replay knows which outputs were recorded as videos; any other run knows of none."""
    one = record.outputs[0].model_copy(update={"kind": "video", "name": "images.0"})
    assert make_replayed(expected=record.model_copy(update={"outputs": (one,)})).list_videos() == ("images.0",)
    assert make_replayed().list_videos() == Replayed().list_videos() == ()


def test_inputs_behind_any_keyword_of_an_old_record_come_back(make_replayed, record, tmp_path):
    """Before schema 4 an argument that only **kwargs takes stood in one of that name: it comes back by its own."""
    replayed = make_replayed(choice=EVERYTHING)
    picture = Image.new("RGB", (2, 2), "red")
    inputs = keep_inputs({"extra": [picture, picture]}, folder=replayed._handover.folder, origins={})
    call = record.calls[0].model_copy(
        update={"arguments": {"kwargs": {"extra": [{}, {}]}, "prompt": "a"}, "inputs": inputs}
    )
    replayed = make_replayed(expected=record.model_copy(update={"calls": (call,)}), choice=EVERYTHING)
    back = replayed.restore_arguments({}, call=0)["extra"]
    assert [one.tobytes() for one in back] == [picture.tobytes()] * 2
