"""Log probabilities as OpenAI's two interfaces show them."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

from edgellm.runtime.choice import TokenInfo
from edgellm.tokenizer import Tokenizer

_Decoder = codecs.getincrementaldecoder("utf-8")


class ChatLogprobs:
    """{"content": [{"token", "logprob", "bytes", "top_logprobs": [...]}, ...]}; every token's bytes are exact."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._bytes = tokenizer.token_bytes

    def shown(self, infos: Sequence[TokenInfo]) -> dict[str, Any]:
        """Of the next tokens."""
        content = [
            {
                **self._one(info.token, info.logprob),
                "top_logprobs": [self._one(token, logprob) for token, logprob in info.top],
            }
            for info in infos
        ]
        return {"content": content, "refusal": None}

    def _one(self, token: int, logprob: float) -> dict[str, Any]:
        raw = self._bytes[token]
        return {"token": raw.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(raw)}


class CompletionLogprobs:
    """{"tokens", "token_logprobs", "top_logprobs", "text_offset"} of one answer.

    Offsets are characters of the text before post-processing. A token that is no text by itself is written `bytes:\\xe2\\x80`.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._bytes = tokenizer.token_bytes
        self._decode, self._offset = _Decoder(errors="replace").decode, 0

    def shown(self, infos: Sequence[TokenInfo]) -> dict[str, Any]:
        """Of the next tokens."""
        return {
            "tokens": [self._name(info.token) for info in infos],
            "token_logprobs": [info.logprob for info in infos],
            "top_logprobs": [self._top(info) for info in infos],
            "text_offset": [self._next_offset(info.token) for info in infos],
        }

    def _top(self, info: TokenInfo) -> dict[str, float]:
        """The likeliest, and the one that was taken; of two that are written alike the likelier."""
        found: dict[str, float] = {}
        for token, logprob in (*info.top, (info.token, info.logprob)):
            found.setdefault(self._name(token), logprob)
        return found

    def _next_offset(self, token: int) -> int:
        offset = self._offset
        self._offset += len(self._decode(self._bytes[token]))
        return offset

    def _name(self, token: int) -> str:
        raw = self._bytes[token]
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)
