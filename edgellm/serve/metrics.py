"""Prometheus metrics, by the names that are known from vLLM. Counted in the event loop, so there are no locks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from edgellm.serve.cache.responses import ResponseCache
from edgellm.serve.histogram import SECONDS, TOKENS, Histogram
from edgellm.serve.orders import Worker

Key = TypeVar("Key", bound="tuple[str, ...]")  # values of labels
PREFIX = "edgellm:"
MODEL = "model_name"
REFUSED = frozenset({401, 403, 408, 413, 429, 431, 503})
CYCLES = "cycles"  # of End.counters: of one answer, first token included


class QueueFigures(Protocol):
    """What a queue says of itself (`scheduler.QueueState`)."""

    @property
    def waiting(self) -> int: ...
    @property
    def running(self) -> int: ...


class PoolFigures(Protocol):
    """What a pool says of itself (`pool.PoolState`); counts are since the start."""

    @property
    def moved(self) -> int: ...
    @property
    def hedged(self) -> int: ...


@dataclass(slots=True)
class Looks:
    """Who is asked about a model when metrics are fetched."""

    workers: Callable[[], Sequence[Worker]] = tuple
    queue: Callable[[], QueueFigures] | None = None
    pool: Callable[[], PoolFigures] | None = None
    restarts: Callable[[], dict[str, int]] = dict  # of workers, by name


@dataclass(slots=True)
class Tally:
    """What was counted of a model's requests."""

    open: int = 0  # requests that go on
    prompt_tokens: int = 0
    generation_tokens: int = 0
    finished: Counter[str] = field(default_factory=Counter)  # by finish reason
    failed: Counter[str] = field(default_factory=Counter)  # by name of the error
    shared: int = 0  # answers of a request that was in flight
    prefix_queries: int = 0  # tokens of prompts that a back end got
    prefix_hits: int = 0  # those of them that were in a prefix cache
    cycles: float = 0.0
    first_token: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    inter_token: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    whole: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    queued: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    prompt_length: Histogram = field(default_factory=lambda: Histogram(TOKENS))
    answer_length: Histogram = field(default_factory=lambda: Histogram(TOKENS))


COUNTERS: dict[str, tuple[str, Callable[[Tally], float]]] = {
    "prompt_tokens": ("Tokens of prompts", lambda t: t.prompt_tokens),
    "generation_tokens": ("Tokens of answers, wherever they came from", lambda t: t.generation_tokens),
    "prefix_cache_queries": ("Tokens of prompts that back ends were given", lambda t: t.prefix_queries),
    "prefix_cache_hits": ("Those of them that were in a prefix cache", lambda t: t.prefix_hits),
    "shared_answers": ("Answers that came from an identical request in flight", lambda t: t.shared),
    "device_cycles": ("Cycles that devices spent on answers, where they count them", lambda t: t.cycles),
}
HISTOGRAMS: dict[str, tuple[str, Callable[[Tally], Histogram]]] = {
    "time_to_first_token_seconds": ("From a request to its first token", lambda t: t.first_token),
    "inter_token_latency_seconds": (
        "Between two tokens; of tokens that came together, each has its share",
        lambda t: t.inter_token,
    ),
    "e2e_request_latency_seconds": ("From a request to its end", lambda t: t.whole),
    "request_queue_time_seconds": (
        "Waiting for a worker, of answers that were generated",
        lambda t: t.queued,
    ),
    "request_prompt_tokens": ("Tokens of a prompt", lambda t: t.prompt_length),
    "request_generation_tokens": ("Tokens of an answer", lambda t: t.answer_length),
}


