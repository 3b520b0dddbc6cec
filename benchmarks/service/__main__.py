"""The service measured: throughput beside llama.cpp's server, added latency, cached answers, streams, overload, faults, a soak.

    python -m benchmarks.service [NAME ...] [--model M] [-o FILE]

Clients and servers share this machine. Medians of repeated, interleaved runs; every number is measured.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.run import context
from benchmarks.service import RESULTS, faults, latency, overload, soak, streams, throughput
from edgellm import files
from edgellm.cli.common import table

Rows = list[dict[str, Any]]
PARTS: dict[str, Callable[[str, Path], Rows]] = {
    "throughput": throughput.measure,
    "latency": latency.added,
    "cached": latency.cached,
    "streams": streams.measure,
    "overload": overload.measure,
    "faults": faults.measure,
    "soak": soak.measure,
}


def main() -> None:
    """Run what is named, or all, and write the results; parts that were not run keep their last ones."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--model", default="home-260k")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}: parts are {', '.join(PARTS)}")
    done = json.loads(options.output.read_text()) if options.output.is_file() else {}
    for name in options.names or PARTS:
        with tempfile.TemporaryDirectory() as work:
            rows = PARTS[name](options.model, Path(work))
        done[name] = {
            **context(),
            "rows": [{"model": options.model, "tag": "measured", **row} for row in rows],
        }
        files.write_text(options.output, json.dumps(done, indent=1) + "\n")
        print(table(["what", "value", "unit"], [(r["what"], f"{r['value']:,.2f}", r["unit"]) for r in rows]))


if __name__ == "__main__":
    main()
