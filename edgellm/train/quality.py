"""How good a model is on encoded lines, in one pass: loss, and answers that it would give exactly."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from edgellm.train.batches import Encoded, pack

BATCH_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class Quality:
    """Loss in nats a token of the answers; `exact`: share of the answers that greedy decoding gives to the last token."""

    loss: float
    exact: float


@torch.no_grad()
def measure(model: nn.Module, examples: Sequence[Encoded]) -> Quality:
    """Quality of a model on lines.

    The most likely token at every place of the expected answer is the expected one exactly when greedy decoding gives
    that answer, so nothing is generated.
    """
    model.eval()
    nats = tokens = right = 0.0
    for batch in pack(examples, BATCH_TOKENS, 0.0, random.Random(0)):
        logits, target = model(batch.ids[:, :-1]), batch.ids[:, 1:]
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
        nats += float((loss * batch.weight.flatten()).sum())
        tokens += float(batch.weight.sum())
        as_expected = (logits.argmax(-1) == target) | (batch.weight == 0)
        right += float(as_expected.all(1).sum())
    return Quality(nats / tokens, right / len(examples))


def measure_integer(folder: Path, examples: Sequence[Encoded]) -> Quality:
    """The same of the integer model in a model folder, on the best back end here that shows logits.

    Raises: BackendUnavailable, ModelError.
    """
    from edgellm.evaluation.integer import logit_step
    from edgellm.runtime import scoring
    from edgellm.runtime.llm import load

    nats = tokens = right = 0.0
    ordered = sorted(examples, key=lambda line: len(line[0]))  # lines of similar length run side by side
    with load(folder) as llm:
        step = logit_step(llm.folder) or 1.0
        seen = scoring.logits(llm.engine, [ids[:-1] for ids, _ in ordered])
        for (ids, prompt), logits in zip(ordered, seen, strict=True):
            rows, target = logits[prompt - 1 :] * np.float64(step), np.array(ids[prompt:])
            shares = torch.from_numpy(rows).log_softmax(-1).numpy()
            nats -= float(shares[np.arange(len(target)), target].sum())
            tokens += len(target)
            right += float((logits[prompt - 1 :].argmax(-1) == target).all())
    return Quality(nats / tokens, right / len(examples))
