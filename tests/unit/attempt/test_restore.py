"""Promises of restore.py: the child gets the config with what is pinned, found elsewhere or changed, and no artifact
that is not the recorded one."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from repro_track.attempt.child import make_child_variables
from repro_track.attempt.restore import _link_ignored, _link_left_out, load_into, restore_recorded
from repro_track.attempt.weights import WeightPlan
from repro_track.capture.command import Move
from repro_track.errors import RefusedError, ReplayError
from repro_track.record.choice import make_choice
from repro_track.record.handover import Settings
from repro_track.record.names import CHILD_CONFIG_NAME, OUTSIDE_NAME, STATES_NAME
from repro_track.record.reading import read_record
from repro_track.record.schema import GlobalGenerator, OutsideCode, Unavailable, WeightFile
from repro_track.tensors.digests import digest_file
from tests.unit.attempt.attempts import CHOICE, make_attempt

RECORDS = Path(__file__).parents[2] / "data" / "records"
RESTORE = make_choice(code="restore", env="current", numerics="restore", weights="restore")
CONFIG, SCRIPT = read_record(RECORDS / "v1.json"), read_record(RECORDS / "v2.json")


def read_config(attempt):
    return json.loads((attempt.handover.folder / CHILD_CONFIG_NAME).read_text())["config"]


def test_the_config_is_the_recorded_one_with_its_changes(tmp_path):
    """The child's config says what the record says; a variation's has the changed key, and the record stays."""
    (tmp_path / "a").mkdir()
    plain, varied = (tmp_path / "a"), tmp_path
    attempt = make_attempt(CONFIG, plain)
    restore_recorded(attempt)
    assert read_config(attempt)["seed"] == CONFIG.config.resolved["seed"]
    changed = make_attempt(CONFIG, varied, settings=Settings(changes=("seed=7",)))
    restore_recorded(changed)
    assert read_config(changed)["seed"] == 7
    assert CONFIG.config.resolved["seed"] != 7


def make_saved(folder):
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "weights.safetensors").write_bytes(b"changed")
    return folder


def plan_saved(folder, base, *, choice=RESTORE, **weights):
    """Plan an attempt on a run of the pipeline in a folder; `weights` are its files with the ones that were found."""
    resolved = {**CONFIG.config.resolved, "pipeline": {**CONFIG.config.resolved["pipeline"], "path": str(base)}}
    record = CONFIG.model_copy(update={"config": CONFIG.config.model_copy(update={"resolved": resolved})})
    plans = [
        WeightPlan("place", str(base / "unet" / f"{name}.safetensors"), "a" * 64, "b" * 64, str(other))
        for name, other in weights.items()
    ]
    return make_attempt(record, folder, weights=tuple(plans), choice=choice)


@pytest.fixture
def found(tmp_path):
    """A file with the recorded bytes, elsewhere."""
    other = tmp_path / "found.safetensors"
    other.write_bytes(b"recorded")
    return other


def test_weights_found_elsewhere_are_loaded_from_there(tmp_path, found):
    """The child loads a folder of links that looks like the recorded one, in which the found files stand for a changed
    one and for one that is gone; the recorded folder is not touched."""
    base = make_saved(tmp_path / "model")
    attempt = plan_saved(tmp_path, base, weights=found, gone=found)
    restore_recorded(attempt)
    shadow = Path(read_config(attempt)["pipeline"]["path"])
    assert (shadow / "unet" / "weights.safetensors").read_bytes() == b"recorded"
    assert (shadow / "unet" / "gone.safetensors").read_bytes() == b"recorded"
    assert (shadow / "model_index.json").is_file()
    assert (base / "unet" / "weights.safetensors").read_bytes() == b"changed"
    assert not (base / "unet" / "gone.safetensors").exists()


def test_the_present_weights_are_loaded_where_those_are_wanted(tmp_path, found):
    """With `--weights current` the child loads the folder itself, although the recorded file was found elsewhere."""
    base = make_saved(tmp_path / "model")
    attempt = plan_saved(tmp_path, base, choice=CHOICE, weights=found)
    restore_recorded(attempt)
    assert read_config(attempt)["pipeline"]["path"] == str(base)


def test_a_folder_that_is_gone_is_an_error(tmp_path, found):
    """Weights alone are no pipeline: where the folder is gone and the file found lies in none like it, nothing runs."""
    with pytest.raises(ReplayError, match="the pipeline's folder"):
        restore_recorded(plan_saved(tmp_path, tmp_path / "gone", weights=found))


def test_only_the_recorded_script_is_restored(tmp_path):
    """A script that was kept comes back; one with other bytes in the store is refused before it could run."""
    for name, content in (("good", "print()\n"), ("bad", "import os\n")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "original.py").write_text("print()\n")
        source = {"script_sha256": digest_file(folder / "original.py")}
        command = {"script": "/no/such/x.py", "cwd": str(folder)}
        record = SCRIPT.model_copy(
            update={
                "source": SCRIPT.source.model_copy(update=source),
                "command": SCRIPT.command.model_copy(update=command),
            }
        )
        argv = ("python", str(folder / "replay" / "script" / "x.py"))
        move = Move(Path("/no/such"), folder / "replay" / "script")
        choice = make_choice(code="current", env="current", numerics="restore", weights="current")
        attempt = make_attempt(record, folder, choice=choice, script="x.py", argv=argv, cwd=str(folder), move=move)
        (folder / "run" / "source").mkdir()
        (folder / "run" / "source" / "x.py").write_text(content)
        if name == "good":
            restore_recorded(attempt)
            assert Path(argv[1]).read_text() == content
        else:
            with pytest.raises(RefusedError, match="has the digest"):
                restore_recorded(attempt)


def test_an_artifact_that_is_not_there_is_not_made(tmp_path):
    """What the run has is copied, folders and all; what it has not leaves nothing."""
    attempt = make_attempt(CONFIG, tmp_path)
    (tmp_path / "run" / "a.txt").write_text("a")
    load_into(attempt.found, "a.txt", tmp_path / "deep" / "a.txt")
    load_into(attempt.found, "b.txt", tmp_path / "deep" / "b.txt")
    assert (tmp_path / "deep" / "a.txt").read_text() == "a"
    assert not (tmp_path / "deep" / "b.txt").exists()


OTHER = CONFIG.model_copy(update={"command": CONFIG.command.model_copy(update={"kind": "module", "script": "a.b"})})


@pytest.mark.parametrize(
    ("record", "moved", "maker", "comes"),
    [
        (CONFIG, True, "repro_track", True),  # by a pipeline that was loaded, or by its call
        (CONFIG, False, "repro_track", False),
        (CONFIG, False, "caller", True),
        (OTHER, True, "repro_track", False),  # whose code draws again
        (OTHER, True, "caller", True),
    ],
)
def test_states_come_along_where_no_seed_explains_them(tmp_path, record, moved, maker, comes):
    """The recorded states of generators are there for the child where it may have to put one back, and nowhere else."""
    seeds = record.seeds.model_copy(
        update={
            "global_generators": (GlobalGenerator(name="torch", state_before="a", state_after="b", moved=moved),),
            "generators": tuple(one.model_copy(update={"made_by": maker}) for one in CONFIG.seeds.generators),
        }
    )
    attempt = make_attempt(record.model_copy(update={"seeds": seeds}), tmp_path, cwd=str(tmp_path))
    (tmp_path / "run" / "inputs").mkdir(parents=True)
    (tmp_path / "run" / STATES_NAME).write_bytes(b"states")
    restore_recorded(attempt)
    assert attempt.handover.states_path.is_file() == comes


def test_weights_are_linked_into_the_restored_clone(tmp_path, found):
    """Weights that git ignores are linked into the restored tree: a folder as a whole, a file into a folder that the
    tree has, the file found elsewhere in the place of one that changed, with what lies beside it."""
    old, new = tmp_path / "clone", tmp_path / "tree"
    make_saved(old / "whole")
    make_saved(old / "changed")
    (new / "partly").mkdir(parents=True)
    (old / "partly").mkdir()
    (old / "partly" / "x.safetensors").write_bytes(b"ignored")
    weights = [
        WeightFile(path="weights.safetensors", sha256="0" * 64, size_bytes=1, origin="computed", folder=str(folder))
        for folder in (old / "whole" / "unet", old / "changed" / "unet")
    ]
    weights.append(weights[0].model_copy(update={"path": "x.safetensors", "folder": str(old / "partly")}))
    call = SCRIPT.calls[0].model_copy(
        update={"components": (), "other_weights": tuple(weights), "name_or_path": str(old / "changed")}
    )
    record = SCRIPT.model_copy(update={"calls": (call,)})
    replaced = {old / "changed" / "unet" / "weights.safetensors": found}
    _link_ignored(record, move=Move(old, new), replaced=replaced)
    assert (new / "whole" / "unet" / "weights.safetensors").read_bytes() == b"changed"
    assert (new / "changed" / "unet" / "weights.safetensors").read_bytes() == b"recorded"
    assert (new / "changed" / "model_index.json").is_file()
    assert (new / "partly" / "x.safetensors").read_bytes() == b"ignored"
    assert (old / "changed" / "unet" / "weights.safetensors").read_bytes() == b"changed"


def keep_outside(attempt_folder, path, record):
    """A record that says that the code of a file ran from outside of the source, and its archive."""
    archive = attempt_folder / "run" / OUTSIDE_NAME
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(path, arcname=str(path).lstrip("/"))
    part = OutsideCode(name=path.stem, path=str(path), sha256=digest_file(path))
    update = {"outside": (part,), "outside_sha256": digest_file(archive)}
    return record.model_copy(update={"source": record.source.model_copy(update=update)})


def test_code_from_outside_comes_back_where_the_child_finds_it(tmp_path):
    """The kept code is restored below the replay's folder, is told in the plan because it was edited since, and the
    child's interpreter is told where it is; another archive than the recorded one is refused."""
    path = tmp_path / "lib" / "loose.py"
    path.parent.mkdir()
    path.write_text("VALUE = 1\n")
    record = keep_outside(tmp_path / "kept", path, CONFIG)
    path.write_text("VALUE = 2\n")
    attempt = make_attempt(record, tmp_path)
    shutil.copytree(tmp_path / "kept" / "run", tmp_path / "run", dirs_exist_ok=True)
    assert any("loose" in note for note in attempt.plan.notes)
    assert "source.outside.loose.sha256" in [one.place for one in attempt.plan.restored]
    attempt.recorded_folder.mkdir()
    restore_recorded(attempt)
    folder = attempt.handover.folder
    assert (folder / "outside" / str(path).lstrip("/")).read_text() == "VALUE = 1\n"
    assert str(folder / "startup") in make_child_variables(attempt.plan, program=None)["PYTHONPATH"]
    assert json.loads((folder / "startup" / "redirect.json").read_text()) == [["/", str(folder / "outside")]]

    (tmp_path / "run" / OUTSIDE_NAME).write_bytes(b"altered")
    with pytest.raises(RefusedError, match=r"outside\.tar\.gz"):
        restore_recorded(attempt)


