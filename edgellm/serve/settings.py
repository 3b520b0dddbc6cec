"""What the service can be told. Every field has a default that is safe on a board; docs/service.md explains each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A table of the configuration; a field that it does not have is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(Section):
    """A model to serve, and on what."""

    path: str  # name, folder, design folder or bundle
    name: str = ""  # what clients call it; empty: its own name
    backends: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "auto",
    )  # one worker each; a name may come several times
    isolated: bool = False  # each worker in a process of its own
    truncate: Literal["error", "left", "middle"] = "error"  # prompts that are too long
    history: Literal["error", "last"] = (
        "error"  # chats of more than one message: refuse, or answer the last one
    )
    filters: tuple[dict[str, Any], ...] = ()  # of prompts, as in runtime/chains.py
    post: tuple[dict[str, Any], ...] = ()  # of answers

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: object) -> object:
        """A text is the path of a model that needs no more said."""
        return {"path": value} if isinstance(value, str) else value


class QueueSettings(Section):
    """What waits for a worker."""

    most_requests: Count = 256  # waiting; more are refused with 429
    most_tokens: Count = 65_536  # of the prompts that wait, and of their answers
    deadline: Seconds = 60.0  # of requests that name none
    hedge_tokens: Annotated[int, Field(ge=0)] = (
        0  # answers up to so long may be tried on a second worker; 0 is never
    )
    cool_down: Seconds = 5.0  # a worker that failed is left alone at first; doubles up to a minute


class CacheSettings(Section):
    """Answers that would come again just the same."""

    store: Literal["sqlite", "redis", "off"] = "sqlite"
    path: Path | None = None  # of the SQLite file; None: in the user's cache folder
    url: str = ""  # of the Redis server
    most_entries: Count = 100_000
    most_mb: Count = 256
    keep: Seconds = 7 * 86_400.0


class LimitSettings(Section):
    """What one client may send, and how slow it may be."""

    body_kb: Count = 256
    body_seconds: Seconds = 10.0  # to send it in
    header_kb: Count = 16
    header_count: Count = 64
    header_seconds: Seconds = 10.0  # to send them in, from the connection or the first byte on
    keep_alive_seconds: Seconds = 75.0  # an idle connection is kept
    write_seconds: Seconds = 30.0  # a client that reads nothing for so long is cut off
    request_seconds: Seconds = 600.0  # from a request's body to the end of its answer
    connections: Count = 1_000
    choices: Count = 8  # n
    prompts: Count = 32  # in one request


class SecuritySettings(Section):
    """Who may use the service."""

    keys: Path | None = None  # file of hashed API keys; needed to listen beyond this machine
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()  # addresses whose X-Forwarded-For and -Proto are believed
    hosts: tuple[
        str, ...
    ] = ()  # more names that clients may call the service by; on 127.0.0.1 others are refused


class LogSettings(Section):
    """What is told of it."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"
    traces: str = ""  # OTLP endpoint (http); empty: none


class RaySettings(Section):
    """`edgellm serve --ray`: how many copies of the service a Ray cluster runs."""

    address: str = ""  # of a running cluster; empty: a new one on this machine
    least_replicas: Count = 1
    most_replicas: Count = 4
    target_requests: Count = 16  # under way in a replica, on average: more start replicas, fewer stop them
    cpus: Annotated[float, Field(gt=0)] = 1.0  # of a replica
    spread: bool = False  # at most one replica on a machine
    proxies: Literal["every", "head"] = "every"  # which machines of the cluster listen


class Values(Section):
    """All of it."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    models: Annotated[tuple[ModelSettings, ...], Field(min_length=1)]
    drain_seconds: Seconds = 30.0  # to finish answers in after SIGTERM
    page: bool = True  # the chat at /
    queue: QueueSettings = QueueSettings()
    cache: CacheSettings = CacheSettings()
    limits: LimitSettings = LimitSettings()
    security: SecuritySettings = SecuritySettings()
    log: LogSettings = LogSettings()
    ray: RaySettings = RaySettings()
