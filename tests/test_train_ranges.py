"""What is noted of a float model's tensors, and which steps lose least."""

import pytest
import torch
from shapes import TINY

from edgellm.train import calibrate
from edgellm.train.bits import Bits
from edgellm.train.model import Decoder
from edgellm.train.ranges import SAMPLE, Ranges, best_step, observe, relative_error

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(2)
    return Decoder(TINY)


@pytest.fixture(scope="module")
def lines():
    torch.manual_seed(3)
    return [(torch.randint(0, TINY.vocab, (length,)).tolist(), 3) for length in (9, 9, 14, 20)]


def test_the_sample_is_spread_and_the_largest_is_kept():
    ranges = Ranges(1000)
    for part in range(10):
        x = torch.full((100, 4000), 1.0 + part)
        x[3, 5] = -50.0 - part
        ranges.see("x", 0, x, 100)
    sample = ranges.sample("x", 0)
    assert SAMPLE <= len(sample) <= SAMPLE + 10
    assert [int((sample == 1.0 + part).sum()) for part in range(10)] == pytest.approx(
        [SAMPLE / 10] * 10, rel=0.01
    )
    assert ranges.top("x", 0, 1.0) == 59.0
    assert ranges.top("x", 0) == 10.0


def test_every_tensor_is_seen(model, lines):
    seen = observe(model, lines)
    tokens = sum(len(ids) for ids, _ in lines)
    assert len(seen.sample("glu", 1)) == tokens * TINY.ffn
    assert len(seen.sample("norm", 0)) == 2 * tokens * TINY.width  # two in a layer
    for name in ("q", "k", "key", "v", "mixed", "gate", "up", "silu", "glu", "residual", "norm"):
        assert len(seen.layers(name)) == TINY.layers, name


def test_relative_error_counts_rounding_and_clipping():
    values = torch.tensor([1.0, 2.0, 3.4])
    assert relative_error(values, 1.0, 8) == pytest.approx(0.16 / (1 + 4 + 3.4**2))
    assert relative_error(torch.tensor([10.0]), 1.0, 4) == pytest.approx(9 / 100)


def test_the_best_step_of_heavy_tails_clips_at_4_bits_and_hardly_at_8():
    values = torch.randn(50_000, generator=torch.Generator().manual_seed(0)).abs() ** 3
    top = float(values.max())
    narrow, wide = (best_step([(values, bits, 1.0)]) * ((1 << (bits - 1)) - 1) / top for bits in (4, 8))
    assert narrow < 0.5 < wide


def test_the_best_step_weighs_several_tensors():
    small, large = torch.tensor([1.0, 0.5, 0.2]), torch.tensor([8.0, 4.0, 1.0])
    alone = best_step([(small, 4, 1.0)])
    assert alone < best_step([(small, 4, 1.0), (large, 4, 1.0)])
    assert best_step([(torch.zeros(4), 8, 1.0)]) == 1.0


@pytest.mark.parametrize("bits", [Bits(), Bits(activation=4, glu=4), Bits(kv=4), Bits(embedding=4)])
def test_steps_lose_little_of_every_tensor(model, lines, bits):
    seen = observe(model, lines)
    scheme = calibrate.from_ranges(model, seen, bits)
    for layer in range(TINY.layers):
        steps = {
            "norm": (scheme.norm(TINY.width), bits.activation),
            "mixed": (scheme.mixed(layer), bits.activation),
            "glu": (scheme.glu(layer), bits.glu),
            "key": (scheme.key, bits.kv),
            "v": (scheme.value(layer), bits.kv),
        }
        for name, (step, width) in steps.items():
            assert relative_error(seen.sample(name, layer), step, width) < (0.08 if width == 4 else 0.01), (
                name
            )


def test_shifts_stay_in_the_contract_for_the_coarsest_widths(model, lines):
    scheme = calibrate.choose(model, lines, Bits(weight=2, head=2, embedding=2, activation=4, glu=4, kv=4))
    assert all(1 <= shift <= 31 for shift in scheme.shifts.values())
    assert all(8 < bits <= 16 for bits in scheme.mult_bits.values())
