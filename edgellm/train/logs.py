"""The log of a run: `log.csv` for people and programs, `tensorboard/` for TensorBoard.

Both follow the checkpoints: a stage that goes on from step n first forgets what was logged beyond n, so that a run that
was killed has the lines of one that was not.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from edgellm import files

LOG, BOARD, LOCK = "log.csv", "tensorboard", ".log.lock"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: losses in nats a token; `loss` is smoothed, `valid_loss` there only where it was measured."""

    stage: str
    step: int
    tokens: int
    loss: float
    valid_loss: float | None
    batch_loss: float
    lr: float

    def cells(self) -> list[object]:
        valid = "" if self.valid_loss is None else f"{self.valid_loss:.5f}"
        losses = [f"{self.loss:.5f}", valid, f"{self.batch_loss:.7f}"]
        return [self.stage, self.step, self.tokens, *losses, f"{self.lr:.6g}"]


COLUMNS = [field.name for field in fields(Row)]


class StageLog:
    """Takes the rows of one stage of the run in `folder`, from `step` on."""

    def __init__(self, folder: Path, stage: str, step: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.folder, self.stage = folder, stage
        forget(folder, stage, step)
        self._board = SummaryWriter(str(folder / BOARD / stage), purge_step=step + 1)

    def add(self, row: Row, speed: float) -> None:
        """Log one row; `speed` in tokens/s goes to TensorBoard alone, since it differs from run to run."""
        with _locked(self.folder), (self.folder / LOG).open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(row.cells())
        values = {"loss": row.loss, "batch_loss": row.batch_loss, "lr": row.lr, "tokens_per_second": speed}
        if row.valid_loss is not None:
            values["valid_loss"] = row.valid_loss
        for name, value in values.items():
            self._board.add_scalar(name, value, row.step)

    def close(self) -> None:
        """Flush what TensorBoard still holds."""
        self._board.close()


def forget(folder: Path, stage: str, step: int) -> None:
    """Drop the stage's rows beyond `step`, and what a killed process left unfinished; starts the log if there is none."""
    with _locked(folder):
        kept = [row for row in read(folder) if row["stage"] != stage or int(row["step"]) <= step]
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
        files.write_text(folder / LOG, text.getvalue())


def read(folder: Path) -> list[dict[str, str]]:
    """The whole rows of the log, oldest first; none when there is no log. Missing columns are empty."""
    path = folder / LOG
    if not path.is_file():
        return []
    lines = path.read_text("utf-8").splitlines(keepends=True)
    rows = csv.DictReader([line for line in lines if line.endswith("\n")], restval=None)
    return [row for row in rows if None not in row.values() and None not in row and row["step"].isdigit()]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two stages may train at once in one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
