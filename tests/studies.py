"""What is known about a design that nobody compiled: a report, a recording of one prompt and of two busy slots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgellm.report.study import Study
from edgellm.sim import timeline
from edgellm.sim.full_pipeline import FullPipeline, Load
from edgellm.sim.recording import Judgement, OnePrompt, Recording
from edgellm.sim.spans import Span

COUNTS = {"lut": 100, "ff": 200, "dsp": 8, "bram18": 3, "uram": 0}
NODES = ("embed", "qkv_acc", "attention", "head_acc")
# two layers: 1,000 MACs a vector at 10 a cycle; 8 a key at 16 a cycle; 3,000 at 20 a cycle
QKV = {"vectors": 2, "macs": 1000, "macs_per_key": 0, "macs_per_cycle": 10, "bits_per_cycle": 40}
ATTENTION = {"vectors": 2, "macs": 0, "macs_per_key": 8, "macs_per_cycle": 16, "bits_per_cycle": 64}
HEAD = {"vectors": 1, "macs": 3000, "macs_per_key": 0, "macs_per_cycle": 20, "bits_per_cycle": 80}


def row(node: str, op: str, work: dict[str, int] | None, **folding: int) -> dict[str, Any]:
    """A row of report.json."""
    cycles = {"expected_cycles": 32, "measured_cycles": None}
    return {
        "node": node,
        "op": op,
        "folding": folding,
        **cycles,
        **COUNTS,
        "source": "formula",
        "work": work,
    }


def report() -> dict[str, Any]:
    """A report.json of four nodes on a board with few multiplier blocks."""
    rows = [
        row("embed", "Embedding", None, PE=2),
        row("qkv_acc", "MVAU", QKV, PE=5, SIMD=2),
        row("attention", "CausalAttention", ATTENTION, PT=1, OM=4),
        row("head_acc", "MVAU", HEAD, PE=10, SIMD=2),
    ]
    board = {"title": "Toy", "part": "xc", "dsp_kind": "DSP48E2", "clock_mhz": 100}
    return {
        "format": 1,
        "model": "toy & co",
        "slots": 4,
        "nodes": rows,
        "totals": {name: 4 * count for name, count in COUNTS.items()},
        "board": {**board, "lut": 1000, "ff": 1000, "dsp": 20, "bram18": 24, "uram": 0},
        "macs": {"first_position": 5016, "last_position": 6000},
        "cycles": {"first_position": 900, "last_position": 1300, "saturated": 250},
    }


def one_prompt() -> OnePrompt:
    """Three tokens behind a prompt of five, 800 cycles each."""
    spans = [
        timeline.Span("embed", None, 100, 131),
        timeline.Span("qkv_acc", 0, 150, 249),
        timeline.Span("attention", 0, 260, 280),
        timeline.Span("qkv_acc", 1, 300, 399),
        timeline.Span("attention", 1, 410, 430),
        timeline.Span("head_acc", None, 450, 599),
    ]
    return OnePrompt(5, 3, 1500.0, 800.0, 6, spans)


def full_pipeline() -> FullPipeline:
    """Two slots, four tokens in 1,000 cycles."""
    nodes = {
        "embed": Load(4, 40, 0.1),
        "qkv_acc": Load(8, 80, 0.7),
        "attention": Load(8, 80, 0.2),
        "head_acc": Load(4, 40, 0.6),
    }
    spans = [Span("head_acc", 0, 9, None, 990, 1100), Span("qkv_acc", 1, 10, 1, 1020, 1119)]
    return FullPipeline(2, 1000, 2000, 4, nodes, 1020, spans)


JUDGED = Judgement("lock <the> door", False, 3, 4, 60, 7000)


def study(*sections: str, counted: bool = False) -> Study:
    """With the named sections of a recording, all when none is named."""
    known = {"one_prompt": one_prompt(), "full_pipeline": full_pipeline(), "judgement": JUDGED}
    found = report()
    if counted:
        for node in found["nodes"][1:]:
            node["counted"] = {"source": "Yosys", **{name: count + 1 for name, count in COUNTS.items()}}
    return Study(found, Recording(**{name: known[name] for name in sections or known}))


def write(folder: Path) -> Path:
    """The report of a design folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report()))
    return folder
