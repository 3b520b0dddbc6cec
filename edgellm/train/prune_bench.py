"""Makes the size/quality curve of a finished student: `edgellm prune`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgellm import files
from edgellm.data.records import OwnCorpus
from edgellm.data.tokenizer import END_ID
from edgellm.errors import UsageError
from edgellm.evaluation.examples import Codec
from edgellm.manifest import Manifest, Prompt
from edgellm.tokenizer import Tokenizer
from edgellm.train import checkpoint, config, corpus_stage, evaluate, prune_curve, prune_picture, prune_stage
from edgellm.train.config import Plan, Recipe
from edgellm.train.prune_curve import KINDS, Bench, Row
from edgellm.train.prune_stage import STUDENT
from edgellm.train.restore import load_float
from edgellm.train.threads import computing

RECOVERY = Plan(400_000, lr=0.005, embedding_lr=0.001, distil=0.5)  # where the recipe has no [prune_plan]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much work a point is; `kinds` are what the curve removes."""

    tokens: int = RECOVERY.tokens  # of recovery
    test_lines: int = 100  # of each test set
    kinds: tuple[str, ...] = KINDS


def run(path: Path, run_folder: Path, out: Path, effort: Effort) -> Iterator[Row]:
    """Measure every point of the student in `run_folder`, of the recipe at `path`; yields each when it is done.

    `out` gets curve.csv and curve.png, again after every point. Points that are there already are not measured again.
    Raises: ConfigError, TrainingError, UsageError (settings that cannot be, or that differ from those of `out`).
    """
    recipe = config.load(path)
    _check(effort)
    bench = _bench(recipe, run_folder, out, effort)
    rows: list[Row] = []
    for kind, arch in prune_curve.shapes(recipe.student, recipe.prune.multiple, effort.kinds):
        with computing():
            rows.append(prune_curve.measure(bench, kind, arch))
        prune_curve.write_table(out / prune_curve.TABLE, rows)
        prune_picture.draw(rows, _title(recipe, effort), out / prune_picture.PICTURE)
        yield rows[-1]


def _check(effort: Effort) -> None:
    for name, value in (("tokens", effort.tokens), ("lines", effort.test_lines)):
        if value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}")
    for kind in effort.kinds:
        if kind not in KINDS:
            raise UsageError(f"{kind!r} cannot be pruned: choose from {', '.join(KINDS)}")


def _bench(recipe: Recipe, folder: Path, out: Path, effort: Effort) -> Bench:
    student = load_float(folder / STUDENT, recipe.student)
    plan = dataclasses.replace(recipe.prune_plan or RECOVERY, tokens=effort.tokens)
    sets = [entry.sample(effort.test_lines) for entry in evaluate.test_sets(folder)]
    settings: dict[str, Any] = {
        "student": files.sha256(folder / STUDENT / checkpoint.WEIGHTS),
        "plan": dataclasses.asdict(plan),
        "importance_lines": recipe.prune.lines,
        "seed": recipe.seed,
        "test_lines": {entry.name: len(entry.cases) for entry in sets},
        "test_sets": {entry.name: entry.sha256 for entry in sets},
    }
    prune_curve.claim(out, settings)
    train, valid = (corpus_stage.examples(recipe, folder, split) for split in ("train", "valid"))
    lines = prune_stage.draw(train, valid, recipe.prune.lines, recipe.seed)
    return Bench(student, lines, plan, _codec(recipe, folder), sets, out, recipe.seed, recipe.saving)


def _codec(recipe: Recipe, folder: Path) -> Codec:
    """As the exported model will have it."""
    framing = recipe.corpus.framing if isinstance(recipe.corpus, OwnCorpus) else Prompt()
    arch = dataclasses.asdict(recipe.student)
    described = Manifest(recipe.name, recipe.description, {}, (END_ID,), arch, framing)
    return Codec(described, Tokenizer.from_file(folder / corpus_stage.TOKENIZER))


def _title(recipe: Recipe, effort: Effort) -> str:
    return f"{recipe.name}, float, pruned and recovered for {effort.tokens:,} tokens a point"