class Metrics:
    """All of a service; a model keeps its counts when it is loaded again."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}
        self._looks: dict[str, Looks] = {}
        self._cache: ResponseCache | None = None
        self._statuses: Counter[int] = Counter()
        self.registry = CollectorRegistry()
        self.registry.register(self)  # type: ignore[arg-type]  # it collects, and that is all that is wanted
        ProcessCollector(registry=self.registry)

    def tally(self, model: str) -> Tally:
        """Where a model's requests are counted."""
        return self._tallies.setdefault(model, Tally())

    def watch(self, model: str, looks: Looks) -> None:
        """Ask these about a model from now on."""
        self.tally(model)
        self._looks[model] = looks

    def forget(self, model: str) -> None:
        """Ask nobody about a model that is not served any more; its counts stay."""
        self._looks.pop(model, None)

    def watch_cache(self, cache: ResponseCache | None) -> None:
        """Ask this response cache."""
        self._cache = cache

    def responded(self, status: int) -> None:
        """A response was begun, or a connection refused, with this HTTP status."""
        self._statuses[status] += 1

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Body and content type for who accepts this."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def collect(self) -> Iterable[Metric]:
        """For the registry."""
        yield from self._counted()
        yield from self._requests()
        yield from self._workers()
        yield from self._responses()
        yield from self._http()

    def _counted(self) -> Iterable[Metric]:
        for name, (what, get) in COUNTERS.items():
            yield _counter(
                name, what, [MODEL], {(model,): get(tally) for model, tally in self._tallies.items()}
            )
        for name, (what, histogram) in HISTOGRAMS.items():
            family = HistogramMetricFamily(PREFIX + name, what, labels=[MODEL])
            for model, tally in self._tallies.items():
                histogram(tally).add_to(family, [model])
            yield family

    def _requests(self) -> Iterable[Metric]:
        tallies = self._tallies.items()
        finished = {(model, reason): n for model, tally in tallies for reason, n in tally.finished.items()}
        failed = {(model, error): n for model, tally in tallies for error, n in tally.failed.items()}
        yield _counter("request_success", "Requests by their end", [MODEL, "finished_reason"], finished)
        yield _counter("request_failures", "Requests by the error that ended them", [MODEL, "error"], failed)
        counts = {(model,): self._count(model, tally) for model, tally in tallies}
        running = {model: count[0] for model, count in counts.items()}
        waiting = {model: count[1] for model, count in counts.items()}
        yield _gauge("num_requests_running", "Requests at a worker", [MODEL], running)
        yield _gauge("num_requests_waiting", "Requests that wait for a worker", [MODEL], waiting)

    def _count(self, model: str, tally: Tally) -> tuple[int, int]:
        """Requests that run and that wait; without a queue to ask, those that no worker has wait."""
        looks = self._looks.get(model, Looks())
        if looks.queue is not None:
            queue = looks.queue()
            return queue.running, queue.waiting
        running = sum(worker.state().running for worker in looks.workers())
        return running, max(tally.open - running, 0)

    def _workers(self) -> Iterable[Metric]:
        labels = [MODEL, "worker", "backend"]
        found = [
            ((model, worker.name, worker.backend), worker.state())
            for model, looks in self._looks.items()
            for worker in looks.workers()
        ]
        yield _gauge("worker_up", "1 while the back end works", labels, {k: int(s.alive) for k, s in found})
        yield _gauge("worker_running", "Requests in its slots", labels, {k: s.running for k, s in found})
        yield _gauge("worker_waiting", "Requests in its engine", labels, {k: s.queued for k, s in found})
        cached = {k: s.cached for k, s in found}
        yield _gauge("worker_prefix_cache_tokens", "Tokens in its prefix cache", labels, cached)
        failed = {k: len(s.failures) for k, s in found}
        yield _counter("worker_failures", "Back ends that it gave up", labels, failed)
        looks = self._looks.items()
        restarts = {(model, worker): n for model, look in looks for worker, n in look.restarts().items()}
        yield _counter("worker_restarts", "Times it was started again", labels[:2], restarts)
        pools = {(model,): look.pool() for model, look in looks if look.pool is not None}
        moved = {model: pool.moved for model, pool in pools.items()}
        yield _counter("failovers", "Requests that went on at another worker", [MODEL], moved)
        hedged = {model: pool.hedged for model, pool in pools.items()}
        yield _counter("hedged_requests", "Requests that a second worker was tried for", [MODEL], hedged)

    def _responses(self) -> Iterable[Metric]:
        cache = self._cache
        asked = {} if cache is None else {(model,): n for model, n in cache.queries.items()}
        hits = {} if cache is None else {(model,): cache.hits[model] for (model,) in asked}
        yield _counter("response_cache_queries", "Requests looked for in the response cache", [MODEL], asked)
        yield _counter("response_cache_hits", "Those of them that it answered", [MODEL], hits)
        entries, sizes = {}, {}
        figures = None if cache is None else cache.figures()
        if figures is not None:
            parts = {"memory": figures.memory, figures.store: figures.stored}
            entries = {(store,): part.entries for store, part in parts.items() if part is not None}
            sizes = {(store,): part.bytes for store, part in parts.items() if part is not None}
        yield _gauge("response_cache_entries", "Answers kept, about", ["store"], entries)
        yield _gauge("response_cache_bytes", "Bytes that they take, about", ["store"], sizes)
        failing = {} if figures is None else {(figures.store,): int(bool(figures.failing))}
        failures = {} if figures is None else {(figures.store,): figures.failures}
        yield _gauge("response_cache_failing", "1 while the store is left alone", ["store"], failing)
        yield _counter("response_cache_failures", "Calls of the store that failed", ["store"], failures)

    def _http(self) -> Iterable[Metric]:
        all_of = {(str(status),): n for status, n in self._statuses.items()}
        refused = {(str(status),): n for status, n in self._statuses.items() if status in REFUSED}
        yield _counter("http_requests", "Responses by HTTP status", ["status"], all_of)
        yield _counter("http_requests_refused", "Requests refused, by HTTP status", ["status"], refused)


def _counter(name: str, what: str, labels: Sequence[str], values: Mapping[Key, float]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, what, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _gauge(name: str, what: str, labels: Sequence[str], values: Mapping[Key, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, what, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
