"""The engine above devices of random models, above devices that break, and between threads."""

import random
import threading

import numpy as np
import pytest
from shapes import TINY
from toy import Parrot

from edgellm.errors import (
    BackendFailed,
    BackendUnavailable,
    EmptyPrompt,
    ModelUnsupported,
    PromptTooLong,
    UsageError,
)
from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.random import random_model
from edgellm.numerics.sampling import Sampling
from edgellm.runtime import scoring
from edgellm.runtime.backends.golden import GoldenStepper
from edgellm.runtime.backends.native import NativeDevice
from edgellm.runtime.backends.stepped import SteppedDevice
from edgellm.runtime.device import Job
from edgellm.runtime.engine import Engine, Request

MODEL = random_model(TINY, 1)


def native(slots=3):
    return NativeDevice(MODEL, slots)


@pytest.fixture
def engine():
    made = Engine([native])
    yield made
    made.close()


@pytest.fixture(scope="module")
def judge():
    return GoldenModel(MODEL)


def run(engine, *requests):
    """(tokens, reason) of each, all of them in the queue at once."""
    answers = [engine.submit(request) for request in requests]
    for answer in answers:
        assert [token for part in engine.tokens(answer) for token in part] == answer.tokens
    return [(answer.tokens, answer.finish_reason) for answer in answers]


def golden(judge, job):
    done = judge.generate(job.prompt, job.max_tokens, job.stop_ids, job.sampling)
    return done.tokens, done.finish_reason


def some_jobs(count, seed):
    rng = random.Random(seed)
    stem = [rng.randrange(TINY.vocab) for _ in range(20)]
    for number in range(count):
        prompt = stem[: rng.randrange(20)] + [rng.randrange(TINY.vocab) for _ in range(rng.randrange(1, 4))]
        how = Sampling.of(number, rng.choice([0.0, 3.0]))
        yield Job(prompt, rng.randrange(1, 12), frozenset([3, 17, 21]), how)


def test_more_requests_than_slots(engine, judge):
    jobs = list(some_jobs(40, 1))
    assert run(engine, *map(Request, jobs)) == [golden(judge, job) for job in jobs]
    assert (engine.busy, engine.queued) == (0, 0)
    assert engine.cached > 0


def test_a_cached_prefix_changes_no_token(engine, judge):
    job = Job(list(range(20)), 3)
    first = engine.submit(Request(job))
    again = engine.submit(Request(job))
    assert [list(engine.tokens(a)) and a.tokens for a in (first, again)] == [golden(judge, job)[0]] * 2
    assert (first.cached, again.cached) == (0, 0)  # they ran side by side
    third = engine.submit(Request(job))
    list(engine.tokens(third))
    assert (third.cached, third.tokens) == (19, first.tokens)
    engine.clear_cache()
    fourth = engine.submit(Request(job))
    list(engine.tokens(fourth))
    assert (fourth.cached, fourth.tokens) == (0, first.tokens)


def test_priorities(judge):
    engine = Engine([lambda: native(1)])
    order = []
    for number, priority in enumerate([0, 1, 0, 5]):
        request = Request(
            Job([number + 1], 2), lambda _, tokens, n=number: order.append(n) or 7, None, priority
        )
        last = engine.submit(request)
    while engine.busy or engine.queued:
        engine.pump()
    assert order == [3, 3, 1, 1, 0, 0, 2, 2]
    assert last.finish_reason == "length"


def test_a_deadline_ends_what_runs_and_what_waits():
    slow = Parrot(b"x" * 1000, slots=1, delay=0.02)
    engine = Engine([lambda: slow])
    running = engine.submit(Request(Job([1], 1000), deadline=0.8))
    waiting = engine.submit(Request(Job([1], 1000), deadline=0.4))
    list(engine.tokens(running))
    assert (running.finish_reason, waiting.finish_reason) == ("deadline", "deadline")
    assert 0 < len(running.tokens) < 1000
    assert waiting.tokens == []
    assert slow.cancelled == 1


