"""What the tensors of a float decoder hold on given lines: the largest magnitudes, and a sample of the rest."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from edgellm.train.batches import Encoded, make_batch
from edgellm.train.model import Block, Decoder, attend, rms_norm, rotate, split_heads

PERCENTILE = 0.9995
SAMPLE = 100_000  # values kept of a tensor in a layer
SHARES = [share / 40 for share in range(8, 41)]  # of the largest magnitude: where a narrow range may end


class Ranges:
    """Magnitudes seen, per tensor and layer; `tokens` are how many will come, so that the sample is spread over them."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._parts: dict[tuple[str, int], list[Tensor]] = defaultdict(list)
        self._tops: dict[tuple[str, int], float] = defaultdict(float)
        self._random = torch.Generator().manual_seed(0)

    def see(self, name: str, layer: int, x: Tensor, tokens: int) -> Tensor:
        """Note x, of which `tokens` tokens are the leading dimensions, and give it back."""
        values = x.detach().abs().flatten()
        self._tops[name, layer] = max(self._tops[name, layer], float(values.max()))
        wanted = math.ceil(SAMPLE * tokens / self._tokens)
        if wanted < len(values):
            values = values[torch.randint(len(values), (wanted,), generator=self._random)]
        self._parts[name, layer].append(values)
        return x

    def sample(self, name: str, layer: int) -> Tensor:
        """Magnitudes float32 [n]."""
        parts = self._parts[name, layer]
        if len(parts) > 1:
            self._parts[name, layer] = parts = [torch.cat(parts)]
        return parts[0]

    def top(self, name: str, layer: int, share: float = PERCENTILE) -> float:
        """Magnitude that `share` of the values do not exceed; 1 is the largest of all."""
        if share == 1.0:
            return self._tops[name, layer]
        return float(self.sample(name, layer).quantile(share))

    def over_layers(self, name: str, share: float = PERCENTILE) -> list[float]:
        return [self.top(name, layer, share) for key, layer in sorted(self._parts) if key == name]

    def layers(self, name: str) -> list[Tensor]:
        """The samples of a tensor, layer by layer."""
        return [self.sample(key, layer) for key, layer in sorted(self._parts) if key == name]


@torch.no_grad()
def observe(model: Decoder, examples: Sequence[Encoded]) -> Ranges:
    """Run lines one length at a time through the float model and note every tensor that will be quantised."""
    ranges = Ranges(sum(len(ids) for ids, _ in examples))
    by_length: dict[int, list[Encoded]] = defaultdict(list)
    for example in examples:
        by_length[len(example[0])].append(example)
    for group in by_length.values():
        _observe_group(model, make_batch(group, 1.0).ids, ranges)
    return ranges


def _observe_group(model: Decoder, ids: Tensor, ranges: Ranges) -> None:
    def see(name: str, layer: int, x: Tensor) -> Tensor:
        return ranges.see(name, layer, x, ids.numel())

    cos, sin = model.cos[: ids.shape[1]], model.sin[: ids.shape[1]]
    x = see("embedding", 0, model.embedding(ids))
    for layer, block in enumerate(cast(list[Block], list(model.blocks))):
        q, k, v = split_heads(block.qkv(see("norm", layer, rms_norm(x))), model.arch)
        for name, tensor in (("q", q), ("k", k), ("v", v)):
            see(name, layer, tensor)
        q, k = rotate(q, cos, sin), see("key", layer, rotate(k, cos, sin))
        mixed = see("mixed", layer, attend(q, k, v, causal=True))
        x = see("residual", layer, x + block.attn_out(mixed.transpose(1, 2).flatten(2)))
        gate, up = block.gate_up(see("norm", layer, rms_norm(x))).chunk(2, -1)
        see("gate", layer, gate)
        see("up", layer, up)
        silu = see("silu", layer, F.silu(gate))
        glu = see("glu", layer, silu * up)
        x = see("residual", layer, x + block.down(glu))
    see("logits", 0, F.linear(rms_norm(x), model.embedding.weight))


def relative_error(sample: Tensor, step: float, bits: int) -> float:
    """Mean square of what rounding to `bits` signed bits loses, over the mean square of the sample of magnitudes."""
    top = (1 << (bits - 1)) - 1
    rounded = sample.div(step).round_().clamp_(max=top).mul_(step)
    return float((rounded - sample).square().mean() / sample.square().mean().clamp(min=1e-30))


def best_step(samples: Sequence[tuple[Tensor, int, float]]) -> float:
    """The step with the least sum of relative errors (the clipping search of Banner et al. 2019).

    Each sample is (magnitudes, bits, how many times the step its own step is).
    """
    top = max(float(sample.max()) / (factor * ((1 << (bits - 1)) - 1)) for sample, bits, factor in samples)

    def error(step: float) -> float:
        return sum(relative_error(sample, step * factor, bits) for sample, bits, factor in samples)

    return min((top * share for share in SHARES), key=error) if top > 0 else 1.0
