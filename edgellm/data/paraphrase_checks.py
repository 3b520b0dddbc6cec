"""Cheap checks of a paraphrase: form, values, numbers and words; every rejection has a reason that is counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from edgellm.data.lexicon import COPY_MARKS, Command, Lexicon, marked, numbers, words
from edgellm.data.naive_bayes import EDGE, NaiveBayes
from edgellm.data.testsets import normal_form

PLAIN = re.compile(r"[a-z0-9',%°. -]+")
CONTENT = re.compile(r"[a-z0-9']+|[\ue000-\uf8ff]")
LONGEST = 16  # words
UNKNOWN = 1  # words that the corpus does not hold at all
# words without a meaning of their own; no prepositions and no negations, which tell labels apart
NEUTRAL = frozenset(
    (
        *(
            "a",
            "an",
            "the",
            "this",
            "that",
            "these",
            "those",
            "my",
            "your",
            "our",
            "his",
            "her",
            "their",
            "its",
        ),
        *(
            "i",
            "you",
            "we",
            "he",
            "she",
            "they",
            "it",
            "me",
            "us",
            "them",
            "i'm",
            "i'd",
            "i'll",
            "i've",
            "it's",
        ),
        *(
            "you're",
            "we're",
            "that's",
            "there's",
            "is",
            "are",
            "was",
            "were",
            "be",
            "been",
            "being",
            "am",
            "do",
        ),
        *(
            "does",
            "did",
            "have",
            "has",
            "had",
            "can",
            "could",
            "may",
            "might",
            "must",
            "shall",
            "should",
            "will",
        ),
        *(
            "would",
            "please",
            "thanks",
            "hey",
            "ok",
            "okay",
            "so",
            "and",
            "just",
            "really",
            "very",
            "much",
            "too",
        ),
        *(
            "quite",
            "also",
            "some",
            "to",
            "of",
            "for",
            "going",
            "want",
            "wants",
            "need",
            "needs",
            "like",
            "let's",
        ),
    )
)
NEGATIONS = frozenset(
    ("no", "not", "never", "don't", "doesn't", "didn't", "won't", "can't", "wouldn't", "isn't")
)
FIT = 5.0  # nats by which the words must fit the intent better than any other
COMMON_SHARE = 0.5  # a word that this share of the intents uses belongs to nobody
SIGN_SHARE, SIGN_RATIO, SIGN_COVER = 0.01, 0.1, 0.9


class Checks:
    """The checks that need no model; remembers what it has passed, to reject repetitions."""

    def __init__(self, commands: Sequence[Command], lexicon: Lexicon, texts: Iterable[str]) -> None:
        self.lexicon = lexicon
        self.common = _common(lexicon)
        self.signs = _signs(commands)
        self.seen = {normal_form(text) for text in texts}
        patterns = ((command.intent, command.marked) for command in commands if command.marked is not None)
        self.known = {(intent, self._content(pattern)) for intent, pattern in patterns}
        whole = (command for command in commands if command.marked is not None)
        self.judge = NaiveBayes((command.intent, _spoken(command.marked or "", command)) for command in whole)

    def form(self, text: str, source: Command) -> str | None:
        """Why `text` cannot carry the label of `source` whatever its words are, or None."""
        if not PLAIN.fullmatch(text) or len(words(text)) > LONGEST:
            return "not plain short English"
        if marked(text, source.copied) is None:
            return "value lost or doubled"
        return "other numbers" if numbers(text) != numbers(source.text) else None

    def wording(self, text: str, source: Command) -> str | None:
        """Why a text of sound form is no new wording of `source`, or None when it passes; it is then remembered."""
        if text in self.seen:
            return "repeated"
        pattern = marked(text, source.copied) or text
        content = (source.intent, self._content(pattern))
        if content in self.known:
            return "like a known line but for common words"
        reason = self._words_reason(pattern, source) or self._sense_reason(pattern, source)
        if reason is None:
            self.seen.add(text)
            self.known.add(content)
        return reason

    def _sense_reason(self, pattern: str, source: Command) -> str | None:
        said = _spoken(pattern, source)
        pairs = [pair for pair in zip(said, [*said[1:], EDGE], strict=True) if pair[0] in NEGATIONS]
        if not all(self.judge.knows(f"{one} {two}", source.intent) for one, two in pairs):
            return "new negation"
        return "words fit another intent" if self.judge.margin(source.intent, said) < FIT else None

    def _content(self, pattern: str) -> tuple[str, ...]:
        """The words and marks that are not common to most intents, in order."""
        return tuple(word for word in CONTENT.findall(pattern) if word not in self.common)

    def _words_reason(self, pattern: str, source: Command) -> str | None:
        if source.copied and all(word in self.common | NEUTRAL for word in words(pattern)):
            return "nothing but the values"
        allowed = self._allowed(source.kind) | self.common | NEUTRAL | {*words(source.text)}
        strange = [word for word in words(pattern) if word not in allowed and not numbers(word)]
        if any(self.lexicon.lines_with[word] for word in strange):
            return "words of other labels"
        if len(strange) > UNKNOWN:
            return "unknown words"
        unsaid = [slot for slot in source.kind[1:] if not self._says(pattern, source.intent, slot)]
        return "a value is not said" if unsaid else None

    def _allowed(self, kind: tuple[str, ...]) -> frozenset[str]:
        """Words of the kind; of the whole intent when no value distinguishes the kind from the intent's others."""
        distinct = any("=" in part for part in kind[1:])
        return self.lexicon.by_kind[kind] if distinct else self.lexicon.by_intent[kind[0]]

    def _says(self, pattern: str, intent: str, slot: str) -> bool:
        signs = self.signs.get((intent, slot))
        return signs is None or not signs.isdisjoint(words(pattern))


