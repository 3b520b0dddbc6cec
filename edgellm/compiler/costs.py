"""What blocks cost, as functions of their folding: the same figures for the search, the board check and the report.

DSP and BRAM follow from the RTL's structure ("formula"). LUT and FF of the project's own blocks are linear fits to
Yosys (synth_xilinx -family xcup) over several foldings ("Yosys fit"); nothing here has seen place and route.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

TERNARY = 2  # bits of weights that are multiplied without DSPs
TERNARY_LUTS = 18.5  # of a product with such a weight: its share of selecting, adding and streaming
LUTRAM_ROWS = 64  # memories up to here are distributed
PACKED_WIDTH = {"DSP48E1": 25, "DSP48E2": 27}  # of the multiplier port that FINN packs several weights into
RESOURCES = ("lut", "ff", "dsp", "bram18", "uram")
FORMULA, FIT = "formula", "Yosys fit"


@dataclass(frozen=True, slots=True)
class Cost:
    """Estimated resources; `source` says where the LUT and FF figures come from."""

    lut: int = 0
    ff: int = 0
    dsp: int = 0
    bram18: int = 0
    uram: int = 0
    source: str = FORMULA

    def __add__(self, other: Cost) -> Cost:
        source = self.source if self.source == other.source else f"{FIT} and {FORMULA}"
        sums = {name: getattr(self, name) + getattr(other, name) for name in RESOURCES}
        return Cost(**sums, source=source)


def bram18(rows: int, width: int) -> int:
    """18-kbit blocks of a simple dual-port memory (UG573: up to 36 bits x 512); 0 where LUTs serve."""
    if rows <= LUTRAM_ROWS:
        return 0
    shapes = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
    return min(ceil(rows / depth) * ceil(width / wide) for depth, wide in shapes)


def memory_style(rows: int) -> str:
    """Synthesis attribute that puts a memory where `bram18` and `lutram` count it."""
    return "block" if rows > LUTRAM_ROWS else "distributed"


def kv_rows(memories: int, kv_heads: int, context: int, pt: int) -> int:
    """Rows of the keys' memory, and of the values': `pt` positions in each; `memories`: layers times slots."""
    return memories * kv_heads * ceil(context / pt)


def uram(rows: int, width: int) -> int:
    """UltraRAM blocks (4096 x 72) of a simple dual-port memory."""
    return ceil(rows / 4096) * ceil(width / 72)


def lutram(rows: int, width: int) -> int:
    """LUTs of a distributed memory."""
    return width if rows <= LUTRAM_ROWS else 0


def dsp_kind(part: str) -> str:
    """Multiplier block of an FPGA part; MULT18 stands for anything that is not a DSP48."""
    if not part.startswith("xc"):
        return "MULT18"
    return "DSP48E1" if part.startswith("xc7") else "DSP48E2"


def products_per_dsp(dsp: str, weight_bits: int, activation_bits: int = 8) -> int:
    """Narrow-weight products that FINN's mvu.sv computes in one multiplier block."""
    if dsp not in PACKED_WIDTH:
        return 1
    return 1 + (PACKED_WIDTH[dsp] - weight_bits) // (weight_bits + activation_bits - 1)


def matmul_dsps(dsp: str, pe: int, simd: int, weight_bits: int) -> int:
    """Multiplier blocks of a PE x SIMD MVAU; ternary weights need none."""
    if weight_bits == TERNARY:
        return 0
    return ceil(pe / products_per_dsp(dsp, weight_bits)) * simd


def matmul(dsp: str, rows: int, cols: int, sets: int, pe: int, simd: int, weight_bits: int) -> Cost:
    """FINN's MVAU_rtl with its weight memory: replay buffer, packed multipliers or ternary adders, output queue.

    Fitted to Yosys' counts of units of 64 to 768 products, with weights of 3 to 8 bits and ternary ones.
    """
    products = pe * simd
    width, depth = products * weight_bits, sets * rows * cols // products
    kept = lutram(depth, width)  # and a register behind it
    if weight_bits == TERNARY:
        lut, ff = 66 + 20 * pe + int(TERNARY_LUTS * products), 118 + 18 * pe + 306 * products // 10
    else:
        lut = 60 + 26 * pe + (145 + 38 * weight_bits) * products // 10
        ff = 300 + 19 * pe + (130 + 102 * weight_bits) * products // 10
    dsps = matmul_dsps(dsp, pe, simd, weight_bits)
    return Cost(lut=lut + kept, ff=ff + kept, dsp=dsps, bram18=bram18(depth, width), source=FIT)


