"""What happens to a prompt before a model sees it: a chain of filters, each of which gives back a text or refuses it.

Regular expressions run in RE2, whose time is linear in the text whatever the pattern: no prompt can hold up a server.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from edgellm.errors import ConfigError, PromptRefused, ToolMissing
from edgellm.runtime import personal

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
PATTERN_MEMORY = 1 << 20  # bytes of a compiled pattern
KEPT_CONTROLS = "\t\n\r"


class Filter(Protocol):
    """Text to text. Raises: PromptRefused."""

    @property
    def name(self) -> str:
        """As errors and configurations call it."""
        ...

    def __call__(self, text: str) -> str:
        """The text that goes on."""
        ...


@dataclass(frozen=True, slots=True)
class MaxCharacters:
    """Refuses longer prompts."""

    most: int
    name: str = "max_characters"

    def __post_init__(self) -> None:
        if not isinstance(self.most, int) or self.most < 1:
            raise ConfigError(f"{self.name}: most is {self.most!r}: must be a whole number of at least 1")

    def __call__(self, text: str) -> str:
        if len(text) > self.most:
            raise PromptRefused(
                self.name, f"it has {len(text)} characters, at most {self.most} are allowed: shorten it"
            )
        return text


@dataclass(frozen=True, slots=True)
class RemoveControls:
    """Leaves out control characters besides tab, line feed and carriage return."""

    name: str = "remove_controls"

    def __call__(self, text: str) -> str:
        return "".join(c for c in text if c in KEPT_CONTROLS or unicodedata.category(c) != "Cc")


@dataclass(frozen=True, slots=True)
class Normalise:
    """One of the normal forms of Unicode."""

    form: Form = "NFC"
    name: str = "normalise"

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise ConfigError(
                f"{self.name}: form is {self.form!r}: must be one of {', '.join(get_args(Form))}"
            )

    def __call__(self, text: str) -> str:
        return unicodedata.normalize(self.form, text)


class Deny:
    """Refuses a prompt in which one of the patterns is found."""

    name = "deny"

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = _compiled(self.name, patterns)

    def __call__(self, text: str) -> str:
        for pattern in self._patterns:
            if pattern.search(text):
                raise PromptRefused(self.name, f"it matches {pattern.pattern!r}")
        return text


class Allow:
    """Refuses a prompt that is not as a whole one of the patterns."""

    name = "allow"

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = _compiled(self.name, patterns)

    def __call__(self, text: str) -> str:
        if not any(pattern.fullmatch(text) for pattern in self._patterns):
            raise PromptRefused(self.name, f"it matches none of {len(self._patterns)} patterns")
        return text


class MaskPersonal:
    """Puts [email], [iban], [card] and [phone] in the place of such data, or what `mask` gives for (kind, found text)."""

    name = "mask_personal"

    def __init__(
        self, kinds: Sequence[str] = personal.KINDS, mask: Callable[[str, str], str] | None = None
    ) -> None:
        unknown = [kind for kind in kinds if kind not in personal.KINDS]
        if unknown or isinstance(kinds, str):
            raise ConfigError(
                f"{self.name}: kinds has {kinds!r}: must be some of {', '.join(personal.KINDS)}"
            )
        self._kinds, self._mask = tuple(kinds), mask or personal.label

    def __call__(self, text: str) -> str:
        return personal.masked(text, self._kinds, self._mask)


def _compiled(name: str, patterns: Sequence[str]) -> list[Any]:
    if isinstance(patterns, str) or not patterns:
        raise ConfigError(f"{name}: patterns is {patterns!r}: must be a list of regular expressions")
    try:
        import re2
    except ImportError:
        raise ToolMissing(f"filter {name} needs google-re2: pip install 'edgellm[filters]'") from None
    options = re2.Options()
    options.log_errors, options.max_mem = False, PATTERN_MEMORY
    found = []
    for pattern in patterns:
        try:
            found.append(re2.compile(pattern, options))
        except (re2.error, TypeError) as error:
            told = error.args[0]
            why = told.decode("utf-8", "replace") if isinstance(told, bytes) else told
            raise ConfigError(f"{name}: pattern {pattern!r} cannot be used: {why}") from None
    return found
