"""From a recipe to an integer model: every stage in order, a few of them, or one.

    run(config, folder)                     all stages
    run(config, folder, stage="teacher")    one stage; the stages it reads from must be finished
    run(config, folder, until="student")    the stages up to this one

The folder holds `corpus/`, `tokenizer.json`, one checkpoint a stage, `log.csv`, `loss.png`, `tensorboard/`, and at the
end `checkpoint/`, which `edgellm export` reads, `metrics.json`, and `model/`, which `edgellm generate` runs.
"""

from __future__ import annotations

from pathlib import Path

from edgellm.errors import TrainingError, UsageError
from edgellm.train import checkpoint, config, parallel
from edgellm.train.config import Recipe
from edgellm.train.restore import load_float, load_quantised
from edgellm.train.stages import CHECKPOINT, STAGES, Job, asks_teacher
from edgellm.train.threads import computing

__all__ = ["CHECKPOINT", "STAGES", "load_float", "load_quantised", "run"]


def run(
    path: Path,
    folder: Path,
    resume: bool = False,
    stage: str | None = None,
    until: str | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Train what the recipe at `path` describes.

    `resume` goes on from the checkpoints in `folder`; without it, a folder that already holds stages is an error.
    With one thread, sums have one order: the same weights every time, on one machine. Under `torchrun` the processes
    share every batch.

    Raises: ConfigError, TrainingError, UsageError (unknown stage or device, used folder), BackendUnavailable (no CUDA).
    """
    chosen = _chosen(stage, until)
    if threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}")
    recipe = config.load(path)
    with computing(threads), parallel.join(device) as place:
        job = Job(recipe, folder, resume, place)
        _refuse_used_folder(job, chosen)
        for name in chosen:
            if stage or _has(recipe, name):
                _run_stage(job, name)


def _has(recipe: config.Recipe, stage: str) -> bool:
    """Whether a run of everything includes this stage."""
    asked = {"teacher": recipe.teacher is not None, "prune": recipe.prune.asked}
    return asked.get(stage, True)


def _chosen(stage: str | None, until: str | None) -> list[str]:
    names = list(STAGES)
    if stage and until:
        raise UsageError(f"stage {stage!r} and until {until!r} exclude each other: give one")
    for name in (stage, until):
        if name is not None and name not in STAGES:
            raise UsageError(f"stage {name!r} does not exist: choose from {', '.join(names)}")
    if stage:
        return [stage]
    return names[: names.index(until) + 1] if until else names


def _refuse_used_folder(job: Job, chosen: list[str]) -> None:
    done = [name for name in chosen if (job.folder / name).exists()]
    job.place.wait()  # before one of the processes writes anything
    if done and not job.resume:
        raise UsageError(
            f"{job.folder}: stage {done[0]} was already begun there: resume it, or take another folder"
        )


def _run_stage(job: Job, name: str) -> None:
    step = STAGES[name]
    for other in _inputs(name, job.recipe):
        _require(job, name, other)
    if step.together or job.place.writes:
        step.run(job)
    job.place.wait()


def _inputs(name: str, recipe: Recipe) -> list[str]:
    """The stages that a stage of this recipe reads from."""
    plan = getattr(recipe, f"{name}_plan", None)
    needs = STAGES[name].needs
    taught = plan is not None and asks_teacher(plan)
    return [other for other in needs if _has(recipe, other) and (other != "teacher" or taught)]


def _require(job: Job, name: str, other: str) -> None:
    """TrainingError unless stage `other` is finished."""
    missing = _missing(job, other)
    if missing:
        raise TrainingError(
            f"{job.folder}: stage {name} needs stage {other}, {missing}: run --stage {other} first, with --resume if it was begun"
        )


def _missing(job: Job, stage: str) -> str:
    """What keeps a stage from being finished; empty when it is."""
    if stage == "corpus":
        there = (job.folder / stage).is_dir() and job.tokenizer.is_file()
        return "" if there else "which has not run there"
    if not checkpoint.exists(job.folder / stage):
        return "which has not run there"
    tokens, wanted = checkpoint.describe(job.folder / stage)["state"]["tokens"], job.plan(stage).tokens
    if tokens < wanted:
        return f"which has seen {tokens:,} of {wanted:,} tokens"
    if stage == "qat" and not checkpoint.exists(job.folder / CHECKPOINT):
        return "which was stopped before its last checkpoint"
    return ""