def rms_norm(n: int, pe: int, dsp: str) -> Cost:
    """One of the two products of a lane has a factor of 26 bits, which takes two MULT18."""
    rows, width = 2 * n // pe, pe * 16
    products = 2 if dsp in PACKED_WIDTH else 3
    return Cost(
        lut=575 + 42 * pe,
        ff=440 + 89 * pe,
        dsp=products * pe,
        bram18=bram18(rows, width),
        source=FIT,
    )


def requantise(n: int, pe: int, sets: int, entry_bits: int, adds: bool) -> Cost:
    """`entry_bits`: multiplier and, where the table holds it, bias of one channel."""
    rows, row = sets * n // pe, pe * entry_bits
    lut = 6 + (73 if adds else 33) * pe + lutram(rows, row)
    return Cost(lut=lut, ff=16 + (87 if adds else 80) * pe, dsp=pe, bram18=bram18(rows, row), source=FIT)


def rope(context: int, head_dim: int, pe: int) -> Cost:
    pairs, rows = pe // 2, context * head_dim // pe
    lut = 14 + 111 * pairs + lutram(rows, 30 * pairs)
    return Cost(lut=lut, ff=24 + 177 * pairs, dsp=4 * pairs, bram18=bram18(rows, 30 * pairs), source=FIT)


def silu_gate(pe: int) -> Cost:
    return Cost(lut=1 + 40 * pe, ff=4 + 50 * pe, dsp=pe, source=FIT)


def attention(
    heads: int,
    kv_heads: int,
    head_dim: int,
    context: int,
    memories: int,
    pt: int,
    om: int,
    ultra: bool,
    dsp: str,
    kv_bits: int = 8,
) -> Cost:
    """`memories`: layers times slots; `ultra`: keys and values in UltraRAM; the logic is that of 8 bits.

    Every product is wider than a MULT18 and takes two.
    """
    group = heads // kv_heads
    products = ceil(group / 2) * head_dim * pt  # two products share a multiplier block
    rows, width = kv_rows(memories, kv_heads, context, pt), pt * head_dim * kv_bits
    return Cost(
        lut=1620 + 120 * products,
        ff=3130 + 132 * products,
        dsp=(1 if dsp in PACKED_WIDTH else 2)
        * (2 * products + group * pt + om),  # scores and mean, distance to table index, scaling
        bram18=ceil(group * pt / 2)
        + 1
        + (0 if ultra else 2 * bram18(rows, width)),  # tables, keys and values
        uram=2 * uram(rows, width) if ultra else 0,
        source=FIT,
    )


def embedding(vocab: int, n: int, pe: int, bits: int = 8) -> Cost:
    rows, width = vocab * n // pe, pe * bits
    return Cost(lut=50 + lutram(rows, width), ff=100 + 8 * pe, bram18=bram18(rows, width), source=FIT)


def argmax(pe: int, bits: int = 16) -> Cost:
    return Cost(lut=9 + (13 + bits) * pe, ff=88 + (4 + bits) * pe, source=FIT)


def logits_tap(pe: int) -> Cost:
    return Cost(lut=60 + 32 * pe, ff=140 + 64 * pe, source=FORMULA)


def sampler(pe: int, bits: int) -> Cost:
    """Generators of two words, a table for each word, a multiplier for each noise and one for its ramp."""
    generators, queue = ceil(pe / 2), pe * bits
    return Cost(
        lut=150 + 900 * generators + (180 + 16) * pe + queue,
        ff=350 + 900 * generators + 260 * pe + 2 * queue,
        dsp=2 * pe,
        bram18=pe * bram18(512, 26),
        source=FORMULA,
    )


def fork(copies: int, width: int) -> Cost:
    return Cost(lut=2 * copies, ff=width + copies, source=FIT)


def loop_control(tokens: int, beats: int, width: int) -> Cost:
    ring = tokens * beats
    return Cost(lut=150 + 3 * width, ff=170 + 5 * width, bram18=bram18(ring, width), source=FIT)


def sequencer(slots: int) -> Cost:
    return Cost(lut=780 + 80 * slots, ff=880 + 16 * slots, source=FIT)
