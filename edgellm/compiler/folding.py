"""Folding: how many lanes, processing elements and multipliers each node of the accelerator has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgellm import files
from edgellm.errors import ConfigError, FoldingError
from edgellm.numerics.layout import linear_shapes
from edgellm.numerics.model import Architecture

FORMAT = 1
Nodes = Mapping[str, Mapping[str, int]]  # node -> factor -> value


@dataclass(frozen=True, slots=True)
class Folding:
    """Factors of every node, named as FINN names them (PE, SIMD); for attention PT positions and OM lanes.

    `fifos` are depths of FIFOs in beats, by the stream that goes in; the others get the compiler's.
    """

    nodes: Nodes
    fifos: Mapping[str, int] = field(default_factory=dict)

    def __call__(self, node: str, factor: str = "PE") -> int:
        return self.nodes[node][factor]

    def to_dict(self) -> dict[str, Any]:
        table = {"format": FORMAT, "nodes": {node: dict(factors) for node, factors in self.nodes.items()}}
        return {**table, "fifos": dict(self.fifos)} if self.fifos else table

    def save(self, path: Path) -> None:
        """Write the factors as JSON."""
        files.write_text(path, json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Folding:
        """Read a JSON file. Raises ConfigError naming file, field and value."""
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: not a readable JSON file ({error})") from error
        if not isinstance(table, dict) or table.get("format") != FORMAT:
            raise ConfigError(f"{path}: a folding file is a JSON object with format {FORMAT}")
        nodes = table.get("nodes")
        if not isinstance(nodes, dict) or not all(isinstance(factors, dict) for factors in nodes.values()):
            raise ConfigError(f"{path}: nodes must map node names to their factors")
        fifos = table.get("fifos", {})
        if not isinstance(fifos, dict):
            raise ConfigError(f"{path}: fifos must map streams to the depths of their FIFOs")
        for name, least, values in [
            *((node, 1, factors) for node, factors in nodes.items()),
            ("fifos", 3, fifos),
        ]:
            for key, value in values.items():
                if type(value) is not int or value < least:
                    raise ConfigError(
                        f"{path}: {name}.{key} is {value!r}, must be a whole number of at least {least}"
                    )
        return cls(nodes, fifos)


def divisors(n: int) -> list[int]:
    """Divisors of n in ascending order."""
    return [d for d in range(1, n + 1) if n % d == 0]


def matmul_shapes(arch: Architecture) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of every linear layer."""
    return {f"{kind}_acc": shape for kind, shape in linear_shapes(arch).items()}


def legal(arch: Architecture) -> dict[str, dict[str, list[int]]]:
    """Values that every factor of every node may have."""
    lanes = {
        "embed": arch.width,
        "attn_norm": arch.width,
        "qkv": arch.qkv_width,
        "attn_residual": arch.width,
        "ffn_norm": arch.width,
        "gate_up": 2 * arch.ffn,
        "glu": arch.ffn,
        "ffn_residual": arch.width,
        "final_norm": arch.width,
        "logits": arch.vocab,
        "argmax": arch.vocab,
    }
    table = {node: {"PE": divisors(n)} for node, n in lanes.items()}
    for node, (rows, cols) in matmul_shapes(arch).items():
        table[node] = {"PE": divisors(cols), "SIMD": divisors(rows)}
    table["argmax"]["PE"] = [d for d in divisors(arch.vocab) if d == 1 or d % 2 == 0]  # two words a generator
    table["rope"] = {"PE": [d for d in divisors(arch.head_dim) if d % 2 == 0]}
    positions = [1 << k for k in range(arch.context.bit_length()) if 1 << k <= arch.context]
    table["attention"] = {"PT": positions, "OM": divisors(arch.head_dim)}
    return table


def validate(folding: Folding, arch: Architecture) -> None:
    """Raise FoldingError for a missing, unknown or impossible factor."""
    table = legal(arch)
    for node, factors in folding.nodes.items():
        if node not in table:
            raise FoldingError(f"no node {node!r} to fold: nodes are {', '.join(sorted(table))}")
        for factor in factors:
            if factor not in table[node]:
                raise FoldingError(f"{node} has no factor {factor!r}: it has {', '.join(table[node])}")
    for node, choices in table.items():
        for factor, values in choices.items():
            _check(folding, node, factor, values)


def _check(folding: Folding, node: str, factor: str, values: list[int]) -> None:
    value = folding.nodes.get(node, {}).get(factor)
    if value is None:
        raise FoldingError(f"{node}: factor {factor} is missing; legal values are {_list(values)}")
    if value not in values:
        near = [
            max((v for v in values if v < value), default=None),
            min((v for v in values if v > value), default=None),
        ]
        nearest = " and ".join(str(v) for v in near if v is not None)
        what = (
            f"does not fold its dimension {values[-1]}"
            if factor != "PT"
            else "is no power of two within the context"
        )
        raise FoldingError(f"{node}: {factor} {value} {what}: nearest legal values are {nearest}")


def _list(values: list[int]) -> str:
    return ", ".join(map(str, values))