def test_a_closed_iterator_frees_the_slot(judge):
    engine = Engine([lambda: native(1)])
    answer = engine.submit(Request(Job([5, 6], 20)))
    parts = engine.tokens(answer)
    next(parts)
    parts.close()
    assert answer.finish_reason == "cancelled"
    job = Job([5, 6], 20)
    assert run(engine, Request(job)) == [golden(judge, job)]


def test_a_queued_answer_is_cancelled_without_running():
    device = Parrot(b"abc", slots=1)
    engine = Engine([lambda: device])
    first, second = engine.submit(Request(Job([1], 9))), engine.submit(Request(Job([2], 9)))
    engine.cancel(second)
    list(engine.tokens(first))
    engine.pump()
    assert [job.prompt for job in device.seen] == [[1]]
    assert second.finish_reason == "cancelled"
    assert list(engine.tokens(second)) == []


def test_more_stop_ids_than_the_device_compares(judge):
    device = native()
    device.traits = type(device.traits)(3, stop_ids=1)
    tokens = golden(judge, Job([4, 9], 12))[0]
    stop = tokens[4]
    engine = Engine([lambda: device])
    stop_ids = frozenset([stop, *(t for t in range(TINY.vocab) if t not in tokens)])
    job = Job([4, 9], 12, stop_ids)
    assert run(engine, Request(job)) == [golden(judge, job)]


def test_the_host_chooses_or_ends(engine, judge):
    seen = []

    def choose(logits, tokens):
        seen.append(logits.copy())
        return int(np.argsort(logits)[-2]) if len(tokens) < 4 else None

    (got,) = run(engine, Request(Job([4, 9], 30), choose))
    cache, fed = judge.new_cache(), [4, 9]
    rows = [judge.step(cache, token, position) for position, token in enumerate(fed)]
    for token in got[0]:
        assert np.array_equal(seen[len(rows) - 2], rows[-1])
        rows.append(judge.step(cache, token, len(rows)))
    assert (len(got[0]), got[1]) == (4, "stop")


def test_what_cannot_be_answered(engine):
    with pytest.raises(EmptyPrompt):
        engine.submit(Request(Job([], 1)))
    with pytest.raises(PromptTooLong):
        engine.submit(Request(Job([1] * (TINY.context + 1), 1)))
    with pytest.raises(UsageError, match="max_tokens must be at least 1, not 0"):
        engine.submit(Request(Job([1], 0)))
    tokens_only = Engine([lambda: Parrot(b"")])
    message = "^back end parrot gives tokens only: leave out what the host has to choose by$"
    with pytest.raises(BackendUnavailable, match=message):
        tokens_only.submit(Request(Job([1], 1), lambda logits, tokens: 0))


def test_a_job_that_the_device_refuses_fails_alone(engine, judge):
    real = engine.device.submit

    def submit(slot, job):
        if job.prompt == [13]:
            raise ModelUnsupported("not this one")
        real(slot, job)

    engine.device.submit = submit
    bad = engine.submit(Request(Job([13], 5)))
    good = Job([5], 5)
    assert run(engine, Request(good)) == [golden(judge, good)]
    with pytest.raises(ModelUnsupported, match=r"^not this one$"):
        list(engine.tokens(bad))
    assert engine.busy == 0


class Breaking(NativeDevice):
    """Breaks down after some polls, in the way it is told to."""

    def __init__(self, polls, where="poll"):
        super().__init__(MODEL, 3)
        self.polls, self.where = polls, where

    def _strike(self, where):
        self.polls -= where == "poll"
        if self.polls <= 0 and where == self.where:
            raise BackendFailed("the device hangs")

    def poll(self, timeout):
        self._strike("poll")
        return super().poll(timeout)

    def submit(self, slot, job):
        self._strike("submit")
        super().submit(slot, job)

    def cancel(self, slot):
        self._strike("cancel")
        super().cancel(slot)


@pytest.mark.parametrize("where", ["poll", "submit"])
@pytest.mark.parametrize("polls", [1, 2, 3, 5, 8])
def test_answers_go_on_elsewhere_with_the_same_tokens(judge, polls, where):
    jobs = list(some_jobs(12, polls))
    engine = Engine([lambda: Breaking(polls, where), lambda: SteppedDevice(GoldenStepper(MODEL, 2))])
    assert run(engine, *map(Request, jobs)) == [golden(judge, job) for job in jobs]
    assert engine.failures == ["native: the device hangs"]
    assert engine.device.name == "golden"


