"""Blocks beside, inside and after each other in one script, and pipelines that are called without `run`: each block
replays by itself, to the bit."""

import pytest

pytestmark = pytest.mark.pipelines

SCRIPT = """
import functools

import repro_track as rt

with rt.track(experiment="blocks", trace="off") as first:  # no seed: one is drawn
    from diffusers import DDIMPipeline

    pipe = DDIMPipeline.from_pretrained(rt.find_builtin("digits"))
    eta = float(pipe(1, num_inference_steps=2, output_type="np").images.mean())
with rt.track(experiment="blocks", seed=3) as outer:
    with rt.track(experiment="blocks", seed=4, determinism="fast") as inner:
        functools.partial(pipe, num_inference_steps=1)(output_type="np")
    outer(pipe, 2, None, eta, 3, output_type="np")
    pipe(eta=eta, num_inference_steps=2, output_type="np")
with rt.track(experiment="blocks") as nothing:
    pass
print(*(run.run_id for run in (first, outer, inner, nothing)))
"""


def test_blocks_of_one_script(python, cli, tmp_path, read_record):
    """A block that uses what an earlier one made with a seed that it drew replays to the bit, with its direct call and
    the one by position; so does the block inside of it. A block of nothing is recorded as not replayable, and said."""
    (tmp_path / "script.py").write_text(SCRIPT)
    done = python(tmp_path / "script.py", cwd=tmp_path)
    assert done.code == 0, done.err
    first, outer, inner, nothing = done.out.split()[-4:]
    record = read_record(outer)
    assert [call.arguments["num_inference_steps"] for call in record.calls] == [3, 2]
    assert [one.initial_seed for one in record.seeds.generators] == [3, 4, 3]
    assert record.seeds.earlier == {"0": read_record(first).seeds.root}
    assert record.replayable.yes, record.replayable.reasons
    assert not read_record(nothing).replayable.yes
    assert "nothing was recorded in the block" in done.err
    for run in (outer, inner):
        result = cli("replay", run, cwd=tmp_path)
        assert (result.code, result.out.strip()) == (0, "bit-exact"), result.err
