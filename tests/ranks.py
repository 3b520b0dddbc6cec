"""What each process of the data-parallel test does: `python ranks.py FOLDER`, alone or under torchrun."""

import dataclasses
import random
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from shapes import TINY

from edgellm.train import parallel, recorder
from edgellm.train.config import Plan, Saving
from edgellm.train.loop import Common, Stage
from edgellm.train.model import Decoder

WIDE = dataclasses.replace(TINY, width=TINY.width + 8)
PLAN = Plan(tokens=4400, batch_tokens=256, distil=0.5, distil_from=0.3, temperature=2.0, hidden=0.1)


def lines(count: int, seed: int) -> list[tuple[list[int], int]]:
    rng = random.Random(seed)
    words = [[rng.randint(4, 39) for _ in range(rng.randint(2, 9))] for _ in range(count)]
    return [([1, *word, 3, *word, 2], len(word) + 2) for word in words]


def train(folder: Path) -> None:
    """A stage with every loss; each process leaves the weights that it holds."""
    torch.set_num_threads(1)
    recorder.curves.draw = lambda folder: None
    with parallel.join("cpu") as place:
        torch.manual_seed(3 + place.rank)  # other processes start from the first one's weights
        model = Decoder(TINY)
        torch.manual_seed(9)
        teacher = Decoder(WIDE).requires_grad_(False)
        common = Common(folder, 7, Saving(log_steps=1), place)
        stage = Stage("student", model, TINY, PLAN, common, teacher)
        stage.run(lines(191, 1), lines(20, 2), resume=False)
        save_file({**model.state_dict(), "projection": stage.hidden.projection}, folder / f"rank{place.rank}")


if __name__ == "__main__":
    train(Path(sys.argv[1]))
