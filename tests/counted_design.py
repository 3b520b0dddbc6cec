"""A design of three instances whose synthesis is looked up instead of run."""

import test_sim_design
from test_compiler_report import REPORT

from edgellm.compiler import report
from edgellm.synthesis import count, yosys

CELLS = [("a_block", "a"), ("first_fifo", "FIFOs"), ("second_fifo", "FIFOs")]
COSTS = {"a_block": 7, "first_fifo": 20, "second_fifo": 300, "top": 5000}


def make(place, monkeypatch):
    """Fill the folder `place`, and patch `yosys.count`."""
    cells = [{"module": module, "row": row} for module, row in CELLS]
    test_sim_design.write(place, {**test_sim_design.GOOD, "cells": cells})
    rows = [{**REPORT["nodes"][0], "node": name} for name in ("a", "FIFOs", "alone")]
    report.save(place, {**REPORT, "nodes": rows})
    sources = [f"{module}.sv" for module in COSTS]
    for source in sources:
        (place / source).write_text(f"module {source.removesuffix('.sv')}; endmodule")
    (place / count.SYNTHESIS).write_text("\n".join(sources))

    def counted(library, module, kind):
        assert library.closure(module) == [f"{module}.sv"]
        return {"lut": COSTS[module], "ff": len(kind), "dsp": 0, "bram18": 0, "uram": 0}

    monkeypatch.setattr(yosys, "count", counted)
    return place
