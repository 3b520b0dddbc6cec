"""A plain-text corpus of one narrow domain, written by a teacher: short texts, one a line, `title: text`.

A plan (JSON) holds an instruction, example texts, title patterns and the lists that fill them. Each prompt shows some
examples and a new title; the teacher writes the text. The narrower the domain the smaller the model that can learn it
(Eldan and Li 2023, arXiv:2305.07759).
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgellm import files, progress
from edgellm._version import __version__
from edgellm.data.journal import Journal, key_of
from edgellm.data.text_checks import TextChecks, rare_words
from edgellm.data.textmodel import Drawn, TextModel
from edgellm.errors import ConfigError, UsageError

SHIPPED_PLAN = Path(__file__).with_name("stories.json")
FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write about."""

    instruction: str
    names: tuple[str, ...]  # the only proper names allowed
    lists: dict[str, tuple[str, ...]]
    titles: tuple[str, ...]  # patterns with {list} fields
    examples: tuple[tuple[str, str], ...]  # title, text

    def title(self, rng: random.Random) -> str:
        """A random title; a list named twice gives two different entries."""
        pattern = rng.choice(self.titles)
        fields = Counter(FIELD.findall(pattern))
        drawn = {name: rng.sample(self.lists[name], count) for name, count in fields.items()}
        return FIELD.sub(lambda found: drawn[found[1]].pop(), pattern)

    def prompt(self, title: str, shown: int, rng: random.Random) -> str:
        """Instruction, `shown` examples, and the title to go on from."""
        examples = rng.sample(self.examples, min(shown, len(self.examples)))
        told = "".join(f"{name}: {text}\n\n" for name, text in examples)
        return f"{self.instruction}\n\n{told}{title}:"


@dataclass(frozen=True, slots=True)
class TextSettings:
    """How much to write and what to keep."""

    prompts: int = 100
    samples: int = 32  # texts for each prompt
    shown: int = 3  # examples in a prompt
    least: float = -1.7  # mean log-likelihood of a token, nats
    seen_in: int = 5  # texts that a word must occur in
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("prompts", "samples", "shown", "seen_in"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")


def read_plan(path: Path) -> Plan:
    """The plan in a JSON file; ConfigError names file and field."""
    try:
        raw = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such plan file") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error})") from None
    try:
        plan = Plan(
            str(raw["instruction"]),
            tuple(raw["names"]),
            {name: tuple(entries) for name, entries in raw["lists"].items()},
            tuple(raw["titles"]),
            tuple((str(title), str(text)) for title, text in raw["examples"]),
        )
    except KeyError as error:
        raise ConfigError(f"{path}: field {error} is missing") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: a field has the wrong shape ({error})") from None
    _check_titles(path, plan)
    return plan


def _check_titles(path: Path, plan: Plan) -> None:
    if not plan.titles or not plan.examples:
        raise ConfigError(f"{path}: titles and examples must not be empty")
    for pattern in plan.titles:
        for name, count in Counter(FIELD.findall(pattern)).items():
            if len(plan.lists.get(name, ())) < count:
                raise ConfigError(f"{path}: title {pattern!r} needs {count} entries in lists.{name}")


class TextWriter:
    """Writes and filters the texts of a plan; finished work is in the journal."""

    def __init__(self, plan: Plan, model: TextModel, journal: Journal, settings: TextSettings) -> None:
        self.plan, self.model, self.journal, self.settings = plan, model, journal, settings
        self.checks = TextChecks(plan.names)
        self.rejected: Counter[str] = Counter()
        self._identity = model.describe()

    def run(self) -> list[str]:
        """Lines `title: text` that pass every check."""
        rng = random.Random(self.settings.seed)
        kept: list[str] = []
        with progress.track("Write", total=self.settings.prompts) as bar:
            for number in range(self.settings.prompts):
                title = self.plan.title(rng)
                prompt = self.plan.prompt(title, self.settings.shown, rng)
                drawn = self._sample(prompt, self.settings.seed + number)
                kept += [f"{title}: {text.text}" for text in drawn if self._passes(text, title)]
                bar.advance(1, kept=len(kept), bytes=sum(map(len, kept)))
        return self._common_words_only(kept)

    def _sample(self, prompt: str, seed: int) -> list[Drawn]:
        count = self.settings.samples
        key = key_of(work="text", model=self._identity, prompt=prompt, count=count, seed=seed)
        found = self.journal.get(key, lambda: [list(text) for text in self.model.sample(prompt, count, seed)])
        return [Drawn(" ".join(text.split()), float(score), bool(done)) for text, score, done in found]

    def _passes(self, drawn: Drawn, title: str) -> bool:
        reason: str | None
        if not drawn.finished:
            reason = "cut off"
        elif drawn.log_likelihood < self.settings.least:
            reason = "unlikely"
        else:
            reason = self.checks.reason(drawn.text, title)
        if reason is not None:
            self.rejected[reason] += 1
        return reason is None

    def _common_words_only(self, lines: list[str]) -> list[str]:
        """Without the lines that hold a word of too few lines, until there is none."""
        while rare := rare_words(lines, self.settings.seen_in):
            kept = [line for line in lines if rare.isdisjoint(re.findall(r"[a-z']+", line.lower()))]
            self.rejected["rare words"] += len(lines) - len(kept)
            lines = kept
        return lines


def write(writer: TextWriter, output: Path) -> dict[str, Any]:
    """Run, write the lines to `output` and their provenance to the .json beside it; returns the provenance."""
    lines = writer.run()
    about = {
        "edgellm": __version__,
        "lines": len(lines),
        "bytes": sum(len(line) + 1 for line in lines),
        "rejected": dict(writer.rejected.most_common()),
        "settings": asdict(writer.settings),
        "plan": asdict(writer.plan),
        **writer.model.describe(),
    }
    files.write_text(output, "".join(line + "\n" for line in lines))
    files.write_text(output.with_suffix(".json"), json.dumps(about, indent=2) + "\n")
    return about
