"""Accelerators of the shipped models on boards: cycles from RTL simulation, resources counted by Yosys, what was predicted.

    python -m benchmarks.accelerator [CASE ...] [-o FILE]

A case is MODEL@BOARD or MODEL@BOARD@SLOTS; a MODEL-ternary that is not shipped is the ternary twin of MODEL
(benchmarks.models). Results of other cases stay in FILE; the table of the README is made from it (benchmarks.tables).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks import models
from benchmarks.run import context
from edgellm import catalog, files
from edgellm.compiler import report
from edgellm.compiler.budget import Goal
from edgellm.compiler.compile import compile_model
from edgellm.compiler.costs import RESOURCES
from edgellm.numerics import onnxfile
from edgellm.numerics.model import Block, IntegerModel
from edgellm.progress import track
from edgellm.sim import load
from edgellm.sim.accelerator import Accelerator
from edgellm.synthesis import count

MODELS, BOARDS = ("home-260k", "home-260k-ternary", "home-1m", "home-1m-ternary"), ("aup-zu3", "kv260")
MANY = "home-260k@kv260@16"  # as many slots as its multipliers need to be busy
POSITION, PROMPT = 64, 32
RESULTS = Path("benchmarks/results/accelerator.json")
DESIGNS = Path("out/bench")


def measure(case: str) -> dict[str, Any]:
    """Compile, simulate under load, synthesise: one row of the results."""
    model, board, *slots = case.split("@")
    folder = DESIGNS / case.replace("@", "-")
    compile_model(source(model), board, folder, goal=Goal(slots=int(slots[0]) if slots else None))
    device = Accelerator(folder)
    with track("Simulating under load"):
        start, first = time.monotonic(), device.cycle
        cycles = load.measure(device, POSITION, PROMPT)
        speed = (device.cycle - first) / (time.monotonic() - start)
    counted = count.nodes(folder)
    told = report.load(folder)
    return {
        "case": case,
        "model": model,
        "board": board,
        "weights": weights(onnxfile.load(folder / "model" / "model.onnx")),
        **context(),
        "clock_mhz": told["board"]["clock_mhz"],
        "slots": told["slots"],
        "predicted": {"single": told["search"]["single"], "busy": told["search"]["saturated"]},
        "simulated": cycles.to_dict(),
        "utilisation": utilisation(told["nodes"], POSITION, cycles.busy),
        "resources": {name: _resource(told, counted, name) for name in RESOURCES},
        "simulator_cycles_per_second": round(speed),
    }


def source(model: str) -> Path:
    """Folder of a shipped model, or of the ternary twin of one."""
    shipped = model.removesuffix(models.TERNARY)
    if model in catalog.available() or shipped == model:
        return catalog.find(model)
    twin = models.ternary(onnxfile.load(catalog.find(shipped) / "model.onnx"))
    return models.save(twin, DESIGNS / "models" / model)


def weights(model: IntegerModel) -> int:
    """Numbers that the model learnt in its matrices and embedding."""
    linear = [getattr(block, part.name) for block in model.blocks for part in fields(Block)]
    return int(model.embedding.size + model.head.weight.size + sum(layer.weight.size for layer in linear))


def utilisation(nodes: list[dict[str, Any]], position: int, cycles: float) -> float:
    """Share of the multipliers' cycles that hold a multiplication of the model, one token every `cycles`."""
    works = [row["work"] for row in nodes if row.get("work")]
    macs = sum(work["vectors"] * (work["macs"] + work["macs_per_key"] * (position + 1)) for work in works)
    return float(macs / (sum(work["macs_per_cycle"] for work in works) * cycles))


def _resource(told: dict[str, Any], counted: dict[str, dict[str, int]], name: str) -> dict[str, int]:
    total = sum(node[name] for node in counted.values())
    return {"estimated": told["totals"][name], "counted": total, "board": told["board"][name]}


def main() -> None:
    """Measure the cases and merge them into the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = [f"{model}@{board}" for model in MODELS for board in BOARDS]
    every.insert(2, MANY)
    parser.add_argument("cases", nargs="*", default=every, metavar="CASE", help=f"default: {' '.join(every)}")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    for case in options.cases:
        row = measure(case)
        rows = json.loads(options.output.read_text(encoding="utf-8")) if options.output.exists() else []
        rows = [old for old in rows if old["case"] != case] + [row]
        rows.sort(key=lambda one: every.index(one["case"]) if one["case"] in every else len(every))
        files.write_text(options.output, json.dumps(rows, indent=1) + "\n")
        print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
