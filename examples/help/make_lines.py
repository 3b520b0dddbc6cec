"""Writes help.jsonl: questions about the `edgellm` command line, answered with its own help texts.

    python examples/help/make_lines.py

Every fact is asked in several ways; the recipe beside this file holds some of the questions out.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

from edgellm import files
from edgellm.cli.main import parser

OUT = Path(__file__).with_name("help.jsonl")
WHAT = ("what does {0} do", "what is edgellm {0} for", "explain the command {0}", "tell me about {0}")
HOW = ("how do i {0}", "which command can {0}", "i want to {0}", "i need to {0}")
EXAMPLE = (
    "give me an example of {0}",
    "show me how to call {0}",
    "how do i use {0}",
    "an example for edgellm {0}",
)
OPTION = (
    "what does {1} of {0} do",
    "what is {1} for in {0}",
    "explain {1} of edgellm {0}",
    "{0} {1}",
)
Pair = tuple[str, str]


def pairs() -> Iterator[Pair]:
    """All questions with their answers, command by command."""
    commands = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    summaries = {choice.dest: str(choice.help) for choice in commands._choices_actions}
    for name, command in commands.choices.items():
        summary = summaries[name]
        yield from asked(WHAT, (name,), f"edgellm {name}: {summary}.")
        yield from asked(HOW, (re.split("[,:;]", summary)[0],), f"With {usage(name, command)}")
        yield from asked(EXAMPLE, (name,), example(name, command))
        for action in command._actions:
            if option := described(action):
                yield from asked(OPTION, (name, action.option_strings[-1]), option)


def asked(ways: tuple[str, ...], parts: tuple[str, ...], answer: str) -> Iterator[Pair]:
    """One answer under every question."""
    return ((way.format(*parts), answer) for way in ways)


def usage(name: str, command: argparse.ArgumentParser) -> str:
    """`edgellm compile MODEL -o DIR`: what the command cannot do without."""
    needed = [action for action in command._actions if action.required]
    words = [" ".join([*action.option_strings[:1], str(action.metavar or action.dest)]) for action in needed]
    return " ".join(["edgellm", name, *words])


def example(name: str, command: argparse.ArgumentParser) -> str:
    """The first line of the command's examples, without the remark behind it."""
    lines = [line.strip() for line in str(command.epilog).splitlines()]
    return next(re.split(r"\s{3,}", line)[0] for line in lines if line.startswith("edgellm"))


def described(action: argparse.Action) -> str:
    """`--max-tokens N: generate at most N tokens.`; empty for an argument without help of its own."""
    if not action.option_strings or not action.help or action.dest == "help":
        return ""
    words = [action.option_strings[-1], *([str(action.metavar)] if action.metavar else [])]
    text = re.sub(r"%\((\w+)\)s", lambda found: str(vars(action)[found[1]]), action.help)
    return f"{' '.join(words)}: {text}."


def main() -> None:
    """Write the file beside this one."""
    lines = (json.dumps({"prompt": prompt, "completion": answer}) for prompt, answer in pairs())
    files.write_text(OUT, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
