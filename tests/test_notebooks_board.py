"""The quickstart where it is at home: the PYNQ driver, on a simulated board with a shipped model's accelerator."""

from __future__ import annotations

from pathlib import Path

import boards
import pytest
from nbformat import NotebookNode
from notebook_outputs import pictures, said

from edgellm.sim.board import VARIABLE
from tools import notebooks

pytestmark = pytest.mark.board


def quickstart(folder: Path) -> NotebookNode:
    return notebooks.execute(notebooks.FOLDER / "01-quickstart.ipynb", folder)


def test_the_quickstart_says_the_same_on_a_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's tokens equal the judge's, and those of a machine without a board."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("EDGELLM_MODEL", boards.SHIPPED)
    first, without = said(quickstart(tmp_path)).split("\n", 1)
    assert first.startswith(f"{boards.SHIPPED} on native: not fpga: ")
    monkeypatch.setenv(VARIABLE, str(boards.design(boards.SHIPPED)))
    monkeypatch.setenv("EDGELLM_MODEL", str(boards.design(boards.SHIPPED)))
    done = quickstart(tmp_path)
    assert pictures(done) == 2
    assert said(done).count("fpga = golden, ") == 2
    assert "Turned on the lights" in said(done)
    assert said(done) == f"{boards.SHIPPED} on fpga: fpga works\n" + without.replace("native =", "fpga =")


def test_the_quickstart_on_a_board_with_another_accelerator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver refuses the toy's accelerator; the notebook says so, and its answers are the same."""
    monkeypatch.setenv(VARIABLE, str(boards.design()))
    monkeypatch.setenv("EDGELLM_MODEL", str(boards.design(boards.SHIPPED)))
    done = said(quickstart(tmp_path))
    assert done.startswith(f"{boards.SHIPPED} on native: the accelerator's BUILD is 0x")
    assert done.count("native = golden, ") == 2
