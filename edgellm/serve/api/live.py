"""`/live`: how the models are doing now, once or once a second. It tells nothing of what is asked or answered."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from edgellm import __version__
from edgellm.serve.broadcast import Broadcast
from edgellm.serve.live import Recorder
from edgellm.serve.orders import Worker
from edgellm.serve.served import Served, Service

NEVER_STORED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
LOOKED_BACK = 1.0  # s


class Latency(BaseModel):
    """Percentiles of the last measurements, in seconds; null where there are none."""

    count: int
    p50: float | None
    p90: float | None
    p99: float | None


class WorkerFigures(BaseModel):
    """One back end."""

    name: str
    backend: str
    alive: bool
    slots: int = Field(description="answers at a time")
    running: int = Field(description="answers in slots now")
    busy: float = Field(description="answers in slots, mean of the last second while somebody watches")
    queued: int = Field(description="in its engine")
    cached_tokens: int = Field(description="in its prefix cache")
    failures: list[str] = Field(description="why back ends were given up")


class Activity(BaseModel):
    """What became of requests since the model was loaded."""

    open: int = Field(description="requests that go on")
    open_seconds: float = Field(
        description="that requests went on, all together: its growth is the mean of open"
    )
    unbegun: int = Field(description="those of them without a token yet")
    waiting: int | None = Field(description="in the queue; null where nobody knows")
    outcomes: dict[str, int] = Field(description="by finish reason; cancelled, refused, invalid, failed")
    origins: dict[str, int] = Field(description="finished answers: generated, cache, shared")
    stored_answers: int | None = Field(description="in the response cache; null where nobody knows")
    prompt_tokens: int = Field(description="of generated answers")
    cached_tokens: int = Field(description="those of them from a prefix cache")
    tokens_each_second: list[int] = Field(description="of the last minute, the oldest first")
    latency: dict[str, Latency] = Field(description="first_token, inter_token, end_to_end")


class ModelFigures(BaseModel):
    """One model."""

    name: str
    description: str
    context: int = Field(description="tokens")
    loaded: float = Field(description="unix time, s")
    workers: list[WorkerFigures]
    activity: Activity | None = Field(description="null where answers are not watched")


class Snapshot(BaseModel):
    """The service at a moment."""

    version: str
    started: float = Field(description="unix time since when it serves, s")
    time: float = Field(description="unix time, s")
    ready: bool
    reasons: list[str] = Field(description="what is against it")
    most_waiting: int = Field(description="requests that the queue takes")
    models: list[ModelFigures]


class Occupancy:
    """Answers in the slots of each worker: the mean of the last second's looks."""

    def __init__(self, service: Service, clock: Callable[[], float] = time.monotonic) -> None:
        self._service, self._clock = service, clock
        self._looks: dict[tuple[str, str], deque[tuple[float, int]]] = defaultdict(deque)

    def look(self) -> None:
        """Once more."""
        now = self._clock()
        for served in self._service.models():
            for worker in served.workers:
                looks = self._looks[served.name, worker.name]
                looks.append((now, worker.state().running))
                while looks[0][0] < now - LOOKED_BACK:
                    looks.popleft()

    def busy(self, model: str, worker: str, running: int) -> float:
        """The mean; `running` where nobody looked."""
        since = self._clock() - LOOKED_BACK
        recent = [count for when, count in self._looks[model, worker] if when >= since]
        return sum(recent) / len(recent) if recent else running


class Picture:
    """Takes snapshots of a service."""

    def __init__(self, service: Service) -> None:
        self._service, self._started = service, time.time()
        self.occupancy = Occupancy(service)

    def snapshot(self) -> Snapshot:
        """Now."""
        readiness, values = self._service.readiness(), self._service.values
        return Snapshot(
            version=__version__,
            started=self._started,
            time=time.time(),
            ready=readiness.ready,
            reasons=readiness.reasons,
            most_waiting=values.queue.most_requests,
            models=[self._model(served) for served in self._service.models()],
        )

    def event(self) -> bytes:
        """A snapshot as a server-sent event."""
        return b"data: " + self.snapshot().model_dump_json().encode() + b"\n\n"

    def _model(self, served: Served) -> ModelFigures:
        return ModelFigures(
            name=served.name,
            description=served.model.manifest.description,
            context=served.model.context,
            loaded=served.loaded,
            workers=[self._worker(served.name, worker) for worker in served.workers],
            activity=None if served.recorder is None else _activity(served.recorder),
        )

    def _worker(self, model: str, worker: Worker) -> WorkerFigures:
        state = worker.state()
        return WorkerFigures(
            name=worker.name,
            backend=worker.backend,
            alive=state.alive,
            slots=worker.slots,
            running=state.running,
            busy=self.occupancy.busy(model, worker.name, state.running),
            queued=state.queued,
            cached_tokens=state.cached,
            failures=list(state.failures),
        )


def _activity(recorder: Recorder) -> Activity:
    gauges = recorder.gauges
    return Activity(
        open=recorder.open,
        open_seconds=recorder.open_seconds(),
        unbegun=recorder.unbegun,
        waiting=None if gauges.waiting is None else gauges.waiting(),
        outcomes=dict(recorder.outcomes),
        origins=dict(recorder.origins),
        stored_answers=None if gauges.stored is None else gauges.stored(),
        prompt_tokens=recorder.prompt_tokens,
        cached_tokens=recorder.cached_tokens,
        tokens_each_second=recorder.tokens_each_second(),
        latency={
            name: Latency(count=spread.count, p50=spread.p50, p90=spread.p90, p99=spread.p99)
            for name, spread in recorder.latencies().items()
        },
    )


def live_router(service: Service, interval: float = 1.0) -> APIRouter:
    """Routes `/live` and `/live/events`, with so many seconds between events, which end when the service is drained."""
    router, picture = APIRouter(tags=["live"]), Picture(service)
    broadcast = Broadcast(picture.occupancy.look, picture.event, interval)

    @router.get("/live", response_model=Snapshot, summary="How the models are doing now")
    async def live() -> Response:
        body = picture.snapshot().model_dump_json()
        return Response(body, media_type="application/json", headers=NEVER_STORED)

    @router.get(
        "/live/events",
        summary="The same once a second, as server-sent events, until the client goes",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def events() -> StreamingResponse:
        return StreamingResponse(
            _until_drained(broadcast, picture, service), headers=NEVER_STORED, media_type="text/event-stream"
        )

    return router


async def _until_drained(
    broadcast: Broadcast, picture: Picture, service: Service
) -> AsyncGenerator[bytes, None]:
    """Events; the last one says why it is the last."""
    async with aclosing(broadcast.watch()) as news:
        async for event in news:
            if service.readiness().draining:
                yield picture.event()
                break
            yield event
