"""Texts of the model-local functions' bodies, in ONNX's textual syntax, standard operators only.

Element types: 1 float, 2 uint8, 3 int8, 5 int16, 6 int32, 11 double. What enters a linear layer is uint8, 128 more than
the number. Names with an underscore are parts of a body. Time goes
into the number of operators that are left when ONNX Runtime has folded what does not depend on the inputs, so
bodies are as short as exactness allows. Why every float below is exact: docs/numerics.md, "ONNX". Bodies that depend on
the widths of activations and caches are functions of them.
"""

from edgellm.numerics.model import Widths

BYTE = 8
MIDDLE = 128


def limited(body: str, bits: int) -> str:
    """The body with its uint8 result `y` limited to `bits` bits."""
    if bits == BYTE:
        return body
    start, _, call = body.rstrip().removesuffix("}").rpartition("y = ")
    return f"{start}byte_y = {call.rstrip()}\n{_limit('byte_y', 'y', bits, 'uint8', MIDDLE)}}}"


def _limit(source: str, result: str, bits: int, kind: str = "int8", middle: int = 0) -> str:
    half = 1 << (bits - 1)
    return f"""
    least = Constant <value = {kind} {{{middle - half}}}> ()
    most = Constant <value = {kind} {{{middle + half - 1}}}> ()
    {result} = Clip ({source}, least, most)
"""


EMBEDDING = """
Embedding <shift> (token, table) => (y) {
    wide = Cast <to = 6> (table)
    s = Constant <value_int: int = @shift> ()
    s32 = Cast <to = 6> (s)
    two = Constant <value = int32 {2}> ()
    factor = Pow (two, s32)
    scaled = Mul (wide, factor)
    rows = Cast <to = 5> (scaled)
    y = Gather (rows, token)
}
"""

# n = floor(2^24 / sqrt(ss)) in double
_INVERSE_ROOT = """
    r = Cast <to = 11> (residual)
    last = Constant <value_ints = [-1]> ()
    root = ReduceL2 <keepdims = 1> (r, last)
    one = Constant <value = double {1.0}> ()
    length = Max (root, one)
    unit = Constant <value = double {16777216.0}> ()
    ratio = Div (unit, length)
    n = Floor (ratio)
    s = Constant <value_int: int = @shift> ()
"""

# float32 holds r*n, at most 2^24, and up to shift 16 also the half that keeps ties from rounding to even
RMS_NORM_NARROW = f"""
RMSNorm <shift> (residual) => (y) {{
    {_INVERSE_ROOT}
    rf = Cast <to = 1> (residual)
    nf = Cast <to = 1> (n)
    product = Mul (rf, nf)
    half = Constant <value = float {{0.5}}> ()
    no_tie = Add (product, half)
    two = Constant <value = float {{2.0}}> ()
    sf = Cast <to = 1> (s)
    step = Pow (two, sf)
    middle = Constant <value = uint8 {{128}}> ()
    y = QuantizeLinear (no_tie, step, middle)
}}
"""

RMS_NORM_WIDE = f"""
RMSNorm <shift> (residual) => (y) {{
    {_INVERSE_ROOT}
    half = Constant <value = double {{0.5}}> ()
    sd = Cast <to = 11> (s)
    scale = Pow (half, sd)
    step = Mul (n, scale)
    scaled = Mul (r, step)
    middle_and_half = Constant <value = double {{128.5}}> ()
    moved = Add (scaled, middle_and_half)
    low = Constant <value = double {{0.0}}> ()
    high = Constant <value = double {{255.0}}> ()
    inside = Clip (moved, low, high)
    y = Cast <to = 2> (inside)
}}
"""

# unsigned activations around 128 times signed weights of up to 7 bits: exact with and without VNNI
INTEGER_PRODUCT = """
    middle = Constant <value = uint8 {128}> ()
    acci = MatMulInteger (x, weight, middle)
"""

