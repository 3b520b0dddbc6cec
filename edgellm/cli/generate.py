"""`edgellm generate`: a prompt in, an answer out."""

from __future__ import annotations

import argparse
import json
import os
import sys

from edgellm.cli.common import Commands, command
from edgellm.runtime import registry
from edgellm.runtime.llm import Completion, Stream, load

EXAMPLES = """\
examples:
  edgellm generate home-260k -p "turn on the kitchen light"
  edgellm generate household-260k -p "What is a spoon?" --temperature 0.7 --seed 3
  edgellm generate home-260k -p "add milk to my shopping list" --backend sim --json
  echo "lock the front door" | edgellm generate home-260k
"""


def add(commands: Commands) -> None:
    """Register the command."""
    parser = command(commands, "generate", "answer a prompt", run, EXAMPLES)
    parser.add_argument("model", metavar="MODEL", help="name or folder of a model")
    parser.add_argument("-p", "--prompt", metavar="TEXT", help="the prompt; standard input when left out")
    parser.add_argument(
        "--backend",
        default=registry.AUTO,
        metavar="B",
        help=f"{', '.join([registry.AUTO, *registry.BACKENDS])} (default: auto)",
    )
    parser.add_argument(
        "--max-tokens",
        type=int,
        metavar="N",
        help="generate at most N tokens (default: to the context's end)",
    )
    parser.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="end before this text; may be repeated"
    )
    parser.add_argument(
        "--temperature", type=float, default=0.0, metavar="T", help="draw tokens (default: 0, the likeliest)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: 0)")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object with tokens, finish reason and timings"
    )


def run(options: argparse.Namespace) -> int:
    """Answer once."""
    text = options.prompt if options.prompt is not None else sys.stdin.buffer.read()
    prompt = text if isinstance(text, bytes) else os.fsencode(text)
    with load(options.model, options.backend) as llm:
        stream = llm.stream(
            prompt, options.max_tokens, options.stop, temperature=options.temperature, seed=options.seed
        )
        if options.json:
            for _ in stream:
                pass
            print(json.dumps(stream.completion.to_dict()))
        else:
            _print_streaming(stream)
    return 0


def _print_streaming(stream: Stream) -> None:
    for chunk in stream:
        sys.stdout.write(chunk.text)
        sys.stdout.flush()
    sys.stdout.write("\n")
    sys.stderr.write(summary(stream.completion) + "\n")


def summary(completion: Completion) -> str:
    """One line: how many tokens, how fast, on what."""
    timings = completion.timings
    line = (
        f"[{completion.backend}: {len(completion.tokens)} tokens, {completion.finish_reason}, "
        f"first after {timings.first_token * 1e3:.1f} ms, {timings.tokens_per_second:,.0f} tokens/s measured here"
    )
    if "cycles_per_token" in timings.device:
        line += f", {timings.device['cycles_per_token']:,.0f} cycles/token simulated"
    return line + "]"
