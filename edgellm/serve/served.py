"""A model as the service has it, and the service as its HTTP side sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgellm.runtime.model import Model
from edgellm.serve.orders import Source, Worker
from edgellm.serve.pool import Pool
from edgellm.serve.scheduler import Scheduler
from edgellm.serve.settings import ModelSettings, Values


@dataclass(frozen=True, slots=True)
class Served:
    """One model: its words, where its tokens come from, and how it is to be used."""

    name: str  # what clients call it
    model: Model
    digest: str  # of the model's files: no answer of another model is ever taken for one of this
    source: Source  # cache, sharing, queue and pool, in this order
    settings: ModelSettings
    workers: Sequence[Worker] = ()
    loaded: float = 0.0  # unix time, s
    scheduler: Scheduler | None = None  # the queue within the source
    pool: Pool | None = None  # behind it


@dataclass(slots=True)
class Readiness:
    """Whether requests can be answered, and what is against it."""

    ready: bool
    reasons: list[str] = field(default_factory=list)


class Service(Protocol):
    """What routes work with; `service.py` has the real one."""

    values: Values

    def models(self) -> Sequence[Served]:
        """All that are served, in the order of the configuration."""
        ...

    def get(self, name: str) -> Served:
        """By name. Raises: ModelNotFound listing the names."""
        ...

    def readiness(self) -> Readiness:
        """Whether models are loaded and back ends work, and nothing is being drained."""
        ...
