"""`edgellm demo`: one model on the CPU and on the simulated FPGA, token for token the same."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgellm import catalog
from edgellm.cli.build import require
from edgellm.cli.common import Commands, command, table
from edgellm.errors import SimulationError
from edgellm.runtime import registry
from edgellm.runtime.completion import Completion
from edgellm.runtime.llm import LLM, load

EXAMPLES = """\
examples:
  edgellm demo
  edgellm demo home-260k -p "open the garage door" -o out/demo
"""
PROMPTS = (
    "turn on the kitchen light",
    "turn the volume up to 18 percent in the home theater",
    "add oat milk to my shopping list",
    "set a timer named pizza for 12 minutes",
    "what is the temperature in the attic",
)
ASSUMED_CLOCK_HZ = 200e6


def add(commands: Commands) -> None:
    """Register the command."""
    parser = command(
        commands,
        "demo",
        "show a model on the CPU and on the simulated FPGA with the same tokens",
        run,
        EXAMPLES,
    )
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", default="home-260k", help="name or folder (default: %(default)s)"
    )
    parser.add_argument(
        "-p", "--prompt", metavar="TEXT", action="append", help="a prompt; may be repeated (default: five)"
    )
    parser.add_argument(
        "--board", default="aup-zu3", metavar="BOARD", help="board to compile for (default: %(default)s)"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("out/demo"),
        help="design folder, where an earlier one is replaced (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Compile, run both, compare, verify one prompt stream by stream, show where the cycles go."""
    for module, how in registry.get("sim").needs:
        require(module, how)
    from edgellm.compiler.compile import compile_model
    from edgellm.sim.device import SimulatedDevice
    from edgellm.sim.simulate import PICTURE, simulate

    folder, prompts = catalog.find(options.model), options.prompt or list(PROMPTS)
    compile_model(folder, options.board, options.output)
    with load(folder, "cpu") as cpu, LLM(folder, [lambda: SimulatedDevice(options.output)]) as device:
        pairs = [(text, cpu.generate(text), device.generate(text)) for text in prompts]
    for text, on_cpu, on_device in pairs:
        print(_show(text, on_cpu, on_device))
    print(_summary([on_device for _, _, on_device in pairs]))
    judged = simulate(options.output, prompts[0], None, True)
    print(f"\n'{prompts[0]}', every stream of every node against the golden model:\n{judged}\n")
    print((options.output / "report.txt").read_text(), end="")
    print(f"\nwhere the cycles of one token go: {options.output / PICTURE}")
    return 0


def _show(text: str, on_cpu: Completion, on_device: Completion) -> str:
    """One prompt on both; SimulationError when a token differs."""
    if on_cpu.tokens != on_device.tokens or on_cpu.finish_reason != on_device.finish_reason:
        raise SimulationError(
            f"{text!r}: cpu gave {on_cpu.tokens}, sim gave {on_device.tokens}; edgellm simulate --verify finds the node"
        )
    cycles = on_device.timings.device["cycles_per_token"]
    answer = on_device.text.replace("\t", "   ")
    return (
        f"\n> {text}\n  cpu  {on_cpu.text.replace(chr(9), '   ')}\n  sim  {answer}\n"
        f"  {len(on_device.tokens)} tokens, the same on both; {cycles:,.0f} cycles/token (simulated)"
    )


def _summary(answers: list[Completion]) -> str:
    counts = [answer.timings.device for answer in answers]
    cycles = sum(count["cycles_per_token"] for count in counts) / len(counts)
    first = sum(count["cycles_first_token"] for count in counts) / len(counts)
    wall = sum(len(a.tokens) for a in answers) / sum(a.timings.total for a in answers)
    clock = f"projected, {ASSUMED_CLOCK_HZ / 1e6:.0f} MHz assumed"
    rows = [
        ("cycles per token, one stream", f"{cycles:,.0f}", "simulated"),
        ("cycles to the first token", f"{first:,.0f}", "simulated"),
        ("tokens per second, one stream", f"{ASSUMED_CLOCK_HZ / cycles:,.0f}", clock),
        ("microseconds per token", f"{cycles / ASSUMED_CLOCK_HZ * 1e6:.1f}", clock),
        ("tokens per second of the simulation", f"{wall:,.1f}", "measured here"),
    ]
    return "\n" + table(["accelerator, mean over the prompts", "value", "how known"], rows)