def test_the_present_code_from_outside_stays_where_it_is_asked_for(tmp_path):
    """With the present code nothing is restored, and what was edited is a difference that stays."""
    path = tmp_path / "loose.py"
    path.write_text("VALUE = 1\n")
    record = keep_outside(tmp_path / "kept", path, CONFIG)
    path.write_text("VALUE = 2\n")
    choice = make_choice(code="current", env="current", numerics="restore", weights="current")
    attempt = make_attempt(record, tmp_path, choice=choice)
    assert "source.outside.loose.sha256" in [one.place for one in attempt.plan.differences]
    restore_recorded(attempt)
    assert not (attempt.handover.folder / "startup").exists()
    assert "startup" not in make_child_variables(attempt.plan, program=None).get("PYTHONPATH", "")


def test_files_that_were_not_kept_are_linked_where_they_are_still(tmp_path):
    """A secret file that was left out is linked into the restored source from the clone; one that is gone is not, and
    no name leads out of the clone."""
    old, new = tmp_path / "clone", tmp_path / "restored"
    (old / "conf").mkdir(parents=True)
    new.mkdir()
    (old / "conf" / ".env").write_text("A=1")
    (tmp_path / "outside").write_text("no")
    left_out = {"conf/.env": "its name is that of a secret", "gone.pem": "the same", "../outside": "the same"}
    record = SCRIPT.model_copy(update={"source": SCRIPT.source.model_copy(update={"left_out": left_out})})
    _link_left_out(record, move=Move(old, new))
    assert (new / "conf" / ".env").read_text() == "A=1"
    assert [path.name for path in new.rglob("*") if path.is_symlink()] == [".env"]


def test_a_script_that_was_not_kept_and_has_changed_is_refused(tmp_path):
    """A script that held a secret is not with the run: while it is as it was it is run, and changed it is refused."""
    script = tmp_path / "script.py"
    script.write_text("print(1)")
    nothing = Unavailable(unavailable="not in a git repository")
    source = SCRIPT.source.model_copy(
        update={
            "repository": nothing, "commit": nothing, "tree": nothing, "changes": {},
            "script_sha256": digest_file(script),
            "left_out": {"script.py": "holds what looks like a secret"},
        }
    )  # fmt: skip
    command = SCRIPT.command.model_copy(update={"kind": "script", "script": str(script), "cwd": str(tmp_path)})
    record = SCRIPT.model_copy(update={"source": source, "command": command})
    (tmp_path / "a").mkdir()
    make_attempt(record, tmp_path / "a")
    script.write_text("print(2)")
    (tmp_path / "b").mkdir()
    with pytest.raises(RefusedError, match="holds what looks like a secret"):
        make_attempt(record, tmp_path / "b")
