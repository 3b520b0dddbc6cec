"""Formal proofs of RTL: Yosys makes a circuit of a module and its assertions, ABC proves them for every run of any length.

`prove` does the work in a process of its own (`python prove.py REQUEST`). Assertions are immediate ones in the modules of
hw/formal; registers without a reset begin with any value.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HW = Path(__file__).resolve().parents[1] / "hw"
PROVED = re.compile(r"^Property proved", re.MULTILINE)
PLACE = re.compile(r'src="(?:[^"]*/)?([^"/:]+:\d+)')
BROKEN = re.compile(r'^Output (\d+) of miter "[^"]*" was asserted in frame (\d+)', re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """Of all assertions together; `cycle` is when one is broken first in the run that was found."""

    broken: str | None  # file:line of the assertion
    cycle: int | None
    log: str

    @property
    def proved(self) -> bool:
        return self.broken is None


def prove(top: str, sources: list[Path], work: Path, /, limit_s: int = 600, **parameters: int) -> Verdict:
    """Prove the assertions of hw/formal/TOP.sv and of what it instantiates."""
    files = [*map(str, sources), *map(str, sorted((HW / "formal").glob("*.sv")))]
    request = work / "request.json"
    circuit = work / "circuit.aig"
    request.write_text(
        json.dumps({"top": top, "files": files, "parameters": parameters, "circuit": str(circuit)})
    )
    made = subprocess.run(
        [sys.executable, __file__, str(request)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise RuntimeError(f"{top}: no circuit\n{made.stdout[-2000:]}{made.stderr[-500:]}")
    return _judge(circuit, limit_s)


def _judge(circuit: Path, limit_s: int) -> Verdict:
    import pyosys

    abc = Path(pyosys.__file__).parent / "yosys-abc"
    script = f"read_aiger {circuit}; fold; strash; scorr; pdr -T {limit_s}; print_status"
    log = subprocess.run([abc, "-q", script], capture_output=True, text=True, check=True).stdout
    broken = BROKEN.search(log)
    if broken is None and not PROVED.search(log):
        raise RuntimeError(f"{circuit}: neither proved nor refuted\n{log[-2000:]}")
    if broken is None:
        return Verdict(None, None, log)
    names = PLACE.findall(circuit.with_suffix(".names").read_text())
    return Verdict(names[int(broken[1])], int(broken[2]), log)


def commands(top: str, files: list[str], parameters: dict[str, int], circuit: str) -> list[str]:
    """Yosys commands from SystemVerilog to an AIGER file with one output an assertion."""
    given = " ".join(f"-G {name}={value}" for name, value in parameters.items())
    read = f"read_slang --threads 1 --allow-use-before-declare --top {top} {given} {' '.join(files)}"
    lower = [
        "async2sync",
        "chformal -lower",
        "memory_map",
        "formalff -clk2ff -ff2anyinit",
        "setundef -undriven -anyseq",
    ]
    gates = ["opt -full", "techmap", "opt -full", "dffunmap", "aigmap", "opt_clean"]
    names = f"tee -q -o {Path(circuit).with_suffix('.names')} printattrs t:$assert"
    write = f"write_aiger -I -B -zinit -no-startoffset {circuit}"
    return [read, f"prep -flatten -top {top}", *lower, *gates, names, write]


def main() -> None:
    """Do what the request says."""
    from pyosys import libyosys

    design = libyosys.Design()
    for line in commands(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))):
        libyosys.run_pass(line, design)


if __name__ == "__main__":
    main()
