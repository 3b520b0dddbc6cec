"""A plain-text corpus of one narrow domain, written by a teacher: short texts, one a line, `title text`.

A plan (JSON) holds a prompt, title patterns such as `How do I clean {thing}?` and the lists that fill them; every title
is asked once and answered several times. The narrower the domain the smaller the model that can learn it (Eldan and Li
2023, arXiv:2305.07759).
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgellm import files, progress
from edgellm._version import __version__
from edgellm.data.journal import Journal, key_of
from edgellm.data.text_checks import Rules, TextChecks, rare_words
from edgellm.data.textmodel import Drawn, TextModel
from edgellm.errors import ConfigError, UsageError

SHIPPED_PLAN = Path(__file__).with_name("household.json")
FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write about."""

    prompt: str  # with {title}
    titles: tuple[str, ...]  # patterns with {list} fields
    lists: dict[str, tuple[str, ...]]
    rules: Rules

    def all_titles(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Every title with the list entries in it, no entry twice in one title."""
        for pattern in self.titles:
            fields = FIELD.findall(pattern)
            for entries in itertools.product(*(self.lists[name] for name in fields)):
                if len({*entries}) == len(entries):
                    left = iter(entries)
                    yield FIELD.sub(lambda _, left=left: next(left), pattern), entries  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class TextSettings:
    """How much to write and what to keep."""

    prompts: int = 100  # titles, of those that the plan can make
    samples: int = 12  # texts for each
    least: float = -0.9  # mean log-likelihood of a token, nats
    seen_in: int = 2  # lines that a word must occur in
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("prompts", "samples", "seen_in"):
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
        lists = {name: tuple(map(str, entries)) for name, entries in raw["lists"].items()}
        shortest, longest = map(int, raw["sentences"])
        rules = Rules(frozenset(raw["names"]), shortest, longest)
        plan = Plan(str(raw["prompt"]), tuple(map(str, raw["titles"])), lists, rules)
    except KeyError as error:
        raise ConfigError(f"{path}: field {error} is missing") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: a field has the wrong shape ({error})") from None
    _check_titles(path, plan)
    return plan


def _check_titles(path: Path, plan: Plan) -> None:
    if "{title}" not in plan.prompt:
        raise ConfigError(f"{path}: prompt has no {{title}} in it")
    if not plan.titles:
        raise ConfigError(f"{path}: titles must not be empty")
    for pattern in plan.titles:
        for name in FIELD.findall(pattern):
            if not plan.lists.get(name):
                raise ConfigError(f"{path}: title {pattern!r} needs entries in lists.{name}")


class TextWriter:
    """Writes and filters the texts of a plan; finished work is in the journal."""

    def __init__(self, plan: Plan, model: TextModel, journal: Journal, settings: TextSettings) -> None:
        self.plan, self.model, self.journal, self.settings = plan, model, journal, settings
        self.checks = TextChecks(plan.rules)
        self.rejected: Counter[str] = Counter()
        self._identity = model.describe()

    def run(self) -> list[str]:
        """Lines `title text` that pass every check; fewer prompts give the first lines of more."""
        titles = list(self.plan.all_titles())
        random.Random(self.settings.seed).shuffle(titles)
        titles = titles[: self.settings.prompts]
        kept: list[str] = []
        with progress.track("Write", total=len(titles)) as bar:
            for number, (title, entries) in enumerate(titles):
                drawn = self._sample(title, self.settings.seed + number)
                kept += [f"{title} {text.text}" for text in drawn if self._passes(text, entries)]
                bar.advance(1, kept=len(kept), bytes=sum(map(len, kept)))
        return self._common_words_only(kept)

    def _sample(self, title: str, seed: int) -> list[Drawn]:
        prompt, count = self.plan.prompt.replace("{title}", title), self.settings.samples
        key = key_of(work="text", model=self._identity, prompt=prompt, count=count, seed=seed)
        found = self.journal.get(key, lambda: [list(text) for text in self.model.sample(prompt, count, seed)])
        return [Drawn(" ".join(text.split()), float(score), bool(done)) for text, score, done in found]

    def _passes(self, drawn: Drawn, entries: tuple[str, ...]) -> bool:
        reason: str | None
        if not drawn.finished:
            reason = "cut off"
        elif drawn.log_likelihood < self.settings.least:
            reason = "unlikely"
        else:
            reason = self.checks.reason(drawn.text, entries)
        if reason is not None:
            self.rejected[reason] += 1
        return reason is None

    def _common_words_only(self, lines: list[str]) -> list[str]:
        """Without the lines that hold a word of too few lines.

        Once only: the words that become rare by this stay, else one line after another would go.
        """
        rare = rare_words(lines, self.settings.seen_in)
        kept = [line for line in lines if rare.isdisjoint(re.findall(r"[a-z']+", line.lower()))]
        self.rejected["rare words"] += len(lines) - len(kept)
        return kept


def write(writer: TextWriter, output: Path) -> dict[str, Any]:
    """Run, write the lines to `output` and their provenance to the .json beside it; returns the provenance.

    UsageError: no text was kept; nothing is written.
    """
    lines = writer.run()
    if not lines:
        reasons = ", ".join(f"{reason} {count}" for reason, count in (+writer.rejected).most_common())
        raise UsageError(f"{output}: no text passed the checks ({reasons}): raise prompts or samples")
    about = {
        "edgellm": __version__,
        "lines": len(lines),
        "bytes": sum(len(line) + 1 for line in lines),
        "rejected": dict((+writer.rejected).most_common()),
        "settings": asdict(writer.settings),
        "prompt": writer.plan.prompt,
        "titles": list(writer.plan.titles),
        **writer.model.describe(),
    }
    files.write_text(output, "".join(line + "\n" for line in lines))
    files.write_text(output.with_suffix(".json"), json.dumps(about, indent=2) + "\n")
    return about
