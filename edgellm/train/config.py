"""The recipe of a model: a TOML file, checked field by field."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from edgellm.numerics.model import Architecture
from edgellm.train import bits, corpus_table, prune_table
from edgellm.train.bits import Bits
from edgellm.train.corpus_table import Corpus
from edgellm.train.prune_table import Prune
from edgellm.train.toml_source import TomlSource

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """One training stage. `tokens` counts real tokens, padding excluded; learning rates fall linearly to 1 %."""

    tokens: int
    lr: float = 0.02  # Muon, weight matrices
    weight_decay: float = 0.2  # of the weight matrices, times lr a step
    embedding_lr: float = 0.004  # AdamW, the embedding
    batch_tokens: int = 1024
    prompt_weight: float = (
        0.1  # loss weight of the prompt's own tokens, falling to 0 over the stage; the answer's is 1
    )
    warmup: float = 0.02  # share of the stage
    distil: float = 0.0  # share of the loss that is KL to the teacher
    distil_from: float = 0.0  # share of the stage after which the teacher is asked
    temperature: float = 1.0
    hidden: float = 0.0  # weight of the match of hidden states with the teacher's


@dataclass(frozen=True, slots=True)
class Saving:
    """When a run writes; nothing here changes a weight."""

    seconds: float = 60.0  # between checkpoints
    log_steps: int = 20  # between lines of log.csv
    valid_steps: int = 500  # between measurements of the validation loss


@dataclass(frozen=True, slots=True)
class Card:
    """What the model card says beyond the figures."""

    example: str = ""  # a prompt
    corpus: str = ""  # where it comes from
    notes: str = ""  # limits


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a model becomes, apart from the versions of the libraries."""

    name: str
    description: str
    corpus: Corpus
    student: Architecture
    student_plan: Plan
    qat_plan: Plan
    teacher: Architecture | None = None  # without one, QAT distils from the float student
    teacher_plan: Plan | None = None
    seed: int = 1
    least_per_intent: int = 3000
    bits: Bits = field(default_factory=Bits)
    saving: Saving = field(default_factory=Saving)
    card: Card = field(default_factory=Card)
    test_lines: int = 0  # of each test set that the finished models are measured on; 0: all
    prune: Prune = field(default_factory=Prune)
    prune_plan: Plan | None = (
        None  # recovery after each round of pruning, distilled from the unpruned student
    )


def load(path: Path) -> Recipe:
    """Read a recipe; ConfigError names the file, the line, the field and the value."""
    source = TomlSource(path, "recipe: see models/home-260k/config.toml for one")
    recipe: Recipe = _build(Recipe, source.table, source, "")
    _check(recipe, source)
    return recipe


def _build(kind: type[T], table: Any, source: TomlSource, prefix: str) -> T:
    if not isinstance(table, dict):
        raise source.error(prefix.rstrip("."), f"must be a table, not {table!r}")
    hints = get_type_hints(kind)
    known = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in table:
        if name not in known:
            raise source.error(prefix + name, f"is not a field; known here: {', '.join(known)}")
    for name, wanted in known.items():
        if name not in table and wanted.default is wanted.default_factory is dataclasses.MISSING:
            raise source.error(prefix + name, "is missing")
    return kind(**{name: _value(hints[name], value, source, prefix + name) for name, value in table.items()})


def _value(kind: Any, value: Any, source: TomlSource, name: str) -> Any:
    if kind == Corpus:
        return _corpus(value, source, name)
    if NoneType in get_args(kind):
        return _value(get_args(kind)[0], value, source, name)
    if get_origin(kind) is tuple:
        return _texts(get_args(kind)[0], value, source, name)
    if get_origin(kind) is Mapping:
        return _mapping(get_args(kind)[1], value, source, name)
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, source, name + ".")  # type: ignore[arg-type]
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise source.error(name, f"must be {kind.__name__}, not {value!r}")
    if kind in (int, float) and not 0 <= value < math.inf:
        raise source.error(
            name,
            f"must not be negative, not {value!r}"
            if value < 0
            else f"must be a finite number, not {value!r}",
        )
    return value


def _mapping(kind: type[Any], value: Any, source: TomlSource, name: str) -> dict[str, Any]:
    """A table of any keys, nested ones joined with dots."""
    if not isinstance(value, dict):
        raise source.error(name, f"must be a table, not {value!r}")
    entries: dict[str, Any] = {}
    for key, entry in value.items():
        if isinstance(entry, dict):
            inner = _mapping(kind, entry, source, f"{name}.{key}")
            entries |= {f"{key}.{rest}": part for rest, part in inner.items()}
        else:
            entries[key] = _value(kind, entry, source, f"{name}.{key}")
    return entries


