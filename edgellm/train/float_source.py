"""The float model of a training run and lines of its corpus: what calibration starts from."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgellm.data import corpus, records
from edgellm.data import tokenizer as bpe
from edgellm.data.framing import Framer
from edgellm.data.records import OwnCorpus
from edgellm.errors import TrainingError, UsageError
from edgellm.numerics.model import Architecture
from edgellm.train import checkpoint, config, corpus_stage
from edgellm.train.batches import Encoded
from edgellm.train.config import Recipe
from edgellm.train.model import Decoder
from edgellm.train.restore import load_float

STAGES = ("prune", "student")  # the first that is there is the float model that quantisation starts from
CALIBRATION_LINES, VALID_LINES = 600, 300


@dataclass(frozen=True, slots=True)
class FloatSource:
    """A float model, the folder of its run, and its recipe when that is known."""

    model: Decoder
    stage: Path  # its checkpoint
    folder: Path
    recipe: Recipe | None

    @property
    def arch(self) -> Architecture:
        return self.model.arch

    @property
    def seed(self) -> int:
        return self.recipe.seed if self.recipe else 1

    @property
    def tokenizer(self) -> Path:
        return self.folder / corpus_stage.TOKENIZER

    def calibration(self, lines: int = CALIBRATION_LINES) -> list[Encoded]:
        """Training lines, drawn by the seed."""
        return self._lines("train", lines)

    def valid(self, lines: int = VALID_LINES) -> list[Encoded]:
        """Validation lines, drawn by the seed."""
        return self._lines("valid", lines)

    def about(self) -> dict[str, Any]:
        """What an exported model has to know of where it comes from."""
        known = {"name": self.folder.resolve().name, "seed": self.seed}
        state = checkpoint.describe(self.stage).get("state", {})
        known["tokens"] = {self.stage.name: state.get("tokens", 0)}
        if self.recipe is None:
            return known
        named = {"name": self.recipe.name, "description": self.recipe.description}
        return known | named | corpus_stage.about(self.recipe)

    def _lines(self, split: str, count: int) -> list[Encoded]:
        """Lines of a split that fit the context."""
        place = self.folder / corpus_stage.CORPUS
        if self.recipe and isinstance(self.recipe.corpus, OwnCorpus):
            own = self._draw(list(records.read_split(place, split)), count)
            encoded = Framer(self.tokenizer, self.recipe.corpus).encode(own)
        elif (place / f"{split}.jsonl").is_file():
            raise UsageError(
                f"{place}: a corpus of your own, and how its prompts are framed is in the recipe: give --config RECIPE"
            )
        else:
            rows = self._draw(corpus.read_split(place, split), count)
            encoded = bpe.encode_rows(bpe.load_tokenizer(self.tokenizer), rows)
        return [line for line in encoded if len(line[0]) <= self.arch.context]

    def _draw(self, lines: list[Any], count: int) -> list[Any]:
        return random.Random(self.seed).sample(lines, min(count, len(lines)))


def open_source(path: Path, recipe: Path | None = None) -> FloatSource:
    """The float model in a run's folder, or in one of its float stages.

    Raises: UsageError (nothing of the kind there), TrainingError (damaged, or of another shape than the recipe says),
    ConfigError (the recipe).
    """
    known = config.load(recipe) if recipe else None
    stage, folder = _stage(path)
    about = checkpoint.describe(stage)
    arch = about.get("arch")
    if arch is None and known is None:
        raise TrainingError(
            f"{stage}: an old checkpoint that does not tell its architecture: give --config RECIPE"
        )
    shape = Architecture(**arch) if arch else known.student  # type: ignore[union-attr]
    source = FloatSource(load_float(stage, shape).eval(), stage, folder, known)
    if not source.tokenizer.is_file():
        raise UsageError(f"{source.tokenizer}: missing: the float model must lie in the folder of its run")
    return source


def _stage(path: Path) -> tuple[Path, Path]:
    """Checkpoint folder and run folder."""
    for name in STAGES:
        if checkpoint.exists(path / name):
            return path / name, path
    if not checkpoint.exists(path):
        wanted = " or ".join(STAGES)
        raise UsageError(
            f"{path}: no float model there: give a folder of `edgellm distill` with {wanted} in it"
        )
    if "scheme" in checkpoint.describe(path) or path.name == "qat":
        raise UsageError(f"{path}: already quantised: give its run's folder, where the float student is")
    return path, path.resolve().parent