def _spoken(pattern: str, source: Command) -> list[str]:
    """Words in order, marks as slot names, digits as one word."""
    slots = [f"<{key}>" for key in source.copied]
    found = CONTENT.findall(pattern)
    return ["#" if w.isdigit() else slots[ord(w) - COPY_MARKS] if w >= chr(COPY_MARKS) else w for w in found]


def _common(lexicon: Lexicon) -> frozenset[str]:
    """Words that so many intents use that they carry no meaning of one."""
    users: dict[str, set[str]] = {}
    for intent, vocabulary in lexicon.by_intent.items():
        for word in vocabulary:
            users.setdefault(word, set()).add(intent)
    return frozenset(word for word, by in users.items() if len(by) >= COMMON_SHARE * len(lexicon.by_intent))


def _signs(commands: Sequence[Command]) -> dict[tuple[str, str], frozenset[str]]:
    """(intent, "slot=value") -> words that say an uncopied value: one of them is in nearly every line that has it."""
    lines: dict[tuple[str, str], list[frozenset[str]]] = {}
    totals: dict[str, Counter[str]] = {}
    sizes: Counter[str] = Counter()
    for command in commands:
        if command.marked is None:
            continue
        said = frozenset(words(command.marked))
        totals.setdefault(command.intent, Counter()).update(said)
        sizes[command.intent] += 1
        for slot in command.kind[1:]:
            lines.setdefault((command.intent, slot), []).append(said)
    found = {
        place: _sign_words(with_it, totals[place[0]], sizes[place[0]]) for place, with_it in lines.items()
    }
    return {
        place: signs
        for place, signs in found.items()
        if sum(not signs.isdisjoint(said) for said in lines[place]) >= SIGN_COVER * len(lines[place])
    }


def _sign_words(with_it: list[frozenset[str]], total: Counter[str], size: int) -> frozenset[str]:
    """Words much more frequent in the lines with a value than in the intent's other lines."""
    count: Counter[str] = Counter()
    for said in with_it:
        count.update(said)
    others = max(size - len(with_it), 1)

    def is_sign(word: str) -> bool:
        share = count[word] / len(with_it)
        return share >= SIGN_SHARE and (total[word] - count[word]) / others <= SIGN_RATIO * share

    return frozenset(filter(is_sign, count))
