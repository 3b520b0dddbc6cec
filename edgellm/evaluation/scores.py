"""From outcomes to numbers: shares with 95 % Wilson intervals, slot F1, loss, per intent."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edgellm.evaluation.answers import Answer, parse
from edgellm.evaluation.examples import expected_text
from edgellm.evaluation.sets import Case

Z95 = 1.96  # standard deviations of a two-sided 95 % interval


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case and what the model made of it.

    `tokens` counts those of the expected answer, its stop id included; `nats` is the loss over them, None where it is not known.
    A case that does not fit the model's context has the answer "" and counts as wrong; there is no loss of it.
    """

    case: Case
    commands: bool
    got: str
    tokens: int
    nats: float | None
    fits: bool = True

    @property
    def expected(self) -> str:
        return expected_text(self.case, self.commands)

    @property
    def wanted(self) -> Answer:
        """The expected answer taken apart."""
        return parse(self.expected)

    @property
    def given(self) -> Answer:
        """The model's answer taken apart."""
        return parse(self.got)

    @property
    def wrong(self) -> str:
        """The first thing that is wrong, `intent`, `slots`, `reply` or `text` (of a plain completion); empty if nothing is."""
        if not self.commands:
            got = self.got if self.case.ends else self.got[: len(self.expected)]
            return "" if got == self.expected else "text"
        wanted, given = self.wanted, self.given
        if given.intent != wanted.intent:
            return "intent"
        if given.slots != wanted.slots:
            return "slots"
        return "reply" if wanted.reply and given.reply != wanted.reply else ""

    @property
    def exact(self) -> bool:
        """Intent and all slots right; the whole text of a plain completion."""
        return self.wrong in ("", "reply")


def share(count: int, total: int) -> dict[str, float]:
    """Percent with its Wilson score interval (Wilson 1927); `total` is at least 1."""
    p = count / total
    centre = p + Z95 * Z95 / (2 * total)
    spread = Z95 * math.sqrt(p * (1 - p) / total + Z95 * Z95 / (4 * total * total))
    bounds = ((centre + sign * spread) / (1 + Z95 * Z95 / total) for sign in (-1, 1))
    low, high = (min(max(bound, 0.0), 1.0) for bound in bounds)  # beyond the ends by rounding alone
    return {"percent": round(100 * p, 1), "low": round(100 * low, 1), "high": round(100 * high, 1)}


def score(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All measures of at least one outcome of one set; what cannot be measured is left out.

    `too_long` counts the lines that the context cannot hold, `loss` is in nats a token and `bits_per_byte` a byte of the
    expected text, `intent`, `exact`, `reply` are `share` (none of them where no case has a prompt), `slots` is `slot_scores`.
    """
    report: dict[str, Any] = {"lines": len(outcomes)}
    if too_long := sum(not outcome.fits for outcome in outcomes):
        report["too_long"] = too_long
    report |= _losses([outcome for outcome in outcomes if outcome.fits])
    if not any(outcome.case.prompt for outcome in outcomes):
        return report  # documents: no prompt says which one is meant
    exact = share(sum(outcome.exact for outcome in outcomes), len(outcomes))
    if not outcomes[0].commands:
        return report | {"exact": exact}
    report["intent"] = share(_intents_right(outcomes), len(outcomes))
    report["exact"] = exact
    if judged := [outcome for outcome in outcomes if outcome.case.reply]:
        right = sum(outcome.given.reply == outcome.wanted.reply for outcome in judged)
        report["reply"] = share(right, len(judged))
    return report | {"slots": slot_scores(outcomes)}


def per_intent(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Expected intent -> lines, and intent and exact match as `share`, in alphabetical order."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.wanted.intent, []).append(outcome)
    return {
        name: {
            "lines": len(group),
            "intent": share(_intents_right(group), len(group)),
            "exact": share(sum(outcome.exact for outcome in group), len(group)),
        }
        for name, group in sorted(groups.items())
    }


def confusions(outcomes: Iterable[Outcome]) -> Counter[tuple[str, str]]:
    """How often each expected intent was answered with each intent, right ones included."""
    return Counter((outcome.wanted.intent, outcome.given.intent) for outcome in outcomes)


def slot_scores(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Micro-averaged over all (key, value) pairs, whatever the intent; `f1` in percent.

    `precision` and `recall` as `share`; each is left out when there is nothing that it could be a share of.
    """
    wanted = given = right = 0
    for outcome in outcomes:
        want, got = Counter(outcome.wanted.slots), Counter(outcome.given.slots)
        wanted, given, right = wanted + want.total(), given + got.total(), right + (want & got).total()
    report: dict[str, Any] = {"expected": wanted, "given": given, "right": right}
    if given:
        report["precision"] = share(right, given)
    if wanted:
        report["recall"] = share(right, wanted)
    if wanted + given:
        report["f1"] = round(200 * right / (wanted + given), 1)
    return report


def _intents_right(outcomes: Iterable[Outcome]) -> int:
    return sum(outcome.given.intent == outcome.wanted.intent for outcome in outcomes)


def _losses(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Nats a token and bits a byte of the expected answers; nothing when a loss is not known."""
    known = [outcome.nats for outcome in outcomes if outcome.nats is not None]
    if not outcomes or len(known) < len(outcomes):
        return {}
    nats, size = math.fsum(known), sum(len(outcome.expected.encode()) for outcome in outcomes)
    tokens = sum(outcome.tokens for outcome in outcomes)
    return {"loss": round(nats / tokens, 5), "bits_per_byte": round(nats / math.log(2) / size, 5)}
