"""A model folder without a network, and a device that says what it is told: for tests of what lies above the back ends."""

from __future__ import annotations

import json
import time
from pathlib import Path

from edgellm import manifest
from edgellm.numerics.model import Architecture
from edgellm.runtime.device import Event, Job, Traits
from edgellm.tokenizer import byte_symbols

SPECIALS = ("<s>", "</s>", "\t")
BOS, EOS, TAB = 256, 257, 258
ARCH = {
    "vocab": 259,
    "width": 8,
    "layers": 1,
    "heads": 1,
    "kv_heads": 1,
    "head_dim": 8,
    "ffn": 8,
    "context": 48,
}


def tokenizer_json() -> str:
    """Bytes and three special tokens."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    return json.dumps(
        {
            "model": {"type": "BPE", "vocab": {s: i for i, s in enumerate(byte_symbols())}, "merges": []},
            "pre_tokenizer": byte_level,
            "added_tokens": [{"id": 256 + i, "content": content} for i, content in enumerate(SPECIALS)],
        }
    )


def write_model(folder: Path) -> Path:
    """A folder that `manifest.read` accepts."""
    folder.mkdir(parents=True)
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer_json())
    described = manifest.Manifest(
        "toy", "says what it is told", {"tokenizer.json": manifest.describe(tokenizer)}, (EOS,), ARCH
    )
    manifest.write(folder, described)
    return folder


class Parrot:
    """Device that answers with fixed tokens, one a poll and slot, and records how it was used."""

    name, arch, logit_step = "parrot", Architecture(**ARCH), None

    def __init__(self, answer: bytes, slots: int = 2, delay: float = 0.0) -> None:
        """`delay`: seconds that a poll takes."""
        self._delay = delay
        self.answer, self.traits = list(answer), Traits(slots, logits=False)
        self.seen: list[Job] = []
        self.given, self.cancelled, self.closed = 0, 0, False
        self._left: dict[int, tuple[list[int], int]] = {}

    def submit(self, slot, job):
        self.seen.append(job)
        self._left[slot] = (list(self.answer), job.max_tokens)

    def poll(self, timeout):
        time.sleep(self._delay)
        events = []
        for slot, (tokens, room) in list(self._left.items()):
            self.given += 1
            token, reason = (tokens.pop(0), None) if tokens else (EOS, "stop")
            self._left[slot] = (tokens, room - 1)
            if reason or room == 1:
                reason = reason or "length"
                del self._left[slot]
            events.append(Event(slot, token, reason))
        return events

    def cancel(self, slot):
        self.cancelled += self._left.pop(slot, None) is not None

    def copy(self, source, target, positions): ...

    def counters(self, slot):
        return {"cycles_per_token": 100.0}

    def close(self) -> None:
        self.closed = True
