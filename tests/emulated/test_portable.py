"""`determinism=portable` on two x86-64 processors of different makers, emulated by qemu-user: real instruction sets and
maker's names, by which oneDNN, MKL and ATen choose their kernels. Needs `qemu-x86_64`; run with `make
test-emulated`."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.emulated

PROCESSORS = ("Haswell", "EPYC-Rome")


@pytest.fixture(scope="module")
def run_on_both(start):
    """Run the embedded digits on two emulated processors with AVX2 and without AVX-512, beside each other: a minute
    each."""

    def run_on(processor, determinism):
        program = ("qemu-x86_64", "-cpu", processor, sys.executable, "-P", "-m", "repro_track")
        words = ("run", "seed=3", "num_images=2", "call.num_inference_steps=10", f"determinism={determinism}")
        result = start(*program, *words, timeout=900)
        assert result.code == 0, result.err
        return result.run_id

    def run_on_both(determinism):
        with ThreadPoolExecutor(len(PROCESSORS)) as pool:
            return list(pool.map(lambda processor: run_on(processor, determinism), PROCESSORS))

    return run_on_both


def compare(cli, left, right):
    return json.loads(cli("diff", left, right, "--json").out)


@pytest.fixture(scope="module")
def portable_runs(run_on_both):
    return run_on_both("portable")


def test_portable_agrees_bit_for_bit_between_two_makers(cli, portable_runs, read_record):
    """An Intel and an AMD processor give the same bits under portable, on AVX2 kernels."""
    records = [read_record(run) for run in portable_runs]
    assert [record.numerics.state["cpu_capability"] for record in records] == ["AVX2", "AVX2"]
    assert compare(cli, *portable_runs)["verdict"] == "bit-exact"


def test_strict_does_not_agree_between_two_makers(cli, run_on_both):
    """The twin: under strict the same two processors give other bits."""
    assert compare(cli, *run_on_both("strict"))["verdict"] != "bit-exact"


def test_portable_here_is_within_tolerance_of_the_emulated_ones(cli, portable_runs):
    """This very machine's portable run is within the same_device profile of them (MKL's square root starts from an
    estimate that each processor makes in its own way, so that bits are not promised)."""
    here = cli("run", "seed=3", "num_images=2", "call.num_inference_steps=10", "determinism=portable")
    assert here.code == 0, here.err
    assert compare(cli, portable_runs[0], here.run_id)["verdict"] in ("bit-exact", "pixel-exact", "within-tolerance")
