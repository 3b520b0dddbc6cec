"""`LLM`: one interface over every back end."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from edgellm import catalog, manifest, prompt
from edgellm.errors import UsageError
from edgellm.numerics.sampling import GREEDY, Sampling
from edgellm.runtime import registry
from edgellm.runtime.backends.base import Session
from edgellm.runtime.text import TextStream
from edgellm.tokenizer import Tokenizer

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class Timings:
    """Wall-clock seconds on this machine, and device cycles where the back end counts them."""

    first_token: float  # s from submit to the first token (TTFT)
    total: float  # s from submit to the end
    tokens_per_second: float  # generated tokens over `total`
    device: dict[str, float] = field(default_factory=dict)  # e.g. cycles, cycles_per_token (simulated)


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer. `tokens` leaves the stop id out; `text` also ends before a stop string."""

    backend: str
    model: str
    prompt_tokens: list[int]
    tokens: list[int]
    text: str
    finish_reason: str  # stop, length, context
    timings: Timings

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A token as it arrives, and the text that it settled (empty in the middle of a character or a stop string)."""

    token: int | None  # None for the last chunk when only held-back text was left
    text: str


@dataclass(frozen=True, slots=True)
class Wishes:
    """What an answer should be like."""

    max_tokens: int
    stops: Sequence[str] = ()
    sampling: Sampling = GREEDY


class Stream(Iterator[Chunk]):
    """Chunks of one answer; `completion` is there once the iteration has ended."""

    def __init__(self, llm: LLM, ids: list[int], wishes: Wishes) -> None:
        self._llm, self.prompt_ids = llm, ids
        self._wishes, self._text = wishes, TextStream(wishes.stops)
        self._chunks = self._run()
        self._completion: Completion | None = None

    def __next__(self) -> Chunk:
        return next(self._chunks)

    @property
    def completion(self) -> Completion:
        """The whole answer; UsageError while it is still being generated."""
        if self._completion is None:
            raise UsageError("the answer is not complete yet: read the stream to its end first")
        return self._completion

    def close(self) -> None:
        """Stop generating; the back end's slot is free afterwards."""
        self._chunks.close()

    def _run(self) -> Generator[Chunk, None, None]:
        session = self._llm.session
        tokens: list[int] = []
        parts: list[str] = []
        start = time.perf_counter()
        first = 0.0
        wishes = self._wishes
        generated = session.stream(self.prompt_ids, wishes.max_tokens, self._llm.stop_ids, wishes.sampling)
        for token in generated:
            first = first or time.perf_counter() - start
            tokens.append(token)
            parts.append(self._text.feed(self._llm.tokenizer.decode_bytes([token])))
            yield Chunk(token, parts[-1])
            if self._text.stopped:
                break
        close = getattr(generated, "close", None)
        if close is not None:
            close()
        reason = "stop" if self._text.stopped else session.finish_reason
        rest = self._text.close()
        parts.append(rest)
        total = time.perf_counter() - start
        timings = Timings(first or total, total, len(tokens) / total, dict(session.timings))
        self._completion = Completion(
            session.name, self._llm.name, self.prompt_ids, tokens, "".join(parts), reason, timings
        )
        if rest:
            yield Chunk(None, rest)


class LLM:
    """A loaded model on one back end. Use as a context manager, or call `close`."""

    def __init__(self, folder: Path, backend: str = registry.AUTO) -> None:
        chosen, self.backend_reason = registry.choose(backend)
        self.manifest = manifest.read(folder)
        self.name, self.folder = self.manifest.name, folder
        self.tokenizer = Tokenizer.from_file(folder / TOKENIZER)
        self.stop_ids = frozenset(self.manifest.stop_ids)
        self.context = self.manifest.context
        self.session: Session = chosen.open(folder)

    @property
    def backend(self) -> str:
        """Name of the back end in use."""
        return self.session.name

    def stream(
        self,
        text: str | bytes,
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        *,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Stream:
        """Answer `text`, token by token.

        `max_tokens` is at least 1, and limited by the context when None; generation ends at any of the strings in `stop`
        (not included). With `temperature` above 0 (below 16) tokens are drawn, with `seed` (64 bits) the same ones again, on
        every back end. Raises PromptError for a prompt that cannot be answered.
        """
        if max_tokens is not None and max_tokens < 1:
            raise UsageError(f"max_tokens must be at least 1, not {max_tokens}")
        stops = [stop] if isinstance(stop, str) else list(stop)
        if "" in stops:
            raise UsageError("a stop string must not be empty")
        rules = self.manifest.prompt
        ids = prompt.prepare(text, self.tokenizer, rules.template, rules.normalise, self.context)
        wishes = Wishes(max_tokens or self.context + 1, stops, Sampling.of(seed, temperature))
        return Stream(self, ids, wishes)

    def generate(
        self,
        text: str | bytes,
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        *,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Completion:
        """Answer `text`; arguments and errors as for `stream`."""
        stream = self.stream(text, max_tokens, stop, temperature=temperature, seed=seed)
        for _ in stream:
            pass
        return stream.completion

    def close(self) -> None:
        """Free the back end; a second call does nothing."""
        self.session.close()

    def __enter__(self) -> LLM:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load(model: str | os.PathLike[str], backend: str = registry.AUTO) -> LLM:
    """Load a model by name or folder.

    `backend` is `auto` (the best that works here), `golden`, `cpu` or `sim`. Raises ModelNotFound, ModelCorrupt,
    ModelUnsupported, BackendUnavailable.
    """
    return LLM(catalog.find(model), backend)
