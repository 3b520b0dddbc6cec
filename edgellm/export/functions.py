"""Bodies of the model-local functions: the contract's operations in standard ONNX operators.

One function is one node of the integer ONNX graph and one hardware block. ONNX Runtime inlines the bodies when
it loads the file and folds everything that does not depend on the inputs. Why each float is exact is in
docs/numerics.md, "ONNX".
"""

from __future__ import annotations

from onnx import FunctionProto, parser

from edgellm.numerics.layout import DOMAIN, OPSET

EMBEDDING = """
Embedding <shift> (token, table) => (y) {
    rows = Gather (table, token)
    wide = Cast <to = 6> (rows)
    s = Constant <value_int: int = @shift> ()
    s32 = Cast <to = 6> (s)
    two = Constant <value = int32 {2}> ()
    factor = Pow (two, s32)
    scaled = Mul (wide, factor)
    y = Cast <to = 5> (scaled)
}
"""

RMS_NORM = """
RMSNorm <shift> (residual) => (y) {
    r = Cast <to = 11> (residual)
    last = Constant <value_ints = [-1]> ()
    ss = ReduceSumSquare <keepdims = 1> (r, last)
    root = Sqrt (ss)
    one = Constant <value = double {1.0}> ()
    length = Max (root, one)
    unit = Constant <value = double {16777216.0}> ()
    ratio = Div (unit, length)
    n = Floor (ratio)
    s = Constant <value_int: int = @shift> ()
    sd = Cast <to = 11> (s)
    half_to = Constant <value = double {0.5}> ()
    scale = Pow (half_to, sd)
    step = Mul (n, scale)
    scaled = Mul (r, step)
    moved = Add (scaled, half_to)
    whole = Floor (moved)
    low = Constant <value = double {-128.0}> ()
    high = Constant <value = double {127.0}> ()
    inside = Clip (whole, low, high)
    y = Cast <to = 3> (inside)
}
"""

SCALED_PRODUCT = """
    xf = Cast <to = 1> (x)
    wf = Cast <to = 1> (weight)
    accf = MatMul (xf, wf)
    acc = Cast <to = 11> (accf)
    s = Constant <value_int: int = @shift> ()
    sd = Cast <to = 11> (s)
    half = Constant <value = double {0.5}> ()
    scale = Pow (half, sd)
    md = Cast <to = 11> (mult)
    bd = Cast <to = 11> (bias)
    ms = Mul (md, scale)
    bs = Mul (bd, scale)
    product = Mul (acc, ms)
    sum = Add (product, bs)
    whole = Floor (sum)
"""

LINEAR = f"""
Linear <shift, weight_bits> (x, weight, mult, bias) => (y) {{
    {SCALED_PRODUCT}
    low = Constant <value = double {{-128.0}}> ()
    high = Constant <value = double {{127.0}}> ()
    inside = Clip (whole, low, high)
    y = Cast <to = 3> (inside)
}}
"""

LINEAR_RESIDUAL = f"""
LinearResidual <shift, weight_bits> (x, residual, weight, mult, bias) => (y) {{
    {SCALED_PRODUCT}
    r = Cast <to = 11> (residual)
    added = Add (whole, r)
    low = Constant <value = double {{-32768.0}}> ()
    high = Constant <value = double {{32767.0}}> ()
    inside = Clip (added, low, high)
    y = Cast <to = 5> (inside)
}}
"""

HEAD = f"""
Head <shift, weight_bits> (x, weight, mult, bias) => (y) {{
    {SCALED_PRODUCT}
    low = Constant <value = double {{-32768.0}}> ()
    high = Constant <value = double {{32767.0}}> ()
    inside = Clip (whole, low, high)
    y = Cast <to = 5> (inside)
}}
"""

