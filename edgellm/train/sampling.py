"""Sampling from and scoring by a teacher: many short continuations of one prompt at a time.

The prompt is run once and its KV cache repeated over the batch, and texts that have ended leave the batch: with a
few-shot prompt of 100 tokens and answers of 12 that saves most of the work of padded batches.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

from edgellm.data.textmodel import Drawn
from edgellm.errors import UsageError
from edgellm.train.teachers import Teacher

WIDEST = 400  # tokens that can be drawn at one place, at most


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw: nucleus sampling (Holtzman et al. 2020, arXiv:1904.09751) at a temperature."""

    max_tokens: int = 24
    temperature: float = 0.8
    top_p: float = 0.95
    stop: str = "\n"  # every character of it ends a text

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.temperature <= 0 or not 0 < self.top_p <= 1:
            raise UsageError(f"need max_tokens >= 1, temperature > 0 and 0 < top_p <= 1, not {self}")


class Writer:
    """A teacher that writes (`edgellm.data.textmodel.TextModel`); keeps the KV cache of its latest prompt."""

    def __init__(self, teacher: Teacher, how: Sampling) -> None:
        self.teacher, self.how = teacher, how
        self._latest: tuple[str, _Prompt] | None = None
        self._stops = _stop_tokens(teacher, how.stop)

    def describe(self) -> dict[str, object]:
        """For provenance: the teacher's file, the sampling, the versions that decide the numbers."""
        versions = {name: metadata.version(name) for name in ("torch", "transformers")}
        teacher = {"name": self.teacher.name, "sha256": self.teacher.sha256}
        return {"teacher": teacher, "sampling": asdict(self.how), "versions": versions}

    @torch.inference_mode()
    def sample(self, prompt: str, count: int, seed: int) -> list[Drawn]:
        """`count` continuations of the prompt, cut at the first stop character, likelihoods over all tokens drawn."""
        if count < 1:
            return []
        batch = _Batch(self.teacher.model, self._prompt(prompt), count)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(self.how.max_tokens):
            tokens, scores = _draw(batch.logits, self.how, generator)
            batch.append(tokens, scores, self._stops)
            if not batch.rows:
                break
        return [self._drawn(batch, row) for row in range(count)]

    @torch.inference_mode()
    def score(self, prompt: str, texts: Sequence[str]) -> list[float]:
        """Log-likelihood of each text after the prompt, in nats, summed over its tokens."""
        if not texts:
            return []
        ids = [self.teacher.encode(text) for text in texts]
        if not all(ids):
            raise UsageError("cannot score an empty text")
        start = self._prompt(prompt)
        tokens, mask = _padded(ids)
        logits = self.teacher.model(tokens, past_key_values=start.repeated(len(ids))).logits
        before = torch.cat([start.logits.expand(len(ids), 1, -1), logits[:, :-1]], dim=1)
        wanted = torch.log_softmax(before, -1).gather(-1, tokens[..., None])[..., 0]
        return [float(value) for value in (wanted * mask).sum(-1)]

    def _prompt(self, text: str) -> _Prompt:
        if self._latest is None or self._latest[0] != text:
            self._latest = (text, _Prompt(self.teacher, text))
        return self._latest[1]

    def _drawn(self, batch: _Batch, row: int) -> Drawn:
        text = self.teacher.decode(batch.tokens[row])
        cut = min((text.index(c) for c in self.how.stop if c in text), default=len(text))
        return Drawn(text[:cut], batch.scores[row] / len(batch.tokens[row]), row not in batch.rows)


class _Prompt:
    """KV cache (batch of one) and last logits (1, 1, vocabulary) of a prompt."""

    def __init__(self, teacher: Teacher, text: str) -> None:
        from transformers import DynamicCache

        ids = teacher.encode(text)
        if not ids:
            raise UsageError("the prompt is empty: give the teacher something to go on with")
        self.cache = DynamicCache()
        self.logits = teacher.model(torch.tensor([ids]), past_key_values=self.cache, logits_to_keep=1).logits

    def repeated(self, rows: int) -> Any:
        """A copy of the cache for a batch of `rows`."""
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(rows)
        return cache


class _Batch:
    """Texts under way: `rows` names those that still grow, in the order of the model's batch."""

    def __init__(self, model: Any, prompt: _Prompt, count: int) -> None:
        self.model, self.cache = model, prompt.repeated(count)
        self.rows = list(range(count))
        self.tokens: list[list[int]] = [[] for _ in self.rows]
        self.scores = [0.0 for _ in self.rows]
        self.logits = prompt.logits[:, -1].expand(count, -1)  # (rows, vocabulary)

    def append(self, tokens: Tensor, scores: Tensor, stops: Tensor) -> None:
        """Note the drawn tokens (rows,), drop the texts that end with them, run the model on the others."""
        for row, token, score in zip(self.rows, tokens.tolist(), scores.tolist(), strict=True):
            self.tokens[row].append(token)
            self.scores[row] += score
        going = (~stops[tokens]).nonzero()[:, 0]
        if len(going) < len(self.rows):
            self.rows = [self.rows[place] for place in going.tolist()]
            self.cache.batch_select_indices(going)
        if self.rows:
            self.logits = self.model(tokens[going, None], past_key_values=self.cache).logits[:, -1]


def _draw(logits: Tensor, how: Sampling, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Tokens (rows,) int64 and their log-likelihoods (rows,) at temperature 1, from logits (rows, vocabulary)."""
    best, ids = logits.topk(min(WIDEST, logits.shape[-1]))
    kept = torch.softmax(best / how.temperature, -1)
    kept = kept.masked_fill(kept.cumsum(-1) - kept >= how.top_p, 0.0)
    place = torch.multinomial(kept, 1, generator=generator)
    plain = best.gather(-1, place)[:, 0] - logits.logsumexp(-1)
    return ids.gather(-1, place)[:, 0], plain


def _stop_tokens(teacher: Teacher, characters: str) -> Tensor:
    """Boolean mask over the vocabulary: tokens that end a text."""
    texts = teacher.tokenizer.batch_decode([[token] for token in range(teacher.model.config.vocab_size)])
    mask = torch.tensor([any(character in text for character in characters) for text in texts])
    if teacher.tokenizer.eos_token_id is not None:
        mask[teacher.tokenizer.eos_token_id] = True
    return mask


def _padded(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Token ids padded with 0 at the end, and mask: both (rows, longest) int64."""
    longest = max(map(len, rows))
    tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return tokens, mask
