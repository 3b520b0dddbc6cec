"""`edgellm`: the command line. argparse, because the core runs on boards that have NumPy alone."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence

from edgellm._version import __version__
from edgellm.errors import EdgeLLMError

EPILOG = """\
examples:
  edgellm models                                             what can be loaded by name
  edgellm generate home-260k -p "turn on the kitchen light"  answer on the best back end here
  edgellm generate home-260k -p "set a timer" --backend sim --json
  edgellm distill models/home-260k/config.toml -o runs/home  train a model from its recipe
  edgellm export runs/home/checkpoint -o runs/home/model     checkpoint to integer ONNX
  edgellm eval home-260k                                     how good it is, on four test sets
  edgellm quantize runs/home --calibrate-only -o out/model   float student to integers, no training
  edgellm prune runs/home --config RECIPE -o out/curve       what the student can lose: size against quality
  edgellm compile home-260k --board aup-zu3 -o out/zu3       model to accelerator RTL
  edgellm simulate out/zu3 --verify -p "lock the door"       every stream against the golden model
  edgellm fifos out/zu3 -o sized.json                        least FIFO depths that lose no cycle, by simulation
  edgellm synth out/zu3                                      LUTs, flip-flops, memories and multipliers by Yosys
  edgellm report out/zu3                                     costs, cycles, timelines, roofline: one HTML page
  edgellm bench home-260k                                    latency and throughput of the back ends here
  edgellm bundle out/zu3 -o home-260k-aup-zu3.edgellm        model and accelerator in one file
  edgellm serve home-260k                                    OpenAI's API over HTTP, and a chat
  edgellm keys add kitchen                                   an API key of the service
  edgellm board out/zu3                                      the PYNQ driver on a simulated board
  edgellm doctor                                             what works here, and why not
"""
MODULES = {  # command -> its module in edgellm.cli; in the order of the help
    "generate": "generate",
    "models": "models",
    "distill": "build",
    "export": "build",
    "prune": "prune",
    "quantize": "quantize",
    "fetch": "fetch",
    "paraphrase": "teacher",
    "write": "teacher",
    "eval": "evaluate",
    "compile": "hardware",
    "simulate": "hardware",
    "report": "hardware",
    "cache": "hardware",
    "bundle": "bundle",
    "unbundle": "bundle",
    "keygen": "bundle",
    "board": "board",
    "fifos": "fifos",
    "synth": "synth",
    "bench": "bench",
    "serve": "serve",
    "keys": "serve",
    "demo": "demo",
    "doctor": "doctor",
}
OK, ERROR, INTERRUPTED = 0, 2, 130


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """The whole command line, or what `command` needs of it: to load every module takes longer than an answer."""
    top = argparse.ArgumentParser(
        prog="edgellm",
        description="Small language models in microseconds a token, bit-exact on every back end.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"edgellm {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    modules = [MODULES[command]] if command in MODULES else dict.fromkeys(MODULES.values())
    for module in modules:
        importlib.import_module(f"edgellm.cli.{module}").add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it worked, 2 for an error that the message explains, 130 after Ctrl-C."""
    signal.signal(signal.SIGTERM, _terminate)
    given = sys.argv[1:] if arguments is None else arguments
    options = parser(given[0] if given else None).parse_args(given)
    try:
        return int(options.run(options) or OK)
    except EdgeLLMError as error:
        sys.stderr.write(f"edgellm: error: {error}\n")
        return ERROR
    except OSError as error:
        sys.stderr.write(f"edgellm: error: {error.filename or 'file'}: {error.strerror or error}\n")
        return ERROR
    except KeyboardInterrupt:
        sys.stderr.write("edgellm: interrupted, nothing half-written is left\n")
        return INTERRUPTED


def _terminate(number: int, frame: object) -> None:
    """SIGTERM unwinds like Ctrl-C, so that temporary folders go."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