# The rotation of one position as a matrix [head_dim, head_dim]: cos on the diagonal, +-sin beside it.
ROPE = """
RoPE <heads, kv_heads> (qkv, position, cos, sin) => (y) {
    unit = Constant <value = float {0.0001220703125}> ()
    last = Constant <value_ints = [-1]> ()
    first = Constant <value_ints = [1]> ()
    pairs = Constant <value_ints = [0, -1]> ()

    cf0 = Cast <to = 1> (cos)
    cf = Mul (cf0, unit)
    c1 = Unsqueeze (cf, last)
    cc = Concat <axis = 2> (c1, c1)
    c_rows = Reshape (cc, pairs)
    sf0 = Cast <to = 1> (sin)
    sf = Mul (sf0, unit)
    s1 = Unsqueeze (sf, last)
    s1n = Neg (s1)
    ss = Concat <axis = 2> (s1n, s1)
    s_rows = Reshape (ss, pairs)

    table_shape = Shape (c_rows)
    hd = Gather (table_shape, first)
    square_shape = Concat <axis = 0> (hd, hd)
    square = ConstantOfShape (square_shape)
    eye = EyeLike <dtype = 1> (square)
    eye_pairs_shape = Constant <value_ints = [0, -1, 2]> ()
    eye_pairs = Reshape (eye, eye_pairs_shape)
    swap_index = Constant <value_ints = [1, 0]> ()
    swap_pairs = Gather <axis = 2> (eye_pairs, swap_index)
    swap = Reshape (swap_pairs, pairs)

    c_now = Gather (c_rows, position)
    s_now = Gather (s_rows, position)
    c_mid = Unsqueeze (c_now, first)
    s_mid = Unsqueeze (s_now, first)
    diagonal = Mul (eye, c_mid)
    beside = Mul (swap, s_mid)
    rotation = Add (diagonal, beside)

    h = Constant <value_int: int = @heads> ()
    kv = Constant <value_int: int = @kv_heads> ()
    zero = Constant <value_ints = [0]> ()
    h1 = Unsqueeze (h, zero)
    kv1 = Unsqueeze (kv, zero)
    rotated_heads = Add (h1, kv1)
    rotated_width = Mul (rotated_heads, hd)
    v_width = Mul (kv1, hd)
    widths = Concat <axis = 0> (rotated_width, v_width)
    qk, v = Split <axis = 1> (qkv, widths)

    qkf = Cast <to = 1> (qk)
    split_shape = Concat <axis = 0> (zero, rotated_heads, hd)
    qk_heads = Reshape (qkf, split_shape)
    turned = MatMul (qk_heads, rotation)
    tie = Constant <value = float {0.00006103515625}> ()
    up = Add (turned, tie)
    one = Constant <value = float {1.0}> ()
    point = Constant <value = int8 {0}> ()
    rounded = QuantizeLinear (up, one, point)
    flat_shape = Constant <value_ints = [0, -1]> ()
    flat = Reshape (rounded, flat_shape)
    y = Concat <axis = 1> (flat, v)
}
"""

