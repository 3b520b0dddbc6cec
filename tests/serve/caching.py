"""What tests of caches, flights and measures share: a source that says what it is told, readers, a small golden model."""

import asyncio
from contextlib import aclosing

from toy import ARCH, write_model

from edgellm.numerics.model import Architecture
from edgellm.numerics.random import random_model
from edgellm.runtime.backends.golden import GoldenStepper
from edgellm.runtime.backends.stepped import SteppedDevice
from edgellm.runtime.completion import Writing
from edgellm.runtime.llm import LLM
from edgellm.runtime.params import Params
from edgellm.serve.cache.answers import Kept, Shape
from edgellm.serve.cache.responses import Owner
from edgellm.serve.orders import End, Order, Portion

STOPS = frozenset(range(240, 259))  # so that answers of a random model end by themselves now and then
SHAPE = Shape(259, 48, STOPS)
OWNER = Owner("toy", "d1", SHAPE)


def order(*prompt, **options):
    """With `keep`, `arrived` and the like, or options of Params."""
    own = {name: options.pop(name) for name in ("keep", "arrived", "tokens", "client") if name in options}
    return Order(tuple(prompt) or (1, 2), Params.of(options), **own)


def kept(*tokens, reason="stop", made=0.0):
    return Kept(tuple(tokens), (), reason, made)


def golden_llm(folder, seed=1):
    model = random_model(Architecture(**ARCH), seed)
    llm = LLM(write_model(folder), [lambda: SteppedDevice(GoldenStepper(model))])
    llm.stop_ids = STOPS
    return llm


class Script:
    """Source of fixed portions; what is asked of it is recorded. `gate` lets portions through, one each."""

    def __init__(self, *portions, error=None, gate=None):
        self.portions, self.error, self.gate = portions, error, gate
        self.orders, self.closed, self.open = [], 0, 0

    async def stream(self, order):
        self.orders.append(order)
        self.open += 1
        try:
            for portion in self.portions:
                if self.gate is not None:
                    await self.gate.acquire()
                else:
                    await asyncio.sleep(0)
                yield portion
            if self.error is not None:
                raise self.error
        finally:
            self.open -= 1
            self.closed += 1


def answer(*tokens, reason="stop", **end):
    """Portions of one token each, then the end."""
    return (*(Portion([token]) for token in tokens), Portion((), end=End(reason, "script", **end)))


async def collect(source, order):
    """Tokens, infos and end of an answer."""
    tokens, infos, end = [], [], None
    async with aclosing(source.stream(order)) as portions:
        async for portion in portions:
            assert end is None
            tokens += portion.tokens
            infos += portion.infos
            end = portion.end
    return tokens, infos, end


async def read(source, model, order):
    """As a route does: the text decides when there is enough. Completion of the answer, and where it came from."""
    writing, end = Writing(model.name, model.tokenizer, order.params), None
    infos = []
    async with aclosing(source.stream(order)) as portions:
        async for portion in portions:
            writing.take(portion.tokens)
            infos += portion.infos
            end = portion.end
            if writing.over:
                break
    from edgellm.serve.orders import ended

    completion, _ = writing.finish(ended(order, end or End("closed", "script"), None, infos))
    return completion, end


async def until(condition):
    """Wait for it, half a minute at most."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)
