"""Metrics: the names, what they count, what a scrape asks, and that Prometheus's own parser reads it."""

import asyncio
from collections import Counter
from contextlib import aclosing
from types import SimpleNamespace

import pytest
from caching import Script, answer, collect, order
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from edgellm.errors import BackendFailed, Overloaded
from edgellm.serve.cache.responses import CacheFigures
from edgellm.serve.cache.stores import Figures
from edgellm.serve.histogram import SECONDS, Histogram
from edgellm.serve.measured import Measured
from edgellm.serve.metrics import Looks, Metrics
from edgellm.serve.orders import End, Portion, WorkerState

NAMES = {
    "num_requests_running",
    "num_requests_waiting",
    "request_queue_time_seconds",
    "time_to_first_token_seconds",
    "inter_token_latency_seconds",
    "e2e_request_latency_seconds",
    "request_prompt_tokens",
    "request_generation_tokens",
    "prompt_tokens",
    "generation_tokens",
    "request_success",
    "request_failures",
    "prefix_cache_queries",
    "prefix_cache_hits",
    "shared_answers",
    "response_cache_queries",
    "response_cache_hits",
    "response_cache_entries",
    "response_cache_bytes",
    "response_cache_failing",
    "response_cache_failures",
    "http_requests",
    "http_requests_refused",
    "worker_up",
    "worker_running",
    "worker_waiting",
    "worker_prefix_cache_tokens",
    "worker_failures",
    "worker_restarts",
    "failovers",
    "hedged_requests",
    "device_cycles",
}


class Clock:
    now = 50.0

    def __call__(self):
        return self.now


def samples(metrics):
    """Values by name and labels without the model's."""
    text, _ = metrics.exposition()
    return {
        (
            one.name.removeprefix("edgellm:"),
            *(f"{k}={v}" for k, v in sorted(one.labels.items()) if k != "model_name"),
        ): one.value
        for family in parser.text_string_to_metric_families(text.decode())
        for one in family.samples
    }


class Timed:
    """A source of portions, each after some seconds of the clock."""

    def __init__(self, clock, *steps):
        self.clock, self.steps = clock, steps

    async def stream(self, order):
        for seconds, portion in self.steps:
            self.clock.now += seconds
            yield portion


def measured(source, asked=None, clock=None):
    """Samples after one order."""
    metrics = Metrics()
    asyncio.run(
        collect(Measured(source, metrics.tally("toy"), clock or Clock()), asked or order(arrived=50.0))
    )
    return samples(metrics)


def test_names():
    metrics = Metrics()
    metrics.tally("toy")
    families = {metric.name for metric in metrics.collect()}
    assert families == {f"edgellm:{name}" for name in NAMES}


def test_the_process_is_measured_too():
    assert ("process_resident_memory_bytes",) in samples(Metrics())


def test_every_value_has_its_model():
    metrics = Metrics()
    metrics.tally('odd "name"\n')
    text = metrics.exposition()[0].decode()
    assert 'edgellm:prompt_tokens_total{model_name="odd \\"name\\"\\n"} 0.0' in text


@pytest.mark.parametrize(
    "accept", ["", "text/plain;version=0.0.4", "application/openmetrics-text; version=1.0.0"]
)
def test_exposition_in_what_the_client_accepts(accept):
    metrics = Metrics()
    metrics.tally("toy").first_token.observe(1e-4)
    body, content_type = metrics.exposition(accept)
    reader = openmetrics_parser if "openmetrics" in accept else parser
    assert content_type.startswith("application/openmetrics" if "openmetrics" in accept else "text/plain")
    names = {family.name for family in reader.text_string_to_metric_families(body.decode())}
    assert "edgellm:time_to_first_token_seconds" in names


