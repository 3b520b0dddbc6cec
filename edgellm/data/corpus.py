"""The home corpus: seeded training lines and four held-out sets, `command<TAB>Intent key= value ...<TAB>reply` a line.

| file | lines from | values from |
|---|---|---|
| train.tsv | training templates | training words |
| valid.tsv, heldout.tsv | training templates | training words; commands that train.tsv lacks |
| templates.tsv | templates never expanded for training | training words |
| values.tsv | training templates | held-out words |

Source: home-assistant-intents (Apache-2.0), expanded with hassil. The same seed gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgellm import files, progress
from edgellm.data.expand import Example, Expander
from edgellm.data.templates import Grammar, Template, load_grammar
from edgellm.data.words import Values
from edgellm.errors import TrainingError, UsageError

HELD_TEMPLATES_ONE_IN = 14
DRAWS_PER_LINE = 60  # before a split counts as exhausted
SPLITS = ("train", "valid", "heldout", "templates", "values")
Row = tuple[str, str, str]  # command, target, reply


@dataclass(frozen=True, slots=True)
class CorpusSize:
    """Lines per split; `heldout` counts for each of the three held-out sets."""

    train: int
    valid: int = 300
    heldout: int = 500


def write_corpus(folder: Path, size: CorpusSize, seed: int) -> None:
    """Draw the corpus and write `SPLITS` as .tsv files and `corpus.json` into `folder`."""
    if size.train < 1 or size.heldout < 1 or size.valid < 1:
        raise UsageError(f"corpus sizes must be positive, not {size}")
    splits = draw_corpus(size, seed)
    for name, examples in splits.items():
        files.write_text(folder / f"{name}.tsv", "".join(example.line + "\n" for example in examples))
    about = {
        "seed": seed,
        "lines": {name: len(examples) for name, examples in splits.items()},
        "sources": {name: metadata.version(name) for name in ("home-assistant-intents", "hassil")},
    }
    files.write_text(folder / "corpus.json", json.dumps(about, indent=2) + "\n")


def read_split(folder: Path, name: str) -> list[Row]:
    """The rows of one split of `write_corpus`.

    Raises: TrainingError when the file is missing or a line does not have three columns.
    """
    path = folder / f"{name}.tsv"
    if not path.is_file():
        raise TrainingError(f"{path}: no such corpus file; write the corpus first")
    rows: list[Row] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        parts = line.split("\t")
        if len(parts) != 3:
            raise TrainingError(f"{path}:{number}: {len(parts)} columns, expected command, target, reply")
        rows.append((parts[0], parts[1], parts[2]))
    return rows


def draw_corpus(size: CorpusSize, seed: int) -> dict[str, list[Example]]:
    """All splits; no command of a held-out split occurs in `train`, compared without case and punctuation."""
    source = load_grammar()
    known, unseen = split_templates(source.templates)
    rng = random.Random(seed)
    seen: set[str] = set()
    total = size.train + size.valid + 3 * size.heldout
    with progress.track("Corpus", total=total) as bar:

        def draw(count: int, templates: Iterable[Template], held_values: bool) -> list[Example]:
            sampler = Sampler(source, list(templates), rng, held_values)
            return draw_unique(count, sampler.draw, seen, lambda: bar.advance(1))

        held = {
            "heldout": draw(size.heldout, known, False),
            "templates": draw(size.heldout, unseen, False),
            "values": draw(size.heldout, known, True),
            "valid": draw(size.valid, known, False),
        }
        train = draw(size.train, known, False)
    splits = {"train": train, **held}
    return {name: splits[name] for name in SPLITS}


def draw_unique(
    count: int, draw: Callable[[], Example], seen: set[str], note: Callable[[], None]
) -> list[Example]:
    """`count` examples whose commands are new to `seen`, which grows."""
    found: list[Example] = []
    for _ in range(count * DRAWS_PER_LINE):
        example = draw()
        key = normal_form(example.command)
        if key not in seen:
            seen.add(key)
            found.append(example)
            note()
        if len(found) == count:
            return found
    raise TrainingError(
        f"the grammar gave only {len(found)} of {count} different commands: ask for fewer lines"
    )


def normal_form(command: str) -> str:
    """What two commands are compared by: lower case, no final punctuation."""
    return command.lower().rstrip(".?! ")


class Sampler:
    """Draws intents by the square root of their slot combinations, then a combination, then a template."""

    def __init__(
        self, source: Grammar, templates: list[Template], rng: random.Random, held_values: bool
    ) -> None:
        self.rng, self.held_values = rng, held_values
        self.expander = Expander(source, rng, Values(rng, held_values))
        groups: dict[str, dict[int, list[Template]]] = {}
        for template in templates:
            groups.setdefault(template.intent, {}).setdefault(template.group, []).append(template)
        self.groups = {intent: list(by_group.values()) for intent, by_group in groups.items()}
        self.intents = list(self.groups)
        self.weights = [len(self.groups[intent]) ** 0.5 for intent in self.intents]

    def draw(self) -> Example:
        """One example; with held-out values only examples that hold one."""
        while True:
            intent = self.rng.choices(self.intents, self.weights)[0]
            template = self.rng.choice(self.rng.choice(self.groups[intent]))
            example = self.expander.expand(template)
            if example.copied or not self.held_values:
                return example


def split_templates(templates: Iterable[Template]) -> tuple[list[Template], list[Template]]:
    """(for training, held out): a hash picks, and at most half of a slot combination is held out."""
    known: list[Template] = []
    unseen: list[Template] = []
    by_group: dict[int, list[Template]] = {}
    for template in templates:
        by_group.setdefault(template.group, []).append(template)
    for group in by_group.values():
        picked = [template for template in group if _picked(template)][: len(group) // 2]
        unseen += picked
        known += [template for template in group if template not in picked]
    return known, unseen


def _picked(template: Template) -> bool:
    digest = hashlib.sha256(f"{template.intent} {template.sentence}".encode()).digest()
    return digest[0] % HELD_TEMPLATES_ONE_IN == 0
