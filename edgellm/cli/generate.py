"""`edgellm generate`: a prompt in, an answer out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from edgellm.cli.common import Commands, command
from edgellm.errors import UsageError
from edgellm.runtime import chains, registry
from edgellm.runtime.completion import Completion
from edgellm.runtime.llm import Stream, load
from edgellm.runtime.post import Maker

EXAMPLES = """\
examples:
  edgellm generate home-260k -p "turn on the kitchen light"
  edgellm generate household-260k -p "What is a spoon?" --temperature 0.7 --seed 3
  edgellm generate home-260k -p "add milk to my shopping list" --backend sim --json
  edgellm generate home-260k -p "turn on the lamp" --choices "HassTurnOn name= lamp,HassTurnOff name= lamp"
  edgellm generate home-260k -p "is the door locked?" --json-schema schema.json --filters chains.toml
  echo "lock the front door" | edgellm generate home-260k
"""


def add(commands: Commands) -> None:
    """Register the command."""
    parser = command(commands, "generate", "answer a prompt", run, EXAMPLES)
    parser.add_argument("model", metavar="MODEL", help="name, folder or bundle of a model")
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
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json-schema", metavar="FILE", help="the answer is JSON of this schema")
    form.add_argument("--grammar", metavar="FILE", help="it follows this grammar, Lark or GBNF")
    form.add_argument("--regex", metavar="PATTERN", help="it matches this regular expression as a whole")
    form.add_argument("--choices", metavar="A,B,...", help="it is one of these texts")
    parser.add_argument(
        "--filters",
        metavar="FILE",
        help="a TOML file of filters of the prompt and post-processors of the answer",
    )
    parser.add_argument(
        "--post",
        metavar="P,...",
        help=f"change the answer's text, after what --filters says: {', '.join(chains.POST)}",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object with tokens, finish reason and timings"
    )


def run(options: argparse.Namespace) -> int:
    """Answer once."""
    text = options.prompt if options.prompt is not None else sys.stdin.buffer.read()
    prompt = text if isinstance(text, bytes) else os.fsencode(text)
    table = chains.read(Path(options.filters)) if options.filters else chains.Chains()
    post: list[Maker | str] = [*table.post, *_listed(options.post)]
    with load(options.model, options.backend, table.filters, post) as llm:
        stream = llm.stream(
            prompt,
            max_tokens=options.max_tokens,
            stop=options.stop,
            temperature=options.temperature,
            seed=options.seed,
            json_schema=_content(options.json_schema),
            grammar=_content(options.grammar),
            regex=options.regex,
            choices=_listed(options.choices),
        )
        if options.json:
            for _ in stream:
                pass
            print(json.dumps(stream.completion.to_dict()))
        else:
            _print_streaming(stream)
    return 0


def _listed(text: str | None) -> list[str]:
    return text.split(",") if text else []


def _content(path: str | None) -> str | None:
    """Text of a file, if one is named. Raises: UsageError."""
    if path is None:
        return None
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


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
