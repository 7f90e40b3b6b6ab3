"""Promises of compare.py: for each level an equal and an unequal twin; every difference is named, causes first."""

import numpy as np
import pytest

from repro_track.compare.comparison import compare_runs
from repro_track.compare.differences import list_differences
from repro_track.compare.divergence import find_divergence
from repro_track.compare.outputs import Exact, compare_outputs
from repro_track.compare.verdict import VERDICTS, Tolerance, is_good_enough
from repro_track.record.choice import Focus
from repro_track.record.schema import Output, PipelineCall, Trace, TraceStep
from repro_track.tensors.digests import digest_tensor
from repro_track.tensors.host import to_host, to_pixels

PROFILE = Tolerance("test", {"float32": 0.0}, {"float32": 1e-4})
IMAGE = np.linspace(0, 1, 192, dtype=np.float32).reshape(8, 8, 3)


def make_output(name, values):
    return Output(
        name=name,
        kind="image",
        dtype=str(values.dtype),
        shape=values.shape,
        sha256=digest_tensor(values),
        nonfinite=int((~np.isfinite(values)).sum()),
        pixels_sha256=digest_tensor(to_pixels(values)),
        file=f"outputs/{name}.png",
        file_sha256=digest_tensor(to_pixels(values)),
    )


def judge(expected, actual, profile=PROFILE):
    """Compare two dicts of arrays by name."""
    left, right = ({name: to_host(values) for name, values in side.items()} for side in (expected, actual))
    outputs = [tuple(make_output(name, values) for name, values in side.items()) for side in (expected, actual)]
    return compare_outputs(*outputs, expected_tensors=left, actual_tensors=right, tolerance=profile)


def nudge(values, amount):
    changed = values.copy()
    changed[3, 3, 1] += np.float32(amount)
    return changed


