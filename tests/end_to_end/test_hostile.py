"""Records of somebody else's making: nothing of them runs without consent, and what they smuggle is refused with
consent, too. Each test plants a command that would leave a mark, and looks for the mark."""

import json

import pytest

pytestmark = pytest.mark.xdist_group("hostile")


@pytest.fixture
def hostile(artifacts, digits_run, tmp_path):
    """Make a record.json in a folder of its own, as if it had come by mail; changed at the given places."""

    def make(changes):
        data = json.loads((artifacts(digits_run.run_id) / "record.json").read_text())
        for place, value in changes.items():
            *path, last = place.split(".")
            node = data
            for part in path:
                node = node[part]
            node[last] = value
        folder = tmp_path / "mail"
        folder.mkdir(exist_ok=True)
        (folder / "record.json").write_text(json.dumps(data))
        return folder / "record.json"

    return make


def plant(tmp_path):
    """Make a script that leaves a mark when it runs."""
    script = tmp_path / "mark.py"
    script.write_text(f"open({str(tmp_path / 'mark')!r}, 'w').write('ran')\n")
    return script


def make_script_changes(script, **more):
    command = {"kind": "script", "argv": [], "script": str(script), "cwd": str(script.parent), "ordinal": 0}
    return {"command": command, **more}


def test_a_foreign_run_is_shown_and_refused(cli, hostile, tmp_path):
    """Without --trust a record that this machine did not log is refused with exit code 4; what would run, and whose it
    is, is shown; nothing ran. With --trust it runs."""
    path = hostile(make_script_changes(plant(tmp_path)))
    result = cli("replay", path)
    assert result.code == 4
    assert "mark.py" in result.err
    assert "logged" in result.err
    assert result.out == ""
    assert not (tmp_path / "mark").exists()
    assert cli("replay", path, "--trust").code == 3  # it runs, and leaves no record
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {
            "config": {
                "resolved": {"model": [{"_target_": "os.system", "command": "true"}]},
                "overrides": [],
                "withheld": [],
            }
        },
        {"words": ["+model._target_=os.system"]},
        {"words": ["model={_target_: os.system}"]},
    ],
)
def test_a_target_outside_known_packages_is_refused_even_when_trusted(cli, hostile, tmp_path, changes):
    """A `_target_` that is in no known package is refused with consent to the run, wherever it hides; consent to the
    package lets it through."""
    more = make_script_changes(plant(tmp_path), **{name: value for name, value in changes.items() if name != "words"})
    more["command"]["argv"] = changes.get("words", [])
    path = hostile(more)
    result = cli("replay", path, "--trust")
    assert result.code == 4
    assert "os.system" in result.err
    assert not (tmp_path / "mark").exists()
    assert cli("replay", path, "--trust", "--allow", "os").code == 3
    assert (tmp_path / "mark").exists()


def test_a_remote_that_runs_commands_is_refused(cli, hostile, tmp_path):
    """A remote of git's `ext::` kind, or a commit that is an option, is refused before git sees it."""
    mark = tmp_path / "mark"
    for source in (
        {"source.remote": f"ext::sh -c 'touch {mark}'", "source.commit": "a" * 40},
        {"source.commit": f"--upload-pack=touch {mark}", "source.remote": "https://host.invalid/a.git"},
    ):
        path = hostile({**make_script_changes(plant(tmp_path)), **source})
        result = cli("replay", path, "--trust")
        assert result.code == 4, result.err
        assert "Traceback" not in result.err
        assert not mark.exists()


def test_escapes_of_a_record_do_not_reach_the_terminal(cli, hostile):
    """A name with terminal escapes is printed without them, in the refusal and in the plan."""
    path = hostile({"name": "\x1b]0;owned\x07\x1b[31mred", "environment.machine.host": "\x1b[2J"})
    for words in (("replay", path), ("replay", path, "--dry-run"), ("show", path)):
        result = cli(*words)
        assert "\x1b" not in result.err
        assert "\x07" not in result.err


def test_an_altered_record_in_the_store_is_refused(cli, start, home, artifacts):
    """A run that this machine logged and somebody changed in the store since is refused with exit code 4 or 3; the same
    run before the change replays."""
    run = cli("run", "seed=9", "call.num_inference_steps=2")
    assert cli("replay", run.run_id).code == 0
    path = artifacts(run.run_id) / "record.json"
    path.write_text(path.read_text().replace('"seed": 9', '"seed": 10'))
    by_prefix = cli("replay", run.run_id[:12])
    assert by_prefix.code == 4
    assert "was changed after this machine logged it" in by_prefix.err
    by_id = cli("replay", run.run_id)
    assert by_id.code == 3
    assert "not the one that this machine logged" in by_id.err
