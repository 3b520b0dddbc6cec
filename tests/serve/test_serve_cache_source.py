"""The source with a cache: the same answers as without, and what is never kept."""

import asyncio
import random
from contextlib import aclosing, suppress

import pytest
from caching import STOPS, Script, answer, collect, golden_llm, order, read, until
from toy import write_model

from edgellm.errors import BackendFailed, Overloaded
from edgellm.runtime.choice import TokenInfo
from edgellm.runtime.model import Model
from edgellm.serve.cache.guard import Guard
from edgellm.serve.cache.responses import ResponseCache
from edgellm.serve.cache.source import CachedSource
from edgellm.serve.cache.sqlite import SqliteStore
from edgellm.serve.cache.stores import Figures
from edgellm.serve.orders import End, Portion
from edgellm.serve.workers.local import LocalWorker

WEEK = 7 * 86_400.0


@pytest.fixture
def model(tmp_path):
    made = Model(write_model(tmp_path / "toy"))
    made.stop_ids = STOPS
    return made


@pytest.fixture
def store(tmp_path):
    return SqliteStore(tmp_path / "x.sqlite", Figures(1000, 1 << 30), WEEK)


def running(store, act):
    """Run `act(cache)`."""

    async def main():
        cache = ResponseCache(Guard(store, read_seconds=20), WEEK)
        try:
            return await act(cache)
        finally:
            await cache.close()

    return asyncio.run(main())


def test_the_second_time_it_comes_from_the_cache(model, store):
    script = Script(*answer(65, 66))

    async def main(cache):
        source = CachedSource(script, cache, model, "toy", "d1")
        first, second = await collect(source, order()), await collect(source, order())
        assert first == ([65, 66], [], End("stop", "script"))
        assert second == ([65, 66], [], End("stop", "cache", origin="cache"))
        assert (len(script.orders), cache.queries["toy"], cache.hits["toy"]) == (1, 2, 1)

    running(store, main)


def test_also_after_a_restart_but_not_for_another_model(model, store, tmp_path):
    async def first(cache):
        await collect(CachedSource(Script(*answer(65)), cache, model, "toy", "d1"), order())

    async def second(cache):
        script = Script(*answer(66))
        same = CachedSource(script, cache, model, "toy", "d1")
        other = CachedSource(script, cache, model, "toy", "d2")
        return (await collect(same, order()))[0], (await collect(other, order()))[0]

    running(store, first)
    again = SqliteStore(tmp_path / "x.sqlite", Figures(1000, 1 << 30), WEEK)
    assert running(again, second) == ([65], [66])


def test_nothing_is_looked_for_before_the_first_portion_is_asked_for(model, store):
    async def main(cache):
        CachedSource(Script(), cache, model, "toy", "d1").stream(order())
        assert not cache.queries

    running(store, main)


def test_portions_come_as_they_are_made(model, store):
    async def main(cache):
        gate = asyncio.Semaphore(0)
        source = CachedSource(Script(*answer(65, 66), gate=gate), cache, model, "toy", "d1")
        async with aclosing(source.stream(order())) as portions:
            gate.release()
            assert (await anext(portions)).tokens == [65]

    running(store, main)


async def asked_twice(cache, model, script, asked):
    """How often an order was generated that was asked for twice."""
    source = CachedSource(script, cache, model, "toy", "d1")
    for _ in range(2):
        with suppress(BackendFailed, Overloaded):
            await collect(source, asked)
    return len(script.orders)


@pytest.mark.parametrize(
    ("script", "asked", "times"),
    [
        (lambda: Script(*answer(65)), order(), 1),
        (lambda: Script(*answer(65, reason="length")), order(max_tokens=1), 1),
        (lambda: Script(*answer(65, reason="context")), order(), 1),
        (lambda: Script(*answer(65, reason="confidence")), order(), 1),
        (lambda: Script(*answer(65)), order(temperature=1.0, seed=3), 1),
        (lambda: Script(*answer(65)), order(temperature=1.0, seed=3, keep=False), 2),
        (lambda: Script(*answer(65)), order(keep=False), 2),
        (lambda: Script(*answer(65)), order(tokens=(64,)), 2),
        (lambda: Script(*answer(65)), order(arrived=0.0, deadline=0.1), 2),
        (lambda: Script(*answer(65, reason="deadline")), order(deadline=9), 2),
        (lambda: Script(*answer(65, reason="cancelled")), order(), 2),
        (lambda: Script(Portion([65]), error=BackendFailed("gone")), order(), 2),
        (lambda: Script(error=Overloaded("full", 1.0)), order(), 2),
        (lambda: Script(Portion([65])), order(), 2),  # no end
    ],
)
def test_what_is_kept(model, store, script, asked, times):
    assert running(store, lambda cache: asked_twice(cache, model, script(), asked)) == times


def test_an_answer_that_its_reader_left_is_not_kept(model, store):
    script = Script(*answer(65, 66, 67))

    async def main(cache):
        source = CachedSource(script, cache, model, "toy", "d1")
        for asked in (order(), order(stop="x"), order(repeats=2)):
            async with aclosing(source.stream(asked)) as portions:
                await anext(portions)
            assert script.open == 0
            assert (await collect(source, asked))[2].origin == "generated"

    running(store, main)


