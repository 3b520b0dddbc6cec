"""Answers from the cache, and into it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from edgellm.runtime.choice import TokenInfo
from edgellm.runtime.completion import Writing
from edgellm.runtime.model import Model
from edgellm.runtime.params import Params
from edgellm.serve.cache.answers import REASONS, Kept, Shape
from edgellm.serve.cache.keys import Keys
from edgellm.serve.cache.responses import Owner, ResponseCache
from edgellm.serve.orders import End, Order, Portion, Source

CACHE = "cache"


class CachedSource:
    """See `orders.Source`. What was answered before comes at once; what is answered to its end is kept."""

    def __init__(self, inner: Source, cache: ResponseCache, model: Model, name: str, digest: str) -> None:
        """`name`: what clients call the model; `digest`: of its files."""
        self._inner, self._cache, self._model = inner, cache, model
        self._keys = Keys(model, digest)
        self._owner = Owner(name, digest, Shape(model.vocab, model.context, model.stop_ids))

    async def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        """One portion of a kept answer, or those that `inner` makes."""
        key = self._key(order)
        if key is not None and (found := await self._found(key, order)):
            yield found
            return
        taken = _Taken()
        portions = self._inner.stream(order)
        try:
            async for portion in portions:
                if key is not None:
                    taken.add(portion)
                    self._keep(key, taken)
                yield portion
        except GeneratorExit:
            if key is not None and taken.end_by_text(self._model, order.params):
                self._keep(key, taken)
            raise
        finally:
            await portions.aclose()

    def _key(self, order: Order) -> bytes | None:
        """None for what is neither looked for nor kept."""
        left = order.left()
        late = left is not None and left <= 0
        return None if not order.keep or order.tokens or late else self._keys.of(order)

    async def _found(self, key: bytes, order: Order) -> Portion | None:
        cache, owner, params = self._cache, self._owner, order.params
        cache.queries[owner.name] += 1
        kept = await cache.find(owner, key, params.logprobs)
        cut = kept.cut(params.max_tokens) if kept else None
        if cut is None:
            return None
        cache.hits[owner.name] += 1
        return Portion(cut.tokens, cut.infos, End(cut.reason, CACHE, origin=CACHE))

    def _keep(self, key: bytes, taken: _Taken) -> None:
        if taken.reason in REASONS:
            kept = Kept(tuple(taken.tokens), tuple(taken.infos), taken.reason, self._cache.now())
            self._cache.keep(self._owner, key, kept)


class _Taken:
    """What the reader of an answer got."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.infos: list[TokenInfo] = []
        self.reason = ""  # while there is no end

    def add(self, portion: Portion) -> None:
        """A portion more."""
        self.tokens += portion.tokens
        if portion.infos:
            self.infos += portion.infos
        if portion.end is not None:
            self.reason = portion.end.finish_reason

    def end_by_text(self, model: Model, params: Params) -> bool:
        """Whether the reader left because the text was over, by a stop string or in circles; what came behind is left out."""
        if not (params.stop or params.repeats):
            return False
        writing = Writing(model.name, model.tokenizer, params)
        for count, token in enumerate(self.tokens, 1):
            writing.feed(token)
            if writing.over:
                del self.tokens[count:], self.infos[count:]
                self.reason = "stop"
                return True
        return False
