"""A teacher's paraphrases of corpus commands: sampled, filtered, and written with their provenance.

The prompt lists corpus commands of the same label with the same values and the teacher goes on with the list. What
it writes is kept when the cheap checks pass (`edgellm.data.paraphrase_checks`) and the teacher itself finds the line
likelier in this list than in the lists of the nearest other labels, a noisy-channel test of meaning
(after Brown et al. 1993; Zhao et al. 2021, arXiv:2102.09690, for comparing prompts of one model).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgellm import files, progress
from edgellm._version import __version__
from edgellm.data.corpus import Row
from edgellm.data.journal import Journal, key_of
from edgellm.data.lexicon import Command, Lexicon, filled, marked
from edgellm.data.paraphrase_checks import Checks
from edgellm.data.paraphrase_sources import Source, Sources
from edgellm.data.textmodel import Drawn, TextModel
from edgellm.errors import TrainingError, UsageError

PROMPT = "Different ways to say the same thing to a smart home:"
WORTH_SCORING = -1.6  # mean log-likelihood; above it `least` may change and no text is scored again
LEARNT_LINES = 50_000  # of the corpus: enough to learn its words and patterns


@dataclass(frozen=True, slots=True)
class Settings:
    """What to make and what to keep."""

    sources: int = 8  # corpus lines an intent
    samples: int = 32  # texts sampled for each
    shown: int = 6  # lines in a prompt
    rivals: int = 2  # other labels to compare with
    least: float = -1.4  # mean log-likelihood of a token, nats
    margin: float = 5.0  # log-likelihood over the best rival, nats
    variants: int = 2  # further lines with other values for each paraphrase kept
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("sources", "samples", "shown"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Paraphrase:
    """One text kept."""

    text: str
    source: Source


class Paraphraser:
    """Makes and filters the paraphrases of a corpus; finished work is in the journal."""

    def __init__(self, rows: Sequence[Row], model: TextModel, journal: Journal, settings: Settings) -> None:
        if not rows:
            raise TrainingError("the corpus has no lines to paraphrase")
        self.model, self.journal, self.settings = model, journal, settings
        commands = [Command.of(row) for row in rows[:: len(rows) // LEARNT_LINES + 1]]
        lexicon = Lexicon.of(commands)
        self.sources = Sources(commands, lexicon, settings.seed)
        self.checks = Checks(commands, lexicon, {row[0] for row in rows})
        self.rejected: Counter[str] = Counter()
        self.asked = 0  # sources
        self._identity = model.describe()

    def run(self) -> list[Paraphrase]:
        """Every paraphrase that passes, in the order of the sources."""
        wanted = self.settings
        chosen = self.sources.choose(wanted.sources, wanted.shown, wanted.rivals)
        kept: list[Paraphrase] = []
        with progress.track("Paraphrase", total=len(chosen)) as bar:
            for number, source in enumerate(chosen):
                kept += self._of(source, wanted.seed + number)
                bar.advance(1, kept=len(kept))
        return kept

    def rows_of(self, paraphrase: Paraphrase) -> list[Row]:
        """The paraphrase as a corpus row, and its variants with the values of other corpus rows."""
        command, text = paraphrase.source.command, paraphrase.text
        rows = [(text, command.target, command.reply)]
        pattern = marked(text, command.copied)
        if command.copied and pattern is not None:
            for other in self.sources.others(paraphrase.source, self.settings.variants):
                rows.append((filled(pattern, other.copied), other.target, other.reply))
        return rows

    def _of(self, source: Source, seed: int) -> Iterator[Paraphrase]:
        """Scored before the wording is checked: the journal then holds whatever other thresholds and checks need."""
        drawn_sound = [drawn for drawn in self._sample(source, seed) if self._sound(drawn, source)]
        sound = {drawn.text: drawn for drawn in drawn_sound}
        self.rejected["repeated"] += len(drawn_sound) - len(sound)
        self.asked += 1
        for drawn, margin in zip(sound.values(), self._margins(source, list(sound)), strict=True):
            reason = self._reason(drawn, margin, source)
            if reason is None:
                yield Paraphrase(drawn.text, source)
            else:
                self.rejected[reason] += 1

    def _reason(self, drawn: Drawn, margin: float, source: Source) -> str | None:
        if drawn.log_likelihood < self.settings.least:
            return "unlikely"
        if margin < self.settings.margin:
            return "other meaning"
        return self.checks.wording(drawn.text, source.command)

    def _sample(self, source: Source, seed: int) -> list[Drawn]:
        prompt, count = listed(source.shown), self.settings.samples
        key = key_of(work="sample", model=self._identity, prompt=prompt, count=count, seed=seed)
        found = self.journal.get(key, lambda: [list(text) for text in self.model.sample(prompt, count, seed)])
        return [Drawn(tidy(text), float(score), bool(finished)) for text, score, finished in found]

    def _sound(self, drawn: Drawn, source: Source) -> bool:
        reason: str | None
        if not drawn.finished:
            reason = "cut off"
        elif drawn.log_likelihood < WORTH_SCORING:
            reason = "unlikely"
        else:
            reason = self.checks.form(drawn.text, source.command)
        if reason is not None:
            self.rejected[reason] += 1
        return reason is None

    def _margins(self, source: Source, texts: list[str]) -> list[float]:
        """Log-likelihood after the source's list minus that after the likeliest rival's, in nats."""
        if not texts or not source.rivals:
            return [float("inf")] * len(texts)
        lists = [listed(lines) for lines in (source.shown, *source.rivals)]
        lines = [f" {text}\n" for text in texts]
        key = key_of(work="score", model=self._identity, prompts=lists, lines=lines)
        own, *others = self.journal.get(key, lambda: [self.model.score(prompt, lines) for prompt in lists])
        return [mine - max(rivals) for mine, *rivals in zip(own, *others, strict=True)]


def listed(lines: Sequence[str]) -> str:
    """The prompt that the teacher goes on with."""
    return PROMPT + "".join(f"\n- {line}" for line in lines) + "\n-"


def tidy(text: str) -> str:
    """Lower case, single spaces, no quotes around it, no final punctuation: as the corpus writes commands."""
    return " ".join(text.lower().split()).strip(" \"'.!?")


def write(paraphraser: Paraphraser, output: Path) -> dict[str, Any]:
    """Run, write the rows to `output` (TSV) and their provenance to the .json beside it; returns the provenance."""
    kept = paraphraser.run()
    rows = list(dict.fromkeys(row for paraphrase in kept for row in paraphraser.rows_of(paraphrase)))
    lines = "".join("\t".join(row) + "\n" for row in rows)
    about = {
        "edgellm": __version__,
        "sources": paraphraser.asked,
        "lines": len(rows),
        "paraphrases": len(kept),
        "intents": dict(sorted(Counter(paraphrase.source.command.intent for paraphrase in kept).items())),
        "rejected": {why: count for why, count in paraphraser.rejected.most_common() if count},
        "settings": asdict(paraphraser.settings),
        "prompt": PROMPT,
        **paraphraser.model.describe(),
    }
    files.write_text(output, lines)
    files.write_text(output.with_suffix(".json"), json.dumps(about, indent=2) + "\n")
    return about
