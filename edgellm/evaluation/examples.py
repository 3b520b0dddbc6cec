"""A case as tokens, exactly as a user's prompt and the training's answers become tokens; and answers back as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgellm import manifest, prompt
from edgellm.errors import EmptyPrompt
from edgellm.evaluation.sets import Case, CaseSet
from edgellm.manifest import Manifest
from edgellm.tokenizer import Tokenizer

TOKENIZER = "tokenizer.json"
CONTROL = (
    "<pad>",
    "<s>",
    "</s>",
    "\t",
)  # added tokens that frame an answer; in a plain completion they are text
LEAST_ROOM, SPARE = 64, 16  # tokens that any answer may take, and more than the expected one takes


@dataclass(frozen=True, slots=True)
class Example:
    """Prompt ids and expected ids; the expected ones end with a stop id unless the answer's end is left open."""

    prompt: list[int]
    expected: list[int]
    ended: bool

    @property
    def fed(self) -> list[int]:
        """What a model reads so that every expected token is predicted once, the first behind the whole prompt."""
        return [*self.prompt, *self.expected[:-1]]

    @property
    def room(self) -> int:
        """Tokens after which an answer that has not ended is cut off."""
        return max(LEAST_ROOM, len(self.expected) + SPARE)

    def confirmed(self, picks: Sequence[int]) -> list[int] | None:
        """The greedy answer without its stop id, where it is known without generating.

        `picks` are the most likely tokens at the places of `expected` while `fed` is read. If they are the expected ones, greedy
        generation would have walked the same way; otherwise None.
        """
        if list(picks) != self.expected:
            return None
        return self.expected[:-1] if self.ended else self.expected


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model makes of an example: its greedy answer without the stop id, and the loss of the expected one.

    `nats` is the sum of -ln p over `Example.expected`; None where probabilities are not known.
    """

    answer: list[int]
    nats: float | None


class Reader(Protocol):
    """A model under test."""

    def read(self, examples: Sequence[Example]) -> Iterator[tuple[int, Reading]]:
        """(index, reading) of every example, in any order, as they are done."""
        ...


class Codec:
    """Text to tokens and back as a model's manifest and tokenizer say. `context` is how many tokens the model can hold."""

    def __init__(self, described: Manifest, tokenizer: Tokenizer) -> None:
        self._prompt, self._stop = described.prompt, list(described.stop_ids[:1])
        self.context, self._tokenizer = described.context, tokenizer

    @classmethod
    def of(cls, folder: Path) -> Codec:
        """From a model folder."""
        return cls(manifest.read(folder), Tokenizer.from_file(folder / TOKENIZER))

    def examples(self, chosen: CaseSet) -> list[Example]:
        """Every case of a set; EmptyPrompt names file and line of a prompt of which the model's rules leave nothing."""
        return [self._example(chosen, case) for case in chosen.cases]

    def text(self, ids: Sequence[int]) -> str:
        """Text of an answer, intents and slot keys included."""
        return self._tokenizer.decode(ids)

    def _example(self, chosen: CaseSet, case: Case) -> Example:
        text = prompt.normalise(case.prompt, self._prompt.normalise)
        ids = prompt.encode(self._tokenizer, self._prompt.template, text)
        if not ids or (chosen.commands and not text):
            raise EmptyPrompt(f"{chosen.where(case)}: nothing is left of the prompt {case.prompt!r}")
        expected = self._answer(case) if chosen.commands else self._completion(case.target)
        ended = bool(self._stop) and (bool(case.reply) if chosen.commands else case.ends)
        return Example(ids, expected + self._stop if ended else expected, ended)

    def _answer(self, case: Case) -> list[int]:
        """As the home corpus is encoded: every added token counts, the tab between target and reply too."""
        return self._tokenizer.encode(expected_text(case, True), specials=True)

    def _completion(self, text: str) -> list[int]:
        """As a corpus of one's own is encoded: added tokens count, but text never becomes a control token."""
        ids: list[int] = []
        plain = ""
        for piece, token in self._tokenizer.cut_added(text):
            if token is None or piece in CONTROL:
                plain += piece
            else:
                ids += [*self._tokenizer.encode(plain), token]
                plain = ""
        return ids + self._tokenizer.encode(plain)


def expected_text(case: Case, commands: bool) -> str:
    """The text that the model should answer; of a command without a reply the part up to and with the tab."""
    return f"{case.target}\t{case.reply}" if commands else case.target
