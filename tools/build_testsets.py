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
    """Draw all sets with one generator, so that they share no command with each other or with free.tsv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=500, help="lines a set")
    parser.add_argument("--exclude", type=Path, help="a train.tsv: none of its commands is drawn")
    options = parser.parse_args()
    source, rng = load_grammar(), random.Random(SEED)
    write_barred(source)
    known, unseen = split_templates(source.templates)
    plans = {
        "heldout": (known, False),
        "templates": ([template for template in unseen if not template.free], False),
        "phrasings": ([template for template in unseen if template.free], False),
        "values": (known, True),
    }
    seen = commands(testsets.text_of("free")) | commands(
        options.exclude.read_text("utf-8") if options.exclude else ""
    )
    for name, (templates, held_values) in plans.items():
        sampler = Sampler(source, templates, rng, held_values)
        examples = draw_unique(options.lines, sampler.draw, seen, lambda: None)
        files.write_text(FOLDER / f"{name}.tsv", "".join(example.line + "\n" for example in examples))


def commands(text: str) -> set[str]:
    """Normal forms of the commands of TSV lines."""
    return {testsets.normal_form(line.split("\t", 1)[0]) for line in text.splitlines()}


if __name__ == "__main__":
    main()