def test_a_cancel_that_finds_the_device_broken(judge):
    engine = Engine([lambda: Breaking(1, "cancel"), native])
    jobs = [Job([4, 9], 20), Job([3], 20)]
    answers = [engine.submit(Request(job)) for job in jobs]
    engine.device.polls = 2
    engine.pump()
    engine.device.polls = 0
    engine.cancel(answers[0])
    list(engine.tokens(answers[1]))
    assert answers[0].finish_reason == "cancelled"
    assert (answers[1].tokens, answers[1].finish_reason) == golden(judge, jobs[1])


def test_a_spare_device_that_does_not_open_is_passed_over(judge):
    def closed():
        raise BackendUnavailable("no board")

    engine = Engine([lambda: Breaking(2), closed, native])
    job = Job([4, 9], 20)
    assert run(engine, Request(job)) == [golden(judge, job)]
    assert engine.failures == ["native: the device hangs", "no board"]


def test_without_a_spare_device_every_answer_ends_with_the_error():
    engine = Engine([lambda: Breaking(2)])
    answers = [engine.submit(Request(Job([n], 20))) for n in range(1, 7)]
    for answer in answers:
        with pytest.raises(BackendFailed, match=r"^the device hangs$"):
            list(engine.tokens(answer))
    assert (engine.busy, engine.queued) == (0, 0)


def test_close_ends_what_is_left():
    engine = Engine([native])
    answer = engine.submit(Request(Job([1], 5)))
    engine.close()
    engine.close()
    with pytest.raises(BackendFailed, match=r"^the engine is closed: open the model again$"):
        list(engine.tokens(answer))