@pytest.mark.parametrize(
    ("actual", "verdict"),
    [
        (IMAGE.copy(), "bit-exact"),
        (nudge(IMAGE, 1e-6), "pixel-exact"),
        (nudge(IMAGE, 9e-5), "within-tolerance"),
        (nudge(IMAGE, 0.1), "diverged"),
        (IMAGE[:4].copy(), "not-comparable"),
        (IMAGE.astype(np.float64), "not-comparable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_level_and_its_twin(actual, verdict):
    """The lowest level that agrees is the verdict: from equal bytes to another shape or dtype."""
    # a value on the edge between two pixel values, so that a change of 9e-5 is seen in the pixels
    expected = IMAGE.copy()
    if verdict == "within-tolerance":
        expected[3, 3, 1] = actual[3, 3, 1] = np.float32(100.49999 / 255)
        actual[3, 3, 1] += np.float32(9e-5)
    (one,) = judge({"images.0": expected}, {"images.0": actual})
    assert one.verdict == verdict


def test_tolerance_counts_for_every_element():
    """One element beyond the profile is enough to fall short, whatever the others are."""
    assert PROFILE.accepts(IMAGE, nudge(IMAGE, 9e-5), dtype="float32")
    assert not PROFILE.accepts(IMAGE, nudge(IMAGE, 1.1e-4), dtype="float32")
    assert not PROFILE.accepts(IMAGE, nudge(IMAGE, 9e-5), dtype="float16")


def test_nan_is_named_and_never_within_tolerance():
    """NaN in the output is a divergence that says how many values are affected; the same NaN twice is bit-exact."""
    broken = nudge(IMAGE, np.nan)
    (one,) = judge({"images.0": IMAGE}, {"images.0": broken}, Tolerance("all", {}, {"float32": 1e30}))
    assert one.verdict != "within-tolerance"
    assert "1 of 192 values are NaN" in " ".join(one.notes)
    black = np.zeros_like(IMAGE)
    assert judge({"images.0": black}, {"images.0": nudge(black, np.nan)})[0].verdict == "diverged"  # NaN's pixel is 0
    assert judge({"images.0": broken}, {"images.0": broken})[0].verdict == "bit-exact"


def test_extra_and_missing_images():
    """An extra and a missing image are not comparable, each by its name; the common ones are still compared."""
    pair, single = {"images.0": IMAGE, "images.1": nudge(IMAGE, 0.1)}, {"images.0": IMAGE}
    extra, missing = judge(single, pair), judge(pair, single)
    assert [one.verdict for one in extra] == [one.verdict for one in missing] == ["bit-exact", "not-comparable"]
    assert "extra" in extra[1].notes[0]
    assert "missing" in missing[1].notes[0]


def test_swapped_images_are_named():
    """Two images that changed places are found, and each is told which one it equals."""
    other = nudge(IMAGE, 0.1)
    swapped = judge({"images.0": IMAGE, "images.1": other}, {"images.0": other, "images.1": IMAGE})
    assert [one.verdict for one in swapped] == ["diverged", "diverged"]
    assert "equals the recorded images.1: swapped" in swapped[0].notes


def test_empty_against_empty_proves_nothing(make_record):
    """Two runs without outputs are not comparable: nothing was compared."""
    empty = make_record({"outputs": []})
    result = compare_runs(empty, empty, expected_exact=Exact(), actual_exact=Exact(), tolerance=PROFILE)
    assert result.verdict == "not-comparable"
    assert judge({}, {"images.0": IMAGE})[0].verdict == "not-comparable"


def test_same_pixels_other_bytes_is_said():
    """Equal pixels in another file are bit-exact by their tensors, and the file's difference is not hidden."""
    left = make_output("images.0", IMAGE)
    right = left.model_copy(update={"file_sha256": "0" * 64})
    (one,) = compare_outputs((left,), (right,), expected_tensors={}, actual_tensors={}, tolerance=PROFILE)
    assert one.verdict == "bit-exact"
    assert one.notes == ("same pixels, other file bytes",)


def test_the_worst_output_is_the_verdict(make_record):
    """One output that diverged makes the run diverged."""
    record = make_record()
    changed = make_record({"outputs.1.sha256": "0" * 64, "outputs.1.pixels_sha256": "0" * 64})
    words = {"expected_exact": Exact(), "actual_exact": Exact(), "tolerance": PROFILE}
    assert compare_runs(record, record, **words).verdict == "bit-exact"
    assert compare_runs(record, changed, **words).verdict == "diverged"


def test_levels_are_ordered():
    """A better verdict is good enough for a lower requirement, not the other way."""
    for index, verdict in enumerate(VERDICTS):
        for other, required in enumerate(VERDICTS):
            assert is_good_enough(verdict, required=required) == (index <= other)


# --- where they part


def make_call(latents, modules=(), noise="n", after=()):
    names = ("unet.conv_in", "unet.mid_block")
    steps = tuple(
        TraceStep(index=i, scheduler="scheduler", timestep=9 - i, latents=digest, mean=0, std=1, abs_max=1, modules=row)
        for i, (digest, row) in enumerate(zip(latents, modules or [()] * len(latents), strict=True))
    )
    trace = Trace(level="steps", noise=noise, modules=names, steps=steps, after_last=after)
    return PipelineCall(
        index=0, class_name="P", name_or_path=None, commit="c", arguments={}, components=(), trace=trace
    )


@pytest.mark.parametrize(
    ("actual", "step", "module"),
    [
        (make_call(["a", "b"], noise="m"), None, None),
        (make_call(["x", "b"], [("1", "2"), ("3", "4")]), 0, None),
        (make_call(["a", "x"], [("1", "2"), ("3", "x")]), 1, "unet.mid_block"),
        (make_call(["a", "x"], [("1", "2"), ("x", "x")]), 1, "unet.conv_in"),
        (make_call(["a"], [("1", "2")]), 1, None),
        (make_call(["a", "b"], [("1", "2"), ("3", "4")], after=("5", "x")), 2, "unet.mid_block"),
    ],
)
def test_the_first_divergence_is_dated_and_placed(actual, step, module):
    """Noise, step, first module in it, a missing step, a difference after the last step: each is named."""
    expected = make_call(["a", "b"], [("1", "2"), ("3", "4")], after=("5", "6"))
    found = find_divergence((expected,), (actual,))
    assert (found.step, found.module) == (step, module)


def test_no_divergence_where_every_digest_agrees():
    """Equal traces have no divergence; another number of calls is one."""
    call = make_call(["a"], [("1", "2")])
    assert find_divergence((call,), (call,)) is None
    assert find_divergence((call,), (call, call)).text == "2 pipeline calls instead of 1"


# --- what differs


def test_equal_records_have_no_differences(make_record):
    """A record does not differ from itself, nor from one that has only another id, time, host and cost."""
    record = make_record()
    renamed = make_record(
        {"record_id": "0" * 32, "created_at": "then", "environment.machine.host": "h", "cost.peak_memory_bytes": 1}
    )
    assert list_differences(record, renamed) == ()


@pytest.mark.parametrize(
    ("place", "value", "kind"),
    [
        ("seeds.root", 4, "seed"),
        ("seeds.generators.0.initial_seed", 4, "seed"),
        ("calls.0.components.1.memory_xxh3", "0" * 32, "weights"),
        ("calls.0.arguments.eta", 0.5, "call"),
        ("calls.0.components.0.config.clip_sample", False, "pipeline"),
        ("numerics.state.num_threads", 7, "numerics"),
        ("environment.variables.OMP_NUM_THREADS", "7", "numerics"),
        ("environment.machine.cpu_model", "another", "machine"),
        ("source.script_sha256", "0" * 64, "source"),
    ],
)
def test_every_kind_of_difference_is_named(make_record, place, value, kind):
    """A change at one place of the record is one difference of the right kind."""
    (difference,) = list_differences(make_record(), make_record({place: value}))
    assert difference.kind == kind
    assert difference.actual == value


def test_causes_come_before_the_rest(make_record):
    """Seeds and weights are listed before settings, and these before packages and source."""
    changed = make_record(
        {"source.script_sha256": "0" * 64, "numerics.state.num_threads": 7, "seeds.root": 4, "calls.0.arguments.eta": 1}
    )
    kinds = [difference.kind for difference in list_differences(make_record(), changed)]
    assert kinds == ["seed", "call", "numerics", "source"]


def test_a_package_is_named_by_its_name(make_record):
    """Another version of one package is one difference that names it, wherever it stands in the list."""
    record = make_record()
    packages = [p.model_dump() for p in record.environment.packages]
    torch_package = next(p for p in packages if p["name"] == "torch")
    torch_package["version"] = "1.0"
    (difference,) = list_differences(record, make_record({"environment.packages": packages[::-1]}))
    assert difference.place == "environment.packages.torch.version"
    assert difference.kind == "libraries"


def test_behind_a_decoder_the_latents_decide_first(make_record):
    """Pictures that a decoder made are within tolerance only if the latents are, too; without a decoder the latents
    have no say."""
    import numpy as np

    from repro_track.compare.outputs import compare_latents
    from repro_track.tensors.host import to_host

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


def test_what_can_be_expected_follows_what_stays():
    """Nothing that stays: bit-exact; other code: that hangs on it; other packages: within tolerance; other weights:
    diverged; each with its reason."""
    from repro_track.compare.differences import make_difference
    from repro_track.compare.verdict import expect_verdict

    library = make_difference("environment.packages.torch.version", "2", "3")
    weights = make_difference("calls.0.components.unet.weights.x.sha256", "a", "b")
    source = make_difference("source.commit", "a", "b")
    assert expect_verdict([]) == ("bit-exact", ())
    assert expect_verdict([source]) == ("bit-exact", (source.place,))
    assert expect_verdict([library, source]) == ("within-tolerance", (library.place,))
    assert expect_verdict([weights, library]) == ("diverged", (weights.place,))


def test_every_profile_has_the_same_figures_for_the_same_dtypes():
    """The shipped profiles name both tolerances for each dtype, and a wider profile is nowhere narrower."""
    from repro_track.config.presets import read_preset

    names = ("same_device", "cross_release", "cross_device")
    presets = [read_preset("tolerance", name) for name in names]
    for key in ("rtol", "atol", "decoded_atol"):
        assert len({tuple(sorted(preset[key])) for preset in presets}) == 1
        for dtype in presets[0][key]:
            assert all(preset[key][dtype] >= presets[0][key][dtype] for preset in presets)


@pytest.mark.parametrize(
    ("kind", "change", "verdict", "note"),
    [
        ("audio", {"file_sha256": "f" * 64}, "bit-exact", "same samples, other file bytes"),
        ("video", {"file_sha256": "f" * 64}, "bit-exact", "same pixels, other file bytes"),
        ("audio", {"sha256": "e" * 64}, "pixel-exact", None),
        ("audio", {"sha256": "e" * 64, "samples_sha256": "d" * 64}, "diverged", None),
        ("video", {"sha256": "e" * 64, "pixels_sha256": "d" * 64}, "diverged", None),
    ],
)
def test_what_is_heard_or_seen_decides_not_the_encoder(kind, change, verdict, note):
    """A video or sound of the same content in another file agrees, and the file is said to differ; other content does
    not."""
    field = "samples_sha256" if kind == "audio" else "pixels_sha256"
    common = {"name": "x.0", "kind": kind, "dtype": "float32", "shape": (4,), "sha256": "a" * 64, field: "b" * 64}
    expected = Output(**common, file="outputs/x.0.bin", file_sha256="c" * 64)
    actual = expected.model_copy(update=change)
    tensors = {"x.0": to_host(np.zeros(4, np.float32))}
    far = {"x.0": to_host(np.ones(4, np.float32))}
    (one,) = compare_outputs((expected,), (actual,), expected_tensors=tensors, actual_tensors=far, tolerance=PROFILE)
    assert one.verdict == verdict
    assert (note is None) or note in one.notes


@pytest.mark.parametrize(
    ("focus", "outputs", "calls"),
    [
        (Focus(), ["images.0", "images.1", "call1.images.0"], [0, 1]),
        (Focus(call=1), ["call1.images.0"], [1]),
        (Focus(image=0), ["images.0", "call1.images.0"], [0, 1]),
        (Focus(call=0, image=1), ["images.1"], [0]),
        (Focus(image=5), [], [0, 1]),
    ],
    ids=str,
)
def test_a_focus_narrows_a_record(make_record, focus, outputs, calls):
    """Only the call and the image that are looked at are left of a record, and of its generators those of the call."""
    record = make_record()
    third = record.outputs[0].model_copy(update={"name": "call1.images.0"})
    second_call = record.calls[0].model_copy(update={"index": 1})
    generator = record.seeds.generators[0].model_copy(update={"name": "call1.generator0"})
    seeds = record.seeds.model_copy(update={"generators": (*record.seeds.generators, generator)})
    whole = record.model_copy(
        update={"outputs": (*record.outputs, third), "calls": (*record.calls, second_call), "seeds": seeds}
    )
    narrow = focus.narrow(whole)
    assert [one.name for one in narrow.outputs] == outputs
    assert [one.index for one in narrow.calls] == calls
    assert {one.name.split(".")[0] for one in narrow.seeds.generators} == {f"call{index}" for index in calls}
