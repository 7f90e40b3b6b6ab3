"""Promises of call.py: what a call needs to know of a pipeline is found on it."""

import pytest

from repro_track.pipelines.call import find_sampling_rate
from tests.conformance import zoo


@pytest.mark.parametrize(("name", "rate"), [("stable_audio", 8000), ("audio_ldm_2", 16000), ("ddpm", None)])
def test_the_rate_of_sound_is_found(name, rate):
    """The rate of the sound that a pipeline makes is that of its vocoder or decoder; a picture has none."""
    assert find_sampling_rate(zoo.ZOO[name].build()) == rate
