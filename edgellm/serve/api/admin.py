"""What an operator asks and does: metrics, figures of the caches, clearing them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.params import Depends
from pydantic import BaseModel

from edgellm.serve.cache.responses import ResponseCache
from edgellm.serve.metrics import Metrics
from edgellm.serve.served import Served, Service

Which = Literal["all", "response", "prefix"]
ModelName = Annotated[str | None, Query(description="of one model only")]


class Stored(BaseModel):
    """How much is kept."""

    entries: int
    bytes: int


class ResponseFigures(BaseModel):
    """The response cache; counts are since the start."""

    store: str
    failing: str  # what is wrong with the store; empty when nothing is
    failures: int
    memory: Stored
    stored: Stored | None  # null where the store does not say
    queries: int
    hits: int
    unwritten: int  # answers that only memory has, since the store failed or was too slow


class PrefixFigures(BaseModel):
    """The prefix cache of one worker."""

    model: str
    worker: str
    backend: str
    tokens: int


class CachesFigures(BaseModel):
    """All caches; `response` is null where there is none."""

    response: ResponseFigures | None
    prefix: list[PrefixFigures]


class Cleared(BaseModel):
    """What was cleared."""

    responses: int | None  # answers in the store; null where it could not be cleared, or was not to be
    prefix_workers: int  # workers that forgot their prefixes


def router(
    service: Service,
    metrics: Metrics,
    cache_now: Callable[[], ResponseCache | None],
    dependencies: Sequence[Depends] = (),
) -> APIRouter:
    """The routes. `cache_now` is asked each time: settings that are read again may bring another cache.

    `dependencies`: of each of them, for who checks that the client may do this.
    """
    routes = APIRouter(dependencies=list(dependencies), tags=["operation"])

    @routes.get("/metrics", response_class=Response, summary="Prometheus metrics")
    async def exposition(request: Request) -> Response:
        body, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

    @routes.get("/admin/cache", summary="Figures of the response cache and the prefix caches")
    async def figures() -> CachesFigures:
        cache = cache_now()
        found = None if cache is None else await cache.refresh()
        response = None if found is None else ResponseFigures.model_validate(_plain(found))
        return CachesFigures(response=response, prefix=_prefixes(service.models()))

    @routes.delete("/admin/cache", summary="Clear caches: all, or those of one model")
    async def clear(model: ModelName = None, which: Which = "all") -> Cleared:
        chosen = service.models() if model is None else [service.get(model)]
        responses, cache = None, cache_now()
        if cache is not None and which != "prefix":
            responses = await cache.clear(None if model is None else chosen[0].digest)
        workers = 0 if which == "response" else await _forget(chosen)
        return Cleared(responses=responses, prefix_workers=workers)

    return routes


def _plain(figures: Any) -> dict[str, Any]:
    """With the fields of its tuples."""
    found = asdict(figures)
    stored = figures.stored
    return found | {"memory": figures.memory._asdict(), "stored": stored and stored._asdict()}


def _prefixes(models: Sequence[Served]) -> list[PrefixFigures]:
    return [
        PrefixFigures(
            model=one.name, worker=worker.name, backend=worker.backend, tokens=worker.state().cached
        )
        for one in models
        for worker in one.workers
    ]


async def _forget(models: Sequence[Served]) -> int:
    workers = [worker for one in models for worker in one.workers]
    await asyncio.gather(*(worker.clear_cache() for worker in workers))
    return len(workers)