# (acc*mult + bias) * 2^-shift, with 2^-shift a `unit`. Where outputs are few, ONNX Runtime makes one operator of it and the
# product (MatMulIntegerToFloat, which takes 2 ns a channel). It does so only for a scale that it cannot fold: hence a one
# that went through a sequence, of which one copy is left for all layers.
NARROW_SCALE = """
    half = Constant <value = float {0.5}> ()
    s = Constant <value_int: int = @shift> ()
    sf = Cast <to = 1> (s)
    unit = Pow (half, sf)
    mf = Cast <to = 1> (mult)
    ms = Mul (mf, unit)
    bf = Cast <to = 1> (bias)
    bs = Mul (bf, unit)
    OFFSET
    acc = Cast <to = 1> (acci)
    one = Constant <value = float {1.0}> ()
    only = SequenceConstruct (one)
    at = Constant <value = int64 {0}> ()
    same = SequenceAt (only, at)
    single = Constant <value_ints = [1]> ()
    input_scale = Reshape (same, single)
    outputs = Shape (mult)
    few = Constant <value_ints = [256]> ()
    is_few = LessOrEqual (outputs, few)
    scalar = Constant <value = int64[0] {}> ()
    fused = Reshape (is_few, scalar)
    v = If (fused) <
        then_branch = channels () => (v_few) {
            scale = Mul (input_scale, ms)
            scaled = Mul (acc, scale)
            v_few = Add (scaled, offset)
        },
        else_branch = apart () => (v_many) {
            products = Mul (acc, ms)
            v_many = Add (products, offset)
        }
    >
"""

# round(v - 1/2 + half a unit) is floor(v), and no tie is left that could round to even
FLOOR_OFFSET = """
    half_unit = Mul (unit, half)
    down = Sub (bs, half)
    offset = Add (down, half_unit)
"""

# v is floored by rint as above; the residual is whole, so it can be added first
FUSED_ADD_TO_INT16 = """
    rf = Cast <to = 1> (residual)
    added = Add (v, rf)
    zero = Constant <value = int16 {0}> ()
    y = QuantizeLinear (added, one, zero)
"""

BIAS_OFFSET = """
    offset = Identity (bs)
"""

ADD_TO_INT16 = """
    whole = Floor (v)
    rf = Cast <to = 1> (residual)
    added = Add (whole, rf)
    zero = Constant <value = int16 {0}> ()
    y = QuantizeLinear (added, one, zero)
"""

TO_INT8 = """
    zero = Constant <value = int8 {0}> ()
    y = QuantizeLinear (v, one, zero)
"""

TO_INT16 = """
    zero = Constant <value = int16 {0}> ()
    y = QuantizeLinear (v, one, zero)
"""

WIDE_ACCUMULATOR = """
    acc = Cast <to = 11> (acci)
"""

DOUBLE_PRODUCT = """
    middle = Constant <value = double {128.0}> ()
    xu = Cast <to = 11> (x)
    xd = Sub (xu, middle)
    wd = Cast <to = 11> (weight)
    acc = MatMul (xd, wd)
"""

# Div, not Mul: ONNX Runtime takes a product of two multipliers for float scales and fuses it wrongly
WIDE_SCALE = """
    s = Constant <value_int: int = @shift> ()
    sd = Cast <to = 11> (s)
    two = Constant <value = double {2.0}> ()
    power = Pow (two, sd)
    md = Cast <to = 11> (mult)
    ms = Div (md, power)
    bd = Cast <to = 11> (bias)
    bs = Div (bd, power)
    product = Mul (acc, ms)
    sum = Add (product, bs)
    whole = Floor (sum)
"""

CLIP_INT8 = """
    low = Constant <value = double {-128.0}> ()
    high = Constant <value = double {127.0}> ()
    inside = Clip (whole, low, high)
    y = Cast <to = 3> (inside)
"""

CLIP_INT16 = """
    low = Constant <value = double {-32768.0}> ()
    high = Constant <value = double {32767.0}> ()
    inside = Clip (whole, low, high)
    y = Cast <to = 5> (inside)
"""

ADD_CLIP_INT16 = """
    r = Cast <to = 11> (residual)
    added = Add (whole, r)
    low = Constant <value = double {-32768.0}> ()
    high = Constant <value = double {32767.0}> ()
    inside = Clip (added, low, high)
    y = Cast <to = 5> (inside)
"""

