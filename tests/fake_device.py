"""A device that plays back the golden model's streams, with what a test breaks: for verification without Verilator."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.model import Architecture
from edgellm.numerics.random import random_model
from edgellm.runtime.words import Event
from edgellm.sim.design import Design, Probe, Shell
from edgellm.sim.verify import BEFORE, BEHIND, expect

ARCH = Architecture(vocab=24, width=16, layers=2, heads=2, kv_heads=1, head_dim=8, ffn=12, context=16)
IN_BLOCK = (
    "attn_norm",
    "qkv",
    "rope",
    "attention",
    "attn_residual",
    "ffn_norm",
    "gate_up",
    "glu",
    "ffn_residual",
)
PROMPT, LIMIT = [3, 7, 11], 5


def probe(number: int, node: str, tap: str | None, elements: int, **changes) -> Probe:
    """A stream of one value a beat."""
    fields = {"lanes": 1, "bits": 32, "signed": True, "order": None, **changes}
    return Probe(
        id=number,
        node=node,
        op="Op",
        tensor=changes.pop("tensor", node),
        tap=tap,
        elements=elements,
        **fields,
    )


class FakeDevice:
    """Streams of one run of a random model; `streams[node]` may be changed before it is compared."""

    def __init__(self) -> None:
        self.golden = GoldenModel(random_model(ARCH, 5))
        self.run = expect(self.golden, PROMPT, LIMIT, ())
        fed = len(PROMPT) + len(self.run.tokens) - 1
        order = [
            (0, 0),
            (1, 0),
            (0, 1),
            (2, 0),
            (1, 1),
            (2, 1),
        ]  # prefill: passes of several tokens interleave
        order += [(p, layer) for p in range(len(PROMPT), fed) for layer in range(ARCH.layers)]
        self.streams = {"loop": np.array([[p | layer << 32] for p, layer in order])}
        probes = [Probe(0, "loop", "LoopControl", "block_tag", None, 1, 40, False, 1, None)]
        for tap in (*BEFORE, *IN_BLOCK, *BEHIND):
            places = [(p, None) for p in range(fed)] if tap in BEFORE else order
            if tap in BEHIND:
                places = [(p, None) for p in range(len(PROMPT) - 1, fed)]
            vectors = np.stack([self.run.tensors[tap, layer, p] for p, layer in places])
            if tap == "gate_up":
                vectors = vectors.reshape(len(vectors), 2, -1).transpose(0, 2, 1).reshape(len(vectors), -1)
            if tap == "argmax":
                vectors = vectors << 32
            self.streams[tap] = vectors
            width = {"bits": 64, "signed": False} if tap == "argmax" else {}
            more = {"order": "interleaved"} if tap == "gate_up" else {}
            probes.append(probe(len(probes), tap, tap, vectors.shape[1], **width, **more))
        self.design = Design(
            Path(),
            {"name": "fake"},
            "aup-zu3",
            "part",
            200.0,
            1,
            ARCH.context,
            ARCH.vocab,
            ARCH.vocab + 1,
            ARCH.layers,
            "top",
            (),
            Shell("accelerator", 1, ()),
            tuple(probes),
            (),
        )
        self.events = [Event(token, 0, None, 100 * i) for i, token in enumerate(self.run.tokens)]
        self.events[-1] = Event(self.run.tokens[-1], 0, self.run.finish_reason, 1000)

    def probe(self, on: bool) -> None: ...

    def submit(self, slot, prompt_ids, max_tokens, stop_ids=(), **more) -> None: ...

    def wait(self) -> list[Event]:
        return self.events

    def recorded(self, wanted: Probe):
        values = self.streams[wanted.node]
        beats = np.arange(values.size).reshape(values.shape) + 10 * wanted.id
        return values, beats