ATTENTION = """
Attention <heads, kv_heads, score_mult, score_shift>
(qkv, position, keys, values, exp_table) => (y, keys_out, values_out) {
    zero = Constant <value_ints = [0]> ()
    one = Constant <value_ints = [1]> ()
    h = Constant <value_int: int = @heads> ()
    kv = Constant <value_int: int = @kv_heads> ()
    h1 = Unsqueeze (h, zero)
    kv1 = Unsqueeze (kv, zero)
    group = Div (h1, kv1)
    cache_shape = Shape (keys)
    batch = Slice (cache_shape, zero, one)
    three = Constant <value_ints = [3]> ()
    hd = Gather (cache_shape, three)
    q_width = Mul (h1, hd)
    kv_width = Mul (kv1, hd)
    widths = Concat <axis = 0> (q_width, kv_width, kv_width)
    q, k, v = Split <axis = 1> (qkv, widths)

    kv_shape = Concat <axis = 0> (zero, kv1, hd)
    k_new = Reshape (k, kv_shape)
    v_new = Reshape (v, kv_shape)
    zero_s = Constant <value_int = 0> ()
    one_s = Constant <value_int = 1> ()
    batch_s = Squeeze (batch)
    kv_s = Squeeze (kv1)
    slots = Range (zero_s, batch_s, one_s)
    heads_range = Range (zero_s, kv_s, one_s)
    slot_axes = Constant <value_ints = [1, 2]> ()
    slot_column = Unsqueeze (slots, slot_axes)
    head_axes = Constant <value_ints = [0, 2]> ()
    head_column = Unsqueeze (heads_range, head_axes)
    position_column = Unsqueeze (position, slot_axes)
    index_shape = Concat <axis = 0> (batch, kv1, one)
    slot_index = Expand (slot_column, index_shape)
    head_index = Expand (head_column, index_shape)
    position_index = Expand (position_column, index_shape)
    index = Concat <axis = 2> (slot_index, head_index, position_index)
    keys_out = ScatterND (keys, index, k_new)
    values_out = ScatterND (values, index, v_new)

    farthest = ReduceMax <keepdims = 0> (position)
    used_s = Add (farthest, one_s)
    used = Unsqueeze (used_s, zero)
    two = Constant <value_ints = [2]> ()
    k_used = Slice (keys_out, zero, used, two)
    v_used = Slice (values_out, zero, used, two)
    kf = Cast <to = 1> (k_used)
    vf = Cast <to = 1> (v_used)

    qf = Cast <to = 1> (q)
    q_shape = Concat <axis = 0> (zero, kv1, group, hd)
    q_heads = Reshape (qf, q_shape)
    kt = Transpose <perm = [0, 1, 3, 2]> (kf)
    scores = MatMul (q_heads, kt)
    times = Range (zero_s, used_s, one_s)
    late_axes = Constant <value_ints = [1, 2, 3]> ()
    now = Unsqueeze (position, late_axes)
    late = Greater (times, now)
    far = Constant <value = float {-1073741824.0}> ()
    near = Constant <value = float {0.0}> ()
    mask = Where (late, far, near)
    masked = Add (scores, mask)
    last = Constant <value_ints = [-1]> ()
    best = ReduceMax <keepdims = 1> (masked, last)
    distance = Sub (best, masked)
    m = Constant <value_int: int = @score_mult> ()
    mf = Cast <to = 1> (m)
    s = Constant <value_int: int = @score_shift> ()
    sf = Cast <to = 1> (s)
    half = Constant <value = float {0.5}> ()
    unit = Pow (half, sf)
    rate = Mul (mf, unit)
    steps = Mul (distance, rate)
    end = Constant <value = float {255.0}> ()
    step = Min (steps, end)
    index_e = Cast <to = 6> (step)
    ef = Cast <to = 1> (exp_table)
    size = Constant <value_ints = [256]> ()
    table_shape = Concat <axis = 0> (batch, kv1, group, size)
    table = Expand (ef, table_shape)
    e = GatherElements <axis = 3> (table, index_e)

    a = MatMul (e, vf)
    total = ReduceSum <keepdims = 1> (e, last)
    ad = Cast <to = 11> (a)
    td = Cast <to = 11> (total)
    unit_r = Constant <value = double {16777216.0}> ()
    ratio = Div (unit_r, td)
    r = Floor (ratio)
    scale = Constant <value = double {0.000000059604644775390625}> ()
    rs = Mul (r, scale)
    mean = Mul (ad, rs)
    half_d = Constant <value = double {0.5}> ()
    up = Add (mean, half_d)
    whole = Floor (up)
    byte = Cast <to = 3> (whole)
    flat = Constant <value_ints = [0, -1]> ()
    y = Reshape (byte, flat)
}
"""

SILU_GATE = """
SiLUGate <shift> (gate_up, table) => (y) {
    gate, up = Split <axis = 1, num_outputs = 2> (gate_up)
    index0 = Cast <to = 6> (gate)
    offset = Constant <value = int32 {128}> ()
    index = Add (index0, offset)
    tf = Cast <to = 1> (table)
    s = Constant <value_int: int = @shift> ()
    sf = Cast <to = 1> (s)
    half = Constant <value = float {0.5}> ()
    unit = Pow (half, sf)
    scaled = Mul (tf, unit)
    zero = Constant <value_ints = [0]> ()
    one = Constant <value_ints = [1]> ()
    shape = Shape (gate_up)
    batch = Slice (shape, zero, one)
    size = Constant <value_ints = [256]> ()
    rows_shape = Concat <axis = 0> (batch, size)
    rows = Expand (scaled, rows_shape)
    silu = GatherElements <axis = 1> (rows, index)
    upf = Cast <to = 1> (up)
    product = Mul (silu, upf)
    tie = Mul (unit, half)
    moved = Add (product, tie)
    one_f = Constant <value = float {1.0}> ()
    point = Constant <value = int8 {0}> ()
    y = QuantizeLinear (moved, one_f, point)
}
"""

ARG_MAX = """
ArgMax (logits) => (y) {
    wide = Cast <to = 6> (logits)
    y = ArgMax <axis = 1, keepdims = 0, select_last_index = 0> (wide)
}
"""

BODIES = (EMBEDDING, RMS_NORM, LINEAR, LINEAR_RESIDUAL, ROPE, ATTENTION, SILU_GATE, HEAD, ARG_MAX)


def functions() -> list[FunctionProto]:
    """Every function of domain `edgellm`, version 1."""
    header = f'<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>'
    return [parser.parse_function(header + body) for body in BODIES]
