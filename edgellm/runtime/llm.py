"""`LLM`: one interface over every back end."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgellm import cache, catalog
from edgellm.errors import UsageError
from edgellm.numerics.sampling import GREEDY
from edgellm.runtime import chains, registry
from edgellm.runtime.chains import Chains
from edgellm.runtime.choice import Chooser
from edgellm.runtime.completion import Chunk, Completion, Ended
from edgellm.runtime.device import MODEL_FILE, Job
from edgellm.runtime.engine import Engine, Opener, Request
from edgellm.runtime.filters import Filter
from edgellm.runtime.grammar import Grammars
from edgellm.runtime.model import UNCHANGED, Model
from edgellm.runtime.params import Options, Params
from edgellm.runtime.post import Maker

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from edgellm.runtime.aio import AsyncEngine


class _Prepared:
    """An answer to be: the request, and who writes it down."""

    def __init__(self, llm: LLM, ids: list[int], params: Params) -> None:
        self.prompt_ids = ids
        self._request, self._chooser = llm.request(ids, params)
        self._writing = llm.writing(params)
        self._completion: Completion | None = None

    @property
    def completion(self) -> Completion:
        """The whole answer; UsageError while it is still being generated."""
        if self._completion is None:
            raise UsageError("the answer is not complete yet: read the stream to its end first")
        return self._completion

    def answer(self, engine: Engine) -> Completion:
        """The whole of it, for who wants no chunks."""
        answer = engine.submit(self._request)
        if self._writing.plain:
            engine.wait(answer)
            self._writing.take(answer.tokens)
        else:
            self._take(engine.tokens(answer))
        self._completion, _ = self._writing.finish(Ended.of(answer, self._chooser))
        return self._completion

    def _take(self, portions: Generator[list[int], None, None]) -> None:
        """Tokens as they come, since any of them may end the answer."""
        for tokens in portions:
            self._writing.take(tokens)
            if self._writing.over:
                break
        portions.close()


class Stream(_Prepared, Iterator[Chunk]):
    """Chunks of one answer; `completion` is there once the iteration has ended."""

    def __init__(self, llm: LLM, ids: list[int], params: Params) -> None:
        super().__init__(llm, ids, params)
        self._chunks = self._run(llm.engine)

    def __next__(self) -> Chunk:
        return next(self._chunks)

    def close(self) -> None:
        """Stop generating; the back end's slot is free afterwards."""
        self._chunks.close()

    def _run(self, engine: Engine) -> Generator[Chunk, None, None]:
        answer = engine.submit(self._request)
        portions = engine.tokens(answer)
        for token in itertools.chain.from_iterable(portions):
            yield self._writing.feed(token)
            if self._writing.over:
                break
        portions.close()
        self._completion, rest = self._writing.finish(Ended.of(answer, self._chooser))
        if rest:
            yield Chunk(None, rest)


class AsyncStream(_Prepared, AsyncIterator[Chunk]):
    """The same for asyncio."""

    def __init__(self, llm: LLM, ids: list[int], params: Params, engine: AsyncEngine) -> None:
        super().__init__(llm, ids, params)
        self._chunks = self._run(engine)

    async def __anext__(self) -> Chunk:
        return await self._chunks.__anext__()

    async def aclose(self) -> None:
        """Stop generating; the back end's slot is free soon afterwards."""
        await self._chunks.aclose()

    async def _run(self, engine: AsyncEngine) -> AsyncGenerator[Chunk, None]:
        answer, portions = engine.start(self._request)
        async for tokens in portions:
            for token in tokens:
                yield self._writing.feed(token)
                if self._writing.over:
                    break
            if self._writing.over:
                break
        await portions.aclose()
        self._completion, rest = self._writing.finish(Ended.of(answer, self._chooser))
        if rest:
            yield Chunk(None, rest)