def test_an_answer_is_counted():
    clock = Clock()
    end = End("stop", "native", cached=3, queued=0.004, counters={"cycles": 700.0, "cycles_per_token": 100.0})
    steps = [(0.01, Portion([1])), (0.02, Portion([2])), (0.0, Portion((), end=end))]
    found = measured(Timed(clock, *steps), order(1, 2, 3, 4, 5, arrived=50.0), clock)
    assert found["prompt_tokens_total",] == 5
    assert found["generation_tokens_total",] == 2
    assert found["prefix_cache_queries_total",] == 5
    assert found["prefix_cache_hits_total",] == 3
    assert found["device_cycles_total",] == 700
    assert found["request_success_total", "finished_reason=stop"] == 1
    assert found["time_to_first_token_seconds_sum",] == pytest.approx(0.01)
    assert found["inter_token_latency_seconds_sum",] == pytest.approx(0.02)
    assert found["e2e_request_latency_seconds_sum",] == pytest.approx(0.03)
    assert found["request_queue_time_seconds_sum",] == pytest.approx(0.004)
    assert found["request_prompt_tokens_bucket", "le=4.0"] == 0
    assert found["request_prompt_tokens_bucket", "le=8.0"] == 1
    assert found["request_generation_tokens_sum",] == 2


def test_tokens_that_came_together_have_equal_shares():
    """And those of the first portion none: nobody knows when each of them was there."""
    clock = Clock()
    steps = [
        (0.5, Portion([1, 2, 3])),
        (0.04, Portion([4, 5, 6, 7])),
        (0.003, Portion([8], end=End("length", "native"))),
    ]
    found = measured(Timed(clock, *steps), order(arrived=50.0), clock)
    assert found["inter_token_latency_seconds_count",] == 5
    assert found["inter_token_latency_seconds_sum",] == pytest.approx(0.043)
    assert found["inter_token_latency_seconds_bucket", "le=0.005"] == 1
    assert found["inter_token_latency_seconds_bucket", "le=0.025"] == 5
    assert found["time_to_first_token_seconds_sum",] == pytest.approx(0.5)


@pytest.mark.parametrize(("origin", "shared"), [("cache", 0), ("shared", 1)])
def test_what_no_back_end_made_says_nothing_of_back_ends(origin, shared):
    found = measured(Script(*answer(1, origin=origin, cached=2, queued=1.0)))
    assert found["generation_tokens_total",] == 1
    assert found["prefix_cache_queries_total",] == found["request_queue_time_seconds_count",] == 0
    assert found["shared_answers_total",] == shared


@pytest.mark.parametrize("error", [Overloaded("full", 1.0), BackendFailed("gone")])
def test_errors_are_counted_by_kind_and_pass(error):
    metrics = Metrics()
    with pytest.raises(type(error)):
        asyncio.run(collect(Measured(Script(error=error), metrics.tally("toy")), order()))
    found = samples(metrics)
    assert found["request_failures_total", f"error={type(error).__name__}"] == 1
    assert found["e2e_request_latency_seconds_count",] == found["prompt_tokens_total",] == 0


@pytest.mark.parametrize(
    ("asked", "reason", "ended"),
    [(order(), "abort", 0), (order(stop="x"), "stop", 1), (order(repeats=2), "stop", 1)],
)
def test_readers_that_leave(asked, reason, ended):
    metrics = Metrics()

    async def main():
        async with aclosing(Measured(Script(*answer(1, 2)), metrics.tally("toy")).stream(asked)) as portions:
            await anext(portions)

    asyncio.run(main())
    found = samples(metrics)
    assert found["request_success_total", f"finished_reason={reason}"] == 1
    assert found["generation_tokens_total",] == 1
    assert found["e2e_request_latency_seconds_count",] == ended


def test_a_cancelled_reader_has_aborted():
    metrics, gate = Metrics(), asyncio.Semaphore(0)

    async def main():
        source = Measured(Script(*answer(1), gate=gate), metrics.tally("toy"))
        task = asyncio.create_task(collect(source, order(stop="x")))
        await asyncio.sleep(0)
        assert samples(metrics)["num_requests_waiting",] == 1
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
    found = samples(metrics)
    assert found["request_success_total", "finished_reason=abort"] == 1
    assert found["num_requests_waiting",] == 0


def test_a_reader_that_closes_behind_the_end_has_not_left():
    metrics = Metrics()

    async def main():
        source = Measured(Script(Portion([1], end=End("length", "s"))), metrics.tally("toy"))
        async with aclosing(source.stream(order())) as portions:
            await anext(portions)

    asyncio.run(main())
    found = samples(metrics)
    assert found["request_success_total", "finished_reason=length"] == 1
    assert ("request_success_total", "finished_reason=abort") not in found


