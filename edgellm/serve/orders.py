"""What is asked for, what comes back, and the interface of everything between: `Source`."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from edgellm.runtime.choice import TokenInfo
from edgellm.runtime.completion import Ended
from edgellm.runtime.params import Params


@dataclass(frozen=True, slots=True)
class Order:
    """One answer to be generated. Tokens are a function of model, prompt and params alone."""

    prompt: tuple[int, ...]  # token ids, template included
    params: Params  # `deadline` counts from `arrived`; `stop` and `repeats` are for who writes the text
    client: str = ""  # whose it is (the name of an API key): what fair shares are counted by
    request_id: str = ""
    arrived: float = field(default_factory=time.monotonic)  # s, of the monotonic clock
    tokens: tuple[int, ...] = ()  # the answer's first tokens, when another worker made them
    deadline: float | None = None  # s from `arrived`, where `params` name none
    keep: bool = True  # whether somebody may ask for it again; not where the service drew the seed by chance
    whole: bool = False  # nobody reads along: it may come in one portion

    @property
    def most_tokens(self) -> int | None:
        """Tokens of the answer at most; None: to the end of the context."""
        return self.params.max_tokens

    def left(self) -> float | None:
        """Seconds to the deadline; None without one."""
        deadline = self.params.deadline or self.deadline
        return None if deadline is None else self.arrived + deadline - time.monotonic()


@dataclass(frozen=True, slots=True)
class End:
    """How an answer ended. Times are seconds."""

    finish_reason: str  # stop, length, context, deadline, confidence
    backend: str
    cached: int = 0  # tokens of the prompt from a worker's prefix cache
    queued: float = 0.0  # waiting for a worker
    counters: Mapping[str, float] = field(default_factory=dict)  # what the device counts: cycles
    origin: str = "generated"  # or "cache" (an earlier answer), "shared" (a request in flight)


class Portion(NamedTuple):
    """Tokens as they come; the last portion, which may have none, has the end."""

    tokens: Sequence[int]
    infos: Sequence[TokenInfo] = ()  # one a token where `params.logprobs` asks for it
    end: End | None = None


class Source(Protocol):
    """Makes answers. Closing the generator, or cancelling who reads it, cancels the answer at once."""

    def stream(self, order: Order) -> AsyncGenerator[Portion, None]:
        """Portions of the answer behind `order.tokens`.

        Nothing happens before the first one is asked for. Raises there: Overloaded (nothing was done), UsageError and
        ToolMissing for params that this model cannot follow; there or later: BackendFailed, when no worker could go on.
        """
        ...


class Worker(Source, Protocol):
    """A source with a back end of its own. When it raises BackendFailed, another worker can go on behind the tokens so far."""

    name: str  # unique in a pool: native-0
    backend: str  # native, cpu, fpga, ...
    slots: int  # answers at a time

    def state(self) -> WorkerState:
        """How it is; never waits."""
        ...

    async def clear_cache(self) -> None:
        """Forget every cached prefix. Raises: BackendFailed."""
        ...

    async def close(self) -> None:
        """Free everything; answers that are not done end with BackendFailed. A second call does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A look at a worker, for metrics, balancing and the page."""

    alive: bool
    running: int = 0  # answers in slots
    queued: int = 0  # in its engine
    cached: int = 0  # tokens in its prefix cache
    failures: tuple[str, ...] = ()  # why back ends were given up


def ended(order: Order, end: End, first_token: float | None, infos: Sequence[TokenInfo]) -> Ended:
    """What `Writing.finish` wants to know."""
    return Ended(
        order.prompt,
        end.finish_reason,
        end.backend,
        time.monotonic() - order.arrived,
        first_token,
        end.cached,
        end.counters,
        infos if order.params.logprobs is not None else None,
    )
