"""English agreement: repairs what random template expansion gets wrong, before open values are put in.

Open values stand in the sentence as private-use characters, so no rule here can change a value that must be copied.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from edgellm.data.words import word_lists

FIRST_MARK = 0xE000  # first character of Unicode's private use area
MARK = "[\ue000-\uf8ff]"
_DETERMINER = "(?:the|my|our|any|some|all|every|each)"
_UNITS = "(hour|minute|second|degree)"
_COUNTED = "(light|lamp|fan|switch|door|window|gate|lock|shutter|timer|blind|curtain|shade|awning)"
_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_NUMBERS = (*_ONES, "ten", "eleven", "twelve", *_TEENS)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def spell(number: int) -> str:
    """The English words for 0..100."""
    if number in (0, 100):
        return "one hundred" if number else "zero"
    if number < 20:
        return _NUMBERS[number - 1]
    tens, ones = _TENS[number // 10 - 2], number % 10
    return tens if ones == 0 else f"{tens} {_NUMBERS[ones - 1]}"


def plural(noun: str) -> str:
    return noun + ("es" if noun.endswith(("ch", "sh", "s", "x")) else "s")


def is_plural(value: str) -> bool:
    """True for a name such as `desk lamps`."""
    return value.endswith("s") and not value.endswith(("ss", "us", "is")) and value not in _people()


@cache
def _people() -> frozenset[str]:
    return frozenset(word_lists()["people"])


def _unit(match: re.Match[str]) -> str:
    """`1 hours` -> `1 hour`, `5 minute` -> `5 minutes`; before `timer` the singular is right."""
    number, unit, rest = match.group(1), match.group(2), match.group(3)
    single = number in ("1", "one", "a", "an") or rest.endswith(" timer")
    return f"{number} {unit}{'' if single else 's'}{rest}"


def _article(match: re.Match[str]) -> str:
    word = match.group(1)
    vowel = (
        (word[0] in "aeiou8" and not word.startswith("one"))
        or word in ("11", "18")
        or word.startswith("hour")
    )
    return ("an " if vowel else "a ") + word


_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (rf"\b({_DETERMINER}) (?:the|my|our)\b(?= (?:the|my|our)\b)", r"\1"),
        (r"\b(the|my|our|every|every single|each) (?:the|my|our)\b", r"\1"),
        (rf"\b(all(?: of)?(?: the| my| our)?(?: {MARK})?) {_COUNTED}\b", r"\1 \2s"),
        (r"\b(\w*switch|\w*bench)s\b", r"\1es"),
        (rf"\b((?:every|every single|each)(?: {MARK})?) {_COUNTED}(?:s|es)\b", r"\1 \2"),
        (r"\b(all(?: of)?(?: the| my| our)?|every|each|every single) lighting\b", "the lighting"),
        (r"\b(half|1/2) (an|a) hours\b", r"\1 \2 hour"),
        (r"\band a 1/2\b", "and 1/2"),
        (r"\b(and (?:a )?(?:half|1/2)) (hour|minute)\b", r"\1 \2s"),
        (r"\b(?:in|at|of) (in|at)\b", r"\1"),
        (r"\b(?:at|of) here\b", "here"),
        (r"^(make .*) to (\S+(?: (?:percent|%|degrees?|k|kelvin|white|light))?)$", r"\1 \2"),
        (r"^(tell me .*) like\b", r"\1"),
        (r"^tell me (how|what)(?=(?:'s| (?:\w+ )?(?:is|are)) )", r"\1"),
        (r"\b(in|at|to) (upstairs|downstairs)\b", r"\2"),
        (r" +", " "),
    )
)


def repair(sentence: str) -> str:
    """One sentence with marks in place of open values -> the same sentence in better English."""
    sentence = " ".join(sentence.split())
    sentence = re.sub(r"(\d|\w)-(hour|minute|second)s?(?! timer)\b", r"\1 \2", sentence)
    sentence = re.sub(r"-(hour|minute|second)s timer", r"-\1 timer", sentence)
    sentence = re.sub(
        rf"\b(\d+|(?:{'|'.join(_TENS)}) [a-z]+|[a-z]+) {_UNITS}s?\b((?:(?: {MARK})? timer)?)",
        _units_of_numbers,
        sentence,
    )
    for pattern, text in _RULES:
        sentence = pattern.sub(text, sentence)
    return re.sub(r"\ban? (\d+|[a-z]+)", _article, sentence).strip()


def _units_of_numbers(match: re.Match[str]) -> str:
    number = match.group(1)
    last = number.rsplit(" ", 1)[-1]
    known = last.isdigit() or last in _NUMBERS or last in _TENS or number in ("a", "an", "hundred")
    return _unit(match) if known else match.group(0)


def fill(sentence: str, values: Sequence[str]) -> str:
    """Put the open values in and make the verb agree: `is the <blinds> open` -> `are the blinds open`."""
    for index, value in enumerate(values):
        mark = chr(FIRST_MARK + index)
        verb = "are" if is_plural(value) else "is"
        sentence = re.sub(rf"^(?:is|are) ((?:the |my |our )?){mark}(?! timer)", rf"{verb} \1{mark}", sentence)
        if value in ("upstairs", "downstairs"):
            sentence = re.sub(rf"(?:\b(?:in|on|at|of) )?(?:\b(?:the|my|our) )?{mark}", mark, sentence)
        sentence = sentence.replace(mark, value)
    return sentence
