"""Answers of the home assistant taken apart: intent, slots, reply."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SLOT = re.compile(r" (\w+)= ")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer taken apart; slots are (key, value) pairs in alphabetical order, since their order says nothing."""

    intent: str
    slots: tuple[tuple[str, str], ...]
    reply: str


def parse(text: str) -> Answer:
    """`Intent key= value key= value<TAB>reply` taken apart; missing parts are empty, any text is accepted."""
    target, _, reply = text.partition("\t")
    head, *rest = _SLOT.split(target)
    return Answer(head.strip(), tuple(sorted(zip(rest[::2], rest[1::2], strict=True))), reply)
