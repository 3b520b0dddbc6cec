"""Weights on the integer grid, and the gradients that reach them."""

import pytest
import torch

from edgellm.train.quantisers import OnGrid, linear, weight_scale

pytestmark = pytest.mark.train


def quantised(weight, bits, unit=0.001):
    """(integer weights, gradient of the weights for a gradient of ones on the first row)."""
    layer = linear(weight.shape[1], torch.full((len(weight),), unit), bits)
    layer.weight.data.copy_(weight)
    result = layer.quant_weight()
    result.value[0].sum().backward()
    return result.int(), layer.weight.grad


def test_ternary_weights_are_signs_above_the_threshold():
    integers, _ = quantised(torch.tensor([[0.1, -0.1, 0.05, -0.2], [0.1, 0.1, 0.1, 0.1]]), 2)
    assert integers.tolist() == [[1, -1, 0, -1], [1, 1, 1, 1]]


@pytest.mark.parametrize("overshoot", [2.0, 20.0, 200.0])
def test_what_saturates_counts_once_however_far_it_is_out(overshoot):
    """Else the scale, a mean, takes the overshoot of one weight for its own gradient and the training diverges."""
    _, gradient = quantised(torch.tensor([[0.1, 0.1, 0.1, overshoot]]), 2, unit=overshoot / 200)
    rest, far = gradient[0, :3], gradient[0, 3]
    scale = (
        1.4 / 4 * (1 - 3 * 0.1 / (1.4 * (0.3 + overshoot) / 4))
    )  # d scale / d |w| times what levels say of it
    assert far == pytest.approx(scale, abs=0.02)
    assert rest.tolist() == pytest.approx([1 + scale] * 3, abs=0.02)


def test_scales_are_whole_multiples_of_the_unit():
    torch.manual_seed(1)
    weight = torch.randn(8, 16)
    layer = linear(16, torch.full((8,), 0.01), 4)
    layer.weight.data.copy_(weight)
    multiples = layer.quant_weight().scale.flatten() / 0.01
    assert torch.allclose(multiples, multiples.round(), atol=1e-3)
    wanted = (weight_scale(weight, 4).flatten() / 0.01).round().clamp(1, 255)
    assert torch.equal(multiples.round(), wanted)


def test_a_grid_rounds_halves_up_and_stops_the_gradient_where_it_saturates():
    x = torch.tensor([0.25, -0.25, 10.0, -10.0], requires_grad=True)
    y = OnGrid.apply(x, 0.5, 4)
    assert y.tolist() == [0.5, 0.0, 3.5, -4.0]
    y.sum().backward()
    assert x.grad.tolist() == [1, 1, 0, 0]