# The rotation of one position as a matrix [head_dim, head_dim]: cos on the diagonal, +-sin beside it.
_ROPE = """
RoPE <heads, kv_heads> (qkv, position, cos, sin) => (y) {
    unit = Constant <value = float {0.0001220703125}> ()
    last = Constant <value_ints = [-1]> ()
    first = Constant <value_ints = [1]> ()
    rows = Constant <value_ints = [0, -1]> ()
    cf = Cast <to = 1> (cos)
    c = Mul (cf, unit)
    c1 = Unsqueeze (c, last)
    cc = Concat <axis = 2> (c1, c1)
    c_rows = Reshape (cc, rows)
    sf = Cast <to = 1> (sin)
    s = Mul (sf, unit)
    s1 = Unsqueeze (s, last)
    s1_minus = Neg (s1)
    ss = Concat <axis = 2> (s1_minus, s1)
    s_rows = Reshape (ss, rows)

    hd = Shape <start = 1> (c_rows)
    square_shape = Concat <axis = 0> (hd, hd)
    square = ConstantOfShape (square_shape)
    eye = EyeLike <dtype = 1> (square)
    pairs_shape = Constant <value_ints = [0, -1, 2]> ()
    eye_pairs = Reshape (eye, pairs_shape)
    swapped = Constant <value_ints = [1, 0]> ()
    swap_pairs = Gather <axis = 2> (eye_pairs, swapped)
    swap = Reshape (swap_pairs, rows)

    ROTATION

    h = Constant <value_int: int = @heads> ()
    kv = Constant <value_int: int = @kv_heads> ()
    zero = Constant <value_ints = [0]> ()
    h1 = Unsqueeze (h, zero)
    kv1 = Unsqueeze (kv, zero)
    rotated = Add (h1, kv1)
    counts = Concat <axis = 0> (rotated, kv1)
    heads_shape = Concat <axis = 0> (zero, last, hd)
    by_head = Reshape (qkv, heads_shape)
    qk, v = Split <axis = 1> (by_head, counts)
    qkf = Cast <to = 1> (qk)
    turned = MatMul (qkf, rotation)
    tie = Constant <value = float {0.00006103515625}> ()
    ROUND
    y = Reshape (all, rows)
}
"""

# for all positions at load where that is small, else for the position
_ROTATION_TABLE = """
    c_mid = Unsqueeze (c_rows, first)
    s_mid = Unsqueeze (s_rows, first)
    diagonal = Mul (eye, c_mid)
    beside = Mul (swap, s_mid)
    rotations = Add (diagonal, beside)
    rotation = Gather (rotations, position)
"""
_ROTATION_NOW = """
    c_now = Gather (c_rows, position)
    c_mid = Unsqueeze (c_now, first)
    s_now = Gather (s_rows, position)
    s_mid = Unsqueeze (s_now, first)
    diagonal = Mul (eye, c_mid)
    beside = Mul (swap, s_mid)
    rotation = Add (diagonal, beside)
"""

_KV_BYTE = """
    up = Add (turned, tie)
    one = Constant <value = float {1.0}> ()
    point = Constant <value = int8 {0}> ()
    rounded = QuantizeLinear (up, one, point)
    all = Concat <axis = 1> (rounded, v)
"""


def rope(kv_bits: int, table: bool) -> str:
    """RoPE; k and v leave with `kv_bits` bits. The tie is half a unit of q and k, so it decides no other rounding.

    With `table`, ONNX Runtime makes the rotations of all positions when it loads the file.
    """
    body = _ROPE.replace("ROTATION", _ROTATION_TABLE if table else _ROTATION_NOW)
    if kv_bits == BYTE:
        return body.replace("ROUND", _KV_BYTE)
    narrow = f"""
    one = Constant <value = float {{1.0}}> ()
    point = Constant <value = int8 {{0}}> ()
    query_counts = Concat <axis = 0> (h1, kv1)
    q_turned, k_turned = Split <axis = 1> (turned, query_counts)
    q_up = Add (q_turned, tie)
    q_rounded = QuantizeLinear (q_up, one, point)
    vf = Cast <to = 1> (v)
    kv_wide = Concat <axis = 1> (k_turned, vf)
    kv_up = Add (kv_wide, tie)
    step = Constant <value = float {{{1 << (BYTE - kv_bits)}.0}}> ()
    kv_rounded = QuantizeLinear (kv_up, step, point)
    {_limit("kv_rounded", "kv_narrow", kv_bits)}
    all = Concat <axis = 1> (q_rounded, kv_narrow)
"""
    return body.replace("ROUND", narrow)


