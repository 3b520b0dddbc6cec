"""Work of the nodes adds up to the work of a token, and multipliers never wait for memories that are wide enough."""

from __future__ import annotations

import pytest
from shapes import HOME, SMALL

from edgellm.compiler import work
from edgellm.compiler.folding import matmul_shapes
from edgellm.numerics import workload
from edgellm.numerics.model import Architecture


@pytest.mark.parametrize("arch", [HOME, *SMALL.values()])
@pytest.mark.parametrize("position", [0, 7])
def test_the_nodes_do_all_multiplications_of_a_token(arch: Architecture, position: int) -> None:
    nodes = [work.attention(arch, 1, 8)]
    for node, (rows, cols) in matmul_shapes(arch).items():
        nodes.append(work.linear(rows, cols, 1 if node == "head_acc" else arch.layers, 1, 1, 4))
    macs = sum(node.vectors * (node.macs + node.macs_per_key * (position + 1)) for node in nodes)
    assert macs == workload.macs(arch, position)


def test_a_linear_layer_reads_a_weight_for_every_multiplication() -> None:
    node = work.linear(64, 128, 5, pe=8, simd=4, weight_bits=3)
    assert (node.macs_per_cycle, node.bits_per_cycle) == (32, 96)


def test_a_key_and_a_value_serve_the_heads_of_their_group() -> None:
    node = work.attention(HOME, positions=4, kv_bits=8)
    # 4 positions of 16 channels, keys and values, for 2 heads each
    assert (node.macs_per_cycle, node.bits_per_cycle) == (4 * 16 * 2 * 2, 4 * 16 * 2 * 8)
