"""What a process of the service is made of: the service's life and the application around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.middleware import Middleware

from edgellm.serve.refusals import App
from edgellm.serve.served import Service
from edgellm.serve.settings import Values


class Life(Service, Protocol):
    """The service, from its opening to its end."""

    async def open(self) -> None:
        """Load the models. Raises: EdgeLLMError."""
        ...

    async def reload(self, values: Values) -> None:
        """Serve what these settings say; answers under way end on the models that they began on. Raises: EdgeLLMError."""
        ...

    async def drain(self, seconds: float) -> bool:
        """Not ready any more; waits for the answers under way; whether all ended in so many seconds."""
        ...

    async def close(self) -> None:
        """Free everything; answers that are not done end with an error. A second call does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """How both are made."""

    service: Callable[[Values], Life]
    app: Callable[[Life, Sequence[Middleware]], App]  # the middlewares: of the guard


def real() -> Parts:
    """Those of this package."""
    from edgellm.serve import assembly

    return Parts(assembly.EdgeService, assembly.application)


def alive(service: Service) -> bool:
    """Whether any back end is."""
    workers = [worker for served in service.models() for worker in served.workers]
    return not workers or any(worker.state().alive for worker in workers)
