"""The test sets of the home models: built once with one seed, committed, never drawn for training.

| set | templates | values |
|---|---|---|
| heldout | training templates | training words |
| templates | stock templates never expanded for training | training words |
| phrasings | own phrasings never expanded for training | training words |
| values | training templates | held-out words |
| free | none: sentences people say, written by hand | ordinary ones |

`python tools/build_testsets.py` builds the first four again, and `barred.json`: the templates that could produce a line of
`free.tsv`, which no training line comes from.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources

from edgellm.data.words import word_lists

BUILT = ("heldout", "templates", "phrasings", "values")
SETS = (*BUILT, "free")


def text_of(name: str) -> str:
    """The file of one set: `command<TAB>target<TAB>reply` lines."""
    return resources.files("edgellm.data").joinpath("sets", f"{name}.tsv").read_text("utf-8")


def barred() -> frozenset[tuple[str, str]]:
    """(intent, sentence) of every template that can produce a line of the free set."""
    text = resources.files("edgellm.data").joinpath("sets", "barred.json").read_text("utf-8")
    return frozenset(
        (intent, sentence) for intent, sentences in json.loads(text).items() for sentence in sentences
    )


def asked() -> set[str]:
    """The normal forms of every command of every set."""
    return {normal_form(line.split("\t", 1)[0]) for name in SETS for line in text_of(name).splitlines()}


def normal_form(command: str) -> str:
    """What two commands are compared by: lower case, without politeness at the ends, punctuation and repeated spaces."""
    bare = " ".join(re.sub(r"[.,?!;]", " ", command.lower()).split())
    while (shorter := _polite().sub("", bare)) != bare:
        bare = shorter
    return bare


@cache
def _polite() -> re.Pattern[str]:
    lists = word_lists()
    before = "|".join(sorted({*lists["polite_prefixes"], *lists["question_prefixes"]}, key=len, reverse=True))
    after = "|".join(lists["polite_suffixes"])
    return re.compile(rf"^(?:{before}) (?=.)|(?<=.) (?:{after})$")
