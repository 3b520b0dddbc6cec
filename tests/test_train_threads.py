"""How the CPU computes: as many threads as asked, nothing denormal, and afterwards as before."""

import pytest
import torch

from edgellm.train.threads import computing, flushes

pytestmark = pytest.mark.train


@pytest.fixture(autouse=True)
def usual():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.set_flush_denormal(False)
    yield
    torch.set_num_threads(threads)


def test_threads():
    with computing(3):
        assert torch.get_num_threads() == 3
        with computing():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 2


def test_denormals_are_zero_forward_and_backward():
    tiny = torch.full((64,), 2e-38)
    assert bool((tiny * 0.1).all())
    with computing():
        assert not bool((tiny * 0.1).any())
        weight = torch.full((64,), 2e-38, requires_grad=True)
        (weight * 0.1 * tiny).sum().backward()
        assert not bool(weight.grad.any())


def test_an_error_leaves_nothing_behind():
    with pytest.raises(KeyError), computing():
        assert flushes()
        raise KeyError
    assert not flushes()
    assert torch.get_num_threads() == 2


def test_what_flushed_before_goes_on():
    torch.set_flush_denormal(True)
    with computing():
        pass
    assert flushes()
    torch.set_flush_denormal(False)
