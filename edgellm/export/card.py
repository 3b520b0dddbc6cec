"""The model card: README.md of a model folder, from its manifest and from what the recipe adds (Mitchell et al. 2019)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from edgellm.evaluation.sets import LABELS
from edgellm.manifest import Manifest
from edgellm.numerics.model import Architecture

NAME = "README.md"
QUALITY = (
    "The integer model, greedy; percent with 95 % Wilson intervals. Exact is the intent and every slot, or the whole text of a "
    "model without intents. `metrics.json` has the float student and the quantised model in torch beside it."
)
COLUMNS = {
    "intent": "intent",
    "exact": "exact",
    "reply": "reply",
    "slots": "slot F1",
    "bits_per_byte": "bits/byte",
}


def render(manifest: Manifest, about: Mapping[str, Any]) -> str:
    """Markdown of the card. `about` is the checkpoint's about.json; its `card` table may hold `example`, `corpus` and `notes`."""
    extra: Mapping[str, Any] = about.get("card", {})
    parts = [f"# {manifest.name}", manifest.description + "."]
    if example := extra.get("example"):
        parts.append(f'    edgellm generate {manifest.name} -p "{example}"')
    parts.append(_table(("", ""), _facts(manifest, extra)))
    if scores := manifest.metrics.get("integer"):
        parts += ["## Quality", QUALITY, _table(_header(scores), _rows(scores)), _twin_text(manifest.metrics)]
    if notes := extra.get("notes"):
        parts += ["## Limits", str(notes).strip()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(manifest: Manifest, extra: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    arch = Architecture(**manifest.arch)
    yield (
        "shape",
        (
            f"Llama-style decoder, width {arch.width}, {arch.layers} layers, {arch.heads} query and {arch.kv_heads} KV heads of "
            f"{arch.head_dim}, feed-forward {arch.ffn}, vocabulary {arch.vocab}, context {arch.context}"
        ),
    )
    yield "parameters", _parameters(arch)
    provenance = manifest.provenance
    if bits := provenance.get("bits"):
        yield "integers", _bits(bits)
    if tokens := provenance.get("tokens"):
        yield "training", ", ".join(f"{stage} {count / 1e6:.1f} M tokens" for stage, count in tokens.items())
    yield (
        "recipe",
        f"`config.toml`, seed {provenance.get('seed')}; one thread on a CPU gives the same weights again",
    )
    if corpus := extra.get("corpus"):
        yield "corpus", str(corpus)
    yield "licence", manifest.licence


def _parameters(arch: Architecture) -> str:
    embedding = arch.vocab * arch.width
    layers = arch.layers * arch.width * (arch.qkv_width + arch.attention_width + 3 * arch.ffn)
    parts = f"{layers / 1e6:.3f} M in the layers, {embedding / 1e6:.3f} M in the tied embedding and head"
    return f"{(embedding + layers) / 1e6:.2f} M: {parts}"


def _bits(bits: Mapping[str, Any]) -> str:
    def weight(width: Any) -> str:
        return "ternary" if width == 2 else f"int{width}"

    mixed = "".join(f", {name} {weight(width)}" for name, width in bits.get("overrides", {}).items())
    return (
        f"weights {weight(bits['weight'])}{mixed}, head {weight(bits['head'])}, embedding int{bits.get('embedding', 8)}, "
        f"activations int{bits.get('activation', 8)}, KV cache int{bits.get('kv', 8)}, residual and logits int16"
    )


def _header(scores: Mapping[str, Any]) -> tuple[str, ...]:
    return ("set", "lines", *(label for key, label in COLUMNS.items() if _has(scores, key)))


def _rows(scores: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    keys = [key for key in COLUMNS if _has(scores, key)]
    for name, values in scores.items():
        yield LABELS.get(name, name), str(values["lines"]), *(_cell(values.get(key)) for key in keys)


def _has(scores: Mapping[str, Any], key: str) -> bool:
    return any(key in values for values in scores.values())


def _cell(value: Any) -> str:
    if isinstance(value, Mapping) and "percent" in value:
        return f"{value['percent']} ({value['low']}-{value['high']})"
    if isinstance(value, Mapping):
        return str(value.get("f1", ""))
    return "" if value is None else f"{value:.3f}"


def _twin_text(metrics: Mapping[str, Any]) -> str:
    """What quantisation cost, where it was measured."""
    if "float" not in metrics:
        return ""
    pairs = {LABELS.get(name, name): metrics["float"].get(name, {}) for name in metrics["integer"]}
    exact = [f"{scores['exact']['percent']} ({name})" for name, scores in pairs.items() if "exact" in scores]
    if exact:
        return f"The float student's exact match on the same sets: {', '.join(exact)}."
    lengths = [
        f"{scores['bits_per_byte']:.3f} ({name})"
        for name, scores in pairs.items()
        if "bits_per_byte" in scores
    ]
    return f"The float student's bits/byte on the same sets: {', '.join(lengths)}." if lengths else ""


def _table(header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(re.sub(r"\|", "\\|", cell) for cell in line) + " |" for line in lines)