# Every token of its own slot, or, where there is one slot, all of it: then one cache serves all rows. A token that is
# alone sees everything and has the first slot; ONNX Runtime takes the branch when it loads the file for one token.
_ATTENTION = """
Attention <heads, kv_heads, score_mult, score_shift>
(qkv, position, keys, values, exp_table) => (y, keys_out, values_out) {
    zero = Constant <value_ints = [0]> ()
    one = Constant <value_ints = [1]> ()
    two = Constant <value_ints = [2]> ()
    last = Constant <value_ints = [-1]> ()
    h = Constant <value_int: int = @heads> ()
    kv = Constant <value_int: int = @kv_heads> ()
    h1 = Unsqueeze (h, zero)
    kv1 = Unsqueeze (kv, zero)
    group = Div (h1, kv1)
    rows = Shape (position)
    slots = Shape <start = 0, end = 1> (keys)
    hd = Shape <start = 3, end = 4> (keys)

    heads_shape = Concat <axis = 0> (zero, last, hd)
    by_head = Reshape (qkv, heads_shape)
    counts = Concat <axis = 0> (h1, kv1, kv1)
    q, k, v = Split <axis = 1> (by_head, counts)

    zero_s = Constant <value_int = 0> ()
    one_s = Constant <value_int = 1> ()
    rows_s = Squeeze (rows, zero)
    row_range = Range (zero_s, rows_s, one_s)
    kv_range = Range (zero_s, kv, one_s)
    slot_axes = Constant <value_ints = [1, 2]> ()
    row_column = Unsqueeze (row_range, slot_axes)
    head_axes = Constant <value_ints = [0, 2]> ()
    head_column = Unsqueeze (kv_range, head_axes)
    position_column = Unsqueeze (position, slot_axes)
    index_shape = Concat <axis = 0> (rows, kv1, one)
    row_index = Expand (row_column, index_shape)
    only = Equal (rows, one)
    scalar = Constant <value = int64[0] {}> ()
    alone = Reshape (only, scalar)
    slot_index = If (alone) <
        then_branch = first_slot () => (first_index) { first_index = Identity (row_index) },
        else_branch = some_slot () => (some_index) { some_index = Mod (row_index, slots) }
    >
    head_index = Expand (head_column, index_shape)
    position_index = Expand (position_column, index_shape)
    index = Concat <axis = 2> (slot_index, head_index, position_index)
    keys_out = ScatterND (keys, index, k)
    values_out = ScatterND (values, index, v)

    farthest = ReduceMax <keepdims = 1> (position)
    used = Add (farthest, one)
    k_used = Slice (keys_out, zero, used, two)
    v_used = Slice (values_out, zero, used, two)
    kf = Cast <to = 1> (k_used)
    vd = Cast <to = 11> (v_used)

    half = Constant <value = float {0.5}> ()
    s = Constant <value_int: int = @score_shift> ()
    sf = Cast <to = 1> (s)
    unit = Pow (half, sf)
    m = Constant <value_int: int = @score_mult> ()
    mf = Cast <to = 1> (m)
    rate = Mul (mf, unit)

    qf = Cast <to = 1> (q)
    q_shape = Concat <axis = 0> (zero, kv1, group, hd)
    q_heads = Reshape (qf, q_shape)
    kt = Transpose <perm = [0, 1, 3, 2]> (kf)
    SCORES

    used_s = Squeeze (used, zero)
    times = Range (zero_s, used_s, one_s)
    late_axes = Constant <value_ints = [1, 2, 3]> ()
    now = Unsqueeze (position, late_axes)
    late = Greater (times, now)
    far = Constant <value = float {-1073741824.0}> ()
    near = Constant <value = float {0.0}> ()
    mask = Where (late, far, near)
    masked = If (alone) <
        then_branch = see_all () => (all_scores) { all_scores = Identity (scores) },
        else_branch = see_before () => (early_scores) { early_scores = Add (scores, mask) }
    >
    best = ReduceMax <keepdims = 1> (masked, last)
    distance = Sub (best, masked)

    STEPS
    end = Constant <value = float {255.0}> ()
    step = Clip (steps, near, end)
    e_index = Cast <to = 6> (step)

    ed = Cast <to = 11> (exp_table)
    r_unit = Constant <value = double {0.000000059604644775390625}> ()
    scaled = Mul (ed, r_unit)
    size = Constant <value_ints = [256]> ()
    table_shape = Concat <axis = 0> (rows, kv1, group, size)
    table = Expand (scaled, table_shape)
    e = GatherElements <axis = 3> (table, e_index)

    a = MatMul (e, vd)
    total = ReduceSum <keepdims = 1> (e, last)
    one_d = Constant <value = double {1.0}> ()
    ratio = Div (one_d, total)
    r = Floor (ratio)
    mean = Mul (a, r)
    middle_and_half = Constant <value = double {128.5}> ()
    SCALE
    LIMIT
    width = Mul (h1, hd)
    y_shape = Concat <axis = 0> (rows, width)
    y = Reshape (byte, y_shape)
}
"""

