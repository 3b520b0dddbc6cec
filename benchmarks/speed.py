"""What is timed of a back end: one stream, many, prompts, the prefix cache, and the engine on top of the device."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from edgellm.evaluation import sets
from edgellm.runtime.device import Device, Job
from edgellm.runtime.engine import Answer, Request
from edgellm.runtime.llm import LLM

PROMPT = "set the living room lights to 40 percent"
WARM = 6  # prompts before the first measured one: sessions are made when they pay
SUFFIX = 8  # tokens behind a common prefix
COMMANDS = 20  # of the held-out set


def one_stream(llm: LLM, tokens: int) -> float:
    """Generated tokens per second, none guessed; the model's stop ids are ignored so that all sides run the same length."""
    answer = _finished(llm, [llm.stream(PROMPT).prompt_ids], tokens)[0]
    return (len(answer.tokens) - 1) / _decoding(answer)


def commands() -> list[str]:
    """Real ones, that no model was trained on."""
    (held_out,) = sets.shipped(["heldout"])
    return [case.prompt for case in held_out.cases[:COMMANDS]]


def guessing(llm: LLM, prompts: Sequence[str]) -> float:
    """Generated tokens per second, with guesses, over whole answers: past its end a model repeats itself."""
    llm.engine.clear_cache()
    made, seconds = 0, 0.0
    for prompt in prompts:
        job = Job(llm.stream(prompt).prompt_ids, llm.context, llm.stop_ids)
        answer = _complete(llm, [job])[0]
        made += len(answer.tokens)  # the first one is of the prompt, the stop id is not among them
        seconds += _decoding(answer)
    return made / seconds


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
    """Generated tokens per second of a device by itself, from its first events on; none guessed."""
    device.submit(0, Job(prompt, tokens, speculate=False))
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
    return _complete(llm, [Job(prompt, tokens, speculate=False) for prompt in prompts])


def _complete(llm: LLM, jobs: list[Job]) -> list[Answer]:
    answers = [llm.engine.submit(Request(job)) for job in jobs]
    while not all(answer.done for answer in answers):
        llm.engine.pump()
    return answers


def _decoding(answer: Answer) -> float:
    """Seconds behind the first token."""
    return time.monotonic() - answer.submitted - (answer.first_token or 0.0)


def _made(device: Device) -> int:
    """Tokens that came since the last look."""
    return sum(1 + len(event.before) for event in device.poll(1.0))
