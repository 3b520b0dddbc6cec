"""A model folder without a network, and a session that says what it is told: for tests of what lies above the back ends."""

from __future__ import annotations

import json
from pathlib import Path

from edgellm import manifest
from edgellm.numerics.sampling import GREEDY
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
    """Session that answers with fixed tokens and records how it was used."""

    name = "parrot"

    def __init__(self, answer: bytes) -> None:
        self.answer, self.finish_reason = list(answer), "stop"
        self.timings = {"cycles_per_token": 100.0}
        self.seen: list[tuple[list[int], int, frozenset[int]]] = []
        self.given, self.freed, self.closed = 0, False, False

    def stream(self, prompt_ids, max_tokens, stop_ids, sampling=GREEDY):
        self.seen.append((list(prompt_ids), max_tokens, stop_ids))
        try:
            for token in self.answer[:max_tokens]:
                self.given += 1
                yield token
            self.finish_reason = "stop" if max_tokens > len(self.answer) else "length"
        finally:
            self.freed = True

    def close(self) -> None:
        self.closed = True
