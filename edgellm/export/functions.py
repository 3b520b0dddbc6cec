"""The model-local functions of the integer ONNX file: one function call is one hardware block.

ONNX Runtime inlines the bodies when it loads the file. Some functions have several bodies; which one a model needs
depends on how large its numbers can get.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnx import FunctionProto, parser

from edgellm.export import bodies
from edgellm.numerics.layout import DOMAIN, OPSET
from edgellm.numerics.model import Widths

LINEAR = "Linear <shift, weight_bits> (x, weight, mult, bias) => (y)"
LINEAR_RESIDUAL = "LinearResidual <shift, weight_bits> (x, residual, weight, mult, bias) => (y)"
EIGHT = Widths()
HEAD = "Head <shift, weight_bits> (x, weight, mult, bias) => (y)"


@dataclass(frozen=True, slots=True)
class Forms:
    """Which bodies are exact for a model; the first that applies is the fastest.

    The product of Linear, LinearResidual and Head is `integer` (weights of at most 7 bits), else in double; an integer one
    that is `narrow` is scaled in float32, else in double.
    """

    norm_narrow: bool
    narrow: frozenset[str]
    integer: frozenset[str]
    fused_residual: bool = False  # of a narrow LinearResidual: scaled sum and residual fit 24 bits together
    scaled_scores: bool = False  # of Attention: the difference of two scores times score_mult fits 24 bits
    rotation_table: bool = False  # of RoPE: the rotations of all positions are small


def functions(forms: Forms, widths: Widths = EIGHT) -> list[FunctionProto]:
    """Every function of domain `edgellm`, version 1; narrow results are limited inside."""
    norm = bodies.RMS_NORM_NARROW if forms.norm_narrow else bodies.RMS_NORM_WIDE
    floor = bodies.FLOOR_OFFSET
    add = bodies.FUSED_ADD_TO_INT16 if forms.fused_residual else bodies.ADD_TO_INT16
    add_offset = floor if forms.fused_residual else bodies.BIAS_OFFSET
    texts = [
        bodies.EMBEDDING,
        bodies.limited(norm, widths.activation),
        _linear(forms, LINEAR, (floor, bodies.TO_INT8), bodies.CLIP_INT8),
        _linear(forms, LINEAR_RESIDUAL, (add_offset, add), bodies.ADD_CLIP_INT16),
        _linear(forms, HEAD, (floor, bodies.TO_INT16), bodies.CLIP_INT16),
        bodies.rope(widths.kv, forms.rotation_table),
        bodies.attention(widths, forms.scaled_scores),
        bodies.limited(bodies.SILU_GATE, widths.glu),
        bodies.ARG_MAX,
    ]
    header = f'<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>'
    return [parser.parse_function(header + text) for text in texts]


def _linear(forms: Forms, signature: str, narrow: tuple[str, str], wide: str) -> str:
    name = signature.split()[0]
    if name in forms.narrow:
        scale = bodies.NARROW_SCALE.replace("OFFSET", narrow[0])
        return f"{signature} {{ {bodies.INTEGER_PRODUCT} {scale} {narrow[1]} }}"
    exact = bodies.INTEGER_PRODUCT + bodies.WIDE_ACCUMULATOR
    product = exact if name in forms.integer else bodies.DOUBLE_PRODUCT
    return f"{signature} {{ {product} {bodies.WIDE_SCALE} {wide} }}"
