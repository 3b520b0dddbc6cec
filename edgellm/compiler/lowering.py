"""Integer model to FINN graph: one physical decoder block that every token passes once per layer.

The graph is acyclic, as ONNX demands; the two streams that lead back (residual to the loop, token to the sequencer)
are a graph output and a graph input each, and BACK_EDGES in the metadata says which belong together. A node that
computes a tensor of docs/numerics.md has that tensor's name.
"""

# mypy: disallow-any-unimported=False
from __future__ import annotations

import json
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgellm.compiler import costs, estimate, folding
from edgellm.compiler.budget import MAX_SLOTS
from edgellm.compiler.folding import Folding
from edgellm.compiler.graph import SHALLOW, GraphBuilder
from edgellm.compiler.ops.base import (
    BLOCK_TAG,
    BLOCK_TAG_BYTES,
    REQUEST_BYTES,
    SELECTOR,
    TAG_BYTES,
    TOKEN_BYTES,
    WORD_BYTES,
    Stream,
)
from edgellm.errors import CompileError
from edgellm.numerics import sampling
from edgellm.numerics.model import Int, IntegerModel, Linear

BACK_EDGES = "edgellm.back_edges"
LAYERED = (
    "qkv_acc",
    "qkv",
    "attn_out_acc",
    "attn_residual",
    "gate_up_acc",
    "gate_up",
    "down_acc",
    "ffn_residual",
)
TAG_DEPTH = 32  # FIFO of tags and selectors; holds more than there are vectors in the block


@dataclass(frozen=True, slots=True)
class Lowering:
    """What the graph is made from."""

    model: IntegerModel
    folding: Folding
    slots: int
    tokens: int  # in flight in the loop
    ultra: bool  # keys and values in UltraRAM
    step_bits: int = 8  # a logit step is 2^-step_bits nats


def lower(plan: Lowering) -> Any:
    """FINN graph (qonnx ModelWrapper) of an accelerator. Raises FoldingError, CompileError."""
    folding.validate(plan.folding, plan.model.arch)
    if not 1 <= plan.slots <= MAX_SLOTS:
        raise CompileError(f"slots is {plan.slots}: an accelerator has 1 to {MAX_SLOTS} slots")
    g = GraphBuilder()
    _declare_inputs(g, plan)
    _entry(g, plan)
    _forks(g, plan)
    _attention_half(g, plan)
    _feed_forward_half(g, plan)
    _exit(g, plan)
    wrapper = g.model(
        ["command", "token_back", "loop_back"], ["event", "logits_shown", "ffn_residual", "argmax"]
    )
    edges = {"ffn_residual": "loop_back", "argmax": "token_back"}
    wrapper.set_metadata_prop(BACK_EDGES, json.dumps(edges))
    return wrapper


def _declare_inputs(g: GraphBuilder, plan: Lowering) -> None:
    g.tensor("command", WORD_BYTES, "UINT8")
    g.tensor("token_back", TOKEN_BYTES, "UINT8")
    g.tensor("loop_back", plan.model.arch.width, "INT16")


