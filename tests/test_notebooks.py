"""Every notebook runs from its first cell to the last in an empty folder, and shows what it is about."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from notebook_outputs import pictures, said

from tools import notebooks

pytestmark = pytest.mark.train  # Jupyter, and what the notebooks need
LINK = re.compile(r"\]\(([^)#:]+)\)")
NAMES = sorted(path.name for path in notebooks.FOLDER.glob("*.ipynb"))


def test_the_quickstart_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGELLM_MODEL", raising=False)
    done = notebooks.execute(notebooks.FOLDER / "01-quickstart.ipynb", tmp_path)
    assert pictures(done) == 2
    assert said(done).startswith("home-260k on native: ")
    assert said(done).count("native = golden, ") == 2
    assert "Turned on the lights" in said(done)


def test_distilling(tmp_path: Path) -> None:
    done = notebooks.execute(notebooks.FOLDER / "02-distil-your-own.ipynb", tmp_path)
    assert pictures(done) == 1
    right, lines = map(int, re.search(r"(\d+) of (\d+) held-out lines", said(done)).groups())
    assert right / lines > 0.7


@pytest.mark.fpga
@pytest.mark.sim
def test_compiling(tmp_path: Path) -> None:
    done = notebooks.execute(notebooks.FOLDER / "03-compile-and-look.ipynb", tmp_path)
    assert pictures(done) == 3
    assert "nodes equal the golden model" in said(done)
    assert re.search(r"\d+ cycles a token with 8 slots busy \(simulated\)", said(done))


def test_measuring(tmp_path: Path) -> None:
    done = notebooks.execute(notebooks.FOLDER / "04-latency.ipynb", tmp_path)
    assert pictures(done) == 2
    assert "200 of 202 prompt tokens were in the cache" in said(done)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept(name: str) -> None:
    """Outputs are there, in order, without a trace of the machine; links lead somewhere."""
    notebook = nbformat.read(notebooks.FOLDER / name, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not re.search(r"/(home|root|tmp|work)/", said(notebook))
    assert not any(output.get("name") == "stderr" for cell in code for output in cell.outputs)
    for cell in notebook.cells:
        for target in LINK.findall(cell.source) if cell.cell_type == "markdown" else []:
            assert (notebooks.FOLDER / target).exists(), target


def test_a_cell_that_fails_is_told(tmp_path: Path) -> None:
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    nbformat.write(notebook, tmp_path / "broken.ipynb")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        notebooks.execute(tmp_path / "broken.ipynb", tmp_path)