def test_threads_share_the_device(judge):
    """Eight threads at once; each gets its own answers, all of them right."""
    engine, wrong = Engine([native]), []

    def work(seed):
        for job in some_jobs(25, seed):
            answer = engine.submit(Request(job))
            tokens = [token for part in engine.tokens(answer) for token in part]
            if (tokens, answer.finish_reason) != golden(judge, job):
                wrong.append((seed, job))

    threads = [threading.Thread(target=work, args=[seed]) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong
    assert (engine.busy, engine.queued) == (0, 0)


def test_logits_of_many_sequences(engine, judge):
    """More than there are slots, of every length; row t is about what follows the tokens 0..t."""
    rng = np.random.default_rng(1)
    lengths = [1, TINY.context, *rng.integers(1, TINY.context, 20).tolist()]
    sequences = [rng.integers(TINY.vocab, size=length).tolist() for length in lengths]
    for ids, got in zip(sequences, scoring.logits(engine, sequences), strict=True):
        cache = judge.new_cache()
        assert np.array_equal(got, [judge.step(cache, token, at) for at, token in enumerate(ids)])
        assert got.dtype == np.int16


def test_answers_of_many_prompts(engine, judge):
    jobs = list(some_jobs(20, 3))
    got = scoring.answers(engine, [job.prompt for job in jobs], 7, frozenset([3]))
    assert got == [judge.generate(job.prompt, 7, [3]).tokens for job in jobs]
    assert scoring.answers(engine, [], 5, frozenset()) == []


def test_scoring_checks_everything_first(engine):
    with pytest.raises(EmptyPrompt):
        scoring.logits(engine, [[1], []])
    with pytest.raises(UsageError, match=r"^prompt token 1 is 40; the vocabulary has tokens 0\.\.39$"):
        scoring.answers(engine, [[1], [1, TINY.vocab]], 3, frozenset())
    assert engine.queued == 0


def test_a_function_of_the_host_that_raises_ends_its_answer_alone(engine, judge):
    def broken(logits, tokens):
        raise ZeroDivisionError("no such grammar")

    bad, job = engine.submit(Request(Job([4, 9], 20), broken)), Job([5], 9)
    assert run(engine, Request(job)) == [golden(judge, job)]
    with pytest.raises(ZeroDivisionError, match=r"^no such grammar$"):
        list(engine.tokens(bad))
    assert (engine.busy, engine.queued) == (0, 0)


def test_what_is_cancelled_before_its_first_round_leaves_nothing_behind(engine):
    answer = engine.submit(Request(Job([1, 2, 3], 4), deadline=60.0))
    engine.cancel(answer)
    engine.pump()
    assert (answer.finish_reason, engine.queued, engine.busy) == ("cancelled", 0, 0)
    assert not engine._timed
    assert not engine._waiting


def runs(tokens, sizes):
    """A host's choice of these tokens, so many at a time."""
    parts, at = [], 0
    for size in sizes:
        parts.append(tokens[at : at + size])
        at += size
    return lambda logits, so_far: parts.pop(0) if parts else None


@pytest.mark.parametrize("sizes", [[1] * 9, [9], [2, 3, 4], [1, 5, 1, 2]])
@pytest.mark.parametrize(
    ("limit", "stop_ids", "want"),
    [
        (30, (), ([5, 9, 1, 3, 7, 7, 2, 8, 6], "stop")),
        (4, (), ([5, 9, 1, 3], "length")),
        (9, (), ([5, 9, 1, 3, 7, 7, 2, 8, 6], "length")),
        (30, (7,), ([5, 9, 1, 3], "stop")),
        (30, (6,), ([5, 9, 1, 3, 7, 7, 2, 8], "stop")),
    ],
)
def test_tokens_that_are_certain_are_fed_at_once(engine, judge, sizes, limit, stop_ids, want):
    job = Job([4, 2], limit, frozenset(stop_ids))
    tokens = [5, 9, 1, 3, 7, 7, 2, 8, 6]
    assert run(engine, Request(job, runs(tokens, sizes))) == [want]
    for kept in range(1, 10):  # what the slot is said to hold is there
        job = Job([4, 2, *tokens[:kept], 11], 4)
        assert run(engine, Request(job)) == [golden(judge, job)]


def test_certain_tokens_end_with_the_context(engine):
    long = list(range(20, 20 + TINY.context // 2)) * 3
    one = run(engine, Request(Job([4, 2], 999), runs(long, [1] * len(long))))
    assert run(engine, Request(Job([4, 2], 999), runs(long, [3, len(long) - 3]))) == one
    assert one[0][1] == "context"


def test_the_cache_holds_only_what_was_fed_when_a_run_of_tokens_is_cancelled(judge):
    """The device gets 6 tokens and is stopped before it takes them in."""
    engine = Engine([lambda: native(1)])
    prompt, tokens = list(range(1, 18)), [30 - n for n in range(6)]
    engine.clear_cache()
    answer = engine.submit(Request(Job(prompt, 9), runs(tokens, [6])))
    while not answer.tokens:
        engine.pump()
    engine.cancel(answer)
    assert answer.tokens == tokens
    job = Job([*prompt, *tokens[:4], 3], 2)
    again = engine.submit(Request(job))
    assert list(engine.tokens(again))
    assert again.cached == len(prompt)
    assert again.tokens == golden(judge, job)[0]


def test_waiting_for_the_whole_answer(engine, judge):
    job = Job([4, 9], 12)
    answer = engine.submit(Request(job))
    engine.wait(answer)
    assert (answer.tokens, answer.finish_reason) == golden(judge, job)
    engine.wait(answer)  # is done: nothing happens


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_who_waits_and_is_interrupted_frees_the_slot(engine, error):
    def choose(logits, tokens):
        if len(tokens) < 2:
            return 7
        raise error

    answer = engine.submit(Request(Job([4, 9], 12), choose))
    with pytest.raises(error):
        engine.wait(answer)
    assert (answer.tokens, engine.busy) == ([7, 7], 0)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling.of(7, 1.5)])
def test_an_answer_that_another_engine_began(engine, judge, sampling):
    job = Job([5, 9, 2], 20, sampling=sampling)
    tokens, reason = golden(judge, job)
    for begun in range(len(tokens)):
        answer = engine.submit(Request(job), tokens=tokens[:begun])
        new = [token for part in engine.tokens(answer) for token in part]
        assert (new, answer.tokens, answer.finish_reason) == (tokens, tokens, reason)
