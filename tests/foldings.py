"""What a folding must keep to, written down a second time for the tests of the search."""

from edgellm.compiler.folding import Folding, matmul_shapes
from edgellm.compiler.latency import REQUANTISE
from edgellm.numerics.model import Architecture


def streams(arch: Architecture, f: Folding) -> list[tuple[int, int]]:
    """Lanes on both sides of every width converter."""
    return [
        (f("attn_norm"), f("qkv_acc", "SIMD")), (f("qkv_acc"), f("qkv")), (f("qkv"), f("rope")), (f("rope"), arch.head_dim),
        (arch.head_dim, f("attn_out_acc", "SIMD")), (f("attn_out_acc"), f("attn_residual")),
        (f("attn_residual"), f("ffn_norm")), (f("ffn_norm"), f("gate_up_acc", "SIMD")), (f("gate_up_acc"), f("gate_up")),
        (f("gate_up"), 2 * f("glu")), (f("glu"), f("down_acc", "SIMD")), (f("down_acc"), f("ffn_residual")),
        (f("embed"), f("ffn_residual")), (f("ffn_residual"), f("attn_norm")), (f("ffn_residual"), f("attn_residual")),
        (f("ffn_residual"), f("final_norm")), (f("final_norm"), f("head_acc", "SIMD")),
        (f("head_acc"), f("logits")), (f("logits"), f("argmax")),
    ]  # fmt: skip


def converts(arch: Architecture, f: Folding) -> bool:
    """Whether every width converter runs at full rate."""
    return all(a % b == 0 or b % a == 0 for a, b in streams(arch, f))


def keeps_up(arch: Architecture, f: Folding) -> bool:
    """Whether every node passes on the bursts that it is given."""
    chains = [
        (f("embed"), f("ffn_residual")), (f("ffn_residual"), f("attn_norm")), (f("ffn_residual"), f("final_norm")),
        (f("attn_residual"), f("ffn_norm")), (f("qkv"), f("rope")), (f("gate_up"), 2 * f("glu")),
        (f("logits"), f("argmax")), (f("attention", "OM"), f("attn_out_acc", "SIMD")),
        (f("gate_up"), 2 * f("down_acc", "SIMD")),
    ]  # fmt: skip
    shapes = matmul_shapes(arch)
    bursts = [
        f(node) <= f(behind) * (shapes[node][0] // f(node, "SIMD")) for node, behind in REQUANTISE.items()
    ]
    same = f("attn_residual") == f("ffn_residual")
    return same and all(before <= behind for before, behind in chains) and all(bursts)
