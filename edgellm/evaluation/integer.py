"""The integer model under test, on any back end.

A model reads prompt and expected answer once, many lines side by side. That gives the loss and the most likely token at each
place: where these are the expected ones the greedy answer is known, and only the other lines are generated.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgellm.evaluation.examples import Example, Reading
from edgellm.numerics import onnxfile
from edgellm.runtime import scoring
from edgellm.runtime.device import MODEL_FILE
from edgellm.runtime.engine import Engine

ORDER_SEED = 0  # groups of similar length in mixed order, so that the time left is estimated well


class IntegerReader:
    """A `Reader` of an open model. `notes` say what cannot be measured and why."""

    def __init__(self, engine: Engine, stop_ids: Collection[int], step: float | None) -> None:
        """`step` is the real value of one logit, None when it is not known."""
        self._engine, self._stop_ids, self._step = engine, frozenset(stop_ids), step
        self._side_by_side = engine.device.traits.slots
        self.notes: list[str] = []
        if step is None:
            self.notes.append(f"no loss: {MODEL_FILE} does not store its logit step; export the model again")

    def read(self, examples: Sequence[Example]) -> Iterator[tuple[int, Reading]]:
        """(index, reading) of every example, groups of similar length together."""
        wrong: list[_Wrong] = []
        for indices in _groups(examples, self._side_by_side):
            seen = scoring.logits(self._engine, [examples[index].fed for index in indices])
            for index, logits in zip(indices, seen, strict=True):
                answer, nats = self._judge(examples[index], logits)
                if answer is None:
                    wrong.append(_Wrong(index, examples[index], nats))
                else:
                    yield index, Reading(answer, nats)
            if len(wrong) >= self._side_by_side:
                yield from self._generate(wrong)
                wrong = []
        yield from self._generate(wrong)

    def _judge(self, example: Example, logits: NDArray[np.int16]) -> tuple[list[int] | None, float | None]:
        """The answer if it is known from the logits, and the loss."""
        at_answer = logits[len(example.prompt) - 1 :]
        answer = example.confirmed(at_answer.argmax(-1).tolist())
        if self._step is None:
            return answer, None
        return answer, cross_entropy(at_answer.astype(np.float64) * self._step, example.expected)

    def _generate(self, wrong: Sequence[_Wrong]) -> Iterator[tuple[int, Reading]]:
        room = max((line.example.room for line in wrong), default=1)
        prompts = [line.example.prompt for line in wrong]
        answers = scoring.answers(self._engine, prompts, room, self._stop_ids)
        for line, answer in zip(wrong, answers, strict=True):
            yield line.index, Reading(answer[: line.example.room], line.nats)


@dataclass(frozen=True, slots=True)
class _Wrong:
    """A line whose answer is not the expected one and has to be generated."""

    index: int
    example: Example
    nats: float | None


def logit_step(folder: Path) -> float | None:
    """Real value of one logit step of a folder's model; None in files that lack it. Raises: ModelCorrupt."""
    return onnxfile.load(folder / MODEL_FILE).logit_step


def cross_entropy(logits: NDArray[np.float64], expected: Sequence[int]) -> float:
    """Sum of -ln softmax(logits)[expected] in nats; logits float64 [time, vocab], one expected token a row."""
    shifted = logits - logits.max(-1, keepdims=True)
    picked = shifted[np.arange(len(expected)), expected]
    return float((np.log(np.exp(shifted).sum(-1)) - picked).sum())


def _groups(examples: Sequence[Example], size: int) -> list[list[int]]:
    """Indices in groups of similar length, in a mixed but fixed order."""
    order = sorted(range(len(examples)), key=lambda index: len(examples[index].fed))
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    random.Random(ORDER_SEED).shuffle(groups)
    return groups
