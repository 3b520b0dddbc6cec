"""Builds the generated files of edgellm/data/sets, all but free.tsv: python tools/build_testsets.py [--lines N]."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from edgellm import files
from edgellm.data import testsets
from edgellm.data.corpus import Sampler, draw_unique, split_templates
from edgellm.data.producers import producers
from edgellm.data.templates import Grammar, load_grammar

SEED = 20261123
FOLDER = Path(__file__).parents[1] / "edgellm" / "data" / "sets"


def write_barred(source: Grammar) -> None:
    """The templates that can say a line of free.tsv, by intent."""
    rows = [line.split("\t") for line in testsets.text_of("free").splitlines()]
    found: dict[str, list[str]] = {}
    for intent, sentence in sorted(producers(source, [(row[0], row[1]) for row in rows])):
        found.setdefault(intent, []).append(sentence)
    files.write_text(FOLDER / "barred.json", json.dumps(found, indent=1) + "\n")


def main() -> None:
    """Draw all three sets with one generator, so that they share no command with each other or with free.tsv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=500, help="lines a set")
    lines = parser.parse_args().lines
    source, rng = load_grammar(), random.Random(SEED)
    write_barred(source)
    known, unseen = split_templates(source.templates)
    seen = {testsets.normal_form(line.split("\t", 1)[0]) for line in testsets.text_of("free").splitlines()}
    plans = {"heldout": (known, False), "templates": (unseen, False), "values": (known, True)}
    for name, (templates, held_values) in plans.items():
        sampler = Sampler(source, templates, rng, held_values)
        examples = draw_unique(lines, sampler.draw, seen, lambda: None)
        files.write_text(FOLDER / f"{name}.tsv", "".join(example.line + "\n" for example in examples))


if __name__ == "__main__":
    main()
