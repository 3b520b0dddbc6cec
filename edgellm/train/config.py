"""The recipe of a model: a TOML file, checked field by field."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from edgellm.data.corpus import CorpusSize
from edgellm.errors import ConfigError
from edgellm.numerics.model import Architecture

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """One training stage. `tokens` counts real tokens, padding excluded; learning rates fall linearly to 1 %."""

    tokens: int
    lr: float = 0.02  # Muon, weight matrices
    embedding_lr: float = 0.004  # AdamW, the embedding
    batch_tokens: int = 1024
    prompt_weight: float = 0.1  # loss weight of the command's own tokens; the answer's is 1
    warmup: float = 0.02  # share of the stage
    distil: float = 0.0  # share of the loss that is KL to the teacher
    distil_from: float = 0.0  # share of the stage after which the teacher is asked
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Bits:
    """Widths of the integer model's weights; activations and KV cache are int8, the residual stream int16."""

    weight: int = 4
    head: int = 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a model becomes, apart from the versions of the libraries."""

    name: str
    description: str
    corpus: CorpusSize
    teacher: Architecture
    student: Architecture
    teacher_plan: Plan
    student_plan: Plan
    qat_plan: Plan
    seed: int = 1
    least_per_intent: int = 3000
    bits: Bits = field(default_factory=Bits)


def load(path: Path) -> Recipe:
    """Read a recipe; ConfigError names the file, the field and the value."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such recipe: see models/home-260k/config.toml for one") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    recipe: Recipe = _build(Recipe, table, path, "")
    _check(recipe, path)
    return recipe


def _build(kind: type[T], table: Any, path: Path, prefix: str) -> T:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {prefix.rstrip('.')} must be a table, not {table!r}")
    hints = get_type_hints(kind)
    known = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in table:
        if name not in known:
            raise ConfigError(f"{path}: {prefix}{name} is not a field; known here: {', '.join(known)}")
    missing = [
        n
        for n, f in known.items()
        if n not in table and f.default is f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{path}: {prefix}{missing[0]} is missing")
    return kind(**{name: _value(hints[name], value, path, prefix + name) for name, value in table.items()})


def _value(kind: Any, value: Any, path: Path, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, path, name + ".")  # type: ignore[arg-type]
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{path}: {name} must be {kind.__name__}, not {value!r}")
    if kind in (int, float) and value < 0:
        raise ConfigError(f"{path}: {name} must not be negative, not {value!r}")
    return value


def _check(recipe: Recipe, path: Path) -> None:
    """Relations between fields."""
    for role in ("teacher", "student"):
        arch: Architecture = getattr(recipe, role)
        if arch.kv_heads < 1 or arch.heads % arch.kv_heads:
            raise ConfigError(
                f"{path}: {role}.heads {arch.heads} must be a multiple of {role}.kv_heads {arch.kv_heads}"
            )
        if arch.head_dim % 2:
            raise ConfigError(f"{path}: {role}.head_dim {arch.head_dim} must be even: RoPE turns pairs")
    if recipe.teacher.vocab != recipe.student.vocab:
        raise ConfigError(
            f"{path}: teacher.vocab {recipe.teacher.vocab} and student.vocab {recipe.student.vocab} differ: "
            "distillation compares logits token by token"
        )
    for name in ("weight", "head"):
        if not 2 <= getattr(recipe.bits, name) <= 8:
            raise ConfigError(f"{path}: bits.{name} must be 2 to 8, not {getattr(recipe.bits, name)}")
