"""Promises of comparison.py: the worst output is the verdict, latents decide before what was decoded, nothing
proves nothing."""

import numpy as np

from repro_track.compare.comparison import compare_runs
from repro_track.compare.outputs import Exact
from repro_track.compare.verdict import Tolerance
from repro_track.tensors.host import to_host

PROFILE = Tolerance("test", {"float32": 0.0}, {"float32": 1e-4})


def test_empty_against_empty_proves_nothing(make_record):
    """Two runs without outputs are not comparable: nothing was compared."""
    empty = make_record({"outputs": []})
    result = compare_runs(empty, empty, expected_exact=Exact(), actual_exact=Exact(), tolerance=PROFILE)
    assert result.verdict == "not-comparable"


def test_the_worst_output_is_the_verdict(make_record):
    """One output that diverged makes the run diverged."""
    record = make_record()
    changed = make_record({"outputs.1.sha256": "0" * 64, "outputs.1.pixels_sha256": "0" * 64})
    words = {"expected_exact": Exact(), "actual_exact": Exact(), "tolerance": PROFILE}
    assert compare_runs(record, record, **words).verdict == "bit-exact"
    assert compare_runs(record, changed, **words).verdict == "diverged"


def test_behind_a_decoder_the_latents_decide_first(make_record):
    """Pictures that a decoder made are within tolerance only if the latents are, too; without a decoder the latents
    have no say."""

    from repro_track.compare.outputs import compare_latents

    profile = Tolerance("t", {}, {"float32": 1e-3}, {"float32": 1e-1})
    picture = np.full((8, 8, 1), 0.5, dtype="float32")
    record = make_record({"outputs.0.dtype": "float32"})
    one = record.outputs[:1]
    other = (one[0].model_copy(update={"sha256": "0" * 64, "pixels_sha256": "0" * 64}),)

    def judge_with(latent_gap, *, decoder):
        latents = np.zeros((1, 4, 2, 2), dtype="float32")
        left = Exact({one[0].name: to_host(picture)}, {"call0": to_host(latents)})
        right = Exact(
            {one[0].name: to_host(picture + np.float32(0.05))}, {"call0": to_host(latents + np.float32(latent_gap))}
        )
        call = record.calls[0]
        if decoder:
            vae = call.components[0].model_copy(update={"name": "vae", "class_name": "diffusers.AutoencoderKL"})
            call = call.model_copy(update={"components": (*call.components, vae)})
        expected = record.model_copy(update={"outputs": one, "calls": (call,)})
        actual = expected.model_copy(update={"outputs": other})
        return compare_runs(expected, actual, expected_exact=left, actual_exact=right, tolerance=profile)

    assert judge_with(5e-4, decoder=True).verdict == "within-tolerance"
    far = judge_with(5e-3, decoder=True)
    assert far.verdict == "diverged"
    assert "latents" in far.outputs[0].notes[-1]
    assert judge_with(5e-4, decoder=False).verdict == "diverged"  # 0.05 is beyond what is not decoded may differ
    assert compare_latents(Exact(), Exact(), tolerance=profile) == ()


def test_two_streams_of_noise_are_said(make_record):
    """Of two runs whose noise was drawn in two precisions it is said that a seed is two pictures; of those that drew in
    one, or of which it is not known, nothing."""

    def make(dtype, noise="pipeline"):
        return make_record({"calls.0.trace.noise_dtype": dtype, "calls.0.noise": noise})

    def list_notes(left, right):
        return compare_runs(left, right, expected_exact=Exact(), actual_exact=Exact(), tolerance=PROFILE).notes

    half, wide = make("float16"), make("float32")
    (note,) = list_notes(half, wide)
    assert "float16" in note
    assert "float32" in note
    for left, right in ((half, half), (make("float16", "float32"), wide), (make_record(), half)):
        assert list_notes(left, right) == ()