# how far below the best score, in steps of the exponent's table: scaled before or behind the subtraction
_SCALED_SCORES = (
    "products = MatMul (q_heads, kt)\n scores = Mul (products, rate)",
    "steps = Identity (distance)",
)
_SCALED_DISTANCES = "scores = MatMul (q_heads, kt)", "steps = Mul (distance, rate)"


def attention(widths: Widths, scaled_scores: bool) -> str:
    """Causal attention: the mean of values of `widths.kv` bits, in `widths.activation` bits.

    `scaled_scores` where they are exact: ONNX Runtime puts the factor into the product.
    """
    scores, steps = _SCALED_SCORES if scaled_scores else _SCALED_DISTANCES
    scale, limit = "up = Add (mean, middle_and_half)", "byte = Cast <to = 2> (up)"
    if widths.activation != widths.kv:
        scale = f"""
    fraction = Constant <value = double {{{2.0 ** (widths.activation - widths.kv)}}}> ()
    fine = Mul (mean, fraction)
    up = Add (fine, middle_and_half)
"""
    if widths.activation < BYTE:
        limit = f"full = Cast <to = 2> (up)\n{_limit('full', 'byte', widths.activation, 'uint8', MIDDLE)}"
    body = _ATTENTION.replace("SCORES", scores).replace("STEPS", steps)
    return body.replace("SCALE", scale).replace("LIMIT", limit)


# a negative index counts from the end: the table starts at gate 0 and goes on with -128
SILU_GATE = """
SiLUGate <shift> (gate_up, table) => (y) {
    half = Constant <value = float {0.5}> ()
    s = Constant <value_int: int = @shift> ()
    sf = Cast <to = 1> (s)
    unit = Pow (half, sf)
    tf = Cast <to = 1> (table)
    scaled = Mul (tf, unit)
    halves = Constant <value_ints = [128, 128]> ()
    negative, positive = Split <axis = 0> (scaled, halves)
    rolled = Concat <axis = 0> (positive, negative)
    batch = Shape <start = 0, end = 1> (gate_up)
    size = Constant <value_ints = [256]> ()
    rows_shape = Concat <axis = 0> (batch, size)
    rows = Expand (rolled, rows_shape)

    gate, up = Split <axis = 1, num_outputs = 2> (gate_up)
    index = Cast <to = 6> (gate)
    silu = GatherElements <axis = 1> (rows, index)
    upf = Cast <to = 1> (up)
    product = Mul (silu, upf)
    tie = Mul (unit, half)
    no_tie = Add (product, tie)
    one = Constant <value = float {1.0}> ()
    middle = Constant <value = uint8 {128}> ()
    y = QuantizeLinear (no_tie, one, middle)
}
"""

ARG_MAX = """
ArgMax (logits) => (y) {
    wide = Cast <to = 6> (logits)
    y = ArgMax <axis = 1, keepdims = 0, select_last_index = 0> (wide)
}
"""
