"""The peer llama2.c (github.com/karpathy/llama2.c, its program `run`) in float32 on random weights of the same shape."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import numpy as np

from edgellm.numerics.model import Architecture

BOS = 1


def tensors(arch: Architecture) -> list[tuple[int, ...]]:
    """Shapes in the checkpoint's order; the last ones are tables that today's program skips."""
    d, kv, layers = arch.width, arch.kv_heads * arch.head_dim, arch.layers
    attention = [(layers, d, d), (layers, d, kv), (layers, d, kv), (layers, d, d)]
    feed_forward = [(layers, arch.ffn, d), (layers, d, arch.ffn), (layers, arch.ffn, d)]
    return [
        (arch.vocab, d),
        (layers, d),
        *attention,
        (layers, d),
        *feed_forward,
        (d,),
        *[(arch.context, arch.head_dim // 2)] * 2,
    ]


def write(arch: Architecture, folder: Path, seed: int = 0) -> None:
    """model.bin and tokenizer.bin. The token that ends a text, BOS, has no embedding, so that it is not drawn."""
    rng = np.random.default_rng(seed)
    sizes = (arch.width, arch.ffn, arch.layers, arch.heads, arch.kv_heads, arch.vocab, arch.context)
    with (folder / "model.bin").open("wb") as file:
        file.write(struct.pack("<7i", *sizes))
        for index, shape in enumerate(tensors(arch)):
            values = rng.standard_normal(shape, np.float32) * np.float32(0.1)
            if index == 0:
                values[BOS] = 0
            file.write(values.tobytes())
    pieces = [f"t{index}".encode() for index in range(arch.vocab)]
    body = b"".join(struct.pack("<fi", 0.0, len(piece)) + piece for piece in pieces)
    (folder / "tokenizer.bin").write_bytes(struct.pack("<i", max(map(len, pieces))) + body)


def tokens_per_second(binary: Path, folder: Path, tokens: int) -> float:
    """As the program itself times it, in milliseconds."""
    command = [str(binary), "model.bin", "-z", "tokenizer.bin", "-t", "0", "-n", str(tokens)]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    found = re.search(rb"achieved tok/s: ([0-9.]+)", done.stderr)
    if found is None:
        raise RuntimeError(f"{binary} does not say how fast it was: {done.stderr.decode(errors='replace')}")
    return float(found[1])
