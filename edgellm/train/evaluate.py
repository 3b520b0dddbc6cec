"""Torch models under test: the float student and the quantised one get the same measure as the integer model.

`edgellm.evaluation` has the measure; here is what needs torch, and the comparison at the end of a distillation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from edgellm.data.tokenizer import END_ID, PAD_ID
from edgellm.evaluation import sets
from edgellm.evaluation.examples import Codec, Example, Reader, Reading
from edgellm.evaluation.integer import IntegerReader, logit_step
from edgellm.evaluation.measure import measure_all
from edgellm.evaluation.sets import CaseSet
from edgellm.numerics.model import Architecture
from edgellm.train.config import Recipe
from edgellm.train.model import Cache

BATCH_TOKENS = 8192  # of one forward pass, padding included


class Stepper(Protocol):
    """A model that can be asked token by token."""

    arch: Architecture

    def step(self, ids: Tensor, caches: Cache) -> tuple[Tensor, Cache]: ...


class TorchReader:
    """A `Reader` of a torch model: one padded pass gives every loss, and only lines it gets wrong are generated."""

    def __init__(self, model: Stepper) -> None:
        self._model = model

    def read(self, examples: Sequence[Example]) -> Iterator[tuple[int, Reading]]:
        """(index, reading) of every example, in passes of at most `BATCH_TOKENS`."""
        for indices in _passes(examples):
            yield from self._read([(index, examples[index]) for index in indices])

    def _read(self, group: Sequence[tuple[int, Example]]) -> Iterator[tuple[int, Reading]]:
        nats, answers = self._forced([example for _, example in group])
        missing = [place for place, answer in enumerate(answers) if answer is None]
        room = max((group[place][1].room for place in missing), default=0)
        generated = greedy(self._model, [group[place][1].prompt for place in missing], room)
        for place, tokens in zip(missing, generated, strict=True):
            answers[place] = tokens
        for (index, _), loss, answer in zip(group, nats, answers, strict=True):
            yield index, Reading(answer or [], loss)

    @torch.no_grad()
    def _forced(self, examples: Sequence[Example]) -> tuple[list[float], list[list[int] | None]]:
        """Loss of each expected answer, and the greedy answers that are known from it."""
        ids = pad_sequence([torch.tensor(example.fed) for example in examples], True, PAD_ID)
        logits, _ = self._model.step(ids, [None] * self._model.arch.layers)
        losses: list[float] = []
        answers: list[list[int] | None] = []
        for row, example in zip(logits, examples, strict=True):
            rows = row[len(example.prompt) - 1 : len(example.fed)].double()
            losses.append(float(F.cross_entropy(rows, torch.tensor(example.expected), reduction="sum")))
            answers.append(example.confirmed(rows.argmax(-1).tolist()))
        return losses, answers


@torch.no_grad()
def greedy(model: Stepper, prompts: Sequence[list[int]], most: int) -> list[list[int]]:
    """Greedy answers of at most `most` tokens without the end token, a position of all of them a step."""
    known = [list(ids) for ids in prompts]
    going = set(range(len(prompts)))
    caches: Cache = [None] * model.arch.layers
    for position in range(model.arch.context):
        if not going:
            break
        row = [known[slot][position] if slot in going else PAD_ID for slot in range(len(known))]
        logits, caches = model.step(torch.tensor(row)[:, None], caches)
        following = logits[:, -1].argmax(-1).tolist()
        for slot in [slot for slot in going if position == len(known[slot]) - 1]:
            if following[slot] != END_ID:
                known[slot].append(following[slot])
            if following[slot] == END_ID or len(known[slot]) - len(prompts[slot]) == most:
                going.remove(slot)
    return [ids[len(prompt) :] for ids, prompt in zip(known, prompts, strict=True)]


def compare(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """Model (float, quantised, integer) -> set -> `scores.score` of a finished run; exports the integer model.

    Of a run that prunes, `float` is the pruned student and `unpruned` the whole one.
    """
    from edgellm.export.integer import export_model
    from edgellm.runtime.llm import load
    from edgellm.train.distill import CHECKPOINT, load_float, load_quantised
    from edgellm.train.prune_stage import load_final

    export_model(folder / CHECKPOINT, folder / "model")
    chosen = [entry.sample(recipe.test_lines or None) for entry in test_sets(folder)]
    codec = Codec.of(folder / "model")
    quantised, _ = load_quantised(folder / CHECKPOINT)
    with load(folder / "model") as llm:
        readers: dict[str, Reader] = {
            "float": TorchReader(load_final(folder, recipe).eval()),
            "quantised": TorchReader(quantised),
            "integer": IntegerReader(llm.engine, llm.stop_ids, logit_step(llm.folder)),
        }
        if recipe.prune.asked:
            unpruned = load_float(folder / "student", recipe.student)
            readers = {"unpruned": TorchReader(unpruned.eval()), **readers}
        return {label: _summaries(reader, codec, chosen, label) for label, reader in readers.items()}


def test_sets(folder: Path) -> list[CaseSet]:
    """What a run is measured on: the records held out of one's own corpus, the shipped sets for the home corpus."""
    held_out = folder / "corpus" / "valid.jsonl"
    return [sets.read(held_out, "valid")] if held_out.is_file() else sets.shipped(sets.available())


def _summaries(reader: Reader, codec: Codec, chosen: Sequence[CaseSet], label: str) -> dict[str, Any]:
    reports = measure_all(reader, codec, chosen, f"Evaluating {label} on")
    return {name: report.summary() for name, report in reports.items()}


def _passes(examples: Sequence[Example]) -> Iterator[list[int]]:
    """Indices of examples of similar length, as many as fit `BATCH_TOKENS`; at least one."""
    group: list[int] = []
    for index in sorted(range(len(examples)), key=lambda index: len(examples[index].fed)):
        if group and (len(group) + 1) * len(examples[index].fed) > BATCH_TOKENS:
            yield group
            group = []
        group.append(index)
    if group:
        yield group
