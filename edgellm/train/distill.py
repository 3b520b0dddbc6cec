"""From a recipe to a quantised checkpoint: corpus, tokenizer, teacher, student, QAT, evaluation; every stage also alone.

    run(config, folder)                     all stages, in order
    run(config, folder, stage="teacher")    one stage; the stages it needs must be there

The folder holds `corpus/`, `tokenizer.json`, one checkpoint a stage, `log.csv`, and at the end `checkpoint/`, which
`edgellm export` reads.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from edgellm import files
from edgellm.data.examples import Examples
from edgellm.errors import TrainingError, UsageError
from edgellm.numerics.model import Architecture
from edgellm.train import calibrate, checkpoint, config, corpus_stage, evaluate
from edgellm.train.config import Recipe
from edgellm.train.loop import Forward, Stage, model_tensors
from edgellm.train.model import Decoder
from edgellm.train.quant import QuantDecoder, Scheme

CALIBRATION_LINES = 600
CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True)
class Job:
    """A recipe at work in a folder."""

    recipe: Recipe
    folder: Path
    resume: bool

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.json"

    def examples(self, split: str) -> Examples:
        """Encoded lines of a split; training lines of the home corpus with rare intents repeated."""
        return corpus_stage.examples(self.recipe, self.folder, split)


def run(path: Path, folder: Path, resume: bool = False, stage: str | None = None) -> None:
    """Train what the recipe at `path` describes.

    `resume` goes on from the checkpoints in `folder`; without it, a folder that already holds stages is an error.
    Raises: ConfigError, TrainingError, UsageError (unknown stage).
    """
    recipe = config.load(path)
    if stage is not None and stage not in STAGES:
        raise UsageError(f"stage {stage!r} does not exist: choose from {', '.join(STAGES)}")
    torch.set_num_threads(1)  # sums in one order: the same weights every time
    job = Job(recipe, folder, resume)
    chosen = [stage] if stage else list(STAGES)
    done = [name for name in chosen if (folder / name).exists()]
    if done and not resume:
        raise UsageError(
            f"{folder}: stage {done[0]} was already begun there: resume it, or take another folder"
        )
    for name in chosen:
        STAGES[name](job)


def make_corpus(job: Job) -> None:
    """Draw the corpus or take it in, and train the tokenizer, once."""
    corpus_stage.make(job.recipe, job.folder)


def train_teacher(job: Job) -> None:
    """The float teacher."""
    torch.manual_seed(job.recipe.seed)
    _train(job, "teacher", Decoder(job.recipe.teacher), job.recipe.teacher, None)


def train_student(job: Job) -> None:
    """The float student; asks the teacher when its plan says so."""
    torch.manual_seed(job.recipe.seed + 1)
    _train(job, "student", Decoder(job.recipe.student), job.recipe.student, _teacher(job, "student"))


def train_qat(job: Job) -> None:
    """The student on the integer grid, distilled from the teacher."""
    torch.manual_seed(job.recipe.seed + 2)
    student = load_float(job.folder / "student", job.recipe.student)
    scheme = _scheme(job, student)
    model = QuantDecoder(job.recipe.student, scheme, job.recipe.bits.weight, job.recipe.bits.head)
    model.load_float(student)
    _train(job, "qat", model, job.recipe.student, _teacher(job, "qat"))
    about = {
        "name": job.recipe.name,
        "description": job.recipe.description,
        "arch": dataclasses.asdict(job.recipe.student),
        "scheme": dataclasses.asdict(scheme),
        "bits": dataclasses.asdict(job.recipe.bits),
        "seed": job.recipe.seed,
        "tokens": {name: _tokens(job, name) for name in ("teacher", "student", "qat")},
        **corpus_stage.about(job.recipe),
    }
    checkpoint.save(job.folder / CHECKPOINT, model.state_dict(), about)
    files.write_bytes(job.folder / CHECKPOINT / "tokenizer.json", job.tokenizer.read_bytes())


def measure(job: Job) -> None:
    """Metrics of the float student, the QAT model and the integer model on the three held-out sets."""
    report = evaluate.compare(job.folder, job.recipe)
    files.write_text(job.folder / "metrics.json", json.dumps(report, indent=2) + "\n")


STAGES: dict[str, Callable[[Job], None]] = {
    "corpus": make_corpus,
    "teacher": train_teacher,
    "student": train_student,
    "qat": train_qat,
    "evaluate": measure,
}


def load_float(folder: Path, arch: Architecture) -> Decoder:
    """A float stage's model."""
    tensors, _ = checkpoint.load(folder)
    model = Decoder(arch)
    try:
        model.load_state_dict(model_tensors(tensors))
    except RuntimeError as error:
        raise TrainingError(
            f"{folder}: the checkpoint does not fit the recipe's architecture: {error}"
        ) from error
    return model


def load_quantised(folder: Path) -> tuple[QuantDecoder, dict[str, object]]:
    """The QAT model of a final `checkpoint/` folder, ready to run, and its description."""
    tensors, about = checkpoint.load(folder)
    try:
        arch, scheme = Architecture(**about["arch"]), Scheme(**about["scheme"])
        model = QuantDecoder(arch, scheme, about["bits"]["weight"], about["bits"]["head"])
        left_out = model.load_state_dict(tensors, strict=False).missing_keys
    except (KeyError, TypeError, RuntimeError) as error:
        raise TrainingError(f"{folder}: not a quantised checkpoint: {error}") from error
    if wrong := [key for key in left_out if key != "head.weight"]:
        raise TrainingError(f"{folder}: not a quantised checkpoint: {wrong[0]} is missing")
    return model.eval(), about


def _train(job: Job, name: str, model: torch.nn.Module, arch: Architecture, teacher: Forward | None) -> None:
    plan = getattr(job.recipe, f"{name}_plan")
    stage = Stage(name, model, arch, plan, job.folder / name, job.recipe.seed, teacher)
    stage.run(job.examples("train"), job.examples("valid"), job.resume)


def _teacher(job: Job, stage: str) -> Forward | None:
    if getattr(job.recipe, f"{stage}_plan").distil == 0:
        return None
    return load_float(job.folder / "teacher", job.recipe.teacher).eval().requires_grad_(False)


def _scheme(job: Job, student: Decoder) -> Scheme:
    """The scales, measured once and kept beside the checkpoints so that a resumed run has the same."""
    place = job.folder / "scheme.json"
    if not place.exists():
        lines = job.examples("train")
        sample = random.Random(job.recipe.seed).sample(lines, min(CALIBRATION_LINES, len(lines)))
        scheme = calibrate.choose(student, sample, job.recipe.bits.weight, job.recipe.bits.head)
        files.write_text(place, json.dumps(dataclasses.asdict(scheme), indent=2) + "\n")
    return Scheme(**json.loads(place.read_text("utf-8")))


def _tokens(job: Job, stage: str) -> int:
    state: dict[str, int] = checkpoint.load(job.folder / stage)[1]["state"]
    return state["tokens"]