def _entry(g: GraphBuilder, plan: Lowering) -> None:
    """Sequencer, embedding, loop."""
    a, f = plan.model.arch, plan.folding
    outputs = [
        g.tensor("token", TOKEN_BYTES, "UINT8"),
        g.tensor("event", WORD_BYTES, "UINT8"),
        g.tensor("request", REQUEST_BYTES, "UINT8"),
    ]
    sizes = {"Slots": plan.slots, "Context": a.context, "Vocab": a.vocab}
    depths = [SHALLOW, SHALLOW, TAG_DEPTH]
    g.node("Sequencer", "sequencer", ["command", "token_back"], outputs, outFIFODepths=depths, **sizes)

    table = g.constant("embedding", plan.model.embedding, "INT8")
    outputs = [g.tensor("embed", a.width, "INT16"), g.tensor("embed_tag", TAG_BYTES, "UINT8")]
    shape = {"Vocab": a.vocab, "N": a.width, "PE": f("embed"), "EmbedShift": plan.model.numerics.embed_shift}
    shape["Bits"] = plan.model.widths.embedding
    g.node("Embedding", "embed", ["token", table], outputs, outFIFODepths=[SHALLOW, TAG_DEPTH], **shape)

    g.node(
        "LoopControl",
        "loop",
        ["embed", "embed_tag", "loop_back"],
        [
            g.tensor("loop_residual", a.width, "INT16"),
            g.tensor("block_tag", BLOCK_TAG_BYTES, "UINT8"),
            g.tensor("loop_layer", 1, "UINT8"),
            g.tensor("final_residual", a.width, "INT16"),
            g.tensor("final_tag", TAG_BYTES, "UINT8"),
        ],
        N=a.width,
        PE=f("ffn_residual"),  # the stream that comes back has these lanes
        Layers=a.layers,
        Tokens=plan.tokens,
        outFIFODepths=[SHALLOW, SHALLOW, SHALLOW, a.width // f("ffn_residual"), TAG_DEPTH],
    )


def _forks(g: GraphBuilder, plan: Lowering) -> None:
    """Copies of residual, tag and layer for those who need them."""
    a, f = plan.model.arch, plan.folding
    branch = estimate.attention_branch(a, f, a.context - 1)
    lanes = f("ffn_residual")
    depths = [SHALLOW, _waiting(plan, branch) * (a.width // lanes)]
    _fork(
        g,
        "residual_fork",
        "loop_residual",
        ("attn_in", "attn_bypass"),
        Stream(a.width, lanes, "INT16"),
        depths,
    )
    _fork(g, "tag_fork", "block_tag", ("rope_tag", "attention_tag"), BLOCK_TAG, [TAG_DEPTH] * 2)
    selectors = tuple(f"{node}_layer" for node in LAYERED)
    _fork(g, "layer_fork", "loop_layer", selectors, SELECTOR, [TAG_DEPTH] * len(LAYERED))


def _fork(
    g: GraphBuilder, name: str, source: str, copies: tuple[str, ...], stream: Stream, depths: list[int]
) -> None:
    """Copies of a stream, each behind a FIFO of its own."""
    outputs = [g.tensor(copy, stream.elements, stream.dtype) for copy in copies]
    shape = {"K": len(copies), "N": stream.elements, "PE": stream.lanes, "dataType": stream.dtype}
    g.node("StreamFork", name, [source], outputs, outFIFODepths=depths, **shape)


def _waiting(plan: Lowering, branch: int) -> int:
    """Vectors that go around a branch while it works: as many as it holds, at most all there are."""
    interval = estimate.block_interval(plan.model.arch, plan.folding, 0)
    return min(plan.tokens, ceil(branch / interval)) + 1


def _attention_half(g: GraphBuilder, plan: Lowering) -> None:
    model, f = plan.model, plan.folding
    a, num = model.arch, model.numerics
    blocks = model.blocks
    _norm(g, plan, "attn_norm", "attn_in")
    _matmul(g, plan, "qkv_acc", "attn_norm", [b.qkv for b in blocks])
    _requantise(g, plan, "qkv", [b.qkv for b in blocks])

    cos = g.constant("rope_cos", model.rope_cos, "INT16")
    sin = g.constant("rope_sin", model.rope_sin, "INT16")
    heads = {
        "Rotated": a.heads + a.kv_heads,
        "Passed": a.kv_heads,
        "HeadDim": a.head_dim,
        "Context": a.context,
    }
    inputs = ["qkv", "rope_tag", cos, sin]
    g.node(
        "RoPE",
        "rope",
        inputs,
        [g.tensor("rope", a.qkv_width, "INT8")],
        PE=f("rope"),
        KVBits=model.widths.kv,
        **heads,
    )

    pt = f("attention", "PT")
    kept = costs.kv_rows(a.layers * plan.slots, a.kv_heads, a.context, pt)
    g.node(
        "CausalAttention",
        "attention",
        ["rope", "attention_tag", g.constant("exp_table", model.exp_table, "UINT8")],
        [g.tensor("attention", a.attention_width, "INT8")],
        Heads=a.heads,
        KVHeads=a.kv_heads,
        HeadDim=a.head_dim,
        Context=a.context,
        Slots=plan.slots,
        Layers=a.layers,
        PT=pt,
        OM=f("attention", "OM"),
        ScoreMult=num.score_mult,
        ScoreShift=num.score_shift,
        KVBits=model.widths.kv,
        OutBits=model.widths.activation,
        RamStyle="ultra" if plan.ultra else costs.memory_style(kept),
    )
    _matmul(g, plan, "attn_out_acc", "attention", [b.attn_out for b in blocks])
    _requantise(g, plan, "attn_residual", [b.attn_out for b in blocks], residual="attn_bypass")


def _feed_forward_half(g: GraphBuilder, plan: Lowering) -> None:
    model, f = plan.model, plan.folding
    a, order = model.arch, interleaved(model.arch.ffn)
    lanes = f("attn_residual")
    depths = [SHALLOW, _waiting(plan, estimate.ffn_branch(a, f)) * (a.width // lanes)]
    _fork(g, "ffn_fork", "attn_residual", ("ffn_in", "ffn_bypass"), Stream(a.width, lanes, "INT16"), depths)
    _norm(g, plan, "ffn_norm", "ffn_in")
    gate_up = [_columns(block.gate_up, order) for block in model.blocks]
    _matmul(g, plan, "gate_up_acc", "ffn_norm", gate_up)
    _requantise(g, plan, "gate_up", gate_up)

    table = g.constant("silu_table", model.silu_table, "INT8")
    shape = {
        "N": a.ffn,
        "PE": f("glu"),
        "GluShift": model.numerics.glu_shift,
        "OutBits": model.widths.glu,
    }
    g.node("SiLUGate", "glu", ["gate_up", table], [g.tensor("glu", a.ffn, "INT8")], **shape)
    _matmul(g, plan, "down_acc", "glu", [b.down for b in model.blocks])
    _requantise(g, plan, "ffn_residual", [b.down for b in model.blocks], residual="ffn_bypass")


def _exit(g: GraphBuilder, plan: Lowering) -> None:
    """Final norm, head, choice of the token."""
    a, f = plan.model.arch, plan.folding
    _norm(g, plan, "final_norm", "final_residual")
    _matmul(g, plan, "head_acc", "final_norm", [plan.model.head], layered=False)
    _requantise(g, plan, "logits", [plan.model.head])
    lanes, step_bits = f("argmax"), plan.step_bits
    beats = a.vocab // lanes + 1
    tapped = [
        g.tensor("tapped_logits", a.vocab, "INT16"),
        g.tensor("tapped_tag", TAG_BYTES, "UINT8"),
        g.tensor("logits_shown", beats * max(4, 2 * lanes), "UINT8"),
    ]
    g.node("LogitsTap", "logits_tap", ["logits", "final_tag"], tapped, N=a.vocab, PE=lanes)
    bits = sampling.score_bits(step_bits)
    scores = [g.tensor("sampler", a.vocab, f"INT{bits}")]
    shape = {"N": a.vocab, "PE": lanes, "StepBits": step_bits}
    g.node("Sampler", "sampler", ["tapped_logits", "request"], scores, **shape)
    token = [g.tensor("argmax", TOKEN_BYTES, "UINT8")]
    g.node("ArgMax", "argmax", ["sampler", "tapped_tag"], token, N=a.vocab, PE=lanes, Bits=bits)


def _norm(g: GraphBuilder, plan: Lowering, name: str, source: str) -> None:
    width = plan.model.arch.width
    attributes = {
        "N": width,
        "PE": plan.folding(name),
        "NormShift": plan.model.numerics.norm_shift,
        "OutBits": plan.model.widths.activation,
    }
    g.node("RMSNorm", name, [source], [g.tensor(name, width, "INT8")], **attributes)


def _matmul(
    g: GraphBuilder, plan: Lowering, name: str, source: str, layers: list[Linear], layered: bool = True
) -> None:
    """An MVAU; with `layered` its weights are a set per layer, chosen by a selector."""
    pe, simd = plan.folding(name, "PE"), plan.folding(name, "SIMD")
    bits = estimate.weight_bits(layers)
    weights = np.stack([linear.weight for linear in layers]).astype(np.float32)
    sets, rows, cols = weights.shape
    acc = f"INT{bits + 7 + (rows - 1).bit_length()}"
    inputs = [source, g.constant(f"{name}.weight", weights if layered else weights[0], f"INT{bits}")]
    g.node(
        "MVAU",
        name,
        [*inputs, f"{name}_layer"] if layered else inputs,
        [g.tensor(name, cols, acc)],
        PE=pe,
        SIMD=simd,
        MW=rows,
        MH=cols,
        bodies=len(layers) if layered else 0,
        inputDataType="INT8",
        weightDataType=f"INT{bits}",
        outputDataType=acc,
        accDataType=acc,
        noActivation=1,
        numInputVectors=[1],
        mem_mode="internal_decoupled",
        ram_style=costs.memory_style(sets * rows * cols // (pe * simd)),
        resType="dsp",
        inFIFODepths=[max(SHALLOW, rows // simd), SHALLOW, SHALLOW],
    )


def _requantise(
    g: GraphBuilder, plan: Lowering, name: str, layers: list[Linear], residual: str | None = None
) -> None:
    """Requantise, RequantiseAdd or Logits, by the node's name and residual."""
    source = {"attn_residual": "attn_out_acc", "ffn_residual": "down_acc", "logits": "head_acc"}.get(
        name, f"{name}_acc"
    )
    mult, bias = _table(layers, "mult"), _table(layers, "bias")
    op = "Logits" if name == "logits" else "RequantiseAdd" if residual else "Requantise"
    streams = [source, *([] if name == "logits" else [f"{name}_layer"]), *([residual] if residual else [])]
    constants = [g.constant(f"{name}.mult", mult, "INT32"), g.constant(f"{name}.bias", bias, "INT32")]
    bias_bits = estimate.bias_bits(layers)
    g.node(
        op,
        name,
        [*streams, *constants],
        [g.tensor(name, mult.shape[1], "INT8" if op == "Requantise" else "INT16")],
        N=mult.shape[1],
        PE=plan.folding(name),
        Sets=len(layers),
        Shift=_one_shift(name, layers),
        MultBits=estimate.mult_bits(layers),
        BiasBits=bias_bits,
        Bias=0 if bias_bits else int(bias.flat[0]),
        accDataType="INT32",
    )


def _table(layers: list[Linear], part: str) -> NDArray[np.int32]:
    rows: list[Int] = [getattr(linear, part) for linear in layers]
    return np.stack(rows).astype(np.int32)


def _one_shift(name: str, layers: list[Linear]) -> int:
    shifts = {linear.shift for linear in layers}
    if len(shifts) > 1:
        raise CompileError(
            f"{name}: the layers have shifts {sorted(shifts)}, one block needs one shift: export again"
        )
    return shifts.pop()


def interleaved(ffn: int) -> NDArray[np.int64]:
    """Order of the gate_up channels in hardware: g0, u0, g1, u1, ..."""
    return np.arange(2 * ffn).reshape(2, ffn).T.reshape(-1)


def _columns(linear: Linear, order: NDArray[np.int64]) -> Linear:
    return Linear(
        linear.weight[:, order], linear.mult[order], linear.bias[order], linear.shift, linear.weight_bits
    )
