"""A design folder with the shell of a small accelerator and next to nothing behind it, made without FINN."""

from __future__ import annotations

import json
from pathlib import Path

from edgellm.compiler import boards, handoff
from edgellm.compiler.shell import FILE, Shell
from edgellm.sim import design

BUILD = 0xC0FFEE01
BLOCK = """module block #(parameter FILE = "mem/weights.dat");
  reg [7:0] weights [4];
  initial $readmemh(FILE, weights);
endmodule
"""


def write(folder: Path, board: str, name: str = "toy") -> Path:
    """`folder`, filled."""
    about = boards.load(board)
    for part in ("rtl", "mem"):
        (folder / part).mkdir(parents=True)
    (folder / "rtl" / "block.v").write_text(BLOCK)
    (folder / "rtl" / "host_interface.sv").write_text("module host_interface;\nendmodule\n")
    (folder / "mem" / "weights.dat").write_text("01\n02\n03\n04\n")
    (folder / "top.sv").write_text("module top;\n  block it ();\nendmodule\n")
    (folder / "files.f").write_text("rtl/block.v\ntop.sv\n")
    handoff.write(folder, "top", Shell(24, 2, 8, BUILD), about)
    described = {
        "format": design.FORMAT,
        "model": {"name": name, "sha256": "0"},
        "board": board,
        "part": about.part,
        "clock_mhz": about.clock_mhz,
        "slots": 8,
        "context": 16,
        "vocab": 24,
        "shown_beats": 13,
        "layers": 1,
        "top": "top",
        "sources": ["rtl/block.v", "top.sv"],
        "shell": {"module": "accelerator", "build": BUILD, "sources": ["rtl/host_interface.sv", FILE]},
        "probes": [],
        "cells": [],
    }
    (folder / design.FILE).write_text(json.dumps(described))
    return folder
