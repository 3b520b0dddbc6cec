"""The loop of generation: what happens between two tokens, the same for every back end that steps from Python.

Source: docs/numerics.md, "Generation".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from typing import Literal

from edgellm.errors import EmptyPrompt, PromptTooLong, UsageError
from edgellm.numerics.model import Architecture

FinishReason = Literal["stop", "length", "context"]
Step = Callable[[int, int], int]  # (token, position) -> chosen next token


def check_request(arch: Architecture, prompt_ids: Sequence[int], max_tokens: int) -> None:
    """Refuse what no back end can answer.

    Raises EmptyPrompt, PromptTooLong, UsageError (max_tokens below 1, a token outside the vocabulary).
    """
    if max_tokens < 1:
        raise UsageError(f"max_tokens must be at least 1, not {max_tokens}")
    if not prompt_ids:
        raise EmptyPrompt("the prompt has no tokens: give at least one")
    if len(prompt_ids) > arch.context:
        raise PromptTooLong(
            f"the prompt has {len(prompt_ids)} tokens and the context holds {arch.context}: shorten it"
        )
    if min(prompt_ids) < 0 or max(prompt_ids) >= arch.vocab:
        wrong = enumerate(prompt_ids)
        index, token = next((at, token) for at, token in wrong if not 0 <= token < arch.vocab)
        raise UsageError(f"prompt token {index} is {token}; the vocabulary has tokens 0..{arch.vocab - 1}")


def generate(
    step: Step,
    context: int,
    prompt_ids: Sequence[int],
    max_tokens: int,
    stop_ids: Collection[int],
) -> Generator[int, None, FinishReason]:
    """Feed a checked prompt, then yield the answer's tokens; the generator's return value is why it ended."""
    for position, token in enumerate(prompt_ids):
        following = step(token, position)
    position = len(prompt_ids)
    for count in range(1, max_tokens + 1):
        if following in stop_ids:
            return "stop"
        yield following
        if count == max_tokens:
            break
        if position == context:
            return "context"
        following = step(following, position)
        position += 1
    return "length"
