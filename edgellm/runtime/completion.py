"""What comes back: chunks while an answer is written, the completion when it has ended, and how both are made of tokens."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edgellm.runtime.choice import Chooser, TokenInfo
from edgellm.runtime.engine import Answer
from edgellm.runtime.params import Params
from edgellm.runtime.post import Maker
from edgellm.runtime.repetition import repeated
from edgellm.runtime.text import TextStream
from edgellm.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Timings:
    """Wall-clock seconds on this machine, and device cycles where the back end counts them."""

    first_token: float  # s from submit to the first token (TTFT)
    total: float  # s from submit to the end
    tokens_per_second: float  # generated tokens over `total`
    device: dict[str, float] = field(default_factory=dict)  # e.g. cycles, cycles_per_token (simulated)


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer. `tokens` leaves the stop id out; `text` also ends before a stop string, and is post-processed."""

    backend: str
    model: str
    prompt_tokens: list[int]
    tokens: list[int]
    text: str
    finish_reason: str  # stop, length, context, deadline, repetition, confidence
    timings: Timings
    cached: int = 0  # tokens of the prompt that were in the prefix cache
    logprobs: list[TokenInfo] | None = None  # of each token, where asked for

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)


class Chunk(NamedTuple):
    """A token as it arrives, and the text that it settled (empty in the middle of a character or a stop string)."""

    token: int | None  # None for the last chunk when only held-back text was left
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How tokens were generated, wherever that was. Times are seconds."""

    prompt: Sequence[int]
    finish_reason: str
    backend: str
    total: float  # from the request to the end
    first_token: float | None = None  # from the request; None where there is none
    cached: int = 0  # tokens of the prompt that were in a prefix cache
    counters: Mapping[str, float] = field(default_factory=dict)
    logprobs: Sequence[TokenInfo] | None = None  # of each token, where asked for

    @classmethod
    def of(cls, answer: Answer, chooser: Chooser | None) -> Ended:
        """An answer of this process's engine, which has ended."""
        return cls(
            answer.request.job.prompt,
            (chooser and chooser.ended) or str(answer.finish_reason),
            answer.backend,
            time.monotonic() - answer.submitted,
            answer.first_token,
            answer.cached,
            answer.counters,
            chooser.seen if chooser and chooser.seen else None,
        )


class Writing:
    """One answer as it is written: feed it tokens until it is `over` or there are no more, then `finish`."""

    def __init__(self, model: str, tokenizer: Tokenizer, params: Params, post: Sequence[Maker] = ()) -> None:
        self._model, self._repeats = model, params.repeats
        self._token_bytes = tokenizer.token_bytes
        self._text = TextStream(params.stop)
        self._post = [make() for make in post]
        self.plain = not (params.stop or params.repeats or post)  # no token of it ends it before its time
        self._tokens: list[int] = []
        self._parts: list[str] = []
        self._circles = False

    def feed(self, token: int) -> Chunk:
        """The chunk of the next token."""
        self._tokens.append(token)
        text = self._text.feed(self._token_bytes[token])
        for one in self._post:
            text = one.feed(text)
        self._parts.append(text)
        if self._repeats:
            self._circles = repeated(self._tokens, self._repeats)
        return Chunk(token, text)

    def take(self, tokens: Sequence[int]) -> str:
        """The text that the next tokens settle, where nobody wants their chunks; none behind the one that ends the answer."""
        begun = len(self._parts)
        if self.plain:
            self._tokens += tokens
            self._parts.append(self._text.feed(b"".join(map(self._token_bytes.__getitem__, tokens))))
            return self._parts[begun]
        for token in tokens:
            self.feed(token)
            if self.over:
                break
        return "".join(self._parts[begun:])

    @property
    def count(self) -> int:
        """Tokens so far."""
        return len(self._tokens)

    @property
    def over(self) -> bool:
        """Whether text or tokens end the answer here."""
        return self._text.stopped or self._circles

    def finish(self, ended: Ended) -> tuple[Completion, str]:
        """The completion, and text that was held back."""
        rest = self._text.close()
        for one in self._post:
            rest = one.feed(rest) + one.close()
        self._parts.append(rest)
        rate = len(self._tokens) / ended.total if ended.total > 0 else 0.0
        timings = Timings(ended.first_token or ended.total, ended.total, rate, dict(ended.counters))
        completion = Completion(
            backend=ended.backend,
            model=self._model,
            prompt_tokens=list(ended.prompt),
            tokens=self._tokens,
            text="".join(self._parts),
            finish_reason=self._reason(ended.finish_reason),
            timings=timings,
            cached=ended.cached,
            logprobs=None if ended.logprobs is None else list(ended.logprobs[: len(self._tokens)]),
        )
        return completion, rest

    def _reason(self, reason: str) -> str:
        """What ended the answer: its text, its tokens, or what the engine says."""
        if self._text.stopped:
            return "stop"
        return "repetition" if self._circles else reason
