"""Personal data in a text: what looks like it and passes its checksum, where it has one.

IBAN: ISO 13616 (length by country, remainder 1 of 97). Cards: ISO/IEC 7812 (Luhn). Repetitions of the patterns are bounded, so
that their time is linear in the text. What is found is a help against accidents, no proof that nothing else is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

KINDS = ("email", "iban", "card", "phone")  # in this order: a phone number may look like the end of an IBAN
_IBANS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 "
    "FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 "
    "LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 "
    "ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
)
IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _IBANS.split()}
_PATTERNS = {
    "email": re.compile(
        r"(?<![\w.%+-])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,7}\.[A-Za-z]{2,24}\b"
    ),
    "iban": re.compile(r"\b[A-Za-z]{2}[0-9]{2}(?: ?[A-Za-z0-9]){11,30}"),
    "card": re.compile(r"(?<![\d-])[0-9](?:[ -]?[0-9]){12,18}(?![\d-])"),
    "phone": re.compile(
        r"(?<![\w+])(?<![0-9] )(?:\+[0-9](?:[ ()./-]{0,2}[0-9]){6,14}|0[0-9](?:[ ()/-]{0,2}[0-9]){5,12}"
        r"|\(?[0-9]{3}\)?[ .-][0-9]{3}[ .-][0-9]{4})(?!\w)"
    ),
}


def label(kind: str, _: str) -> str:
    """What stands in the place of such data."""
    return f"[{kind}]"


def masked(text: str, kinds: Sequence[str], mask: Callable[[str, str], str]) -> str:
    """The text with `mask(kind, found)` in the place of what was found."""
    for kind in KINDS:
        if kind in kinds:
            text = _PATTERNS[kind].sub(lambda match, kind=kind: _replaced(kind, match[0], mask), text)  # type: ignore[misc]
    return text


def _replaced(kind: str, found: str, mask: Callable[[str, str], str]) -> str:
    """The mask and what follows the data, or what was found where a checksum says that it is none."""
    data = found
    if kind == "iban":
        data = _characters(found, IBAN_LENGTHS.get(found[:2].upper(), 0))
    valid = {"iban": _is_iban, "card": _is_card}.get(kind)
    if not data or (valid and not valid(data)):
        return found
    return mask(kind, data) + found[len(data) :]


def _characters(text: str, count: int) -> str:
    """The beginning of the text with so many characters besides spaces; empty where there are not as many."""
    for end in range(len(text) + 1):
        if end - text.count(" ", 0, end) == count:
            return text[:end]
    return ""


def _is_iban(text: str) -> bool:
    compact = text.replace(" ", "").upper()
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def _is_card(text: str) -> bool:
    digits = [int(c) for c in reversed(text) if c.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
