"""The home corpus: seeded training and validation lines, `command<TAB>Intent key= value ...<TAB>reply` a line.

Lines come from training templates and training words alone; what the committed test sets (`edgellm.data.testsets`) ask never
occurs among them. Sources: home-assistant-intents (Apache-2.0) expanded with hassil, the project's own phrasings.
The same seed gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from itertools import groupby
from pathlib import Path

from edgellm import files, progress
from edgellm.data import testsets
from edgellm.data.expand import Example, Expander
from edgellm.data.templates import Grammar, Template, load_grammar
from edgellm.data.testsets import normal_form
from edgellm.data.words import Values
from edgellm.errors import TrainingError, UsageError

HELD_TEMPLATES_ONE_IN = 14
FREE_SHARE = 0.55  # of the lines, from the project's own phrasings
DRAWS_PER_LINE = 60  # before a split counts as exhausted
SPLITS = ("train", "valid")
PARAPHRASES = Path(__file__).with_name("paraphrases.tsv")
Row = tuple[str, str, str]  # command, target, reply


@dataclass(frozen=True, slots=True)
class HomeCorpus:
    """Lines per split; and how often each paraphrase that ships (docs/teachers.md) comes on top in `train`."""

    train: int
    valid: int = 300
    paraphrases: int = 0


def write_corpus(folder: Path, size: HomeCorpus, seed: int) -> None:
    """Draw the corpus and write `SPLITS` as .tsv files and `corpus.json` into `folder`."""
    if size.train < 1 or size.valid < 1 or size.paraphrases < 0:
        raise UsageError(f"corpus sizes must be positive, not {size}")
    splits = draw_corpus(size, seed)
    lines = {name: [example.line for example in examples] for name, examples in splits.items()}
    lines["train"] += reworded({example.command for example in splits["valid"]}) * size.paraphrases
    for name, content in lines.items():
        files.write_text(folder / f"{name}.tsv", "".join(line + "\n" for line in content))
    about = {
        "seed": seed,
        "lines": {name: len(content) for name, content in lines.items()},
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


def reworded(held_out: Iterable[str]) -> list[str]:
    """Lines of the paraphrases that ship, without those that ask what a test set or `held_out` asks."""
    barred = testsets.asked() | {normal_form(command) for command in held_out}
    lines = PARAPHRASES.read_text("utf-8").splitlines()
    return [line for line in lines if normal_form(line.split("\t", 1)[0]) not in barred]


def draw_corpus(size: HomeCorpus, seed: int) -> dict[str, list[Example]]:
    """Both splits; no command of the test sets or of `valid` is in `train`, compared by `normal_form`."""
    source = load_grammar()
    sampler = Sampler(source, split_templates(source.templates)[0], random.Random(seed), held_values=False)
    seen = testsets.asked()
    with progress.track("Corpus", total=size.train + size.valid) as bar:
        valid = draw_unique(size.valid, sampler.draw, seen, lambda: bar.advance(1))
        train = draw_unique(size.train, sampler.draw, seen, lambda: bar.advance(1))
    return {"train": train, "valid": valid}


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


class Sampler:
    """Draws intents and slot combinations by the square root of what they hold, then a template."""

    def __init__(
        self, source: Grammar, templates: list[Template], rng: random.Random, held_values: bool
    ) -> None:
        self.rng, self.held_values = rng, held_values
        self.expander = Expander(source, rng, Values(rng, held_values))
        self.groups: dict[tuple[str, bool], list[list[Template]]] = {}
        for _, members in groupby(templates, key=lambda template: template.group):
            group = list(members)
            self.groups.setdefault((group[0].intent, group[0].free), []).append(group)
        self.intents = list(dict.fromkeys(intent for intent, _ in self.groups))
        self.weights = [len(self._groups(intent, False)) ** 0.5 for intent in self.intents]

    def draw(self) -> Example:
        """One example; with held-out values only examples that hold one."""
        while True:
            intent = self.rng.choices(self.intents, self.weights)[0]
            groups = self._groups(intent, self.rng.random() < FREE_SHARE)
            (group,) = self.rng.choices(groups, [len(group) ** 0.5 for group in groups])
            example = self.expander.expand(self.rng.choice(group))
            if example.copied or not self.held_values:
                return example

    def _groups(self, intent: str, free: bool) -> list[list[Template]]:
        """The combinations of an intent from one source, or from the other when that has none."""
        return self.groups.get((intent, free)) or self.groups[intent, not free]


def split_templates(templates: Iterable[Template]) -> tuple[list[Template], list[Template]]:
    """(for training, held out): a hash picks, and at most half of a slot combination is held out.

    Templates that can produce a line of the free set (`testsets.barred`) are in neither.
    """
    barred = testsets.barred()
    known: list[Template] = []
    unseen: list[Template] = []
    for _, members in groupby(templates, key=lambda template: template.group):
        group = [template for template in members if (template.intent, template.sentence) not in barred]
        picked = [template for template in group if _picked(template)][: len(group) // 2]
        unseen += picked
        known += [template for template in group if template not in picked]
    return known, unseen


def _picked(template: Template) -> bool:
    digest = hashlib.sha256(f"{template.intent} {template.sentence}".encode()).digest()
    return digest[0] % HELD_TEMPLATES_ONE_IN == 0