def _corpus(value: Any, source: TomlSource, name: str) -> Corpus:
    """The table of one of the kinds of corpus; `kind` itself chooses and is no field."""
    kind = corpus_table.kind_of(value, source)
    fields = (
        {key: entry for key, entry in value.items() if key != "kind"} if isinstance(value, dict) else value
    )
    corpus: Corpus = _build(kind, fields, source, name + ".")
    return corpus


def _texts(kind: type[Any], value: Any, source: TomlSource, name: str) -> tuple[Any, ...]:
    """One string or a list of them; paths are relative to the recipe."""
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list) or not all(isinstance(entry, str) and entry for entry in entries):
        raise source.error(name, f"must be a string or a list of strings, none empty, not {value!r}")
    return tuple(source.path.parent / entry if kind is Path else entry for entry in entries)


def _check(recipe: Recipe, source: TomlSource) -> None:
    """Relations between fields."""
    corpus_table.check(recipe.corpus, source)
    _check_architecture(recipe.student, "student", source)
    for stage in ("student", "qat"):
        _check_plan(getattr(recipe, f"{stage}_plan"), f"{stage}_plan", source)
    _check_teacher(recipe, source)
    _check_pruning(recipe, source)
    for name, problem in bits.problems(recipe.bits, prune_table.goal(recipe.student, recipe.prune).layers):
        raise source.error(f"bits.{name}", problem)
    for name in ("log_steps", "valid_steps"):
        if getattr(recipe.saving, name) < 1:
            raise source.error(f"saving.{name}", "must be at least 1, not 0")


def _check_architecture(arch: Architecture, role: str, source: TomlSource) -> None:
    for size in dataclasses.fields(arch):
        if getattr(arch, size.name) < 1:
            raise source.error(f"{role}.{size.name}", "must be at least 1, not 0")
    if arch.heads % arch.kv_heads:
        raise source.error(
            f"{role}.heads", f"{arch.heads} must be a multiple of {role}.kv_heads {arch.kv_heads}"
        )
    if arch.head_dim % 2:
        raise source.error(f"{role}.head_dim", f"{arch.head_dim} must be even: RoPE turns pairs")


def _check_plan(plan: Plan, name: str, source: TomlSource) -> None:
    for part in ("warmup", "distil", "distil_from"):
        if getattr(plan, part) > 1:
            raise source.error(f"{name}.{part}", f"is a share, 0 to 1, not {getattr(plan, part)}")
    for part in ("tokens", "batch_tokens", "temperature"):
        if not getattr(plan, part):
            raise source.error(f"{name}.{part}", f"must be more than 0, not {getattr(plan, part)}")
    if name == "teacher_plan" and (plan.distil or plan.hidden):
        part = "distil" if plan.distil else "hidden"
        raise source.error(f"{name}.{part}", "must be 0: a teacher has no teacher")


def _check_teacher(recipe: Recipe, source: TomlSource) -> None:
    if recipe.teacher is None or recipe.teacher_plan is None:
        if recipe.teacher is not None or recipe.teacher_plan is not None:
            missing = "teacher" if recipe.teacher is None else "teacher_plan"
            raise source.error(
                missing, "is missing: a teacher needs its shape and its plan, or leave both out"
            )
        for part in ("distil", "hidden"):
            if getattr(recipe.student_plan, part):
                raise source.error(f"student_plan.{part}", "must be 0: this recipe has no teacher")
        return
    _check_architecture(recipe.teacher, "teacher", source)
    _check_plan(recipe.teacher_plan, "teacher_plan", source)
    _check_pair(recipe.teacher, recipe.student, source)


def _check_pruning(recipe: Recipe, source: TomlSource) -> None:
    for field_name, problem in prune_table.problems(recipe.student, recipe.prune):
        raise source.error(f"prune.{field_name}", problem)
    if recipe.prune.asked and recipe.prune_plan is None:
        raise source.error("prune_plan", "is missing: a pruned student has to recover, for `tokens` of it")
    if recipe.prune_plan is not None:
        _check_plan(recipe.prune_plan, "prune_plan", source)


def _check_pair(teacher: Architecture, student: Architecture, source: TomlSource) -> None:
    """Distillation compares logits token by token, over every position the student sees."""
    if teacher.vocab != student.vocab:
        raise source.error(
            "teacher.vocab",
            f"{teacher.vocab} and student.vocab {student.vocab} differ: "
            "distillation compares logits token by token",
        )
    if teacher.context < student.context:
        raise source.error(
            "teacher.context",
            f"{teacher.context} is shorter than student.context {student.context}: "
            "the teacher could not read the student's longest lines",
        )
