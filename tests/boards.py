"""The designs of the board tests, which the workstation compiles (FINN) and the host's environments run (PYNQ).

python tests/boards.py        makes them; `make test` does so
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

import pytest
from shapes import TINY

from edgellm.numerics.golden import GoldenModel
from edgellm.numerics.random import random_model

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(os.environ.get("EDGELLM_BOARD_TESTS", ROOT / "out" / "board-tests"))
BOARDS = ("aup-zu3", "pynq-z2")  # UltraScale+ and Zynq-7000
SHIPPED = "home-260k"  # for the first of them, as a user would compile it
MODEL = random_model(TINY, 1)


def design(name: str = BOARDS[0]) -> Path:
    """Design folder of the toy for a board, or of the shipped model; the test fails where it is missing."""
    folder = FOLDER / name / "design"
    if not (folder / "design.json").is_file():
        pytest.fail(f"{folder} is missing: make it with `.venv/workstation/bin/python tests/boards.py`")
    return folder


@cache
def judge() -> GoldenModel:
    """The golden model of the toy."""
    return GoldenModel(MODEL)


def install(board: str = BOARDS[0], stall: float = 0.1, seed: int = 1):
    """A simulated board as PYNQ's active device."""
    from edgellm.sim.board import SimulatedBoard

    return SimulatedBoard.install(design(board), stall, seed)


def altered(folder: Path, **files: bytes | None) -> Path:
    """A copy of the design in `folder` with files replaced or removed (name with `_` for `.`); its model folder."""
    shutil.copytree(design(), folder / "design")
    for name, content in files.items():
        path = folder / "design" / name.replace("_", ".")
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    return folder / "design" / "model"


def make(model: Path, board: str, folder: Path) -> None:
    """A design with a stand-in for its bitstream, and its simulator in the cache."""
    from edgellm.compiler.compile import compile_model
    from edgellm.sim import design as designs
    from edgellm.sim import shell_harness, stand_in

    compile_model(model, board, folder)
    stand_in.write(folder)
    shell_harness.build(designs.load(folder).shell_files())


def main() -> None:
    from compiled import write_model

    from edgellm import resources

    for board in BOARDS:
        work = FOLDER / board
        shutil.rmtree(work, ignore_errors=True)
        make(write_model(MODEL, work / "toy"), board, work / "design")
    make(resources.models() / SHIPPED, BOARDS[0], FOLDER / SHIPPED / "design")


if __name__ == "__main__":
    main()
