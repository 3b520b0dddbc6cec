"""Cost and timing formulas at points that can be counted by hand."""

from __future__ import annotations

import pytest

from edgellm.compiler import costs, timing
from edgellm.compiler.costs import Cost


@pytest.mark.parametrize(
    ("rows", "width", "blocks"),
    [
        (64, 500, 0),
        (65, 36, 1),
        (512, 36, 1),
        (512, 37, 2),
        (513, 36, 2),
        (1024, 18, 1),
        (16384, 1, 1),
        (640, 256, 15),
    ],
)
def test_block_memories(rows: int, width: int, blocks: int) -> None:
    assert costs.bram18(rows, width) == blocks


def test_ultra_memories() -> None:
    assert (costs.uram(4096, 72), costs.uram(4097, 72), costs.uram(10240, 128)) == (1, 2, 6)


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ("xczu3eg-sfvc784-2-e", "DSP48E2"),
        ("xck26-sfvc784-2lv-c", "DSP48E2"),
        ("xc7z020clg400-1", "DSP48E1"),
        ("lfe5u-85f", "MULT18"),
    ],
)
def test_multiplier_of_a_part(part: str, kind: str) -> None:
    assert costs.dsp_kind(part) == kind


@pytest.mark.parametrize(
    ("dsp", "bits", "products"),
    [
        ("DSP48E2", 4, 3),
        ("DSP48E1", 4, 2),
        ("DSP48E2", 2, 3),
        ("DSP48E2", 8, 2),
        ("DSP48E1", 8, 2),
        ("MULT18", 4, 1),
    ],
)
def test_products_a_multiplier_block(dsp: str, bits: int, products: int) -> None:
    assert costs.products_per_dsp(dsp, bits) == products


def test_matmul_dsps() -> None:
    assert costs.matmul_dsps("DSP48E2", 12, 16, 4) == 64
    assert costs.matmul_dsps("DSP48E2", 16, 8, 4) == 48
    assert costs.matmul_dsps("DSP48E2", 16, 8, 2) == 0


@pytest.mark.parametrize(
    ("cols", "sets", "pe", "simd", "bits", "lut", "ff", "dsp"),
    [
        (64, 5, 16, 4, 3, 2114, 3385, 24),
        (64, 5, 16, 4, 8, 3332, 6651, 32),
        (64, 5, 32, 2, 4, 2714, 4226, 22),
        (128, 5, 64, 2, 4, 5371, 8360, 44),
        (64, 5, 64, 4, 4, 9052, 15477, 88),
        (384, 5, 48, 16, 4, 24306, 44436, 256),
        (512, 1, 32, 16, 4, 18245, 31683, 176),  # weights in LUTs
        (64, 5, 16, 4, 2, 1564, 2361, 0),
        (64, 5, 64, 2, 2, 3620, 5058, 0),
        (64, 5, 64, 4, 2, 5988, 8975, 0),
        (64, 5, 32, 16, 2, 11423, 17401, 0),  # weights in LUTs
    ],
)
def test_matrix_units_as_yosys_counts_them(
    cols: int, sets: int, pe: int, simd: int, bits: int, lut: int, ff: int, dsp: int
) -> None:
    cost = costs.matmul("DSP48E2", 64, cols, sets, pe, simd, bits)
    assert abs(cost.lut - lut) <= 0.06 * lut
    assert abs(cost.ff - ff) <= 0.06 * ff
    assert cost.dsp == dsp


def test_adding_costs() -> None:
    total = Cost(1, 2, 3, 4, 5) + Cost(10, 20, 30, 40, 50, costs.FIT)
    assert (total.lut, total.ff, total.dsp, total.bram18, total.uram) == (11, 22, 33, 44, 55)
    assert total.source == "Yosys fit and formula"


def test_attention_timing_grows_with_the_position() -> None:
    shape = (4, 2, 16)
    assert timing.attention_interval(*shape, 1, 2, 255) == 2 * 256
    assert timing.attention_interval(*shape, 8, 2, 0) == 2 * 17
    assert timing.attention_first(*shape, 1, 2, 100, 1) == timing.attention_first(*shape, 1, 2, 99, 1) + 2
    assert timing.attention_first(*shape, 1, 2, 0, 16) == timing.ATTENTION_LEAST
    assert timing.attention_span(*shape, 1, 2, 255) == 256 + 8
