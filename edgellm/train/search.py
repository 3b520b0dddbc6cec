"""Search for the cheapest mix of widths within a quality budget: Optuna's TPE (Bergstra et al. 2011) with a constraint.

Nothing is trained in a trial, so what a mix loses is an upper bound of what quantisation-aware training leaves. A study
is a journal file: an interrupted search goes on where it was and ends as an uninterrupted one, because the sampler of a
trial is seeded with the trial's number.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgellm import files, progress
from edgellm.errors import TrainingError, UsageError
from edgellm.numerics.validate import NARROW_OR_BYTE
from edgellm.train.bits import BLOCK_KINDS, HEAD, Bits
from edgellm.train.footprint import COSTS
from edgellm.train.quality import Quality
from edgellm.train.quantise import Quantiser

if TYPE_CHECKING:
    from optuna import Study, Trial

JOURNAL, RESULT = "search.journal", "search.json"
STUDY, SETTINGS, MIX = "widths", "settings", "mix"
WEIGHTS, EMBEDDINGS = (2, 3, 4, 5, 6, 8), (3, 4, 5, 6, 8)
RANDOM_TRIALS = 6  # after the uniform ones, before TPE has enough to model
METRICS = ("exact", "loss")
SCALE = 1_000_000  # of the cost that Optuna sees


@dataclass(frozen=True, slots=True)
class Goal:
    """What a search may lose, and what it saves.

    budget: a share; with metric `exact`, of all validation lines whose answer is no longer exact; with `loss`, of the
    float model's loss. cost: a key of `footprint.COSTS`. per_layer: every layer has widths of its own.
    """

    budget: float
    metric: str = "exact"
    cost: str = "memory"
    per_layer: bool = False
    trials: int = 60
    seed: int = 1

    def lost(self, reference: Quality, measured: Quality) -> float:
        """What was lost, to be compared with `budget`."""
        if self.metric == "exact":
            return reference.exact - measured.exact
        return measured.loss / reference.loss - 1


@dataclass(frozen=True, slots=True)
class Mix:
    """One trial: widths, what they cost, and how good the model is."""

    number: int
    bits: Bits
    cost: int
    quality: Quality
    lost: float

    def fits(self, goal: Goal) -> bool:
        return self.lost <= goal.budget

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)


def search(quantiser: Quantiser, goal: Goal, folder: Path) -> list[Mix]:
    """Run the trials that are still missing in `folder`; all mixes, best first: within the budget by cost, then the rest.

    Raises: UsageError (a goal out of range, a folder of another search), TrainingError when no mix keeps to the budget.
    """
    _check(goal)
    study = _study(goal, quantiser, folder)
    done = len(_mixes(study))
    with progress.track("Search", goal.trials, done=min(done, goal.trials)) as bar:
        for number in range(done, goal.trials):
            mix = _trial(study, quantiser, goal, number)
            bar.advance(1, lost=f"{mix.lost:.2%}")
    mixes = ranked(_mixes(study), goal)
    _write(mixes, goal, quantiser, folder)
    if not mixes[0].fits(goal):
        raise TrainingError(
            f"no mix loses at most {goal.budget:.2%}; the best of {len(mixes)} loses {mixes[0].lost:.2%}: allow more with "
            "--budget (training wins much of it back), or search longer with --trials"
        )
    return mixes


def _trial(study: Study, quantiser: Quantiser, goal: Goal, number: int) -> Mix:
    """Propose, measure and note one mix."""
    arch = quantiser.source.arch
    trial = _ask(study, goal, number)
    bits = propose(trial, goal, arch.layers)
    measured = quantiser.quality(bits)
    lost = goal.lost(quantiser.unquantised, measured)
    mix = Mix(number, bits, COSTS[goal.cost](arch, bits), measured, lost)
    trial.set_constraint("budget", lost - goal.budget)
    trial.set_user_attr(MIX, json.dumps(mix.to_dict()))
    study.tell(trial, mix.cost / SCALE)
    return mix


def propose(trial: Trial, goal: Goal, layers: int) -> Bits:
    """Widths that the sampler suggests; lists of widths are in ascending order, so neighbours are similar."""

    def pick(name: str, widths: Sequence[int]) -> int:
        return widths[trial.suggest_int(name, 0, len(widths) - 1)]

    picked = {name: pick(name, WEIGHTS) for name in _names(goal, layers)}
    usual = Counter(picked.values()).most_common(1)[0][0]
    return Bits(
        weight=usual,
        head=pick(HEAD, WEIGHTS),
        embedding=pick("embedding", EMBEDDINGS),
        activation=pick("activation", NARROW_OR_BYTE),
        glu=pick("glu", NARROW_OR_BYTE),
        kv=pick("kv", NARROW_OR_BYTE),
        overrides={name: width for name, width in picked.items() if width != usual},
    )


def ranked(mixes: Sequence[Mix], goal: Goal) -> list[Mix]:
    """Within the budget by cost and loss, then the others by what they lose."""
    within = sorted((m for m in mixes if m.fits(goal)), key=lambda m: (m.cost, m.quality.loss))
    return within + sorted((m for m in mixes if not m.fits(goal)), key=lambda m: (m.lost, m.cost))


def _check(goal: Goal) -> None:
    if not 0 <= goal.budget < 1:
        raise UsageError(f"the budget is {goal.budget:.2%}: it must be 0 % to below 100 %")
    for name, value, known in (("metric", goal.metric, METRICS), ("cost", goal.cost, tuple(COSTS))):
        if value not in known:
            raise UsageError(f"{name} {value!r} does not exist: choose from {', '.join(known)}")
    if goal.trials < 1:
        raise UsageError(f"trials must be at least 1, not {goal.trials}")


def _study(goal: Goal, quantiser: Quantiser, folder: Path) -> Study:
    """The study in a folder; what a killed process left unfinished no longer counts."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    except ValueError as error:
        raise UsageError(f"{folder / JOURNAL}: damaged ({error}): remove it to search again") from error
    study = optuna.create_study(storage=storage, study_name=STUDY, load_if_exists=True)
    _same_settings(study, goal, quantiser, folder)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def _same_settings(study: Study, goal: Goal, quantiser: Quantiser, folder: Path) -> None:
    """Everything but the number of trials, for a search may be prolonged."""
    settings = {name: value for name, value in dataclasses.asdict(goal).items() if name != "trials"}
    settings |= dataclasses.asdict(quantiser.source.arch) | {
        "float loss": round(quantiser.unquantised.loss, 6)
    }
    before = study.user_attrs.get(SETTINGS)
    if before is None:
        study.set_user_attr(SETTINGS, settings)
    elif before != settings:
        name = next(name for name in settings if before.get(name) != settings[name])
        raise UsageError(
            f"{folder}: holds a search with {name} {before.get(name)}, not {settings[name]}: take another folder"
        )


