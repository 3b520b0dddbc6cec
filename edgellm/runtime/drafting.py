"""Guesses at the next tokens: what followed the last few tokens when they came before (prompt look-up decoding, Saxena 2023).

A guess costs a look into a table. Where a device feeds several tokens in hardly more time than one, it verifies them in one
call and keeps those that it would have chosen itself, so that guesses never change a token (Leviathan et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

LENGTHS = (3, 2)  # of the tokens that have to agree, the best first
DRAFTS = 8  # measured: more are rarely right
# in calls of one token, measured in ONNX Runtime: what a call with guesses costs more, and each of its guesses
PRICE, PRICE_EACH = 1.2, 0.07
# where an answer begins, what a right guess earns that was only looked at, what is kept at most
BEGINNING, EARNED, MOST_CREDIT = -0.5, 1.0, 2.0


class Lookup:
    """The tokens of a prompt and its answer, and where each run of two or three of them came last."""

    def __init__(self, tokens: Iterable[int]) -> None:
        self._tokens: list[int] = []
        self._behind: dict[tuple[int, ...], int] = {}
        for token in tokens:
            self.append(token)

    def append(self, token: int) -> None:
        """One token more."""
        for length in LENGTHS:
            if len(self._tokens) >= length:
                self._behind[tuple(self._tokens[-length:])] = len(self._tokens)
        self._tokens.append(token)

    def draft(self, most: int) -> list[int]:
        """Up to `most` tokens that may come next; none where the last two are new. A circle goes on."""
        for length in LENGTHS:
            at = self._behind.get(tuple(self._tokens[-length:]))
            if at is not None:
                followed = self._tokens[at : at + most]
                return (followed * most)[:most]
        return []


class Guesser:
    """Guesses as long as that pays: a call with guesses has its price, each guess that was right saves a call.

    While it does not, and at first, guesses are only compared with what comes, and are used when they turn out right.
    """

    def __init__(self, tokens: Iterable[int]) -> None:
        self._lookup = Lookup(tokens)
        self._credit = BEGINNING
        self._expected: int | None = None  # a guess that is only looked at

    def guess(self, room: int) -> list[int]:
        """Up to `room` tokens, and no more than are worth it."""
        found = self._lookup.draft(min(room, DRAFTS)) if room > 0 else []
        if found and self._credit < 0:
            self._expected = found[0]
            return []
        return found

    def came(self, tokens: Sequence[int], guesses: int = 0) -> None:
        """The tokens that came out of a call with so many guesses, of which all but the last were right."""
        if guesses:
            self._earn(len(tokens) - 1 - PRICE - PRICE_EACH * guesses)
        elif tokens[0] == self._expected:
            self._earn(EARNED)
        self._expected = None
        for token in tokens:
            self._lookup.append(token)

    def _earn(self, calls: float) -> None:
        self._credit = min(MOST_CREDIT, self._credit + calls)