class LLM(Model):
    """A loaded model on a back end. Use as a context manager, or call `close`; `load` makes one.

    Safe for threads: answers share the device's slots.
    """

    def __init__(
        self,
        folder: Path,
        openers: Sequence[Opener],
        reason: str = "",
        chains: Chains = UNCHANGED,
    ) -> None:
        """`openers` of devices, the preferred one first; `reason` says why that one, as long as it opens.

        `chains`: the filters of prompts and the post-processors of answers.
        """
        self._release = cache.hold(folder, self)  # the next back end may open it much later
        super().__init__(folder, chains)
        self.engine = Engine(openers)
        passed = self.engine.failures
        self.backend_reason = "; ".join([*passed, f"{self.backend} works"]) if passed else reason
        self._async: AsyncEngine | None = None
        self._grammars: Grammars | None = None

    def grammars(self) -> Grammars:
        """What compiles the forms that answers may be asked to have. Raises: ToolMissing without llguidance."""
        if self._grammars is None:
            self._grammars = Grammars(self.tokenizer, self.vocab, self.stop_ids)
        return self._grammars

    def request(self, ids: list[int], params: Params) -> tuple[Request, Chooser | None]:
        """What the engine is asked for an answer to these tokens, and who chooses its tokens where the device does not.

        Raises: UsageError for options that cannot be meant of this model, ToolMissing.
        """
        chooser = self._chooser(ids, params)
        how = GREEDY if chooser else params.sampling()
        job = Job(ids, params.max_tokens or self.context + 1, self.stop_ids, how, speculate=params.speculate)
        return Request(job, chooser, params.deadline, params.priority), chooser

    def _chooser(self, ids: list[int], params: Params) -> Chooser | None:
        """The host's choice, where the options need one."""
        rules, form = params.rules(), params.form()
        if not rules.needed and form is None:
            return None
        for token in rules.logit_bias:
            if not 0 <= token < self.vocab:
                raise UsageError(
                    f"logit_bias names token {token}; the vocabulary has tokens 0..{self.vocab - 1}"
                )
        constraint = None if form is None else self.grammars().start(form)
        return Chooser(rules, params.sampling(), len(ids), self.engine.device.logit_step, constraint)

    @property
    def backend(self) -> str:
        """Name of the back end in use."""
        return self.engine.device.name

    def stream(self, text: str | bytes, **options: Unpack[Options]) -> Stream:
        """Answer `text`, token by token, in the way that the options say (`Params`).

        Raises: PromptError for a prompt that cannot be answered, UsageError for options that cannot be meant.
        """
        return Stream(self, *self._prepared(text, options))

    def astream(self, text: str | bytes, **options: Unpack[Options]) -> AsyncStream:
        """`stream` for asyncio: an asynchronous iterator that never holds the event loop."""
        return AsyncStream(self, *self._prepared(text, options), self.asynchronous())

    def asynchronous(self) -> AsyncEngine:
        """The engine for asyncio; the LLM closes it."""
        if self._async is None:
            from edgellm.runtime.aio import AsyncEngine  # asyncio takes a while to load

            self._async = AsyncEngine(self.engine)
        return self._async

    def _prepared(self, text: str | bytes, options: Options) -> tuple[list[int], Params]:
        """Prompt ids and checked options."""
        params = Params.of(options)
        return self.prepared(text, params), params

    def generate(self, text: str | bytes, **options: Unpack[Options]) -> Completion:
        """Answer `text`; options and errors as for `stream`."""
        return _Prepared(self, *self._prepared(text, options)).answer(self.engine)

    async def agenerate(self, text: str | bytes, **options: Unpack[Options]) -> Completion:
        """`generate` for asyncio."""
        stream = self.astream(text, **options)
        async for _ in stream:
            pass
        return stream.completion

    def close(self) -> None:
        """Free the back end; a second call does nothing."""
        if self._async is not None:
            self._async.close()
        self.engine.close()
        self._release()

    def __enter__(self) -> LLM:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load(
    model: str | os.PathLike[str],
    backend: str = registry.AUTO,
    filters: Sequence[Filter | str | Mapping[str, Any]] = (),
    post: Sequence[Maker | str | Mapping[str, Any]] = (),
) -> LLM:
    """Load a model by name, or from its folder, a design folder or a bundle.

    `backend` is `auto` (the best that works here, and the next one should it break down) or a name of
    `registry.BACKENDS`. `filters` change or refuse prompts, `post` changes the texts of answers: functions, or what a
    configuration says of them (`chains`). Raises: ConfigError, ToolMissing, ModelNotFound, ModelCorrupt,
    ModelUnsupported, BundleError, BackendUnavailable.
    """
    made = chains.of({"filters": filters, "post": post})
    folder = catalog.find(model)
    chosen, why = registry.choose(backend, _size(folder))
    return LLM(folder, [partial(one.open, folder) for one in chosen], why, made)


def _size(folder: Path) -> int:
    """Bytes of the model file; 0 where there is none, which the back end will say."""
    path = folder / MODEL_FILE
    return path.stat().st_size if path.is_file() else 0
