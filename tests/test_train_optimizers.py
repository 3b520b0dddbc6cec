"""Muon: orthogonal updates, fused weights section by section, state that survives a checkpoint."""

import pytest
import torch
from torch import nn

from edgellm.train.optimizers import Muon, load_state_tensors, orthogonalise, state_tensors

pytestmark = pytest.mark.train
torch.set_num_threads(1)


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 48, 16), (2, 16, 48)])
def test_updates_are_nearly_orthogonal(shape):
    values = torch.linalg.svdvals(
        orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(1)))
    )
    assert values.min() > 0.5
    assert values.max() < 1.3


def parameter(seed, *shape):
    torch.manual_seed(seed)
    weight = nn.Parameter(torch.randn(shape))
    weight.grad = torch.randn(shape)
    return weight


def test_sections_are_stepped_like_separate_matrices():
    fused = parameter(0, 24, 8)
    parts = [nn.Parameter(part.detach().clone()) for part in fused.split((8, 16))]
    for part, grad in zip(parts, fused.grad.split((8, 16)), strict=True):
        part.grad = grad.clone()
    whole = nn.Parameter(fused.detach().clone())
    whole.grad = fused.grad.clone()
    Muon([(fused, (8, 16))], 0.1).step()
    Muon([(part, (len(part),)) for part in parts], 0.1).step()
    Muon([(whole, (24,))], 0.1).step()
    assert torch.allclose(fused, torch.cat(list(parts)), atol=1e-6)
    assert not torch.allclose(fused, whole, atol=1e-3)


def test_size_of_a_step_is_the_learning_rate():
    weight = parameter(1, 32, 8)
    before = weight.detach().clone()
    Muon([(weight, (32,))], 0.01).step()
    spectral = torch.linalg.matrix_norm(weight.detach() - before, 2)
    assert 0.5 * 0.01 * 2 < spectral < 1.3 * 0.01 * 2  # times sqrt(rows/columns)


def test_a_parameter_without_gradient_stays():
    weight = parameter(2, 4, 4)
    weight.grad, before = None, weight.detach().clone()
    Muon([(weight, (4,))], 0.1).step()
    assert torch.equal(weight, before)


def test_state_goes_through_tensors():
    first, names = parameter(3, 8, 8), {}
    names[first] = "w"
    optimizer = Muon([(first, (8,))], 0.1)
    optimizer.step()
    saved = {key: value.clone() for key, value in state_tensors(optimizer, names).items()}
    assert set(saved) == {"w:momentum"}
    second = nn.Parameter(first.detach().clone())
    second.grad = first.grad.clone()
    other = Muon([(second, (8,))], 0.1)
    load_state_tensors(other, {second: "w"}, saved)
    optimizer.step()
    other.step()
    assert torch.equal(first, second)


def test_weight_decay_shrinks_a_weight_by_its_share_of_the_rate():
    plain, decayed = parameter(3, 8, 8), parameter(3, 8, 8)
    before = plain.detach().clone()
    Muon([(plain, (8,))], 0.1).step()
    Muon([(decayed, (8,))], 0.1, weight_decay=0.5).step()
    assert torch.allclose(decayed, plain - 0.05 * before, atol=1e-6)
