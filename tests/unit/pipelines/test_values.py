"""Promises of values.py: a model's values where they really are, in the order of its parameters and buffers."""

import accelerate
import torch

from repro_track.pipelines.values import list_values
from repro_track.tensors.digests import digest_tensors_quickly


def make_model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))


def test_an_ordinary_model_gives_its_parameters_and_buffers():
    """An ordinary model's digest is that of its parameters and buffers, as it always was."""
    model = make_model()
    plain = [*model.parameters(), *model.buffers()]
    assert digest_tensors_quickly(tensor for _, tensor in list_values(model)) == digest_tensors_quickly(plain)
    assert [name for name, _ in list_values(model)][:2] == ["0.weight", "0.bias"]


def test_offloaded_weights_are_found():
    """Weights that accelerate has put away are given as they are there; a model on no device at all gives none."""
    model, expected = make_model(), digest_tensors_quickly(tensor for _, tensor in list_values(make_model()))
    accelerate.cpu_offload(model, execution_device="cpu")
    assert model[0].weight.is_meta
    assert digest_tensors_quickly(tensor for _, tensor in list_values(model)) == expected
    assert all(tensor.is_meta for _, tensor in list_values(make_model().to("meta")))


class Packed(torch.nn.Parameter):
    """A parameter with scales that hang on it, as bitsandbytes has them."""


def test_what_hangs_on_a_packed_weight_counts():
    """The scales of a packed weight are values of the model: another scale is another digest."""

    class State:
        absmax = torch.ones(2)

    model = torch.nn.Module()
    model.weight = Packed(torch.zeros(3))
    model.weight.quant_state = State()
    model.weight.quant_state.absmax = torch.ones(2)
    assert [name for name, _ in list_values(model)] == ["weight", "weight.quant_state.absmax"]
    before = digest_tensors_quickly(tensor for _, tensor in list_values(model))
    model.weight.quant_state.absmax[0] = 2
    assert digest_tensors_quickly(tensor for _, tensor in list_values(model)) != before
