"""What is measured of a whole process: how soon a new one answers, and how much memory it takes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.speed import PROMPT

# bytecode is kept, as that of an installed package is
BYTECODE = Path(tempfile.gettempdir()) / "edgellm-bench-bytecode"
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPYCACHEPREFIX": str(BYTECODE),
}
LIBRARY = """
import edgellm, sys
with edgellm.load(sys.argv[1], backend=sys.argv[2]) as llm:
    next(llm.stream(sys.argv[3]))
    print("token", flush=True)
"""
MEMORY = """
import edgellm, sys
with edgellm.load(sys.argv[1], backend=sys.argv[2]) as llm:
    llm.generate(sys.argv[3], max_tokens=64)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def library_start(model: str, backend: str) -> float:
    """Seconds from the start of a process to the first token of an `LLM` in it."""
    return _first_output([sys.executable, "-c", LIBRARY, model, backend, PROMPT])


def cli_start(model: str, backend: str) -> float:
    """Seconds from the start of `edgellm generate` to the first it writes."""
    command = [sys.executable, "-m", "edgellm.cli.main", "generate", model]
    return _first_output([*command, "-p", PROMPT, "--backend", backend])


def memory(model: str, backend: str) -> float:
    """Most resident memory of a process that answers, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, model, backend, PROMPT],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout.split()[-1]) * 1024 / 1e6


def _first_output(command: list[str]) -> float:
    start = time.monotonic()
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        if process.stdout is None or not process.stdout.read(1):
            raise RuntimeError(f"nothing came from {' '.join(command)}")
        elapsed = time.monotonic() - start
        process.stdout.read()
    return elapsed
