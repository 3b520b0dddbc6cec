"""An answer as it is kept: tokens, what was shown of them, how it ended. JSON outside, checked when it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edgellm.runtime.choice import TokenInfo
from edgellm.runtime.params import MOST_LOGPROBS

LENGTH = "length"
REASONS = ("stop", LENGTH, "context", "confidence")  # an answer that ended otherwise might have gone on
_BASE, _TOKEN, _INFO, _TOP = 300, 40, 200, 120  # bytes of memory that they take, about


class Cut(NamedTuple):
    """The part of a kept answer that an order wants."""

    tokens: tuple[int, ...]
    infos: tuple[TokenInfo, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer; `infos` has one entry a token, or none at all."""

    tokens: tuple[int, ...]
    infos: tuple[TokenInfo, ...]
    reason: str  # one of REASONS
    made: float  # unix time, s

    def cut(self, most: int | None) -> Cut | None:
        """What an order for at most so many tokens gets; None where it may need more than there are.

        Generation counts its tokens before it looks for another end, so an answer of exactly `most` tokens ends by length.
        """
        if most is not None and most <= len(self.tokens):
            return Cut(self.tokens[:most], self.infos[:most], LENGTH)
        return None if self.reason == LENGTH else Cut(self.tokens, self.infos, self.reason)

    def serves_more(self, other: Kept) -> bool:
        """Whether it is the one to keep."""
        return (self.reason != LENGTH, len(self.tokens)) > (other.reason != LENGTH, len(other.tokens))

    def size(self) -> int:
        """Bytes of memory, about."""
        tops = sum(len(info.top) for info in self.infos)
        return _BASE + _TOKEN * len(self.tokens) + _INFO * len(self.infos) + _TOP * tops


@dataclass(frozen=True, slots=True)
class Shape:
    """What an answer of a model can be."""

    vocab: int
    context: int
    stop_ids: AbstractSet[int]

    def fits(self, kept: Kept, logprobs: int | None) -> bool:
        """Whether this could be an answer to an order that asks for so many log probabilities."""
        tokens, infos = kept.tokens, kept.infos
        known = len(tokens) <= self.context and all(0 <= token < self.vocab for token in tokens)
        if not known or not self.stop_ids.isdisjoint(tokens):
            return False
        if logprobs is None:
            return not infos
        same = tuple(info.token for info in infos) == tokens
        return same and all(len(info.top) == min(logprobs, self.vocab) for info in infos)


_Pair = tuple[int, float]
_Info = tuple[int, float, Annotated[tuple[_Pair, ...], Field(max_length=MOST_LOGPROBS)]]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    tokens: tuple[int, ...]
    infos: tuple[_Info, ...]
    reason: Literal["stop", "length", "context", "confidence"]
    made: float


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    answer: _Answer
    sum: str


_reader = TypeAdapter(_Value)


def encode(key: bytes, kept: Kept) -> bytes:
    """JSON of an answer, and a checksum of it and its key."""
    answer = {
        "tokens": kept.tokens,
        "infos": [(info.token, info.logprob, info.top) for info in kept.infos],
        "reason": kept.reason,
        "made": kept.made,
    }
    return orjson.dumps({"answer": answer, "sum": _sum(key, answer)})


def decode(key: bytes, raw: bytes) -> Kept | None:
    """The answer; None for whatever is not exactly what `encode` made for this key."""
    try:
        read = _reader.validate_json(raw)
    except ValidationError:
        return None
    answer = read.answer
    if _sum(key, answer.model_dump()) != read.sum:
        return None
    return Kept(answer.tokens, tuple(TokenInfo(*info) for info in answer.infos), answer.reason, answer.made)


def _sum(key: bytes, answer: dict[str, object]) -> str:
    return hashlib.blake2b(orjson.dumps(answer), digest_size=16, key=key).hexdigest()
