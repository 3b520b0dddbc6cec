"""The integer ONNX file's shape: its nodes, in order, and the names of its tensors.

One node is one hardware block. The writer (`edgellm.export.graph`) makes exactly these nodes and the reader
(`edgellm.numerics.onnxfile`) accepts no others, so that the golden model computes what the file says.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgellm.numerics.model import Architecture, Numerics, Widths

DOMAIN = "edgellm"
DOMAIN_VERSION = 1
OPSET = 21
IR_VERSION = 10
NUMERICS_VERSIONS = (1, 2)  # 2 adds narrow activations, caches and embeddings, and weight widths per layer
METADATA_KEY = "edgellm"
# the symbolic dimensions: tokens fed at once, and caches. Each token has its own cache, or all have the only one
ROWS, BATCH = "R", "B"
LINEARS = ("qkv", "attn_out", "gate_up", "down", "head")

TOKEN, POSITION = "token", "position"  # int64 [R]
LOGITS, NEXT_TOKEN = "logits", "next_token"  # int16 [R, vocab], int64 [R]


def linear_shapes(arch: Architecture) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of each kind of linear layer."""
    shapes = (
        (arch.width, arch.qkv_width),
        (arch.attention_width, arch.width),
        (arch.width, 2 * arch.ffn),
        (arch.ffn, arch.width),
        (arch.width, arch.vocab),
    )
    return dict(zip(LINEARS, shapes, strict=True))


@dataclass(frozen=True, slots=True)
class Scaling:
    """The linear layers of one kind: the requantise shift, which they share, and the weight width of each."""

    shift: int
    weight_bits: tuple[int, ...]

    @property
    def uniform(self) -> bool:
        return len(set(self.weight_bits)) == 1


@dataclass(frozen=True, slots=True)
class Node:
    """One call of a model-local function of domain `edgellm`."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, int]


def cache_names(layer: int) -> tuple[str, str, str, str]:
    """A layer's key and value cache as inputs, then as outputs: int8 [B, kv_heads, context, head_dim]."""
    names = f"block{layer}.keys", f"block{layer}.values"
    return *names, f"{names[0]}_out", f"{names[1]}_out"


def linear_names(name: str) -> tuple[str, str, str]:
    """Initializers of a linear layer: weight int8 [K, N], mult int32 [N], bias int32 [N]."""
    return f"{name}.weight", f"{name}.mult", f"{name}.bias"


def version(scaling: dict[str, Scaling], widths: Widths) -> int:
    """The oldest version of the contract that has what the model needs."""
    plain = widths == Widths() and all(group.uniform for group in scaling.values())
    return NUMERICS_VERSIONS[0 if plain else 1]


def nodes(arch: Architecture, numerics: Numerics, scaling: dict[str, Scaling]) -> list[Node]:
    """Every node of the graph in execution order; `scaling` has the keys of LINEARS."""
    embed = Node("embed", "Embedding", (TOKEN, "embedding"), ("embed",), {"shift": numerics.embed_shift})
    result, residual = [embed], "embed"
    for layer in range(arch.layers):
        block = _block(f"block{layer}", layer, residual, arch, numerics, scaling)
        result += block
        residual = block[-1].outputs[0]
    result.append(_norm("final_norm", residual, numerics))
    result.append(_linear("head", "Head", ("final_norm",), LOGITS, scaling["head"], 0))
    result.append(Node("argmax", "ArgMax", (LOGITS,), (NEXT_TOKEN,), {}))
    return result


def _block(
    b: str,
    layer: int,
    residual: str,
    arch: Architecture,
    numerics: Numerics,
    scaling: dict[str, Scaling],
) -> list[Node]:
    keys, values, new_keys, new_values = cache_names(layer)
    heads = {"heads": arch.heads, "kv_heads": arch.kv_heads}
    scores = {"score_mult": numerics.score_mult, "score_shift": numerics.score_shift}
    middle, end = f"{b}.attn_residual", f"{b}.ffn_residual"
    return [
        _norm(f"{b}.attn_norm", residual, numerics),
        _linear(f"{b}.qkv", "Linear", (f"{b}.attn_norm",), f"{b}.qkv", scaling["qkv"], layer),
        Node(f"{b}.rope", "RoPE", (f"{b}.qkv", POSITION, "rope_cos", "rope_sin"), (f"{b}.rope",), heads),
        Node(
            f"{b}.attention",
            "Attention",
            (f"{b}.rope", POSITION, keys, values, "exp_table"),
            (f"{b}.attention", new_keys, new_values),
            heads | scores,
        ),
        _linear(
            f"{b}.attn_out",
            "LinearResidual",
            (f"{b}.attention", residual),
            middle,
            scaling["attn_out"],
            layer,
        ),
        _norm(f"{b}.ffn_norm", middle, numerics),
        _linear(f"{b}.gate_up", "Linear", (f"{b}.ffn_norm",), f"{b}.gate_up", scaling["gate_up"], layer),
        Node(
            f"{b}.glu",
            "SiLUGate",
            (f"{b}.gate_up", "silu_table"),
            (f"{b}.glu",),
            {"shift": numerics.glu_shift},
        ),
        _linear(f"{b}.down", "LinearResidual", (f"{b}.glu", middle), end, scaling["down"], layer),
    ]


def _norm(name: str, residual: str, numerics: Numerics) -> Node:
    return Node(name, "RMSNorm", (residual,), (name,), {"shift": numerics.norm_shift})


def _linear(name: str, op: str, inputs: tuple[str, ...], output: str, scaling: Scaling, layer: int) -> Node:
    attributes = {"shift": scaling.shift, "weight_bits": scaling.weight_bits[layer]}
    return Node(name, op, (*inputs, *linear_names(name)), (output,), attributes)
