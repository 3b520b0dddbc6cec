"""Answers as OpenAI's two interfaces write them: whole, and chunk by chunk.

A chunk is made of bytes that are the same for all chunks of an answer and of its text; only a chunk that has more than text is
put together from its parts.
"""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import orjson

from edgellm.serve.api.answers import Finish, Piece, Task
from edgellm.serve.api.logprobs import ChatLogprobs, CompletionLogprobs
from edgellm.serve.served import Served

DONE = b"data: [DONE]\n\n"
# what the client said of stops is a stop, what cut the answer short is a length; `edgellm.finish_reason` has the exact reason
REASONS = {
    "stop": "stop",
    "repetition": "stop",
    "confidence": "stop",
    "length": "length",
    "context": "length",
    "deadline": "length",
}


def extension(finish: Finish, task: Task) -> dict[str, Any]:
    """What OpenAI has no field for."""
    timings, params = finish.completion.timings, task.order.params
    return {
        "finish_reason": finish.completion.finish_reason,
        "backend": finish.backend,
        "origin": finish.origin,
        "seed": params.seed if params.temperature > 0 else None,
        "timings": {
            "first_token": timings.first_token,
            "total": timings.total,
            "queued": finish.queued,
            "tokens_per_second": timings.tokens_per_second,
            "device": timings.device,
        },
    }


class Shape(ABC):
    """The answers of one request: `whole`, or `chunk` of each piece and `closing` behind the last."""

    kind, chunk_kind, prefix = "", "", ""
    logprobs: type[ChatLogprobs] | type[CompletionLogprobs]
    first, later, behind = (
        b"",
        b"",
        b"",
    )  # around the text of a chunk: before that of the first one, of others; behind

    def __init__(self, served: Served, with_usage: bool = False) -> None:
        """`with_usage`: whether a stream tells it."""
        self._tokenizer, self._with_usage = served.model.tokenizer, with_usage
        self._head = {
            "id": f"{self.prefix}-{secrets.token_hex(12)}",
            "object": self.kind,
            "created": int(time.time()),
            "model": served.name,
            "system_fingerprint": served.digest[:16],
        }
        self._chunk_head = {**self._head, "object": self.chunk_kind}
        self._start = b"data: " + orjson.dumps(self._chunk_head)[:-1] + b',"choices":['
        self._stop = b'],"usage":null}\n\n' if with_usage else b"]}\n\n"
        self._opened: set[Task] = set()
        self._shown: dict[Task, ChatLogprobs | CompletionLogprobs] = {}
        self._finished: list[tuple[Task, Finish]] = []

    def whole(self, finished: Sequence[tuple[Task, Finish]]) -> bytes:
        """The body of all answers."""
        self._finished = sorted(finished, key=lambda one: one[0].indices.start)
        choices = [
            {"index": index, **self._choice(task, finish), "edgellm": extension(finish, task)}
            for task, finish in self._finished
            for index in task.indices
        ]
        return orjson.dumps({**self._head, "choices": choices, "usage": self.usage()})

    def chunk(self, piece: Piece) -> bytes:
        """Events of a piece: one a choice, none for a piece that settles no text."""
        task, is_first = piece.task, piece.task not in self._opened
        self._opened.add(task)
        if piece.finish is not None or piece.infos:
            return self._full_chunk(piece, is_first)
        if not piece.text and not is_first:
            return b""
        before, text = self.first if is_first else self.later, orjson.dumps(piece.text)
        return b"".join(
            b'%b{"index":%d%b%b%b%b' % (self._start, index, before, text, self.behind, self._stop)
            for index in task.indices
        )

    def closing(self) -> bytes:
        """Behind the last piece."""
        if not self._with_usage:
            return DONE
        told = {**self._chunk_head, "choices": [], "usage": self.usage()}
        return b"data: " + orjson.dumps(told) + b"\n\n" + DONE

    def usage(self) -> dict[str, Any]:
        """Tokens of each prompt once, and of all choices."""
        prompts = {
            task.prompt: (task, finish) for task, finish in reversed(self._finished)
        }  # the first choice of each
        asked = sum(len(task.order.prompt) for task, _ in prompts.values())
        made = sum(len(task.indices) * len(finish.completion.tokens) for task, finish in self._finished)
        return {
            "prompt_tokens": asked,
            "completion_tokens": made,
            "total_tokens": asked + made,
            "prompt_tokens_details": {
                "cached_tokens": sum(finish.completion.cached for _, finish in prompts.values())
            },
        }

    def _full_chunk(self, piece: Piece, is_first: bool) -> bytes:
        task, finish = piece.task, piece.finish
        part = {**self._part(piece.text, is_first), "logprobs": None, "finish_reason": None}
        if task.order.params.logprobs is not None:
            shown = self._shown.setdefault(task, self.logprobs(self._tokenizer))
            part["logprobs"] = shown.shown(piece.infos)
        if finish is not None:
            self._finished.append((task, finish))
            part["finish_reason"] = REASONS[finish.completion.finish_reason]
            part["edgellm"] = extension(finish, task)
        return b"".join(
            self._start + orjson.dumps({"index": index, **part}) + self._stop for index in task.indices
        )

    def _choice(self, task: Task, finish: Finish) -> dict[str, Any]:
        completion = finish.completion
        infos = completion.logprobs
        return {
            **self._body(completion.text),
            "logprobs": None if infos is None else self.logprobs(self._tokenizer).shown(infos),
            "finish_reason": REASONS[completion.finish_reason],
        }

    @abstractmethod
    def _body(self, text: str) -> dict[str, Any]:
        """The text in a whole answer."""

    @abstractmethod
    def _part(self, text: str, is_first: bool) -> dict[str, Any]:
        """The text in a chunk."""


class CompletionShape(Shape):
    """Of /v1/completions."""

    kind, chunk_kind, prefix, logprobs = "text_completion", "text_completion", "cmpl", CompletionLogprobs
    first = later = b',"text":'
    behind = b',"logprobs":null,"finish_reason":null}'

    def _body(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def _part(self, text: str, is_first: bool) -> dict[str, Any]:
        return {"text": text}


class ChatShape(Shape):
    """Of /v1/chat/completions."""

    kind, chunk_kind, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"
    logprobs = ChatLogprobs
    first = b',"delta":{"role":"assistant","content":'
    later = b',"delta":{"content":'
    behind = b'},"logprobs":null,"finish_reason":null}'

    def _body(self, text: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": text, "refusal": None}}

    def _part(self, text: str, is_first: bool) -> dict[str, Any]:
        return {"delta": {"role": "assistant", "content": text} if is_first else {"content": text}}
