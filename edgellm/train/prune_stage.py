"""The prune stage of a run: rounds of pruning, each followed by recovery training distilled from the unpruned student.

The last round leaves its checkpoint in `prune/`, those before in `prune/1`, `prune/2`, ... The rounds' shapes follow from the
recipe, and which heads and channels go is decided on lines that the seed draws; so a run that was killed and resumed ends
with the weights of one that was not.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgellm.errors import UsageError
from edgellm.numerics.model import Architecture
from edgellm.train import checkpoint, prune, prune_table
from edgellm.train.batches import Encoded
from edgellm.train.config import Plan, Recipe
from edgellm.train.loop import Common, Stage
from edgellm.train.model import Decoder
from edgellm.train.restore import load_float

STUDENT, PRUNE = "student", "prune"


@dataclass(frozen=True, slots=True)
class Lines:
    """Encoded lines: what training reads, what the loss is validated on, and what importance is measured on."""

    train: Sequence[Encoded]
    valid: Sequence[Encoded]
    sample: Sequence[Encoded]


def draw(train: Sequence[Encoded], valid: Sequence[Encoded], count: int, seed: int) -> Lines:
    """The lines of a run, with at most `count` of the training lines as the sample."""
    return Lines(train, valid, random.Random(seed).sample(train, min(count, len(train))))


def run(recipe: Recipe, common: Common, lines: Lines, resume: bool) -> None:
    """Prune the student in `common.folder`. Raises: UsageError when the recipe takes nothing away; as `Stage.run`."""
    plan = recipe.prune_plan
    if not recipe.prune.asked or plan is None:
        raise UsageError(
            f"{recipe.name}: the recipe has no [prune] that takes anything away, so there is no such stage"
        )
    student = load_float(common.folder / STUDENT, recipe.student)
    shapes = prune_table.rounds(recipe.student, final_arch(recipe), recipe.prune)
    model = student
    for number, arch in enumerate(shapes, 1):
        name = PRUNE if number == len(shapes) else f"{PRUNE}/{number}"
        model = _round(Round(name, arch, plan), model, student, Work(common, lines, resume))


@dataclass(frozen=True, slots=True)
class Round:
    """One step: where it leaves its checkpoint, what shape it makes, how it recovers."""

    name: str
    arch: Architecture
    plan: Plan


@dataclass(frozen=True, slots=True)
class Work:
    """What rounds share."""

    common: Common
    lines: Lines
    resume: bool


def recover(this: Round, model: Decoder, student: Decoder, work: Work) -> Stage:
    """Train a pruned model in the round's folder, distilled from `student` as the plan says; goes on where it was stopped."""
    teacher = student.eval().requires_grad_(False).to(work.common.place.device)
    stage = Stage(this.name, model, this.arch, this.plan, work.common, teacher)
    stage.run(work.lines.train, work.lines.valid, work.resume)
    return stage


def _round(this: Round, model: Decoder, student: Decoder, work: Work) -> Decoder:
    if work.resume and checkpoint.exists(work.common.folder / this.name):
        pruned = Decoder(this.arch)  # whose weights the checkpoint has
    else:
        pruned = prune.shrink(model, this.arch, work.lines.sample, this.plan.prompt_weight)
    recover(this, pruned, student, work)
    return pruned


def final_arch(recipe: Recipe) -> Architecture:
    """The shape of the float model that quantisation starts from: the student's, or what pruning leaves of it."""
    return prune_table.goal(recipe.student, recipe.prune)


def load_final(folder: Path, recipe: Recipe) -> Decoder:
    """The float model that quantisation starts from, its shape in `.arch`: the pruned student where the recipe prunes.

    Raises: TrainingError when it is not of the recipe's shape.
    """
    return load_float(folder / (PRUNE if recipe.prune.asked else STUDENT), final_arch(recipe))
