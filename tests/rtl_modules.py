"""Builds of the RTL under test: which files each module needs, and tags and beats in Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgellm.sim import verilator
from edgellm.sim.harness import Simulation

RTL = Path(__file__).resolve().parents[1] / "hw" / "rtl"
LOGITS = 1 << 24  # tag flag: the head must run for this token

SOURCES: dict[str, tuple[str, ...]] = {
    "axis_register": ("axis_register",),
    "rms_norm": ("adder_tree", "inverse_root", "saturate", "rms_norm"),
    "requantise": ("saturate", "requantise"),
    "rope": ("saturate", "rope"),
    "silu_gate": ("saturate", "silu_gate"),
    "axis_fifo": ("axis_fifo",),
    "width_converter": ("width_converter",),
    "ternary_mvu": ("ternary_mvu",),
    "embedding": ("embedding",),
    "argmax": ("argmax",),
    "sampler": ("axis_fifo", "threefry", "gumbel", "sampler"),
    "loop_control": ("axis_register", "axis_fifo", "loop_control"),
    "sequencer": ("axis_register", "axis_fifo", "sequencer"),
    "causal_attention": (
        "adder_tree", "shared_multiply", "simple_dual_port_ram", "kv_memory", "attention_copy", "attention_load",
        "attention_scores", "attention_exp", "attention_softmax", "attention_reciprocal", "saturate", "attention_scale",
        "causal_attention",
    ),
}  # fmt: skip


def simulation(module: str, run_dir: Path, seed: int = 1, /, **parameters: int | str) -> Simulation:
    """A simulation of one module that has been reset; its outputs must all come from registers."""
    sources = [RTL / f"{name}.sv" for name in SOURCES[module]]
    sim = Simulation(verilator.build(module, sources, parameters), run_dir, seed=seed)
    sim.require_registered_outputs()
    sim.reset()
    return sim


def tag(position: int, slot: int = 0, layer: int = 0, flags: int = 0) -> int:
    """Tag of 32 bits; with a layer, block tag of 40."""
    return layer << 32 | flags << 24 | slot << 16 | position


def numbers(rows: NDArray[np.uint8]) -> list[int]:
    """Beats as unsigned integers."""
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def write_table(path: Path, values: Iterable[Sequence[int]], bits: int) -> None:
    """A $readmemh file: one line a row, the first value in the low bits."""
    mask, digits = (1 << bits) - 1, 0
    with path.open("w") as file:
        for row in values:
            word = sum((int(value) & mask) << (bits * lane) for lane, value in enumerate(row))
            digits = (bits * len(row) + 3) // 4
            file.write(f"{word:0{digits}x}\n")
