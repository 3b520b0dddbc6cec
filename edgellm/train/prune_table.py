"""The `[prune]` table of a recipe: how much of every layer goes, and which shapes lie on the way there.

All layers keep one shape, because the accelerator loops one physical block over them; which channels and heads go is each
layer's own choice (`edgellm.train.prune`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass

from edgellm.numerics.model import Architecture


@dataclass(frozen=True, slots=True)
class Prune:
    """What to remove from the student; 0 keeps all of it. Counts are of what stays in each layer."""

    ffn: float = 0.0  # share of the FFN channels to remove
    keep_ffn: int = 0  # FFN channels, where a share is too coarse
    keep_heads: int = 0  # query heads, as many in every group
    keep_kv_heads: int = 0  # a KV head goes together with its query heads
    keep_layers: int = 0
    multiple: int = 12  # of which the FFN channels that stay are a multiple, to fold well (docs/pruning.md)
    steps: int = 1  # rounds of pruning and recovery; each recovers for all the tokens of `[prune_plan]`
    lines: int = 600  # training lines on which importance is measured

    @property
    def asked(self) -> bool:
        """Whether the recipe prunes."""
        return any((self.ffn, self.keep_ffn, self.keep_heads, self.keep_kv_heads, self.keep_layers))


def goal(arch: Architecture, prune: Prune) -> Architecture:
    """What is left of `arch`; only for a table of which `problems` says nothing."""
    kv_heads = prune.keep_kv_heads or arch.kv_heads
    heads = prune.keep_heads or kv_heads * (arch.heads // arch.kv_heads)
    ffn = prune.keep_ffn or nearest(arch.ffn, arch.ffn * (1 - prune.ffn), prune.multiple)
    layers = prune.keep_layers or arch.layers
    return dataclasses.replace(arch, layers=layers, heads=heads, kv_heads=kv_heads, ffn=ffn)


def nearest(ffn: int, wanted: float, multiple: int) -> int:
    """The width nearest to `wanted`: a multiple, 0 among them, or `ffn` itself; the larger of two."""
    below: int = min(range(0, ffn, multiple), key=lambda width: (abs(width - wanted), -width))
    return ffn if ffn - wanted <= abs(wanted - below) else below


def rounds(arch: Architecture, end: Architecture, prune: Prune) -> list[Architecture]:
    """The shapes after each step, evenly spread; the last is `end`. Fewer than `steps` where a step would change nothing."""
    shapes = [_between(arch, end, step / prune.steps, prune.multiple) for step in range(1, prune.steps)]
    return [new for old, new in zip([arch, *shapes], [*shapes, end], strict=True) if new != old] or [end]


def _between(arch: Architecture, end: Architecture, share: float, multiple: int) -> Architecture:
    """`share` of the way from one shape to the other, as much as whole layers, groups and heads allow."""

    def part(start: int, stop: int) -> int:
        return start - math.floor((start - stop) * share + 0.5)

    kv_heads = part(arch.kv_heads, end.kv_heads)
    group = part(arch.heads // arch.kv_heads, end.heads // end.kv_heads)
    return dataclasses.replace(
        arch,
        layers=part(arch.layers, end.layers),
        heads=kv_heads * group,
        kv_heads=kv_heads,
        ffn=nearest(arch.ffn, arch.ffn - (arch.ffn - end.ffn) * share, multiple),
    )


def problems(arch: Architecture, prune: Prune) -> Iterator[tuple[str, str]]:
    """(field, what is wrong with it and what works) for a student of this shape; nothing when it can be done."""
    for field in ("multiple", "steps", "lines"):
        if not getattr(prune, field):
            yield field, "must be at least 1, not 0"
            return
    for field in ("ffn", "heads", "kv_heads", "layers"):
        kept, there = getattr(prune, f"keep_{field}"), getattr(arch, field)
        if kept > there:
            yield f"keep_{field}", f"is {kept}, but student.{field} is {there}: at most that many can stay"
            return
    yield from _ffn_problems(arch.ffn, prune)
    yield from _head_problems(arch, prune)


def _ffn_problems(ffn: int, prune: Prune) -> Iterator[tuple[str, str]]:
    multiple, kept = prune.multiple, prune.keep_ffn
    if prune.ffn and kept:
        yield "keep_ffn", f"{kept} and prune.ffn {prune.ffn} say the same thing twice: give one"
    elif kept and kept % multiple and kept != ffn:
        below = kept // multiple * multiple
        near = " or ".join(str(width) for width in (below, below + multiple) if 0 < width <= ffn)
        works = near or f"{ffn}, or a smaller prune.multiple,"
        yield "keep_ffn", f"{kept} is not a multiple of prune.multiple {multiple}: {works} is"
    elif prune.ffn >= 1:
        yield "ffn", f"is the share to remove, 0 to less than 1, not {prune.ffn}"
    elif prune.ffn:
        yield from _share_problems(ffn, prune)


def _share_problems(ffn: int, prune: Prune) -> Iterator[tuple[str, str]]:
    """A share that rounds to nothing left, or to nothing removed."""
    left = nearest(ffn, ffn * (1 - prune.ffn), prune.multiple)
    what = f"{prune.ffn} of {ffn} channels in multiples of {prune.multiple}"
    if not left:
        most = 1 - min(prune.multiple, ffn) / ffn
        yield "ffn", f"{what} leaves nothing: {most:.3g} is the most, or a smaller prune.multiple"
    elif left == ffn:
        least = ffn - max(range(0, ffn, prune.multiple))
        yield "ffn", f"{what} takes nothing away: {least / ffn:.3g} removes {least}"


def _head_problems(arch: Architecture, prune: Prune) -> Iterator[tuple[str, str]]:
    kv_heads, heads = prune.keep_kv_heads or arch.kv_heads, prune.keep_heads
    group = arch.heads // arch.kv_heads
    possible = ", ".join(str(kv_heads * size) for size in range(1, group + 1))
    works = f"with {kv_heads} KV heads, {possible} can stay"
    if heads % kv_heads:
        yield "keep_heads", f"{heads} is not a multiple of the KV heads that stay: {works}"
    elif heads > kv_heads * group:
        yield "keep_heads", f"{heads} is more than the student's {group} query heads a KV head: {works}"