def _ask(study: Study, goal: Goal, number: int) -> Trial:
    """The trial of this number: first all weights at one width, from wide to narrow, then what TPE proposes."""
    import optuna

    seed = goal.seed * 100_003 + number
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=len(WEIGHTS) + RANDOM_TRIALS)
    if number < len(WEIGHTS):
        index = len(WEIGHTS) - 1 - number
        wide = {"embedding": len(EMBEDDINGS) - 1, "activation": 1, "glu": 1, "kv": 1}
        study.enqueue_trial(
            dict.fromkeys([*_names(goal, study.user_attrs[SETTINGS]["layers"]), HEAD], index) | wide
        )
    return study.ask()


def _names(goal: Goal, layers: int) -> list[str]:
    """What has a weight width of its own, the head aside."""
    if not goal.per_layer:
        return list(BLOCK_KINDS)
    return [f"layers.{layer}.{kind}" for layer in range(layers) for kind in BLOCK_KINDS]


def _mixes(study: Study) -> list[Mix]:
    """What the finished trials found, in their order."""
    return [_mix(trial.user_attrs[MIX]) for trial in study.trials if trial.state.name == "COMPLETE"]


def _mix(text: str) -> Mix:
    fields = json.loads(text)
    fields["bits"], fields["quality"] = Bits(**fields["bits"]), Quality(**fields["quality"])
    return Mix(**fields)


def _write(mixes: Sequence[Mix], goal: Goal, quantiser: Quantiser, folder: Path) -> None:
    report = {
        "goal": dataclasses.asdict(goal),
        "float": dataclasses.asdict(quantiser.unquantised),
        "within_budget": sum(mix.fits(goal) for mix in mixes),
        "mixes": [mix.to_dict() for mix in mixes],
    }
    files.write_text(folder / RESULT, json.dumps(report, indent=1) + "\n")
