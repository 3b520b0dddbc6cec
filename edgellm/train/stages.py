"""What `edgellm distill` does, stage by stage: corpus, teacher, student, pruning, QAT, evaluation, export.

A stage reads from the run's folder what earlier stages left there and leaves its own results; nothing else is passed on.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from edgellm import files
from edgellm.data.examples import Examples
from edgellm.errors import UsageError
from edgellm.numerics.model import Architecture
from edgellm.train import calibrate, checkpoint, corpus_stage, evaluate, prune_stage
from edgellm.train.config import Plan, Recipe
from edgellm.train.loop import Common, Stage
from edgellm.train.losses import Forward
from edgellm.train.model import Decoder
from edgellm.train.parallel import Place
from edgellm.train.quant import QuantDecoder
from edgellm.train.restore import load_float
from edgellm.train.scheme import Scheme

CALIBRATION_LINES = 600
CHECKPOINT, MODEL, METRICS, SCHEME = "checkpoint", "model", "metrics.json", "scheme.json"


@dataclass(frozen=True, slots=True)
class Job:
    """A recipe at work in a folder."""

    recipe: Recipe
    folder: Path
    resume: bool
    place: Place = field(default_factory=Place)

    @property
    def tokenizer(self) -> Path:
        return self.folder / corpus_stage.TOKENIZER

    def plan(self, stage: str) -> Plan:
        """The plan of a stage that trains."""
        plan: Plan = getattr(self.recipe, f"{stage}_plan")
        return plan

    def examples(self, split: str) -> Examples:
        """Encoded lines of a split; training lines of the home corpus with rare intents repeated."""
        return corpus_stage.examples(self.recipe, self.folder, split)


@dataclass(frozen=True, slots=True)
class Step:
    """A stage: what it does, and the stages it reads from; `together` when all processes take part, not the first alone."""

    run: Callable[[Job], None]
    needs: tuple[str, ...] = ()
    together: bool = False


def make_corpus(job: Job) -> None:
    """Draw the corpus or take it in, and train the tokenizer, once."""
    corpus_stage.make(job.recipe, job.folder)


def train_teacher(job: Job) -> None:
    """The float teacher. Raises: UsageError when the recipe has none."""
    arch = job.recipe.teacher
    if arch is None:
        raise UsageError(f"{job.recipe.name}: the recipe has no [teacher], so there is no such stage")
    torch.manual_seed(job.recipe.seed)
    _train(job, "teacher", Decoder(arch), arch)


def train_student(job: Job) -> None:
    """The float student; asks the teacher when its plan says so."""
    torch.manual_seed(job.recipe.seed + 1)
    _train(job, "student", Decoder(job.recipe.student), job.recipe.student)


def prune_student(job: Job) -> None:
    """A smaller student: the least important heads, channels and layers cut out, then distilled from the whole one."""
    common = Common(job.folder, job.recipe.seed, job.recipe.saving, job.place)
    train, valid = job.examples("train"), job.examples("valid")
    lines = prune_stage.draw(train, valid, job.recipe.prune.lines, job.recipe.seed)
    prune_stage.run(job.recipe, common, lines, job.resume)


def train_qat(job: Job) -> None:
    """The student on the integer grid, distilled from the teacher, or from its own float weights (LLM-QAT, Liu et al. 2023).

    Leaves the final checkpoint as well.
    """
    torch.manual_seed(job.recipe.seed + 2)
    student = prune_stage.load_final(job.folder, job.recipe)
    scheme = _scheme(job, student)
    model = QuantDecoder(student.arch, scheme, job.recipe.bits)
    model.load_float(student)
    _train(job, "qat", model, student.arch)
    if job.place.writes:
        with checkpoint.disk_errors(job.folder):
            _write_checkpoint(job, model, scheme)


def measure(job: Job) -> None:
    """Metrics of the float student, the QAT model and the integer model on the held-out sets."""
    report = evaluate.compare(job.folder, job.recipe)
    files.write_text(job.folder / METRICS, json.dumps(report, indent=2) + "\n")


def export(job: Job) -> None:
    """The integer model, ready to run, with the metrics there are."""
    from edgellm.export.integer import export_model

    export_model(job.folder / CHECKPOINT, job.folder / MODEL)


# In the order in which they run.
STAGES: dict[str, Step] = {
    "corpus": Step(make_corpus),
    "teacher": Step(train_teacher, ("corpus",), together=True),
    "student": Step(train_student, ("corpus", "teacher"), together=True),
    "prune": Step(prune_student, ("corpus", "student"), together=True),
    "qat": Step(train_qat, ("corpus", "teacher", "student", "prune"), together=True),
    "evaluate": Step(measure, ("corpus", "student", "prune", "qat")),
    "export": Step(export, ("qat",)),
}


def _train(job: Job, name: str, model: torch.nn.Module, arch: Architecture) -> None:
    place = dataclasses.replace(
        job.place, bf16=job.place.bf16 and name != "qat"
    )  # bfloat16 has no int16 grid
    common = Common(job.folder, job.recipe.seed, job.recipe.saving, place)
    stage = Stage(name, model, arch, job.plan(name), common, _teacher(job, name))
    stage.run(job.examples("train"), job.examples("valid"), job.resume)


def asks_teacher(plan: Plan) -> bool:
    """Whether a stage distils."""
    return plan.distil > 0 or plan.hidden > 0


def _teacher(job: Job, stage: str) -> Forward | None:
    if not asks_teacher(job.plan(stage)):
        return None
    name, arch = "teacher", job.recipe.teacher
    if arch is None:
        name, arch = "student", job.recipe.student
    teacher = load_float(job.folder / name, arch)
    return teacher.eval().requires_grad_(False).to(job.place.device)


def _scheme(job: Job, student: Decoder) -> Scheme:
    """The scales: measured on the student before the first step, then kept, so that a resumed stage has the same."""
    place = job.folder / SCHEME
    begun = checkpoint.exists(job.folder / "qat") and job.resume and place.exists()
    if job.place.writes and not begun:
        lines = job.examples("train")
        sample = random.Random(job.recipe.seed).sample(lines, min(CALIBRATION_LINES, len(lines)))
        scheme = calibrate.choose(student, sample, job.recipe.bits)
        files.write_text(place, json.dumps(dataclasses.asdict(scheme), indent=2) + "\n")
    job.place.wait()
    return Scheme(**json.loads(place.read_text("utf-8")))


def _write_checkpoint(job: Job, model: QuantDecoder, scheme: Scheme) -> None:
    trained = [name for name in STAGES if checkpoint.exists(job.folder / name)]
    about = {
        "name": job.recipe.name,
        "description": job.recipe.description,
        "arch": dataclasses.asdict(prune_stage.final_arch(job.recipe)),
        "scheme": dataclasses.asdict(scheme),
        "bits": dataclasses.asdict(job.recipe.bits),
        "seed": job.recipe.seed,
        "card": dataclasses.asdict(job.recipe.card),
        "tokens": {name: checkpoint.describe(job.folder / name)["state"]["tokens"] for name in trained},
        **corpus_stage.about(job.recipe),
    }
    files.write_bytes(job.folder / CHECKPOINT / corpus_stage.TOKENIZER, job.tokenizer.read_bytes())
    checkpoint.save(job.folder / CHECKPOINT, model.state_dict(), about)