class Worker:
    name, backend, slots = "native-0", "native", 4

    def __init__(self, **state):
        self._state = WorkerState(True, **state)

    def state(self):
        return self._state


def test_workers_are_asked_when_metrics_are_fetched():
    metrics = Metrics()
    workers = [Worker(running=2, queued=1, cached=30, failures=("broken",))]
    metrics.watch("toy", Looks(workers=lambda: workers, restarts=lambda: {"native-0": 3}))
    metrics.tally("toy").open = 5
    found = samples(metrics)

    def at(name):
        return name, "backend=native", "worker=native-0"

    assert found[at("worker_up")] == 1
    assert found[at("worker_running")] == 2
    assert found[at("worker_waiting")] == 1
    assert found[at("worker_prefix_cache_tokens")] == 30
    assert found[at("worker_failures_total")] == 1
    assert found["worker_restarts_total", "worker=native-0"] == 3
    assert (found["num_requests_running",], found["num_requests_waiting",]) == (2, 3)
    workers[0]._state = WorkerState(False)
    assert samples(metrics)[at("worker_up")] == 0
    metrics.forget("toy")
    assert at("worker_up") not in samples(metrics)


def test_a_queue_and_a_pool_are_asked():
    metrics = Metrics()
    queue, pool = SimpleNamespace(waiting=7, running=3), SimpleNamespace(moved=2, hedged=4)
    metrics.watch("toy", Looks(queue=lambda: queue, pool=lambda: pool))
    found = samples(metrics)
    assert (found["num_requests_running",], found["num_requests_waiting",]) == (3, 7)
    assert (found["failovers_total",], found["hedged_requests_total",]) == (2, 4)


def test_the_response_cache_is_asked():
    stored = Figures(9, 1000)
    figures = CacheFigures("sqlite", "the disk is full", 5, Figures(2, 300), stored, 4, 1, 0)
    cache = SimpleNamespace(queries=Counter(toy=4), hits=Counter(toy=1), figures=lambda: figures)
    metrics = Metrics()
    metrics.watch_cache(cache)
    found = samples(metrics)
    assert (found["response_cache_queries_total",], found["response_cache_hits_total",]) == (4, 1)
    assert found["response_cache_entries", "store=memory"] == 2
    assert found["response_cache_entries", "store=sqlite"] == 9
    assert found["response_cache_bytes", "store=sqlite"] == 1000
    assert found["response_cache_failing", "store=sqlite"] == 1
    assert found["response_cache_failures_total", "store=sqlite"] == 5


def test_statuses_and_refusals():
    metrics = Metrics()
    for status in (200, 200, 429, 401, 404):
        metrics.responded(status)
    found = samples(metrics)
    assert found["http_requests_total", "status=200"] == 2
    assert found["http_requests_refused_total", "status=429"] == 1
    assert found["http_requests_refused_total", "status=401"] == 1
    assert ("http_requests_refused_total", "status=404") not in found


def test_a_model_that_is_loaded_again_goes_on_counting():
    metrics = Metrics()
    assert metrics.tally("toy") is metrics.tally("toy")


def test_buckets_go_from_10_microseconds_to_100_seconds():
    assert (SECONDS[0], SECONDS[1], SECONDS[-1]) == (1e-5, 2.5e-5, 100.0)
    assert list(SECONDS) == sorted(set(SECONDS))


@given(st.lists(st.tuples(st.floats(0, 1e4), st.integers(1, 9))))
def test_a_histogram_is_prometheus_clients(values):
    from prometheus_client import CollectorRegistry
    from prometheus_client import Histogram as Theirs
    from prometheus_client.core import HistogramMetricFamily

    theirs, ours = Theirs("x", "x", buckets=SECONDS, registry=CollectorRegistry()), Histogram(SECONDS)
    for value, times in values:
        ours.observe(value, times)
        for _ in range(times):
            theirs.observe(value)
    family = HistogramMetricFamily("x", "x", labels=[])
    ours.add_to(family, [])
    (want,) = theirs.collect()
    named = {
        (one.name, *one.labels.items()): one.value
        for one in want.samples
        if not one.name.endswith("_created")
    }
    got = {(one.name, *one.labels.items()): one.value for one in family.samples}
    assert got.pop(("x_sum",)) == pytest.approx(named.pop(("x_sum",)))
    assert got == named
