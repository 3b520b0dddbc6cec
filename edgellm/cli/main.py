"""`edgellm`: the command line. argparse, because the core runs on boards that have NumPy alone."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from edgellm._version import __version__
from edgellm.cli import (
    bench,
    board,
    build,
    bundle,
    demo,
    doctor,
    evaluate,
    fetch,
    fifos,
    generate,
    hardware,
    models,
    prune,
    quantize,
    serve,
    synth,
    teacher,
)
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
OK, ERROR, INTERRUPTED = 0, 2, 130


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="edgellm",
        description="Small language models in microseconds a token, bit-exact on every back end.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"edgellm {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for module in (
        generate,
        models,
        build,
        prune,
        quantize,
        fetch,
        teacher,
        evaluate,
        hardware,
        bundle,
        board,
        fifos,
        synth,
        bench,
        serve,
        demo,
        doctor,
    ):
        module.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it worked, 2 for an error that the message explains, 130 after Ctrl-C."""
    signal.signal(signal.SIGTERM, _terminate)
    options = parser().parse_args(arguments)
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
