"""Constrained output: a JSON schema, a grammar, a regular expression or a list of texts says which tokens may follow.

By llguidance: typed, wheels for x86-64 and aarch64, limits on every resource, and no compilation ahead of the masks (xgrammar
wants Torch beside it, and compiles first). It is given this tokenizer's bytes; what the model wants among the allowed tokens is
left to the model, so a text may be spelt in the model's own tokens.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgellm.errors import ToolMissing, UsageError
from edgellm.runtime.distribution import Kept
from edgellm.tokenizer import Tokenizer

if TYPE_CHECKING:
    import llguidance

MOST_CHARACTERS = 1 << 16  # of a schema or grammar
KEPT = 64  # compiled grammars
MOST_FORCED = 64  # tokens at once
MOST_TOLD = 1000  # characters of what the library says
FREE_CHOICE = '\n%llguidance {"no_forcing": true}\n'  # every spelling of a text, not only the library's
_PLACE = re.compile(r"^(?:at )?\d+\(\d+\): |\n +\d+ \| .*(\n +\^)?")
LIMITS = {  # a fifth to a half of the library's own: 20 ms at the start, 10 ms a token
    "initial_lexer_fuel": 500_000,
    "step_lexer_fuel": 100_000,
    "step_max_items": 20_000,
    "max_lexer_states": 20_000,
    "max_grammar_size": 50_000,
}


@dataclass(frozen=True, slots=True)
class Form:
    """The form an answer must have: `option` is json_schema, grammar, regex or choices, `text` what it says."""

    option: str
    text: str  # JSON for json_schema and choices


class Grammars:
    """Compiles the forms for one model; keeps the ones used last. Safe for threads."""

    def __init__(self, tokenizer: Tokenizer, vocab: int, stop_ids: Collection[int]) -> None:
        """Raises: ToolMissing without llguidance."""
        self._library = _llguidance()
        self._stop_ids, self._vocab = sorted(one for one in stop_ids if one < vocab), vocab
        self._tokenizer = _vocabulary(self._library, tokenizer, vocab, stop_ids)
        self._limits = self._library.LLParserLimits(**LIMITS, verbose_errors=False)
        self._compiled: OrderedDict[Form, llguidance.LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, form: Form) -> GrammarConstraint:
        """A constraint at its beginning. Raises: UsageError naming the option and what the library says."""
        with self._lock:
            found = self._compiled.pop(form, None) or self._compile(form)
            self._compiled[form] = found
            while len(self._compiled) > KEPT:
                self._compiled.popitem(last=False)
            return GrammarConstraint(form, found.deep_copy(), self._vocab, self._stop_ids)

    def _compile(self, form: Form) -> llguidance.LLMatcher:
        if len(form.text) > MOST_CHARACTERS:
            raise UsageError(
                f"{form.option} has {len(form.text)} characters: must be at most {MOST_CHARACTERS}"
            )
        text = _lark(self._library, form) + FREE_CHOICE
        matcher: llguidance.LLMatcher = self._library.LLMatcher(
            self._tokenizer, text, log_level=0, limits=self._limits
        )
        if matcher.is_error():
            raise _refused(form, matcher.get_error())
        matcher.compute_bitmask()
        if matcher.is_stopped() and not matcher.is_accepting():
            raise _refused(form, "no text has this form")
        return matcher


class GrammarConstraint:
    """Follows one answer; see `choice.Constraint`."""

    def __init__(
        self, form: Form, matcher: llguidance.LLMatcher, vocab: int, stop_ids: Sequence[int]
    ) -> None:
        self._form, self._matcher, self._vocab, self._stop_ids = form, matcher, vocab, list(stop_ids)
        self._seen: list[int] = []

    def allowed(self, tokens: Sequence[int]) -> Kept | None:
        """bool [vocab]; None where the form is complete and nothing can follow."""
        self._follow(tokens)
        return self._mask()

    def forced(self, tokens: Sequence[int]) -> list[int]:
        """The tokens that must follow these (one or more), whatever the model thinks; a stop id where the answer must end."""
        found: list[int] = []
        if tokens[-1] in self._stop_ids:
            return found
        self._follow(tokens)
        while len(found) < MOST_FORCED:
            mask = self._mask()
            if mask is None:
                return found + self._stop_ids[:1]
            if np.count_nonzero(mask) != 1:
                break
            found.append(int(mask.argmax()))
            self._follow([*tokens, *found])
        return found

    def _mask(self) -> Kept | None:
        raw = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        bits = np.unpackbits(raw, count=self._vocab + 1, bitorder="little").view(np.bool_)
        if self._matcher.is_error():
            raise _refused(self._form, self._matcher.get_error())
        mask, may_end = bits[: self._vocab], bits[self._vocab]
        if may_end and not mask.any():
            return None
        mask[self._stop_ids] |= may_end
        if not mask.any():
            raise _refused(self._form, "no token of the model can follow")
        return mask

    def _follow(self, tokens: Sequence[int]) -> None:
        """Bring the matcher to where these tokens lead, of which it has seen the first, or more than there are."""
        surplus = len(self._seen) - len(tokens)
        if surplus > 0:
            self._matcher.rollback(surplus)
            del self._seen[-surplus:]
        new = list(tokens[len(self._seen) :])
        if not self._matcher.consume_tokens(new):
            raise _refused(self._form, self._matcher.get_error())
        self._seen += new


def _lark(library: Any, form: Form) -> str:
    """The form in the library's language."""
    if form.option == "json_schema":
        return f"start: %json {form.text}"
    if form.option == "choices":
        return "start: " + " | ".join(map(json.dumps, json.loads(form.text)))
    if form.option == "regex":
        found = json.loads(library.LLMatcher.grammar_from_regex(form.text))
        return str(found["grammars"][0]["lark_grammar"])
    try:
        return str(library.gbnf_to_lark.any_to_lark(form.text))
    except Exception as error:  # the converter raises bare exceptions
        raise _refused(form, str(error)) from None


def _refused(form: Form, why: str) -> UsageError:
    if form.option != "grammar":
        why = _PLACE.sub("", why)  # lines of what was made of the form
    lines = (line for line in why.splitlines() if not line.endswith(FREE_CHOICE.strip()))
    told = "\n".join(lines).replace("<non-verbose/>", "").strip()
    return UsageError(f"{form.option} cannot be followed: {told[:MOST_TOLD]}")


def _vocabulary(library: Any, tokenizer: Tokenizer, vocab: int, stop_ids: Collection[int]) -> Any:
    """The tokens' bytes, and one token more, which stands for the end; control tokens are no text."""
    texts = [*tokenizer.token_bytes[:vocab], *[b""] * (vocab - tokenizer.size)]
    control = {*stop_ids, *(token for token, text in enumerate(texts) if not text), *tokenizer.control_ids}

    class Vocabulary:
        eos_token_id, bos_token_id = vocab, None
        tokens = [*(text or b"<none>" for text in texts), b"<end>"]  # noqa: RUF012
        special_token_ids = [*sorted(one for one in control if one < vocab), vocab]  # noqa: RUF012

        def __call__(self, text: bytes) -> list[int]:
            return tokenizer.encode(text.decode("utf-8", "replace"))

    return library.LLTokenizer(library.TokenizerWrapper(Vocabulary()), n_vocab=vocab + 1)


def _llguidance() -> Any:
    try:
        import llguidance
        import llguidance.gbnf_to_lark
    except ImportError:
        raise ToolMissing(
            "json_schema, grammar, regex and choices need llguidance: pip install 'edgellm[grammar]'"
        ) from None
    return llguidance
