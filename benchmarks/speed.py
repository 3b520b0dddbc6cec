"""What is timed of a back end: one stream, many, prompts, the prefix cache, and the engine on top of the device."""

from __future__ import annotations

import time

import numpy as np

from edgellm.runtime.device import Device, Job
from edgellm.runtime.engine import Answer, Request
from edgellm.runtime.llm import LLM

PROMPT = "set the living room lights to 40 percent"
WARM = 6  # prompts before the first measured one: sessions are made when they pay
SUFFIX = 8  # tokens behind a common prefix


def one_stream(llm: LLM, tokens: int) -> float:
    """Generated tokens per second; the model's stop ids are ignored so that all sides run the same length."""
    answer = _finished(llm, [llm.stream(PROMPT).prompt_ids], tokens)[0]
    elapsed = time.monotonic() - answer.submitted - (answer.first_token or 0.0)
    return (len(answer.tokens) - 1) / elapsed


def together(llm: LLM, prompts: list[list[int]], tokens: int) -> float:
    """Generated tokens of all prompts per second, from the first request to the last answer; nothing cached."""
    llm.engine.clear_cache()
    start = time.monotonic()
    answers = _finished(llm, prompts, tokens)
    return sum(len(answer.tokens) for answer in answers) / (time.monotonic() - start)


def prefill(llm: LLM, prompt: list[int]) -> float:
    """Tokens of a prompt per second up to the first generated one; nothing cached."""
    return len(prompt) / first_token(llm, prompt)


def first_token(llm: LLM, prompt: list[int], cached: bool = False) -> float:
    """Seconds from the request to its first token."""
    if not cached:
        llm.engine.clear_cache()
    return _finished(llm, [prompt], 1)[0].first_token or 0.0


def behind_prefix(llm: LLM, prefix: list[int], rng: np.random.Generator) -> tuple[float, float]:
    """Seconds to the first token of a prompt that begins with the prefix: with nothing cached, then with the prefix cached."""
    vocab = llm.engine.device.arch.vocab
    cold, warm = ([*prefix, *rng.integers(3, vocab, SUFFIX).tolist()] for _ in range(2))
    return first_token(llm, cold), first_token(llm, warm, cached=True)


def bare(device: Device, prompt: list[int], tokens: int) -> float:
    """Generated tokens per second of a device by itself, from its first events on."""
    device.submit(0, Job(prompt, tokens))
    first = 0
    while not first:
        first = _made(device)
    start, count = time.monotonic(), first
    while count < tokens:
        count += _made(device)
    return (tokens - first) / (time.monotonic() - start)


def prompts(vocab: int, count: int, length: int, rng: np.random.Generator) -> list[list[int]]:
    """Random ones: nothing of them is in any cache."""
    return [rng.integers(3, vocab, length).tolist() for _ in range(count)]


def _finished(llm: LLM, prompts: list[list[int]], tokens: int) -> list[Answer]:
    answers = [llm.engine.submit(Request(Job(prompt, tokens))) for prompt in prompts]
    while not all(answer.done for answer in answers):
        llm.engine.pump()
    return answers


def _made(device: Device) -> int:
    """Tokens that came since the last look."""
    return sum(1 + len(event.before) for event in device.poll(1.0))
