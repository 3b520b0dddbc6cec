"""Which node of the integer ONNX file becomes which hardware node, checked before anything is built."""

from __future__ import annotations

from pathlib import Path

from edgellm.errors import ModelCorrupt, ModelNotFound, UnmappableNode
from edgellm.numerics import layout, onnxproto
from edgellm.numerics.onnxproto import NodeProto

HARDWARE: dict[str, tuple[str, ...]] = {
    "Embedding": ("embed",),
    "RMSNorm": ("attn_norm", "ffn_norm", "final_norm"),
    "Linear": ("qkv_acc", "qkv", "gate_up_acc", "gate_up"),
    "LinearResidual": ("attn_out_acc", "attn_residual", "down_acc", "ffn_residual"),
    "RoPE": ("rope",),
    "Attention": ("attention",),
    "SiLUGate": ("glu",),
    "Head": ("head_acc", "logits"),
    "ArgMax": ("logits_tap", "sampler", "argmax"),
}


def check(path: Path) -> None:
    """Raise UnmappableNode for the first node without a hardware block, ModelNotFound, ModelCorrupt."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelNotFound(f"{path}: cannot be read: {error.strerror}") from None
    try:
        nodes = onnxproto.parse(data).nodes
    except ModelCorrupt as error:
        raise ModelCorrupt(f"{path}: damaged ONNX file: {error}: export or download it again") from None
    for node in nodes:
        _check_node(node)


def _check_node(node: NodeProto) -> None:
    name = node.name or (node.outputs[0] if node.outputs else "without a name")
    if node.domain != layout.DOMAIN:
        domain = node.domain or "ai.onnx"
        reason = f"operations of domain {domain} have no hardware block; export with `edgellm export`"
    elif node.op not in HARDWARE:
        reason = f"no hardware block computes it; there are blocks for {', '.join(sorted(HARDWARE))}"
    else:
        return
    raise UnmappableNode(f"node {name} ({node.op}): {reason}")
