"""What happens to an answer's text before a caller sees it: a chain of post-processors, one of each an answer.

One that works as text comes (`strip`) leaves a stream a stream. One that needs the whole answer (`repair_json`, `intent`) holds
the text back until the answer has ended: chunks still come token by token, and the last one has the text.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol

from edgellm.errors import ToolMissing
from edgellm.evaluation import answers


class PostProcessor(Protocol):
    """Feed it text as it comes, then close it; what it gives back goes on."""

    def feed(self, text: str) -> str:
        """Text that is settled."""
        ...

    def close(self) -> str:
        """The rest."""
        ...


Maker = Callable[[], PostProcessor]


class Strip:
    """Leaves out white space before and behind the answer."""

    def __init__(self) -> None:
        self._begun, self._held = False, ""

    def feed(self, text: str) -> str:
        text = self._held + text
        if not self._begun:
            text = text.lstrip()
        settled = text.rstrip()
        self._held = text[len(settled) :]
        self._begun = self._begun or bool(settled)
        return settled

    def close(self) -> str:
        return ""


class Whole:
    """A function of the whole answer."""

    def __init__(self, function: Callable[[str], str]) -> None:
        self._function = function
        self._parts: list[str] = []

    def feed(self, text: str) -> str:
        self._parts.append(text)
        return ""

    def close(self) -> str:
        return self._function("".join(self._parts))


def whole(function: Callable[[str], str]) -> Maker:
    """A post-processor of any function of a text."""
    return lambda: Whole(function)


def repair_json() -> PostProcessor:
    """Makes JSON of what nearly is: quotes, commas, brackets that are missing."""
    try:
        import json_repair
    except ImportError:
        raise ToolMissing("repair_json needs json-repair: pip install 'edgellm[filters]'") from None
    return Whole(lambda text: str(json_repair.repair_json(text, ensure_ascii=False)))


def intent() -> PostProcessor:
    """Makes JSON of a home assistant's answer: {"intent": ..., "slots": {...}, "reply": ...}."""
    return Whole(_intent)


def _intent(text: str) -> str:
    found = answers.parse(text)
    taken = {"intent": found.intent, "slots": dict(found.slots), "reply": found.reply}
    return json.dumps(taken, ensure_ascii=False)
