"""The default folding: of all balanced ones that fit the board, the one with the fewest cycles a token.

Balanced means that every linear layer of the block is given the fewest multipliers with which it keeps up with one
vector every `interval` cycles. The search tries every interval for the block and for the head, several lane counts of
the residual stream and parallelisms of attention, and keeps what stays within SHARE of the board.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from edgellm.compiler import estimate
from edgellm.compiler.boards import Board
from edgellm.compiler.costs import RESOURCES, Cost
from edgellm.compiler.estimate import Design
from edgellm.compiler.folding import Folding, Nodes, divisors, legal, matmul_shapes
from edgellm.errors import BoardTooSmall
from edgellm.numerics import sampling
from edgellm.numerics.model import IntegerModel

NAMES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM18", "uram": "URAM"}
# Of the board. LUTs also carry FIFOs and width converters; multipliers do not congest the routing as LUTs do.
SHARE = {"lut": 0.6, "ff": 0.6, "dsp": 0.8, "bram18": 0.7, "uram": 0.9}
TOKENS = 8  # in flight in the loop
SLOTS = (4, 2, 1)
MAX_LANES = 16
MAX_SIMD = 32  # adder trees beyond this, and fan-out beyond MAX_PE, hurt the clock
MAX_PE = 64
MIN_INTERVAL = 16
SPARE = (0.0, 0.15)  # multiplier blocks that a shape with a shorter way may cost more than the cheapest
WIDER = (1, 2, 4)  # lanes behind a linear layer, in multiples of what keeps up
REFERENCE = 8  # latency is compared at an eighth of the context: commands are short

Part = tuple[Nodes, Cost]
Way = tuple[int, int, int, int, int, int]  # DSP, LUT, BRAM18, cycles a vector, PE, SIMD


def capacity(board: Board) -> dict[str, int]:
    """What the board has, by the names of Cost."""
    counts = (board.lut, board.ff, board.dsps, board.bram18, board.uram)
    return dict(zip(RESOURCES, counts, strict=True))


def design_of(model: IntegerModel, board: Board, slots: int) -> Design:
    """What the estimates need to know; keys and values go to UltraRAM where there is some."""
    step_bits = sampling.step_bits_of(model.logit_step)
    return Design(model.arch, estimate.widths(model), board.dsp, slots, TOKENS, board.uram > 0, step_bits)


def default_folding(model: IntegerModel, board: Board, slots: int | None = None) -> tuple[Folding, int]:
    """The fastest folding that leaves room on the board, and the slots it serves.

    Without `slots` it is the most of SLOTS with which there is a folding. Raises BoardTooSmall.
    """
    limits = {name: int(have * SHARE[name]) for name, have in capacity(board).items()}
    choices = SLOTS if slots is None else (slots,)
    for count in choices:
        best = _search(design_of(model, board, count), limits)
        if best is not None:
            return best, count
    raise BoardTooSmall(_explain(design_of(model, board, choices[-1]), board))


def _search(design: Design, limits: dict[str, int]) -> Folding | None:
    arch, position = design.arch, design.arch.context // REFERENCE
    best: tuple[int, int, Nodes] | None = None
    heads = _heads(design)
    for parts in product(_blocks(design), _residuals(design), _attentions(design)):
        used = estimate.total({str(i): cost for i, (_, cost) in enumerate(parts)})
        if not _holds(limits, used):
            continue
        nodes = {node: factors for part, _ in parts for node, factors in part.items()}
        if not all(_divide(a, b) for a, b in _meetings(nodes)):
            continue
        block = arch.layers * estimate.loop_pass(arch, Folding(nodes), position)
        if best is not None and block >= best[0]:
            continue
        for head in heads:  # the fastest first
            if not _holds(limits, used + head[1]):
                continue
            whole = {**nodes, **head[0]}
            if not _divide(whole["final_norm"]["PE"], whole["head_acc"]["SIMD"]):
                continue
            rank = (block + estimate.head_latency(arch, Folding(whole)), (used + head[1]).dsp)
            if best is None or rank < best[:2]:
                best = (*rank, whole)
            break
    return Folding(best[2]) if best else None


def _meetings(nodes: Nodes) -> list[tuple[int, int]]:
    """Lanes of two streams that a width converter joins, where the parts of a folding meet."""
    return [
        (nodes["attn_norm"]["PE"], nodes["qkv_acc"]["SIMD"]),
        (nodes["ffn_norm"]["PE"], nodes["gate_up_acc"]["SIMD"]),
        (nodes["attn_residual"]["PE"], nodes["attn_out_acc"]["PE"]),
        (nodes["ffn_residual"]["PE"], nodes["down_acc"]["PE"]),
    ]


def _divide(a: int, b: int) -> bool:
    """Whether a converter between a and b lanes runs at full rate: one must divide the other."""
    return a % b == 0 or b % a == 0


def _holds(limits: dict[str, int], cost: Cost) -> bool:
    return all(getattr(cost, name) <= limit for name, limit in limits.items())


def _intervals(design: Design, nodes: list[str]) -> list[int]:
    """Cycles in which a linear layer can be done, thinned to powers of two and three times those."""
    shapes = [matmul_shapes(design.arch)[node] for node in nodes]
    longest = max(rows * cols for rows, cols in shapes)
    steps = (base << k for base in (2, 3) for k in range(longest.bit_length()))
    return sorted({t for t in steps if MIN_INTERVAL <= t <= longest} | {longest})


def _ways(design: Design, node: str) -> list[Way]:
    """Every PE and SIMD of a linear layer, the cheapest first: fewest multiplier blocks, then fewest LUTs."""
    rows, cols = matmul_shapes(design.arch)[node]
    ways = []
    for simd, pe in product(divisors(rows), divisors(cols)):
        if simd <= MAX_SIMD and pe <= MAX_PE:
            _, cost = _priced(design, {node: {"PE": pe, "SIMD": simd}})
            ways.append((cost.dsp, cost.lut, cost.bram18, (rows // simd) * (cols // pe), pe, simd))
    return sorted(ways)


def _choose(rows: int, ways: list[Way], interval: int, spare: float) -> dict[str, int] | None:
    """PE and SIMD that keep up with one vector every `interval` cycles.

    Of those that need at most `spare` more multiplier blocks than the cheapest, the one that is through first: reading
    a vector takes rows/SIMD cycles, the last PE results leave one after the other.
    """
    able = [way for way in ways if way[3] <= interval]
    if not able:
        return None
    close = [way for way in able if way[0] <= able[0][0] * (1 + spare)]
    *_, pe, simd = min(close, key=lambda way: (rows // way[5] + way[4], way))
    return {"PE": pe, "SIMD": simd}


def _priced(design: Design, nodes: Nodes) -> Part:
    return nodes, estimate.total(estimate.node_costs(design, Folding(nodes)))


def _lanes(n: int, interval: int, producer: int) -> int:
    """Fewest lanes that pass n values in `interval` cycles and divide the producer's."""
    return min((d for d in divisors(producer) if n // d <= interval), default=producer)


def _blocks(design: Design) -> list[Part]:
    """The linear layers of the block and what follows them directly."""
    names = [node for node in matmul_shapes(design.arch) if node != "head_acc"]
    ways = {node: _ways(design, node) for node in names}
    choices = product(_intervals(design, names), WIDER, SPARE)
    return [part for choice in choices for part in [_block(design, ways, *choice)] if part]


def _block(
    design: Design, ways: dict[str, list[Way]], interval: int, wider: int, spare: float
) -> Part | None:
    shapes = matmul_shapes(design.arch)
    found = {node: _choose(shapes[node][0], choices, interval, spare) for node, choices in ways.items()}
    nodes = {node: factors for node, factors in found.items() if factors}
    if len(nodes) < len(ways):
        return None
    a, pace = design.arch, interval // wider
    rope = [pe for pe in legal(a)["rope"]["PE"] if a.qkv_width // pe <= pace]
    gate = _gate(a.ffn, pace, nodes["gate_up_acc"]["PE"], nodes["down_acc"]["SIMD"])
    if gate is None or not _divide(a.head_dim, nodes["attn_out_acc"]["SIMD"]):
        return None
    nodes["qkv"] = {"PE": _lanes(a.qkv_width, pace, nodes["qkv_acc"]["PE"])}
    nodes["rope"] = {"PE": min((pe for pe in rope if _divide(pe, nodes["qkv"]["PE"])), default=a.head_dim)}
    nodes["gate_up"], nodes["glu"] = {"PE": gate[0]}, {"PE": gate[1]}
    return _priced(design, nodes)


def _gate(ffn: int, pace: int, producer: int, consumer: int) -> tuple[int, int] | None:
    """Fewest lanes of gate_up and of glu that keep up and divide into each other and their neighbours."""
    for lanes, pairs in product(divisors(producer), divisors(ffn)):
        fast = 2 * ffn // lanes <= pace and ffn // pairs <= pace
        if fast and (2 * ffn) % lanes == 0 and _divide(lanes, 2 * pairs) and _divide(pairs, consumer):
            return lanes, pairs
    return None


def _residuals(design: Design) -> Iterator[Part]:
    """Lanes of the residual stream and of the norms."""
    names = ("embed", "attn_norm", "attn_residual", "ffn_norm", "ffn_residual", "final_norm")
    for lanes in divisors(design.arch.width):
        if lanes <= MAX_LANES:
            yield _priced(design, {name: {"PE": lanes} for name in names})


def _attentions(design: Design) -> Iterator[Part]:
    table = legal(design.arch)["attention"]
    for pt, om in product(table["PT"], table["OM"]):
        if pt <= MAX_LANES and om <= MAX_LANES:
            yield _priced(design, {"attention": {"PT": pt, "OM": om}})


def _heads(design: Design) -> list[Part]:
    """The head's linear layer and what follows it, the fastest first."""
    ways = _ways(design, "head_acc")
    choices = product(_intervals(design, ["head_acc"]), WIDER, SPARE)
    heads = [part for choice in choices for part in [_head(design, ways, *choice)] if part]
    slowest_norm = {"final_norm": {"PE": 1}}
    return sorted(
        heads,
        key=lambda part: (
            estimate.head_latency(design.arch, Folding({**part[0], **slowest_norm})),
            part[1].dsp,
        ),
    )


def _head(design: Design, ways: list[Way], interval: int, wider: int, spare: float) -> Part | None:
    factors = _choose(design.arch.width, ways, interval, spare)
    if factors is None:
        return None
    lanes = _lanes(design.arch.vocab, interval // wider, factors["PE"])
    return _priced(design, {"head_acc": factors, "logits": {"PE": lanes}, "argmax": {"PE": lanes}})


def _explain(design: Design, board: Board) -> str:
    """Name what is short even when each part takes its least."""
    choices = (_blocks(design), _residuals(design), _attentions(design), _heads(design))
    options = [[cost for _, cost in parts] for parts in choices]
    need = {name: sum(min(getattr(c, name) for c in costs) for costs in options) for name in RESOURCES}
    have = capacity(board)
    short = [n for n in RESOURCES if need[n] > have[n] * SHARE[n]] or ["dsp", "lut"]
    needs = " and ".join(f"{need[name]} {NAMES[name]}" for name in short)
    room = " and ".join(f"{int(have[name] * SHARE[name])} of {have[name]}" for name in short)
    return (
        f"with {design.slots} slots the model needs at least {needs}; {board.name} has {room} to give: "
        "choose a larger board, fewer slots, a shorter context or a smaller model"
    )
