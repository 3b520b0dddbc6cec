"""How the CPU computes: as many threads as asked, and nothing denormal."""

import pytest
import torch

from edgellm.train.threads import set_threads

pytestmark = pytest.mark.train


@pytest.fixture(autouse=True)
def as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


def test_threads():
    set_threads(2)
    assert torch.get_num_threads() == 2
    set_threads()
    assert torch.get_num_threads() == 1


def test_denormals_are_zero():
    torch.set_flush_denormal(False)
    tiny = torch.full((64,), 2e-38)
    assert bool((tiny * 0.1).all())
    set_threads()
    assert not bool((tiny * 0.1).any())
    weight = torch.full((64,), 2e-38, requires_grad=True)
    (weight * 0.1 * tiny).sum().backward()
    assert not bool(weight.grad.any())