def test_an_answer_whose_reader_was_cancelled_is_not_kept(model, store):
    gate = asyncio.Semaphore(1)
    script = Script(*answer(65, 66), gate=gate)

    async def main(cache):
        source = CachedSource(script, cache, model, "toy", "d1")
        task = asyncio.create_task(collect(source, order(stop="A")))
        await until(lambda: script.open and gate.locked())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (script.open, cache.figures().memory.entries) == (0, 0)

    running(store, main)


@pytest.mark.parametrize(
    ("tokens", "options", "text", "reason"),
    [
        (b"one. two. three.", {"stop": ". t"}, "one", "stop"),
        (b"one. two. three.", {"stop": [". t", "ne"]}, "o", "stop"),
        (b"abababababab", {"repeats": 3}, "ababab", "repetition"),
        (b"one", {"stop": "three"}, "one", "length"),
    ],
)
def test_an_answer_that_its_text_ended_is_kept_as_far_as_it_was_wanted(
    model, store, tokens, options, text, reason
):
    script = Script(Portion(list(tokens)), *answer(reason="length"))

    async def main(cache):
        source = CachedSource(script, cache, model, "toy", "d1")
        asked = order(max_tokens=len(tokens), **options)
        made = [await read(source, model, asked) for _ in range(2)]
        for completion, _ in made:
            assert (completion.text, completion.finish_reason) == (text, reason)
        assert made[0][0].tokens == made[1][0].tokens
        assert [end and end.origin for _, end in made][1] == "cache"
        ((_place, entry),) = cache._memory.items()
        assert list(entry.tokens) == made[0][0].tokens
        # another reader of the same tokens has its own answer
        assert (await read(source, model, order(max_tokens=len(tokens))))[0].text == tokens.decode()

    running(store, main)
    assert len(script.orders) == 2


def test_a_shorter_answer_is_cut_from_a_longer_one(model, store):
    script = Script(*answer(65, 66, 67, reason="length"))

    async def main(cache):
        source = CachedSource(script, cache, model, "toy", "d1")
        await collect(source, order(max_tokens=3))
        tokens, _, end = await collect(source, order(max_tokens=2))
        assert (tokens, end.finish_reason, end.origin) == ([65, 66], "length", "cache")
        assert (await collect(source, order(max_tokens=4)))[2].origin == "generated"

    running(store, main)


def test_log_probabilities_come_from_the_cache_too(model, store, tmp_path):
    info = TokenInfo(65, -0.1, ((65, -0.1), (66, -2.5)))
    script = Script(Portion([65], [info]), *answer())

    async def main(cache):
        source = CachedSource(script, cache, model, "toy", "d1")
        await collect(source, order(logprobs=2))
        await until(lambda: cache.figures().stored)
        fresh = ResponseCache(Guard(store, read_seconds=20), WEEK)
        again = CachedSource(script, fresh, model, "toy", "d1")
        assert (await collect(again, order(logprobs=2)))[:2] == ([65], [info])
        assert (await collect(again, order()))[2].origin == "generated"

    running(store, main)


def random_options(rng):
    options = {"max_tokens": rng.choice([1, 2, 5, 9, 40, None])}
    if rng.random() < 0.5:
        options |= {"temperature": rng.choice([0.8, 1.5]), "seed": rng.randrange(2)}
    for name, value in {
        "top_k": 3,
        "logprobs": 2,
        "stop": rng.choice(["e", ["a", "t"]]),
        "repeats": 2,
        "frequency_penalty": 2.0,
        "least_confidence": 0.02,
    }.items():
        if rng.random() < 0.15:
            options[name] = value
    return options


def test_answers_are_the_golden_models_whatever_was_asked_before(tmp_path, store):
    """Random orders of few kinds, some left early, with a small memory that loses things."""
    llm, rng = golden_llm(tmp_path / "golden"), random.Random(5)

    async def main(cache):
        worker = LocalWorker("golden-0", llm)
        source = CachedSource(worker, cache, llm, "toy", "d1")
        direct = {}
        origins = []
        for number in range(400):
            prompt, options = rng.choice(["a", "bc"]), random_options(rng)
            asked = order(*llm.encode(prompt), **options)
            if rng.random() < 0.1:
                async with aclosing(source.stream(asked)) as portions:
                    await anext(portions)
                continue
            if number % 100 == 50:
                cache._memory.clear()
            found, end = await read(source, llm, asked)
            place = (prompt, repr(sorted(options.items(), key=str)))
            if place not in direct:
                direct[place] = (await read(worker, llm, asked))[0]
            want = direct[place]
            origins.append(end.origin if end else "left")
            assert (found.tokens, found.text, found.finish_reason) == (
                want.tokens,
                want.text,
                want.finish_reason,
            )
            if "logprobs" in options:
                assert found.logprobs == want.logprobs
        assert origins.count("cache") > 100
        assert cache.figures().failures == 0
        await worker.close()

    running(store, main)
